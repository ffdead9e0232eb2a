"""What tests of samples share: decided rows as messages, in any batching, and samples read back."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from flyball_ingest.samples import SamplesFold
from flyball_ingest.sampling import Sampling, compile_sampling
from flyball_kit.fold import Input, Output
from flyball_proto.columns import (
    F32,
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Arrivals,
    Assessment,
    Features,
    Flow,
    Mark,
    Model,
    Rows,
    Samples,
    Tally,
    Verdict,
    Verdicts,
    decode_samples,
    encode_features,
    encode_verdicts,
)
from flyball_proto.headers import COVERS
from flyball_proto.spec import Pipeline, Source, feature_digest, parse_documents

MODELS = (Model("a" * 64, 1, "active", "baseline"), Model("b" * 64, 2, "canary", "recent"))
ACTIONS = ("offload", "keep")
NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """One decided row; `action` is a place in ACTIONS counted from 1, 0 = none."""

    element: str
    time_ms: int
    value: float = 0.0
    action: int = 0
    verdict: Verdict = Verdict.CLEAR
    model: int = 0
    score: float = 0.5


@dataclass(frozen=True)
class Truth:
    """A published label."""

    element: str
    time_ms: int
    value: float


Item = Row | Truth


@dataclass
class Message:
    """Items of one FEATURES message; `sequence` is the METRICS sequence of the first."""

    sequence: int
    items: Sequence[Item]
    mark: str | None = None

    @property
    def rows(self) -> list[tuple[int, Row]]:
        return [(self.sequence + i, x) for i, x in enumerate(self.items) if isinstance(x, Row)]


def documents(
    expression: str | None = "max(load) > 0.9", horizon: str = "30s", **changes: Any
) -> tuple[Source, Pipeline]:
    """A source of one metric and a pipeline; without an expression truth is published."""
    target: dict[str, Any] = {"horizon": horizon}
    if expression is None:
        target |= {"kind": "feedback", "task": "binary"}
    else:
        binary = "<" in expression or ">" in expression
        target |= {"expression": expression, "task": "binary" if binary else "regression"}
        if not any(word in expression for word in ("max", "min", "mean", "last")):
            del target["horizon"]
    spec = {
        "source": {"interval": "1s", "metrics": ["load", "users"]},
        "features": [{"metric": "users", "windows": [2], "aggregates": ["last", "mean"]}],
        "target": target,
        "trainers": [{"name": "recent", "kind": "lightgbm"}],
    } | changes
    found = parse_documents(
        [{"apiVersion": "flyball/v1", "kind": "Pipeline", "metadata": {"name": "p"}, "spec": spec}]
    )
    return found.sources["p"], found.pipelines["p"]


def sampling(*given: Any, revision: int = 1, partitions: int = 1, **changes: Any) -> Sampling:
    source, pipeline = documents(*given, **changes)
    return compile_sampling(pipeline, source, revision=revision, partitions=partitions)


def digest(*given: Any, **changes: Any) -> str:
    source, pipeline = documents(*given, **changes)
    return feature_digest(pipeline, source)


DIGEST = digest()
WIDTH = 2


def batched(items: Sequence[Item], borders: Sequence[int] = (), first: int = 1) -> list[Message]:
    """Items cut at these places; every item is a METRICS message of its own."""
    cuts = sorted({0, len(items), *(b for b in borders if 0 < b < len(items))})
    return [Message(first + a, items[a:b]) for a, b in pairwise(cuts)]


def feature_of(row: Row) -> list[float]:
    return [row.time_ms % 1000, -1.0 if math.isnan(row.value) else row.value]


def features(
    message: Message, *, targets: Sequence[str] = ("load",), feature_digest: str = DIGEST
) -> bytes:
    numbered = message.rows
    truths = [(i, x) for i, x in enumerate(message.items) if isinstance(x, Truth)]
    before = [sum(isinstance(x, Row) for x in message.items[:i]) for i, _ in truths]
    return encode_features(
        Features(
            "p",
            feature_digest,
            _flow(message, message),
            _rows(numbered),
            np.array([feature_of(row) for _, row in numbered], F32).reshape(-1, WIDTH),
            np.array([i % 2 for i, _ in numbered], U8),
            tuple(targets),
            np.array([[row.value] * len(targets) for _, row in numbered], F64).reshape(
                len(numbered), len(targets)
            ),
            Arrivals(
                tuple(x.element for _, x in truths),
                np.arange(len(truths), dtype=U32),
                np.array([message.sequence + i for i, _ in truths], U64),
                np.array([x.time_ms for _, x in truths], I64),
                np.array([x.value for _, x in truths], F64),
                np.array(before, U32),
            ),
        )
    )


def novelty_of(row: Row) -> float:
    """Of a row that proposes something; the fallback is half as far away."""
    return (row.time_ms // 1000 % 7 + 1) / 8


def category_of(row: Row) -> int:
    return int(row.action and 1 + row.time_ms // 1000 % 4)


def assessment(rows: Sequence[Row]) -> Assessment:
    """Of those of the rows that propose something."""
    found = np.array([novelty_of(row) for row in rows if row.action], F32)
    return Assessment(found, found / 2, found, found, found)


def verdicts(messages: Sequence[Message], *, feature_digest: str = DIGEST) -> bytes:
    numbered = [pair for message in messages for pair in message.rows]
    rows = [row for _, row in numbered]
    n = len(rows)
    return encode_verdicts(
        Verdicts(
            "p",
            feature_digest,
            _flow(messages[0], messages[-1]),
            _rows(numbered, shared=True),
            MODELS,
            np.array([row.model for row in rows], U8),
            np.array([row.score for row in rows], F64),
            ACTIONS,
            np.array([row.action for row in rows], U8),
            np.array([i % 2 for i, _ in numbered], U8),
            np.array([row.verdict for row in rows], U8),
            np.array([category_of(row) for row in rows], U8),
            np.zeros(n, F64),
            (),
            np.zeros(n, U16),
            assessment=assessment(rows),
        )
    )


def paired(messages: Sequence[Message], sequence: int, targets: Sequence[str] = ("load",)) -> Input:
    """One VERDICTS message over these FEATURES messages."""
    beside = tuple(
        Input(
            1000 + m.sequence, 0, "features.p", {COVERS: covers(m, m)}, features(m, targets=targets)
        )
        for m in messages
    )
    header = {COVERS: covers(messages[0], messages[-1])}
    return Input(sequence, 0, "verdicts.p.0", header, verdicts(messages), beside)


def covers(first: Message, last: Message) -> str:
    return f"hub.METRICS {first.sequence} {max(last.sequence, last.sequence + len(last.items) - 1)}"


@dataclass
class Made:
    """Everything that came out."""

    samples: list[Samples] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """(element, sequence, time, label, known, weight, censored, model, score, feature, action,
        category, novelty, disagreement) a row.
        """
        return [row for batch in self.samples for row in rows_of(batch)]

    @property
    def labels(self) -> list[tuple[str, int, float]]:
        """(element, time, label) a row."""
        return [(row[0], row[2], row[3]) for row in self.rows]

    @property
    def unlabelled(self) -> int:
        return sum(batch.unlabelled for batch in self.samples)

    @property
    def refused(self) -> list[tuple[int, str]]:
        return [
            (sequence, detail)
            for batch in self.samples
            for sequence, detail in zip(
                batch.flow.skipped.sequence.tolist(), batch.flow.skipped.detail, strict=True
            )
        ]

    @property
    def tallied(self) -> dict[Model, Tally]:
        """One tally a model over all outputs; only rows and verdicts."""
        found: dict[Model, Tally] = {}
        for tally in (t for batch in self.samples for t in batch.tally):
            before = found.get(tally.model, Tally(tally.model, 0))
            verdict = {
                k: before.verdict.get(k, 0) + tally.verdict.get(k, 0)
                for k in {*before.verdict, *tally.verdict}
            }
            found[tally.model] = Tally(
                tally.model,
                before.rows + tally.rows,
                before.not_finite + tally.not_finite,
                verdict=verdict,
            )
        return found


def rows_of(batch: Samples) -> Iterator[tuple[Any, ...]]:
    rows = batch.rows
    for i in range(len(rows)):
        yield (
            rows.element[rows.element_index[i]],
            int(rows.sequence[i]),
            int(rows.time_ms[i]),
            float(batch.label[i]),
            int(batch.known_ms[i]),
            float(batch.weight[i]),
            int(batch.censored[i]),
            batch.model[batch.model_index[i]].digest[:1],
            float(batch.score[i]),
            tuple(batch.feature[i].tolist()),
            ("", *batch.action)[batch.action_index[i]],
            int(batch.category[i]),
            known(batch.novelty[i]),
            known(batch.disagreement[i]),
        )


def known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def run(
    fold: SamplesFold, inputs: Sequence[Input], every: int = 1, made: Made | None = None
) -> Made:
    """Fold and take: after every so many messages, and when the fold wants to."""
    made = made or Made()
    for i, message in enumerate(inputs, 1):
        if fold.step(message) or i % every == 0:
            made.samples += [decode_samples(output.data) for output in taken(fold)]
    made.samples += [decode_samples(output.data) for output in taken(fold)]
    return made


def taken(fold: SamplesFold) -> list[Output]:
    """An output with its parts."""
    found: list[Output] = []
    while (output := fold.take()) is not None:
        found.append(output)
        if not output.partial:
            break
    return found


def samples_of(items: Sequence[Item], *given: Any, **changes: Any) -> Made:
    """What becomes of items, each in a message of its own."""
    messages = batched(items, range(len(items)))
    inputs = [paired([m], 10 + i) for i, m in enumerate(messages)]
    return run(SamplesFold(sampling(*given, **changes)), inputs)


def _flow(first: Message, last: Message) -> Flow:
    end = max(last.sequence, last.sequence + len(last.items) - 1)
    mark = Mark(last.mark, 0) if last.mark else None
    return Flow("hub.METRICS", first.sequence, end, mark=mark, revisions={"pipeline": 1})


def _rows(numbered: Sequence[tuple[int, Row]], *, shared: bool = False) -> Rows:
    """`shared`: a dictionary without repetitions, as merging makes it."""
    names = [row.element for _, row in numbered]
    entries = list(dict.fromkeys(names)) if shared else names
    place = {name: i for i, name in enumerate(entries)}
    index = [place[name] for name in names] if shared else list(range(len(names)))
    return Rows(
        tuple(entries),
        np.array(index, U32),
        np.array([sequence for sequence, _ in numbered], U64),
        np.zeros(len(numbered), U16),
        np.array([row.time_ms for _, row in numbered], I64),
        ('{"site":"x"}',),
        np.zeros(len(entries), U32),
    )
