"""Brings what became of answers, once it is committed and recorded, to whoever waits for it."""

import asyncio
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from flyball_kit.fold import Dispatch, Input
from flyball_proto.columns import Answered
from flyball_proto.holds import Hold
from flyball_risk.answering.recorded import outcomes, record_route

KEPT: Final = 1000
"""Answers remembered for those who ask a moment later; one to many holds counts as many."""


class Told(NamedTuple):
    """What became of one answer; `hold` only if it ended it."""

    answered: Answered
    hold: Hold | None


class Replies:
    """Hears what the recording dispatchers read and deliver; bounded by `KEPT`, see `_forget`."""

    def __init__(self) -> None:
        self._read: dict[str, deque[tuple[int, list[Told]]]] = {}
        self._told: OrderedDict[int, list[Told]] = OrderedDict()
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    def route(self, pipeline: str, message: Input) -> list[Dispatch]:
        """As `record_route`; remembers the answers in it until they are delivered."""
        by_answer: dict[int, list[Told]] = {}
        for answered, hold in outcomes(message):
            by_answer.setdefault(answered.sequence, []).append(Told(answered, hold))
        read = self._read.setdefault(pipeline, deque(maxlen=KEPT))
        read.extend((message.sequence, told) for told in by_answer.values())
        return record_route(message)

    def delivered(self, pipeline: str, sequence: int) -> None:
        """Records of everything up to this place in VERDICTS are stored."""
        read, found = self._read.get(pipeline), False
        while read and read[0][0] <= sequence:
            told = read.popleft()[1]
            self._told[told[0].answered.sequence] = told
            found = True
        if found:
            self._forget()
            waking = asyncio.get_running_loop().create_task(self._wake())
            self._wakers.add(waking)
            waking.add_done_callback(self._wakers.discard)

    async def wait(self, sequence: int) -> Told:
        """What became of the answer stored at this place in DECISIONS; waits without end."""
        return (await self.wait_all(sequence))[0]

    async def wait_all(self, sequence: int) -> list[Told]:
        """As `wait`, one entry a hold that it was given to; at least one."""
        async with self._changed:
            await self._changed.wait_for(lambda: sequence in self._told)
            return self._told[sequence]

    def _forget(self) -> None:
        """The oldest go first; the newest answer stays, however many holds it was given to."""
        count = sum(map(len, self._told.values()))
        while count > KEPT and len(self._told) > 1:
            count -= len(self._told.popitem(last=False)[1])

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
