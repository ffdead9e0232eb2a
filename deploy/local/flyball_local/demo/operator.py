"""The person of the demo, who answers two holds: one each way, always at a mark, so repeatably."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client

from flyball_local.control import RefusedError, request
from flyball_local.demo.story import Telling
from flyball_proto.columns import Verdicts, Waiting
from flyball_proto.commands import AnswerHold, HoldReply

NAME: Final = "demo-operator"
SEEN_S: Final = 15.0
APPROVED_WHY: Final = "the neighbours have room"
DENIED_WHY: Final = "the hospital keeps its cell"


@dataclass
class Operator:
    """Give `hear` every batch of verdicts; call `act` at marks. Remembers open holds alone."""

    client: Client
    telling: Telling
    from_ms: int
    open: dict[str, Waiting] = field(default_factory=dict)
    left: list[str] = field(default_factory=lambda: ["approve", "deny"])
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, batch: Verdicts) -> None:
        """Note which holds began and which ended."""
        self.open |= {hold.decision: hold for hold in batch.opened}
        for end in batch.released:
            self.open.pop(end.hold.decision, None)
        self._moved.set()

    async def act(self, now_ms: int) -> None:
        """Answer one hold, if one is still wanted and one waits."""
        if now_ms < self.from_ms or not self.left:
            return
        wanted = self.left[0]
        hold = next((h for h in self.open.values() if self._suits(h, wanted)), None)
        if hold is None:
            return
        why = APPROVED_WHY if wanted == "approve" else DENIED_WHY
        command = AnswerHold(hold=hold.decision, answer=wanted, by=NAME, why=why)
        about = f"{hold.element} ({hold.reason})"
        try:
            await request(self.client, "risk", "answer-hold", command, HoldReply)
        except RefusedError as error:  # it stays open; the next mark is another chance
            self.telling.some("answers that were refused", f"no answer about {about}: {error}")
            self.open.pop(hold.decision, None)
            return
        await self._ended(hold.decision)
        self.left.pop(0)
        did = "approves" if wanted == "approve" else "denies"
        self.telling.line(f"{NAME} {did} the hold of {about}: {why}")

    def _suits(self, hold: Waiting, wanted: str) -> bool:
        at_hospital = "protect-hospitals" in hold.reason
        return at_hospital is (wanted == "deny")

    async def _ended(self, decision: str) -> None:
        """Until the verdicts show it, so that the next stretch is the same in every run."""
        async with asyncio.timeout(SEEN_S):
            while decision in self.open:
                self._moved.clear()
                await self._moved.wait()
