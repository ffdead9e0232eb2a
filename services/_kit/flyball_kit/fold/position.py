"""The commit record: an output's headers say which input it covers. Pure.

Nothing else is authoritative: no consumer acknowledgement, no snapshot, no registered position.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import override

from flyball_proto.chains import Place
from flyball_proto.headers import CHAIN, EXPECT, MARK, MEMO, OWNER, POSITION

RECORD_HEADERS = (EXPECT, POSITION, OWNER)
"""What a read-back compares to tell one's own commit from another's."""


@dataclass(frozen=True, slots=True)
class Position:
    """Input sequences `first`..`last` are covered; `last` + 1 is the next to fold.

    `since` is the oldest sequence that the state depends on (0 = none), `time_ns` the time at which
    the stream stored `last` (0 = unknown), `epoch` the time at which the stream was created.
    """

    first: int
    last: int
    since: int
    time_ns: int
    epoch: str

    @override
    def __str__(self) -> str:
        return f"{self.first} {self.last} {self.since} {self.time_ns} {self.epoch}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read a header's value.

        Raises:
            ValueError: when it is not five words, four of them numbers.
        """
        words = text.split()
        if len(words) != 5 or not all(word.isdecimal() for word in words[:4]):
            raise ValueError(f"position {text!r}: expected 'first last since time_ns epoch'")
        first, last, since, time_ns = (int(word) for word in words[:4])
        return cls(first, last, since, time_ns, words[4])

    @property
    def needed_from(self) -> int:
        """Oldest input that a rebuild from here may read; older input may be purged."""
        return self.since or self.last + 1


@dataclass(frozen=True, slots=True)
class Commit:
    """The newest commit of an output subject: its own sequence there, and what it covers.

    `mark` is set while the fold stands right behind a lockstep mark; `memo` is what the fold is to
    be told when it starts; `chain` is the place of the last output, where outputs are chained.
    """

    sequence: int
    position: Position
    mark: str | None = None
    memo: str | None = None
    chain: Place | None = None


def record(
    position: Position,
    owner: str,
    expect: int,
    mark: str | None,
    memo: str | None = None,
    chain: Place | None = None,
) -> dict[str, str]:
    """The headers of one commit."""
    headers = {EXPECT: str(expect), POSITION: str(position), OWNER: owner}
    if mark is not None:
        headers[MARK] = mark
    if memo is not None:
        headers[MEMO] = memo
    if chain is not None:
        headers[CHAIN] = chain.text
    return headers


def is_same_record(stored: Mapping[str, str] | None, mine: Mapping[str, str]) -> bool:
    """Whether a stored message is the very commit that `mine` describes."""
    return stored is not None and all(stored.get(name) == mine[name] for name in RECORD_HEADERS)


def is_bare(headers: Mapping[str, str] | None, data: bytes) -> bool:
    """Whether a message is a claim or a keepalive: a commit record without output."""
    return not data and headers is not None and POSITION in headers
