"""The ready specifications' boundaries on decisions that risk really recorded: `flyball policy test`."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client
from tests.broker.risk_world import risk_service, stored, until
from tests.unit.risk_rows import BASELINE, LEARNT, Row, batch

from flyball_local.invalid import InvalidInputError
from flyball_local.specfile import load
from flyball_local.trying.running import Window, applied, compare, window_of
from flyball_proto.columns import (
    F32,
    Decisions,
    Doubts,
    Model,
    Quality,
    decode_verdicts,
    encode_decisions,
)
from flyball_proto.spec import Pipeline
from flyball_risk.judging.policy import policy_digest

pytestmark = pytest.mark.broker

PIPELINES = Path(__file__).parents[2] / "pipelines"
HOUR_MS = 3_600_000
NIGHT_MS, DAY_MS = 2 * HOUR_MS, 12 * HOUR_MS
SEEN = replace(LEARNT, trained_ms=1)


@dataclass(frozen=True)
class Case:
    """A decision, and the boundaries that apply to it."""

    boundaries: set[str]
    labels: dict[str, str]
    time_ms: int = DAY_MS
    novelty: float = 0.5
    quality: int = 0
    model: Model = SEEN


RAN = {"site": "s1", "band": "n78", "zone": "residential"}
HOSPITAL = RAN | {"zone": "hospital"}
CASES = {
    "ran": [
        Case(set(), RAN),
        Case({"protect-hospitals"}, HOSPITAL),
        Case({"protect-hospitals", "keep-coverage"}, HOSPITAL | {"band": "n28"}),
        Case({"fresh-inputs"}, RAN, quality=Quality.STALE),
        Case(set(), RAN, quality=Quality.CLIPPED),
    ],
    "ran_saving": [
        Case(set(), RAN, NIGHT_MS),
        Case({"only-at-night"}, RAN, DAY_MS),
        Case({"coverage"}, RAN | {"band": "n28"}, NIGHT_MS),
        Case({"coverage", "only-at-night"}, HOSPITAL, DAY_MS),
        Case({"known-ground"}, RAN, NIGHT_MS, novelty=0.004),
        Case(set(), RAN, NIGHT_MS, novelty=float("nan")),
        Case({"fresh-inputs"}, RAN, NIGHT_MS, quality=Quality.NULL),
        Case({"fresh-model"}, RAN, NIGHT_MS, model=BASELINE),
        Case({"fresh-model"}, RAN, 48 * HOUR_MS),
    ],
    "host": [
        Case(set(), {"kind": "process"}),
        Case({"only-processes"}, {"kind": "interface"}),
        Case({"only-processes"}, {}),
        Case({"quiet-hours"}, {"kind": "process"}, NIGHT_MS),
        Case({"fresh-inputs"}, {"kind": "process"}, quality=Quality.STALE),
    ],
}


def decisions(pipeline: Pipeline, cases: list[Case]) -> Decisions:
    """One decision a case, of an element of its own."""
    action = pipeline.spec.decisions[0]
    score = 0.99 if pipeline.spec.target.task == "binary" else action.score_at_least + 1
    rows = [
        Row(f"e-{i}", c.time_ms, score, action.action, c.quality, model=c.model)
        for i, c in enumerate(cases)
    ]
    made = batch(rows)
    label_sets = [json.dumps(case.labels) for case in cases]
    places = np.arange(len(cases), dtype=made.rows.label_index.dtype)
    novelty = np.array([case.novelty for case in cases], F32)
    return replace(
        made,
        pipeline=pipeline.name,
        rows=replace(made.rows, label_set=label_sets, label_index=places),
        doubts=Doubts(novelty, np.zeros(len(cases), F32), np.empty((len(cases), 0), F32)),
    )


def with_risk(pipeline: Pipeline, **changed: Any) -> Pipeline:
    """The pipeline with other rules; it acts, whoever holds the seat."""
    acting = {"autonomy": "supervised", "baseline_acts": True, "control_share": 0.0}
    risk = pipeline.spec.risk.model_copy(update=acting | changed)
    return pipeline.model_copy(update={"spec": pipeline.spec.model_copy(update={"risk": risk})})


async def put(client: Client, pipeline: Pipeline) -> None:
    key = f"$KV.pipelines.pipeline.{pipeline.name}"
    await client.jetstream().publish(key, pipeline.model_dump_json().encode())


async def judged(client: Client, pipeline: Pipeline, cases: list[Case]) -> None:
    data = encode_decisions(decisions(pipeline, cases))
    await client.jetstream().publish(f"decisions.{pipeline.name}.0", data)

    async def there() -> bool:
        found = [m for m in await stored(client, "VERDICTS") if m.data]
        return any(len(decode_verdicts(m.data).rows) for m in found)

    await until(there)


@pytest.mark.parametrize("name", CASES)
async def test_the_boundaries_of_a_ready_specification_tighten_what_they_are_meant_to(
    name: str, provisioned: Client, nats_url: str
) -> None:
    (written,) = load(PIPELINES / f"{name}.yaml").pipelines.values()
    strict, free = with_risk(written), with_risk(written, boundaries=())
    cases = CASES[name]
    await put(provisioned, free)
    async with risk_service(nats_url):
        await judged(provisioned, free, cases)
    assert await applied(provisioned, free.name) == free
    window = await window_of(provisioned, free.name, 100 * HOUR_MS, None)
    found = await compare(provisioned, free, strict, window)
    assert (found.rows, found.proposals) == (len(cases), len(cases))
    assert not found.is_looser
    for boundary in written.spec.risk.boundaries:
        applies = sum(boundary.name in case.boundaries for case in cases)
        assert found.boundaries_after[boundary.name] == applies > 0, boundary.name
    clear = [i for i, case in enumerate(cases) if not case.boundaries]
    tight = [row.element for row in found.examples()]
    assert not {f"e-{i}" for i in clear} & set(tight)
    assert found.tighter >= 1
    back = await compare(provisioned, strict, free, window)
    assert back.is_looser
    assert back.looser == found.tighter


async def test_recorded_verdicts_name_the_policy_and_are_found_again_by_it(
    provisioned: Client, nats_url: str
) -> None:
    (written,) = load(PIPELINES / "ran.yaml").pipelines.values()
    strict = with_risk(written)
    await put(provisioned, strict)
    async with risk_service(nats_url):
        await judged(provisioned, strict, CASES["ran"])
    found = await compare(provisioned, strict, strict, Window(0))
    assert (found.proposals, found.as_recorded, found.changed) == (5, 5, 0)
    only = await compare(provisioned, strict, strict, Window(0, last=2))
    assert only.proposals == 2
    (message,) = [m for m in await stored(provisioned, "VERDICTS") if m.data]
    assert decode_verdicts(message.data).policy_hash == policy_digest(strict)


async def test_a_pipeline_that_was_never_applied_has_nothing_to_test_against(
    provisioned: Client,
) -> None:
    with pytest.raises(InvalidInputError, match=r"pipeline 'x' is not applied; valid: none yet"):
        await applied(provisioned, "x")
