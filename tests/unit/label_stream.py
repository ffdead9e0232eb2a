"""Rows and labels as METRICS messages, and what the ingest fold said of them."""

import json
from collections.abc import Iterable
from typing import Any

from flyball_ingest.contract import Contract, compile_contract
from flyball_ingest.fold import IngestFold
from flyball_kit.fold import Input
from flyball_proto.columns import Features, SkipReason, decode_features
from flyball_proto.spec import parse_documents

T0_MS = 1_767_225_600_000
PLENTY = 1 << 30
BINARY = {"task": "binary", "kind": "feedback", "horizon": "1h"}
CLASSES = {**BINARY, "task": "multiclass", "classes": ["a", "b", "c"]}
NUMBER = {**BINARY, "task": "regression"}
FUTURE = {"task": "regression", "expression": "last(load)", "horizon": "5s"}


def contract(
    target: dict[str, Any] | None = None,
    *,
    truth: list[int] | None = None,
    means: list[int] | None = None,
    warm_up_rows: int = 1,
    **source: Any,
) -> Contract:
    features: list[dict[str, Any]] = [{"metric": "load", "windows": [2], "aggregates": ["last"]}]
    if truth or means:
        features.append({"truth": truth or [], "truth_means": means or []})
    document: dict[str, Any] = {
        "apiVersion": "flyball/v1",
        "kind": "Pipeline",
        "metadata": {"name": "p"},
        "spec": {
            "source": {"interval": "1s", "max_lateness": "5s", "metrics": ["load"], **source},
            "warm_up_rows": warm_up_rows,
            "features": features,
            "target": target or BINARY,
        },
    }
    catalogue = parse_documents([document])
    (found,), (pipeline,) = catalogue.sources.values(), catalogue.pipelines.values()
    return compile_contract(pipeline, found, pipeline_revision=1, source_revision=1)


def fold(
    made: Contract | None = None, *, max_elements: int = 100, memory_bytes: int = PLENTY
) -> IngestFold:
    return IngestFold(
        made or contract(),
        partition=0,
        origin="hub.METRICS",
        max_elements=max_elements,
        memory_bytes=memory_bytes,
    )


def message(sequence: int, subject: str, body: object) -> Input:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Input(sequence, (T0_MS + 10**7) * 10**6, subject, None, data)


def row(sequence: int, at_s: float, load: float = 0.5, element: str = "e1") -> Input:
    body = {"element": element, "time_ms": T0_MS + int(at_s * 1000), "values": {"load": load}}
    return message(sequence, f"metrics.p.0.{element}", body)


def label(
    sequence: int, at_s: float, value: object = 1, element: str = "e1", **more: object
) -> Input:
    body = {"time_ms": T0_MS + int(at_s * 1000), "value": value, **more}
    return message(sequence, f"labels.p.0.{element}", body)


def mark(sequence: int, at_s: float, **more: object) -> Input:
    body = {"id": "m1", "time_ms": T0_MS + int(at_s * 1000), **more}
    return message(sequence, "metrics.p.0._mark", body)


def run(stage: IngestFold, messages: Iterable[Input], cuts: Iterable[int] = ()) -> list[Features]:
    """Every output; also cut behind the messages with these places."""
    outputs = []
    for i, each in enumerate(messages):
        if stage.step(each) or i in cuts:
            outputs.append(stage.take())
    outputs.append(stage.take())
    return [decode_features(output.data) for output in outputs if output is not None]


def once(stage: IngestFold, *messages: Input) -> Features:
    (batch,) = run(stage, messages)
    return batch


def arrived(batch: Features) -> list[tuple[str, int, float, float, int]]:
    """(element, sequence, time in seconds, value, rows before)."""
    a = batch.arrivals
    return [
        (a.element[e], int(s), (int(t) - T0_MS) / 1000, float(v), int(b))
        for e, s, t, v, b in zip(
            a.element_index, a.sequence, a.time_ms, a.value, a.before, strict=True
        )
    ]


def refused(batch: Features) -> list[tuple[int, int, str]]:
    """(sequence, rows, codes) of what was quarantined."""
    s = batch.flow.skipped
    details = s.detail or [""] * len(s.reason)
    return [
        (int(a), int(n), d)
        for a, n, r, d in zip(s.sequence, s.rows, s.reason, details, strict=True)
        if r == SkipReason.QUARANTINED
    ]
