"""What an operator can set for the deployer, `FLYBALL_DEPLOYER_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """The common settings and the deployer's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_DEPLOYER_")

    sweep_s: float = Field(
        default=60.0,
        gt=0,
        description="How often announcements that are owed and empty seats are looked for.",
    )
