"""Brings what became of an answer, once it is committed and recorded, to whoever waits for it."""

import asyncio
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from flyball_kit.fold import Dispatch, Input
from flyball_proto.columns import Answered
from flyball_proto.holds import Hold
from flyball_risk.answering.recorded import outcomes, record_route

KEPT: Final = 1000
"""Outcomes remembered for those who ask a moment later."""


class Told(NamedTuple):
    """What became of one answer; `hold` only if it ended it."""

    answered: Answered
    hold: Hold | None


class Replies:
    """Hears what the recording dispatchers read and deliver; bounded by `KEPT` outcomes."""

    def __init__(self) -> None:
        self._read: dict[str, deque[tuple[int, Told]]] = {}
        self._told: OrderedDict[int, Told] = OrderedDict()
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    def route(self, pipeline: str, message: Input) -> list[Dispatch]:
        """As `record_route`; remembers the answers in it until they are delivered."""
        for answered, hold in outcomes(message):
            read = self._read.setdefault(pipeline, deque(maxlen=KEPT))
            read.append((message.sequence, Told(answered, hold)))
        return record_route(message)

    def delivered(self, pipeline: str, sequence: int) -> None:
        """Records of everything up to this place in VERDICTS are stored."""
        read, found = self._read.get(pipeline), False
        while read and read[0][0] <= sequence:
            told = read.popleft()[1]
            self._told[told.answered.sequence] = told
            found = True
        while len(self._told) > KEPT:
            self._told.popitem(last=False)
        if found:
            waking = asyncio.get_running_loop().create_task(self._wake())
            self._wakers.add(waking)
            waking.add_done_callback(self._wakers.discard)

    async def wait(self, sequence: int) -> Told:
        """What became of the answer stored at this place in DECISIONS; waits without end."""
        async with self._changed:
            await self._changed.wait_for(lambda: sequence in self._told)
            return self._told[sequence]

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
