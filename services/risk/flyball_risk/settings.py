"""What an operator can set for risk. Everything else is in the pipeline's specification."""

from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """`FLYBALL_RISK_*`; common settings are `FLYBALL_*`. Risk has none of its own yet."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_RISK_")
