"""One pipeline's models under evaluation: samples in, judgements out.

    take      a message of samples into memory; live then `look`, in lockstep at a mark `settle`
    look      fold the rows that every partition's time has passed, judge, save, tell
    settle    the same behind a mark, once every training that was due by it was examined

What is saved is all that counts: positions stand beside the state they led to, judgements before
they are told. A kill anywhere leads to the same judgements under the same numbers.
"""

import asyncio
from collections.abc import Callable

from flyball_kit import clock
from flyball_kit.samples import SampleMessage
from flyball_proto.columns import Mark
from flyball_proto.events import ModelMeasured, ModelRecord, ModelTripped
from flyball_registry.contract import Contract
from flyball_registry.judging.intake import Intake
from flyball_registry.judging.looking import Look
from flyball_registry.judging.surroundings import Surroundings
from flyball_registry.judging.telling import Telling
from flyball_registry.records import scoreboard
from flyball_registry.records.boards import Boards
from flyball_registry.records.scoreboard import Place, Scoreboard
from flyball_registry.records.showing import Showing
from flyball_registry.scoring import skew
from flyball_registry.scoring.rows import Sampled


class Evaluation:
    """The evaluation of one pipeline, all partitions; one message at a time.

    Memory: see `Intake`, `Models` and `Timelines`.
    """

    def __init__(  # noqa: PLR0913 - wiring, by name
        self,
        contract: Contract,
        partitions: int,
        *,
        boards: Boards,
        around: Surroundings,
        telling: Telling,
        showing: Showing,
        save_every_s: float,
        now_s: Callable[[], float] = clock.monotonic_s,
    ) -> None:
        self.contract, self._partitions = contract, partitions
        self._boards, self._around, self._telling = boards, around, telling
        self.showing = showing
        self._save_every_s, self._now_s = save_every_s, now_s
        self._turn, self._news = asyncio.Lock(), asyncio.Event()
        self._intake: Intake | None = None
        self._saved: Scoreboard | None = None
        self._saved_s = 0.0

    @property
    def position(self) -> dict[str, int]:
        """How far samples were read: METRICS sequences by partition."""
        return {} if self._intake is None else self._intake.board.position

    def recent(self) -> Sampled | None:
        """The newest usable rows in memory, in order; None = none yet."""
        return None if self._intake is None else self._intake.recent()

    @property
    def skewed(self) -> str | None:
        """In words that decisions carry other scores than their models give; None = they do not."""
        if self._intake is None:
            return None
        board = self._intake.board
        return skew.present(board.skewed, board.folded_ms)

    def revise(self, contract: Contract) -> None:
        """Go on under another revision of the same features, from the next look on."""
        self.contract = contract

    def note(self, model: ModelRecord) -> None:
        """A model was admitted."""
        self._around.note(model)
        self._news.set()

    def measured(self, event: ModelMeasured) -> None:
        """A runtime's latencies, for the canary's guards; in lockstep they decide nothing."""
        self._around.latencies[event.partition] = event
        self._news.set()

    def tripped(self, event: ModelTripped) -> None:
        """A runtime cannot answer with a model."""
        self._around.trips[event.digest] = event.detail
        self._news.set()

    def turned(self, pipeline: str) -> None:
        """Another pipeline's deployment moved."""
        if pipeline in self.contract.upstream:
            self._news.set()

    async def attend(self) -> None:
        """Look again when something else than samples came, for ever; in lockstep marks do that."""
        while True:
            await self._news.wait()
            self._news.clear()
            async with self._turn:
                if self._intake is not None and not self._intake.board.lockstep:
                    await self._look(self._intake, None)

    async def behind(self, partition: int) -> int | None:
        """Behind which message of a partition to read; None = from the first there is."""
        async with self._turn:
            if self._intake is None:
                self._intake = await self._begin()
            place = self._intake.board.places.get(str(partition))
            return None if place is None else max(0, place.needed - 1)

    def needed(self, partition: int) -> int:
        """From which message on a restart would read; 0 = not known yet."""
        places = {} if self._saved is None else self._saved.places
        return places.get(str(partition), Place()).needed

    async def take(self, message: SampleMessage) -> None:
        """Take a message; returns when what it leads to is saved and told."""
        async with self._turn:
            if (intake := self._intake) is None:
                return
            intake.take(message.partition, message.sequence, message.samples)
            if (mark := intake.mark()) is not None:
                await self._around.trained(mark)
                await self._look(intake, mark)
            elif not intake.board.lockstep:
                await self._look(intake, None)

    async def _begin(self) -> Intake:
        """Claim the record, tell what was saved and perhaps not told, answer the newest mark again."""
        await self._around.load()
        found = await self._around.patient(self._boards.load, "the scoreboard")
        contract = self.contract
        board = scoreboard.begin(contract.pipeline, contract.feature_digest, found)
        await self._save(board)
        await self._telling.tell_again(board)
        return Intake(self._told(board), contract, self._partitions)

    async def _look(self, intake: Intake, mark: Mark | None) -> None:
        before = intake.board
        clock_ms = before.clock_ms(self._partitions, self.contract.slack_ms)
        if mark is not None:
            clock_ms = max(mark.time_ms, before.folded_ms)
        look = Look(self.contract, intake, self._around, clock_ms, mark)
        await look.run()
        board = intake.board
        block_ms = self.contract.block_ms
        due = (
            mark is not None
            or board.number > before.number
            or board.drifts
            or board.skews
            or board.upstream != before.upstream
            or board.folded_ms // block_ms > before.folded_ms // block_ms
            or self._now_s() - self._saved_s >= self._save_every_s
        )
        if not due:
            return
        await self._save(
            board.shown(self.contract.design).model_copy(update={"places": intake.places()})
        )
        await self._telling.tell(board)
        if mark is not None:
            await self._telling.settled(mark.id, board.number)
        intake.board = self._told(board)

    async def _save(self, board: Scoreboard) -> None:
        await self._boards.save(board)
        self._saved, self._saved_s = board, self._now_s()
        self.showing.show(board, self.contract)

    @staticmethod
    def _told(board: Scoreboard) -> Scoreboard:
        """The judgements are announced, so the next save need not keep them."""
        return board.model_copy(update={"judgements": (), "drifts": (), "skews": ()})
