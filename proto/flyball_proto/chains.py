"""The record's chains: every act, and every output of verdicts, carries the hash of all before it.

A chain belongs to one subject. Whoever changes, removes or moves an entry changes every hash behind
it; whoever removes the end contradicts the next checkpoint, which the writer signed. Pure.
"""

import hashlib
import json
from typing import Any, Final, NamedTuple

from pydantic import AwareDatetime, Field

from flyball_proto.events import Signature, Wire

LINK: Final = "link"
"""The field of an act that chains it."""

MAX_HEADS: Final = 4096
"""Of one checkpoint; a writer of more subjects writes several."""


class Place(NamedTuple):
    """An entry's place in its chain: its number from 1 without gaps, and its hash, hex."""

    number: int
    hash: str

    @property
    def text(self) -> str:
        """As a header carries it: `<number> <hash>`."""
        return f"{self.number} {self.hash}"

    @staticmethod
    def parse(text: str) -> "Place":
        """Read what `text` wrote.

        Raises:
            ValueError: when it is not a number and 64 hexadecimal digits.
        """
        number, _, found = text.partition(" ")
        if not number.isdecimal() or len(found) != 64 or not set(found) <= _HEX:
            raise ValueError(f"chain {text[:90]!r}: expected '<number> <64 hexadecimal digits>'")
        return Place(int(number), found)

    def then(self, data: bytes) -> "Place":
        """The place of an output with this payload: SHA-256 of (hash so far, payload's SHA-256)."""
        return self.after(hashlib.sha256(data).digest())

    def after(self, digest: bytes) -> "Place":
        """As `then`, for a payload of which only the SHA-256 is known."""
        found = hashlib.sha256(bytes.fromhex(self.hash) + digest).hexdigest()
        return Place(self.number + 1, found)


_HEX: Final = frozenset("0123456789abcdef")


def beginning(subject: str) -> Place:
    """Before the first entry. Two subjects begin differently, so that none passes for another."""
    return Place(0, hashlib.sha256(subject.encode()).hexdigest())


class Link(Wire):
    """An act's place in the chain of its service."""

    number: int = Field(ge=1, description="From 1 without gaps, over all instances of the service.")
    previous: str = Field(
        description="Hash of the act before; SHA-256 of the subject for the first."
    )
    hash: str = Field(description="SHA-256 of this act as canonical JSON without this field, hex.")

    @property
    def place(self) -> Place:
        """Number and hash."""
        return Place(self.number, self.hash)


class Head(Wire):
    """How far a chain reached."""

    stream: str
    subject: str
    number: int = Field(ge=0, description="Of the last entry in its chain.")
    sequence: int = Field(ge=0, description="Of the last entry in its stream.")
    hash: str


class Checkpoint(Wire):
    """What a writer vouches for: whoever shortens a chain contradicts it."""

    at: AwareDatetime
    heads: tuple[Head, ...] = Field(max_length=MAX_HEADS)
    signature: Signature | None = Field(
        default=None, description="Ed25519 by the service's NKey; None = it runs without one."
    )

    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return canonical(self.model_dump(mode="json", exclude={"signature"}))


class Gap(Wire):
    """Entries that are in no archive, as the archive itself says."""

    stream: str
    subject: str
    first: int = Field(ge=1, description="Number of the first that is missing.")
    last: int = Field(ge=1, description="Number of the last that is missing.")


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, without blanks, in UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def act_hash(act: dict[str, Any]) -> str:
    """What an act's `link.hash` must be; other than that field every word of the act counts."""
    link = {name: value for name, value in act[LINK].items() if name != "hash"}
    return hashlib.sha256(canonical({**act, LINK: link})).hexdigest()
