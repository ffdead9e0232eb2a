"""Deliberately damaged variants of the fold runner: the judge must catch every one of them.

A check that no damage can fail proves nothing. Each variant leaves out one of the rules that make
the runner exact; the stage process applies one of them by name.
"""

from collections.abc import Callable
from typing import Any

from nats.aio.msg import Msg

from flyball_kit.fold import output, reader, runner
from flyball_kit.fold.broker import last_message
from flyball_kit.fold.position import Position
from flyball_kit.fold.snapshot import Snapshot
from flyball_proto.headers import EXPECT


class _Again(Exception):  # noqa: N818 - a way back, not an error
    """Publish once more."""


def no_compare_and_set() -> None:
    """Publish without an expectation: whoever comes last is stored too."""
    whole = output.record

    def record(position: Position, owner: str, expect: int, *rest: Any) -> dict[str, str]:
        headers = whole(position, owner, expect, *rest)
        del headers[EXPECT]
        return headers

    output.record = record


def adopt_new_expectation() -> None:
    """On a wrong sequence take the new one and publish again, instead of reading back."""
    publish = output.OutputSubject._publish

    async def adopt(self: Any, mine: dict[str, str]) -> None:
        found = await last_message(self._js, self._target.stream, self._target.subject)
        self.sequence = (found.seq or 0) if found else 0
        mine[EXPECT] = str(self.sequence)
        raise _Again

    async def publish_again(self: Any, data: bytes, mine: dict[str, str]) -> bool:
        try:
            return await publish(self, data, mine)
        except _Again:
            return False

    output.OutputSubject._on_wrong_sequence = adopt  # type: ignore[method-assign]
    output.OutputSubject._publish = publish_again  # type: ignore[method-assign]


def no_state() -> None:
    """Go on from the position with an empty state."""

    def restore(self: Any, snapshot: Snapshot | None) -> int:
        return int(self._position.last) + 1

    runner.FoldRunner._restore = restore  # type: ignore[method-assign]


def untagged_snapshot() -> None:
    """Save before the acknowledgement, and believe what was saved."""
    commit = runner.FoldRunner._commit

    async def save_then_commit(self: Any, what: Any, since: int) -> None:
        if self._reader is not None and self._rebuild is None:
            await self._snapshots._save(Snapshot(self._folded, self._fold.dump()))
        await commit(self, what, since)

    def restore(self: Any, snapshot: Snapshot | None) -> int:
        if snapshot is None:
            return int(self._position.last) + 1
        self._fold.load(snapshot.state)
        self._folded = max(self._folded, snapshot.sequence)
        return snapshot.sequence + 1

    runner.FoldRunner._commit = save_then_commit  # type: ignore[method-assign]
    runner.FoldRunner._restore = restore  # type: ignore[method-assign]


def no_delivery_sequence() -> None:
    """Take whatever arrives for the next message."""
    on_message = reader.Reader._on_message

    async def trusting(self: Any, generation: int, message: Msg) -> None:
        if message.reply:
            self._delivered = int(message.reply.split(".")[6]) - 1
        await on_message(self, generation, message)

    reader.Reader._on_message = trusting  # type: ignore[method-assign]


VARIANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "no-compare-and-set": no_compare_and_set,
    "adopt-new-expectation": adopt_new_expectation,
    "no-state": no_state,
    "untagged-snapshot": untagged_snapshot,
    "no-delivery-sequence": no_delivery_sequence,
}
