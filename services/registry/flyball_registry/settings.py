"""What an operator can set for the registry, `FLYBALL_REGISTRY_*`."""

from typing import Final

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings

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
    save_every_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Least time between two writes of a scoreboard when nothing was judged.",
    )

    @property
    def trusted(self) -> frozenset[str]:
        """The trainers' public keys; empty = signatures are not checked."""
        return frozenset(key.strip() for key in self.trainer_keys.split(",") if key.strip())
