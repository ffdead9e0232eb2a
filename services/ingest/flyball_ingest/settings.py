"""What an operator can set for ingest, `FLYBALL_INGEST_*`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings
from flyball_proto import streams


class Settings(KitSettings):
    """The common settings and ingest's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_INGEST_")

    max_elements: int = Field(
        default=50_000,
        ge=1,
        le=1_000_000,
        description="Elements remembered a partition; reports of further ones are quarantined.",
    )
    state_mib: int = Field(
        default=512,
        ge=1,
        description="Windows of one fold; with long windows or many metrics fewer elements fit.",
    )
    memory_mib: int = Field(
        default=96,
        ge=1,
        description="Rows and labels count until so much input of their source came behind them; "
        "a restart reads at most this again. Keep it below retain_mib.",
    )
    ticks: bool = Field(
        default=True, description="Write a tick of the wall clock into FEATURES every second."
    )
    snapshot_every_s: float = Field(
        default=5.0, gt=0, le=600, description="Least time between two snapshots in Redis."
    )
    retain_mib: int = Field(
        default=int(streams.METRICS.max_bytes * streams.RETAIN_RATIO) // streams.MIB,
        ge=1,
        description="METRICS, FEATURES and SAMPLES are purged behind their readers above this "
        "size.",
    )
