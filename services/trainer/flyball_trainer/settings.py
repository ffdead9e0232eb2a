"""What an operator can set for the trainer, `FLYBALL_TRAINER_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """The common settings and the trainer's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_TRAINER_")

    sweep_s: float = Field(
        default=60.0,
        gt=0,
        description="How often every pipeline is checked for a baseline that was never announced.",
    )
