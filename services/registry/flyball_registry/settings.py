"""What an operator can set for the registry, `FLYBALL_REGISTRY_*`."""

from pathlib import Path
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings
from flyball_registry.admission.claims import Signers
from flyball_registry.admission.frames import Limits

NKEY: Final = "U[A-Z2-7]{55}"
"""A user's public NKey."""


class Settings(KitSettings):
    """The common settings and the registry's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_REGISTRY_")

    sweep_s: float = Field(
        default=60.0,
        gt=0,
        description="How often every pipeline's last trained model is checked for a record.",
    )
    trainer_keys: str = Field(
        default="",
        pattern=rf"^({NKEY}( *, *{NKEY})*)?$",
        description="Comma-separated public NKeys; a bundle must be signed by one of them. Empty = "
        "signatures are not checked.",
    )
    model_signing_public_key_files: str = Field(
        default="",
        description="Comma-separated PEM files of elliptic-curve public keys; a bundle's model.sig "
        "(OpenSSF model signing) must be by one of them. Empty = not checked.",
    )
    examination_cpu_s: int = Field(
        default=10,
        ge=1,
        le=3600,
        description="Processor time that the examination of one model may take; six times as long "
        "by the clock.",
    )
    examination_memory_mb: int = Field(
        default=1024,
        ge=64,
        le=1_000_000,
        description="Memory that the examination of one model may ask for.",
    )
    save_every_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Least time between two writes of a scoreboard when nothing was judged.",
    )

    @field_validator("model_signing_public_key_files")
    @classmethod
    def _are_files(cls, value: str) -> str:
        if missing := [str(path) for path in _paths(value) if not path.is_file()]:
            raise ValueError(f"no such file: {', '.join(missing)}")
        return value

    @property
    def signers(self) -> Signers:
        """Whose signatures a bundle must have; none = they are not checked."""
        nkeys = frozenset(key.strip() for key in self.trainer_keys.split(",") if key.strip())
        return Signers(nkeys, tuple(map(str, _paths(self.model_signing_public_key_files))))

    @property
    def limits(self) -> Limits:
        """What the examination of one model may take."""
        cpu_s = self.examination_cpu_s
        return Limits(cpu_s, 6 * cpu_s, self.examination_memory_mb * 1_000_000)


def _paths(value: str) -> tuple[Path, ...]:
    return tuple(Path(path.strip()).absolute() for path in value.split(",") if path.strip())
