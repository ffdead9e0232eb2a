"""What an operator can set for inference, `FLYBALL_INFERENCE_*`."""

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings
from flyball_proto import streams

NKEY: Final = "U[A-Z2-7]{55}"
"""A user's public NKey."""


class Settings(KitSettings):
    """The common settings and inference's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_INFERENCE_")

    bundle_dir: Path | None = Field(
        default=None,
        description="Where the verified bundles that each pipeline uses are kept, at most three, so "
        "that inference starts while S3 is away; unset = nowhere.",
    )
    trainer_keys: str = Field(
        default="",
        pattern=rf"^({NKEY}( *, *{NKEY})*)?$",
        description="Comma-separated public NKeys; a bundle must be signed by one of them. Empty = "
        "signatures are not checked.",
    )
    max_bundle_bytes: int = Field(
        default=256 * streams.MIB, gt=0, description="A larger ONNX file is not loaded."
    )
    retry_s: float = Field(
        default=1.0, gt=0, le=60, description="Between two tries to load a model."
    )
    measure_every_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Between two announcements of how long models take while a canary answers.",
    )
    retain_mib: int = Field(
        default=int(streams.DECISIONS.max_bytes * streams.RETAIN_RATIO) // streams.MIB,
        ge=1,
        description="DECISIONS is purged behind its readers above this size.",
    )

    @property
    def trusted(self) -> frozenset[str]:
        """The trainers' public keys; empty = signatures are not checked."""
        return frozenset(key.strip() for key in self.trainer_keys.split(",") if key.strip())
