"""What an operator can set for inference, `FLYBALL_INFERENCE_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings
from flyball_proto import streams


class Settings(KitSettings):
    """The common settings and inference's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_INFERENCE_")

    bundle_dir: Path | None = Field(
        default=None,
        description="Where the last verified bundle of each pipeline is kept, so that inference "
        "starts while S3 is away; unset = nowhere.",
    )
    max_bundle_bytes: int = Field(
        default=256 * streams.MIB, gt=0, description="A larger ONNX file is not loaded."
    )
    retry_s: float = Field(
        default=1.0, gt=0, le=60, description="Between two tries to load a model."
    )
    retain_mib: int = Field(
        default=int(streams.DECISIONS.max_bytes * streams.RETAIN_RATIO) // streams.MIB,
        ge=1,
        description="DECISIONS is purged behind its readers above this size.",
    )
