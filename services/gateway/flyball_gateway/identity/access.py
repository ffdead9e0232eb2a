"""Who may do what over HTTP, and the records behind it. Pure.

A secret is 256 random bits in a text with a prefix that says what it is; only its SHA-256 is ever
stored. Looking a hash up takes the same time whether or not anybody has it, as far as an attacker
could use it: to come near a stored hash they would have to find a preimage.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from pydantic import AwareDatetime

from flyball_proto.commands import Access, Role
from flyball_proto.events import Wire

Act = Literal["read", "publish", "apply", "answer", "stop", "resume", "manage"]
Kind = Literal["token", "session", "invitation"]

ACTS: Final[tuple[Act, ...]] = get_args(Act)
ROLES: Final[tuple[Role, ...]] = get_args(Role)
RIGHTS: Final[Mapping[Role, frozenset[Act]]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "publish", "stop", "resume"}),
    "approver": frozenset({"read", "stop", "answer"}),
    "engineer": frozenset({"read", "publish", "apply", "stop"}),
    "admin": frozenset(ACTS),
}
PREFIXES: Final[Mapping[Kind, str]] = {"token": "fbt_", "session": "fbs_", "invitation": "fbi_"}
SECRET_BYTES: Final = 32
MAX_SECRET_CHARS: Final = 128
"""A longer one is refused without being hashed."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, or a program, that came in with a token or a session."""

    name: str
    role: Role


class AccessRecord(Wire):
    """One token, session or invitation: KV `access`, key `<kind>.<hash of the secret>`."""

    version: Literal[1] = 1
    name: str
    role: Role
    kind: Kind
    since: AwareDatetime
    expires_at: AwareDatetime
    by: str

    @property
    def person(self) -> Person:
        """Who comes in with it."""
        return Person(self.name, self.role)

    @property
    def shown(self) -> Access:
        """What may be told of it."""
        return Access(
            name=self.name,
            role=self.role,
            kind=self.kind,
            since=self.since,
            expires_at=self.expires_at,
        )

    def is_over(self, now: datetime) -> bool:
        """Whether it lets nobody in any more."""
        return now >= self.expires_at


def may(person: Person, act: str) -> bool:
    """Whether somebody may do this; nobody may do what is not an act."""
    return act in RIGHTS[person.role]


def who_may(act: str) -> tuple[Role, ...]:
    """The roles that may, in the order of `ROLES`."""
    return tuple(role for role in ROLES if act in RIGHTS[role])


def key_of(kind: Kind, secret: str) -> str | None:
    """Where the record of a secret is; None when the text cannot be a secret of that kind."""
    if len(secret) > MAX_SECRET_CHARS or not secret.startswith(PREFIXES[kind]):
        return None
    return f"{kind}.{hashlib.sha256(secret.encode(errors='replace')).hexdigest()}"
