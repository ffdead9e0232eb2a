"""Which holds one answer to many is about, and what is said of it on record. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from flyball_proto.commands import AnswerHolds, HoldsReply
from flyball_proto.holds import MAX_BULK, Hold
from flyball_risk.steering.onrecord import RefusedError

NAMED: Final = 200
"""Holds that one act names; what became of more is in further acts."""


def chosen(command: AnswerHolds, recorded: Sequence[Hold], now: datetime) -> list[Hold]:
    """The open holds that are meant, oldest first.

    Raises:
        RefusedError: there are not as many as expected, or more than one command may answer; or
            it says neither which nor what they have in common.
    """
    filters = (command.element, command.action, command.pipeline, command.older_than_s)
    if not command.holds and not command.labels and all(value is None for value in filters):
        message = "name holds, or at least one of pipeline, element, action, labels, older_than_s"
        raise RefusedError("invalid", message)
    named = set(command.holds)
    found = [
        hold
        for hold in recorded
        if hold.state == "open"
        and (not named or hold.id in named)
        and command.element in {None, hold.element}
        and command.action in {None, hold.action}
        and command.labels.items() <= hold.labels.items()
        and (now - hold.opened_at).total_seconds() >= (command.older_than_s or 0)
    ]
    if len(found) > MAX_BULK:
        raise RefusedError(
            "too-many",
            f"{len(found)} open holds match; one command answers at most {MAX_BULK}: narrow it by "
            "action, label, element or age",
        )
    if len(found) != command.expected:
        raise RefusedError(
            "unexpected-count",
            f"{len(found)} open holds match, {command.expected} were expected, so none was "
            "answered: look at them again (flyball holds list) and expect what you see",
        )
    return sorted(found, key=lambda hold: (hold.opened_at, hold.id))


def unfit(hold: Hold, command: AnswerHolds) -> RefusedError | None:
    """Why an answer to many may not be given to this one."""
    if command.answer == "deny" or hold.approvals == 1:
        return None
    message = f"{hold.action} takes two people, each by an answer to this hold alone"
    return RefusedError("needs-two", message)


def meant_by(command: AnswerHolds) -> str:
    """What an answer is about, for the record."""
    facts = {
        "pipeline": command.pipeline,
        "element": command.element,
        "action": command.action,
        **{f"label {name}": value for name, value in command.labels.items()},
        "older than s": command.older_than_s,
        "named": len(command.holds) or None,
    }
    said = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    return f"{command.expected} holds ({said})"


def words_of(reply: HoldsReply) -> str:
    """`412 ended; 3 refused: conflict 2, expired 1`."""
    kinds = Counter(one.kind for one in reply.refused)
    listed = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    return f"{reply.ended} ended; {len(reply.refused)} refused{': ' if kinds else ''}{listed}"


def packs(reply: HoldsReply) -> list[tuple[str, list[str]]]:
    """Every hold with what became of it, at most `NAMED` a pack."""
    became = {**reply.states, **{one.hold: f"refused, {one.kind}" for one in reply.refused}}
    packs = []
    for state in sorted(set(became.values())):
        ids = sorted(hold for hold, found in became.items() if found == state)
        packs += [(state, ids[i : i + NAMED]) for i in range(0, len(ids), NAMED)]
    return packs
