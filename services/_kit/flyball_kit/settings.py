"""What an operator can set. The one room of the kit that reads the environment.

Common settings are `FLYBALL_<FIELD>`, a service's own are `FLYBALL_<SERVICE>_<FIELD>`. A common one
may be set for one service alone in the same way: `FLYBALL_RISK_LOG_LEVEL` wins over
`FLYBALL_LOG_LEVEL`. A service subclasses `KitSettings` and names its prefix:

    class Settings(KitSettings):
        model_config = SettingsConfigDict(env_prefix="FLYBALL_RISK_")
        hold_expires_s: float = Field(default=120, gt=0, description="...")

    settings = load(Settings)
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from flyball_kit.errors import PermanentError

COMMON: Final = "FLYBALL_"

_ENVIRON: Final[Mapping[str, str]] = os.environ  # noqa: TID251 - read here and nowhere else


class SettingsError(PermanentError):
    """A variable is unknown or its value is not valid; names the variable and what would be."""

    kind = "invalid-settings"


class KitSettings(BaseSettings):
    """Settings that every service shares. Read once, frozen after."""

    model_config = SettingsConfigDict(env_prefix=COMMON, frozen=True, extra="forbid")

    nats_url: str = Field(default="nats://127.0.0.1:4222", description="Comma-separated servers.")
    nats_seed_file: Path | None = Field(
        default=None, description="File with this service's NKey seed; unset = no authentication."
    )
    redis_url: str | None = Field(
        default=None, description="Unset = degraded: state is rebuilt from the streams alone."
    )
    redis_prefix: str = Field(
        default="", description="What this service's keys begin with, e.g. `ingest:`."
    )
    s3_endpoint: str = Field(default="127.0.0.1:9000", description="`host:port` of any S3 server.")
    s3_access_key: str = Field(default="", description="Empty = anonymous.")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="Empty = anonymous.")
    s3_region: str = Field(default="us-east-1", description="Always sent; some servers insist.")
    s3_bucket: str = Field(default="flyball", min_length=3, description="Made by the installer.")
    s3_secure: bool = Field(default=False, description="TLS to the S3 server.")
    partitions: int = Field(default=1, ge=1, le=256, description="Partitions of METRICS.")
    domain: str = Field(
        default="hub",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="JetStream domain: the hub's or an edge site's name.",
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="/metrics, /healthz, /readyz on loopback; 0 = off."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text on a terminal, else one JSON object a line."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is written."
    )

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment with both prefixes; no files."""
        return init_settings, _Environment(settings_cls)


S = TypeVar("S", bound=KitSettings)


class _Environment(PydanticBaseSettingsSource):
    """Each field's own variable, else the common one."""

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        names = variables(self.settings_cls, field_name)
        found = next((_ENVIRON[n] for n in names if n in _ENVIRON), None)
        return found, field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in found.items() if value is not None}


def variables(cls: type[BaseSettings], field: str) -> tuple[str, ...]:
    """The variables that set a field, most specific first."""
    own = f"{cls.model_config.get('env_prefix', COMMON)}{field}".upper()
    common = f"{COMMON}{field}".upper()
    return (own, common) if field in KitSettings.model_fields and own != common else (own,)


def load(cls: type[S], service: str | None = None, *, strict: bool = True) -> S:
    """Read a service's settings from the environment.

    With `service`, a `cls` without a prefix of its own takes `FLYBALL_<SERVICE>_`.

    Raises:
        SettingsError: A value is not valid, or (strict) a variable is unknown: any
            `FLYBALL_<SERVICE>_*`, and a `FLYBALL_*` that looks like a mistyped common one.
    """
    if service and cls.model_config.get("env_prefix", COMMON) == COMMON:
        cls = _prefixed(cls, f"{COMMON}{service.upper()}_")
    if strict:
        refuse_unknown(cls, _ENVIRON)
    try:
        return cls()
    except ValidationError as error:
        raise SettingsError(_explain(cls, error)) from None


def refuse_unknown(cls: type[BaseSettings], environ: Iterable[str]) -> None:
    """Raise `SettingsError` for the first variable that means nothing to this service."""
    prefix = cls.model_config.get("env_prefix", COMMON)
    valid = sorted({name for field in cls.model_fields for name in variables(cls, field)})
    common = [name for name in valid if not name.startswith(prefix) or prefix == COMMON]
    for name in sorted(environ):
        if not name.startswith(COMMON) or name in valid:
            continue
        own = prefix != COMMON and name.startswith(prefix)
        near = difflib.get_close_matches(name, valid if own else common, 1, 0.75 if own else 0.9)
        if own or near:
            hint = f"did you mean {near[0]}?" if near else f"valid are {', '.join(valid)}"
            raise SettingsError(f"{name} is not a setting; {hint}")


def open_telemetry() -> bool:
    """Whether the standard OTEL_* variables name somewhere to send traces and metrics."""
    wanted = any(_ENVIRON.get(name) for name in _OTLP_ENDPOINTS)
    return wanted and _ENVIRON.get("OTEL_SDK_DISABLED", "").lower() != "true"


_OTLP_ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)


def _prefixed(cls: type[S], prefix: str) -> type[S]:
    config: Mapping[str, Any] = {**cls.model_config, "env_prefix": prefix}
    return type(cls.__name__, (cls,), {"model_config": config, "__module__": cls.__module__})


def _explain(cls: type[BaseSettings], error: ValidationError) -> str:
    """One line naming each variable; never its value, which may be a secret."""
    problems = (
        f"{variables(cls, str(e['loc'][0]))[-1] if e['loc'] else cls.__name__}: {e['msg']}"
        for e in error.errors(include_input=False, include_url=False)
    )
    return "; ".join(problems)
