"""What an operator can set for risk, `FLYBALL_RISK_*`. How to judge is in the specification."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings
from flyball_proto import streams
from flyball_risk.judging.control import DEFAULT_KEY


class Settings(KitSettings):
    """The common settings and risk's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_RISK_")

    control_key: str = Field(
        default=DEFAULT_KEY,
        min_length=1,
        description="Decides with a hash which actions the control share withholds. Set your own, "
        "the same on every instance, and keep it: with the default an element can reckon when it "
        "will be left alone.",
    )
    seeded_share: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="Part of the open reviews that are known to be wrong and shown on purpose, to "
        "see how careful people look. They are not marked.",
    )
    retain_mib: int = Field(
        default=int(streams.VERDICTS.max_bytes * streams.RETAIN_RATIO) // streams.MIB,
        ge=1,
        description="VERDICTS is purged behind its readers above this size.",
    )
