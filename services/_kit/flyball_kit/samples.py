"""Labelled samples of one partition, read in order by those who learn from them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from flyball_kit.errors import PermanentError
from flyball_kit.fold.broker import Connect, jetstream
from flyball_kit.fold.contract import Endpoint
from flyball_kit.fold.loop import Loop
from flyball_kit.fold.position import Position, is_bare
from flyball_kit.fold.positions import Housekeeping, Registered
from flyball_kit.fold.reader import Reader
from flyball_kit.fold.recovery import first_position
from flyball_proto import streams, subjects
from flyball_proto.columns import BatchError, Samples, decode_samples
from flyball_proto.spec import digest8

WAIT_S: Final = 1.0
REGISTER_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class SampleMessage:
    """One message of SAMPLES; `samples` None = a position without content."""

    partition: int
    sequence: int
    samples: Samples | None


class SampleReader(Loop):
    """Hands every message of one partition's samples to `take`, in order; a `tasks.Runner`.

    `behind` is asked at start for the sequence behind which to read, None = from the first there
    is. `needed` says from which sequence on samples are still needed (0 = it does not know yet);
    what is older may be purged, and only that. `take` is awaited before the next message, so a
    slow taker slows the reading, never the stream.

    Raises:
        InputLost: samples vanished unread.
    """

    def __init__(  # noqa: PLR0913 - wiring, by name
        self,
        service: str,
        *,
        connect: Connect,
        pipeline: str,
        feature_digest: str,
        partition: int,
        behind: Callable[[], Awaitable[int | None]],
        take: Callable[[SampleMessage], Awaitable[None]],
        needed: Callable[[], int],
    ) -> None:
        subject = subjects.samples(pipeline, digest8(feature_digest), partition)
        super().__init__(
            f"{service}.{pipeline}.{digest8(feature_digest)}.{partition}",
            connect=connect,
            source=Endpoint(streams.SAMPLES.name, subject),
            observer=None,
        )
        self._partition = partition
        self._behind, self._take, self._needed = behind, take, needed

    @override
    async def _recover(self) -> None:
        behind = await self._stop.unless(self._behind())
        if behind is None:
            position = await first_position(
                jetstream(self._input),
                self._source,
                epoch=self._epoch,
                start="first",
                stop=self._stop,
            )
        else:
            position = Position(behind + 1, behind, 0, 0, self._epoch)
        reader = Reader(self._input, self._source, position=position)
        housekeeping = Housekeeping(
            jetstream(self._output),
            self._source,
            self.name,
            every_s=REGISTER_S,
            position=self._registered,
            retain={},
        )
        await self._begin(reader, housekeeping, has_read=behind is not None)

    @override
    async def _cycle(self) -> None:
        await self.reader.ready(WAIT_S)
        while (message := self.reader.pop()) is not None and not self._stop.asked:
            samples = None
            if not is_bare(message.headers, message.data):
                samples = self._decoded(message.sequence, message.data)
            taken = SampleMessage(self._partition, message.sequence, samples)
            await self._stop.unless(self._take(taken))
        await self.reader.ask()

    def _decoded(self, sequence: int, data: bytes) -> Samples:
        try:
            return decode_samples(data)
        except BatchError as error:
            raise PermanentError(
                f"{self._source.subject} {sequence}: {error}; was it written by another version?"
            ) from error

    def _registered(self) -> Registered:
        sequence = min(max(0, self._needed() - 1), self.reader.surely_read)
        return Registered(sequence, self._source.subject, self._epoch)
