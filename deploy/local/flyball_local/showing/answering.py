"""Answers to holds, one after the other or many at once, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from flyball_local.control import RefusedError, request
from flyball_local.invalid import InvalidInputError
from flyball_local.showing import records
from flyball_local.showing.choosing import Given
from flyball_local.showing.listing import one_hold
from flyball_proto.commands import AnswerHold, AnswerHolds, HoldReply, HoldsReply
from flyball_proto.holds import Hold


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one answer; `refusal` says why it was not taken, `detail` what it waits for."""

    id: str
    hold: Hold | None = None
    refusal: str = ""
    detail: str = ""

    @property
    def words(self) -> str:
        """The hold as it is now, for people."""
        if self.hold is None:
            return "answered"
        about = f"{self.hold.action} on {self.hold.element}"
        if self.hold.state == "open":
            return f"{about} still waits: {self.detail or 'another person must agree'}"
        sent = ", sent" if self.hold.state == "approved" else ", not sent"
        return f"{about} {self.hold.state}{sent}"

    def as_json(self) -> dict[str, Any]:
        """One object of `--json`."""
        hold = self.hold.model_dump(mode="json") if self.hold else None
        return {"id": self.id, "hold": hold, "refusal": self.refusal or None}


async def answer_holds(client: Client, ids: Sequence[str], given: Given) -> list[Outcome]:
    """Answer each; one that is refused does not keep the others from it. Role `operator`.

    Raises:
        InvalidInputError: Only one was named, and it does not exist.
        TransientError: Risk does not answer.
    """
    found = []
    for hold in ids:
        command = AnswerHold(
            hold=hold, answer=given.answer, by=given.by, why=given.why, code=given.code
        )
        try:
            reply = await request(client, "risk", "answer-hold", command, HoldReply)
        except RefusedError as error:
            found.append(Outcome(hold, refusal=await _explained(client, hold, error)))
        else:
            found.append(Outcome(hold, reply.hold, detail=reply.detail))
    return found


async def answer_many(client: Client, holds: Sequence[Hold], given: Given) -> list[Outcome]:
    """Answer these at once, all of them still open, or none. Role `operator`.

    Raises:
        RefusedError: Some are answered or expired meanwhile.
        TransientError: Risk does not answer.
    """
    if not holds:
        return []
    command = AnswerHolds(
        holds=tuple(hold.id for hold in holds),
        expected=len(holds),
        answer=given.answer,
        by=given.by,
        why=given.why,
        code=given.code,
    )
    reply = await request(client, "risk", "answer-holds", command, HoldsReply)
    refused = {one.hold: one.message for one in reply.refused}
    found = []
    for hold in holds:
        state = reply.states.get(hold.id, hold.state)
        now = hold.model_copy(update={"state": state})
        found.append(Outcome(hold.id, now, refusal=refused.get(hold.id, "")))
    return found


async def _explained(client: Client, hold: str, error: RefusedError) -> str:
    """An unknown hold names those that are open."""
    if error.reason != "not-found":
        return str(error)
    try:
        one_hold(await records.holds(client), hold)
    except InvalidInputError as unknown:
        return str(unknown)
    return str(error)
