"""What an operator can set for the gateway, `FLYBALL_GATEWAY_*`. None of its own yet."""

from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """The common settings."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_GATEWAY_")
