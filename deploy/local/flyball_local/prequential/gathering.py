"""Follows SAMPLES and keeps what a comparison needs; bounded."""

import asyncio
from contextlib import aclosing
from typing import Final

import numpy as np
from nats.aio.client import Client

from flyball_local.prequential.figures import Evidence, Task
from flyball_local.showing.tail import follow
from flyball_proto.columns import F32, F64, I64, U16, U64, Column, Samples, decode_samples
from flyball_proto.spec import Pipeline
from flyball_proto.streams import MIB, SAMPLES

MAX_BYTES: Final = 1024 * MIB


class Gathering:
    """Labelled decisions of one pipeline, at most `MAX_BYTES`; start `follow` as a task."""

    def __init__(self, client: Client, pipeline: str, task: Task, after: int) -> None:
        self._client, self._pipeline, self._task, self._after = client, pipeline, task, after
        self._parts: list[tuple[int, Samples]] = []
        self._bytes = 0
        self.share = 1.0
        self._marks: dict[int, str] = {}
        self._moved = asyncio.Event()
        self.is_full = False
        """Whether samples were left out because there were too many."""

    @staticmethod
    async def from_now(client: Client, pipeline: Pipeline) -> "Gathering":
        """Of what is stored from now on; role `operator`."""
        last = (await client.jetstream().stream_info(SAMPLES.name)).state.last_seq
        return Gathering(client, pipeline.name, pipeline.spec.target.task, last)

    async def follow(self) -> None:
        """Note samples as they are stored, for ever."""
        pattern = f"samples.{self._pipeline}.>"
        async with aclosing(follow(self._client, SAMPLES.name, pattern, self._after)) as found:
            async for message in found:
                if message.data:
                    partition = int(message.subject.rsplit(".", 1)[1])
                    self._note(partition, decode_samples(message.data))

    def _note(self, partition: int, samples: Samples) -> None:
        self.share = min(self.share, samples.share)
        if len(samples.rows):
            self._bytes += samples.feature.nbytes + 64 * len(samples.rows)
            self.is_full = self.is_full or self._bytes > MAX_BYTES
            if not self.is_full:
                self._parts.append((partition, samples))
        if samples.flow.mark is not None:
            self._marks[partition] = samples.flow.mark.id
            self._moved.set()

    def passed(self, partition: int) -> str | None:
        """The newest mark that the samples of a partition have passed."""
        return self._marks.get(partition)

    async def wait(self, mark: str, partitions: int) -> None:
        """Wait until the samples of every partition have passed a mark."""
        while any(self._marks.get(p) != mark for p in range(partitions)):
            self._moved.clear()
            await self._moved.wait()

    def evidence(self) -> Evidence:
        """What was gathered, in order, censored rows left out."""
        kept = [(p, s, s.censored == 0) for p, s in self._parts]
        width = self._parts[0][1].feature.shape[1] if self._parts else 0

        def joined(columns: list[Column], empty: Column) -> Column:
            return np.concatenate(columns) if columns else empty

        time_ms = joined([s.rows.time_ms[k] for _, s, k in kept], np.empty(0, I64))
        sequence = joined([s.rows.sequence[k] for _, s, k in kept], np.empty(0, U64))
        order = np.lexsort((sequence, time_ms))
        return Evidence(
            self._task,
            joined([s.feature[k] for _, s, k in kept], np.empty((0, width), F32))[order],
            joined([s.label[k] for _, s, k in kept], np.empty(0, F64))[order],
            joined([s.weight[k] for _, s, k in kept], np.empty(0, F64))[order],
            joined([s.score[k] for _, s, k in kept], np.empty(0, F64))[order],
            time_ms[order],
            sequence[order],
            joined([np.full(int(k.sum()), p, U16) for p, _, k in kept], np.empty(0, U16))[order],
            joined([_decided(s)[k] for _, s, k in kept], np.empty(0, object))[order],
        )


def _decided(samples: Samples) -> Column:
    """Digests (n,) of the models that decided."""
    digests = np.array([model.digest for model in samples.model], object)
    return digests[samples.model_index]
