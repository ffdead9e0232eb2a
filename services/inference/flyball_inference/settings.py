"""What an operator can set for inference, `FLYBALL_INFERENCE_*`."""

from pathlib import Path
from typing import Final, get_args

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings
from flyball_proto import streams
from flyball_proto.events import Precision

NKEY: Final = "U[A-Z2-7]{55}"
"""A user's public NKey."""

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
PRECISION: Final = f"({'|'.join(PRECISIONS)})"


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
    precisions: str = Field(
        default=", ".join(PRECISIONS),
        pattern=rf"^{PRECISION}( *, *{PRECISION})*$",
        description="Comma-separated forms of a model that may run here; "
        "the deployer chooses one that every runtime of a pipeline can run.",
    )
    model_memory_mb: float = Field(
        default=0.0,
        ge=0,
        description="For the models of one pipeline, of which three are loaded together; the "
        "deployer chooses forms that fit. 0 = not bounded.",
    )
    providers: str = Field(
        default="CPUExecutionProvider",
        pattern=r"^\w+( *, *\w+)*$",
        description="Comma-separated execution providers of ONNX Runtime, the preferred one first.",
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
        return frozenset(_listed(self.trainer_keys))

    @property
    def runnable(self) -> tuple[Precision, ...]:
        """The forms of a model that may run here, each once."""
        wanted = _listed(self.precisions)
        return tuple(p for w in dict.fromkeys(wanted) for p in PRECISIONS if p == w)

    @property
    def execution_providers(self) -> tuple[str, ...]:
        """Of ONNX Runtime, each once."""
        return tuple(dict.fromkeys(_listed(self.providers)))


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
