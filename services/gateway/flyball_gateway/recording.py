"""What the gateway keeps on record of its own acts, and of those that it refused."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from flyball_gateway.identity.access import Act, Person
from flyball_gateway.identity.limits import Sparse
from flyball_kit import clock
from flyball_kit.acts import Acts
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.commands import Apply, ApplyReply

log = logging.getLogger("flyball.gateway.recording")

MAX_NAMED: Final = 10
"""Objects of a specification that a record names; the others are counted."""

Name = str


class Recording:
    """Writes `audit.gateway`. What cannot be stored is told in the log: the act is done."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts
        self._published, self._forbidden = Sparse(), Sparse()

    async def note(self, verb: str, of: str, *, by: Name, why: str = "", detail: str = "") -> None:
        """Record an act that was done."""
        try:
            await self._acts.record(verb, of, by=by, why=why, detail=detail)
        except TransientError as error:
            log.warning("%s of %s by %s is not on record: %s", verb, of, by, error)

    async def refused(
        self, verb: str, of: str, *, by: Name, why: str = "", detail: str = ""
    ) -> None:
        """Record an act that was not done."""
        try:
            await self._acts.record(verb, of, by=by, why=why, outcome="refused", detail=detail)
        except TransientError as error:
            log.warning("refused %s of %s by %s is not on record: %s", verb, of, by, error)

    async def forbidden(self, person: Person, act: Act, of: str) -> None:
        """Record what a role does not allow: of a person and act once a minute, with a count."""
        times = self._forbidden.count(f"{person.name} {act}", clock.monotonic_s())
        if times is not None:
            found = f"{person.role} may not{f', {times} times' if times > 1 else ''}"
            await self.refused(act, of, by=person.name, detail=found)

    async def published(self, person: Person, source: str) -> None:
        """Record that somebody sends metrics: of a person and source once a minute, with a count."""
        reports = self._published.count(f"{person.name} {source}", clock.monotonic_s())
        if reports is not None:
            since = "" if reports == 1 else " since the last record"
            detail = f"{reports} report{'' if reports == 1 else 's'}{since}"
            await self.note("publish", f"metrics of source {source}", by=person.name, detail=detail)

    def recorded(
        self, apply: Callable[[Apply], Awaitable[ApplyReply]]
    ) -> Callable[[Apply], Awaitable[ApplyReply]]:
        """`apply`, with every outcome on record."""

        async def apply_and_record(command: Apply) -> ApplyReply:
            of = _named(command.objects)
            try:
                reply = await apply(command)
            except (PermanentError, TransientError) as error:
                await self.refused("apply", of, by=command.by, why=command.why, detail=str(error))
                raise
            if reply.ok:
                await self.note("apply", of, by=command.by, why=command.why)
            else:
                found = reply.error.message if reply.error else ""
                await self.refused("apply", of, by=command.by, why=command.why, detail=found)
            return reply

        return apply_and_record


def _named(objects: Sequence[dict[str, object]]) -> str:
    """`source ran, pipeline congestion`, as far as the documents say."""
    found = [_name(document) for document in objects[:MAX_NAMED]]
    more = len(objects) - len(found)
    return ", ".join([*found, *([f"{more} more"] if more > 0 else [])])


def _name(document: dict[str, object]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{document.get('kind', 'document')} {name or 'without a name'}".lower()[:100]
