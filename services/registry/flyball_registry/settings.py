"""What an operator can set for the registry, `FLYBALL_REGISTRY_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """The common settings and the registry's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_REGISTRY_")

    sweep_s: float = Field(
        default=60.0,
        gt=0,
        description="How often every pipeline's last trained model is checked for a record.",
    )
