"""What an operator can set for the gateway, `FLYBALL_GATEWAY_*`."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings


class Settings(KitSettings):
    """The common settings, and where and for whom HTTP is served."""

    model_config = SettingsConfigDict(env_prefix="FLYBALL_GATEWAY_")

    http_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the page and of /v1; 0 = no HTTP at all."
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. Beyond loopback put a proxy with TLS in front.",
    )
    http_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+)?$",
        description="What people's browsers call it, when a proxy stands in front; with `https://` "
        "cookies are Secure. Empty = `http://<host>:<port>`.",
    )
    session_hours: int = Field(
        default=12, ge=1, le=24 * 30, description="How long a login lasts, in hours."
    )
    expect: str = Field(
        default="ingest,inference,risk,trainer,registry,deployer,gateway",
        pattern=r"^[a-z]+(,[a-z]+)*$",
        description="Services whose pulse `/v1/health` wants, comma-separated.",
    )

    archive: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Keep AUDIT and VERDICTS in S3; `auto`: where S3 keys are set. Off, VERDICTS is "
        "purged behind its other readers.",
    )
    archive_every_s: int = Field(
        default=600, ge=1, le=600, description="An entry is archived after so many seconds at most."
    )
    archive_verdict_days: int = Field(
        default=30, ge=1, le=3650, description="How long archived VERDICTS are kept."
    )
    archive_control_days: int = Field(
        default=400, ge=1, le=3650, description="How long archived AUDIT is kept."
    )

    @property
    def archives(self) -> bool:
        """Whether there is an archive."""
        return self.archive == "on" or (self.archive == "auto" and bool(self.s3_access_key))

    @property
    def url(self) -> str:
        """Where people find it; empty while HTTP is off."""
        if not self.http_port:
            return ""
        host = f"[{self.http_host}]" if ":" in self.http_host else self.http_host
        return self.http_url or f"http://{host}:{self.http_port}"

    @property
    def is_secure(self) -> bool:
        """Whether people reach it by TLS."""
        return self.http_url.startswith("https://")

    @property
    def expected(self) -> tuple[str, ...]:
        """Services that have to be there."""
        return tuple(self.expect.split(","))
