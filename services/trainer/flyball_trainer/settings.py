"""What an operator can set for the trainer, `FLYBALL_TRAINER_*`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """The common settings and the trainer's own."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_TRAINER_")

    sweep_s: float = Field(
        default=60.0,
        gt=0,
        description="How often every pipeline is checked for a baseline that was never announced.",
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Processes that fit models; each takes about 300 MiB."
    )
    fit_timeout_s: float = Field(
        default=120.0, gt=0, description="A training that takes longer is given up and reported."
    )
    reproduce_timeout_s: float = Field(
        default=600.0,
        gt=0,
        description="Training a stored model again, as `flyball reproduce` asks, is given up then.",
    )
    model_signing_key_file: Path | None = Field(
        default=None,
        description="EC P-256 private key, PEM without password, of OpenSSF model signatures; unset "
        "= models carry none.",
    )
    dask_scheduler: str = Field(
        default="",
        pattern=r"^((tcp|tls)://\S+:\d+)?$",
        description="Where trainers with `executor: dask` fit, e.g. tcp://dask:8786; empty: they fail.",
    )
    retain_mib: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="Per pipeline: labelled rows in memory, and the part of SAMPLES that is held "
        "for a restart.",
    )
    delay_ms_max: int = Field(
        default=0,
        ge=0,
        le=60_000,
        description="For tests: each training waits up to so long before it starts, at random.",
    )
