"""Two pipelines pull the same parameter of the same cells in opposite directions."""

import asyncio
from collections import defaultdict
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import stored

from flyball_gateway.records.rows import verdict_rows
from flyball_kit.kv import Kv
from flyball_local import specfile
from flyball_local.control import apply
from flyball_local.session import open_session
from flyball_local.simulator.cells import SimulatorOptions, simulate
from flyball_proto import streams
from flyball_proto.columns import Verdict, decode_verdicts
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Action

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("two-pipelines")]

LEASE_MS = 20_000
SOURCE = Path("pipelines/ran.yaml").read_text().split("---\n")[0]
PIPELINE = """\
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: NAME}
spec:
  source: ran
  features: [{metric: RRU.PrbTotDl, windows: [2], aggregates: [last]}]
  warm_up_rows: 1
  target: {task: binary, expression: "max(RRU.PrbTotDl) > 50", horizon: 5s}
  decisions:
    - {action: ACTION, parameter: power, score_at_least: 0, severity: low, cooldown: 30s}
  risk:
    baseline_acts: true
    control_share: 0
    lease: 20s
    breaker: {enabled: false}
    budgets: {actions_per_minute: 100000}
"""
"""Whatever the score, it proposes its action for every report."""


async def until_seated(client: Client, *pipelines: str) -> None:
    """Wait until each has a model that decides."""
    deployments: Kv[ActiveModel] = Kv(lambda: client, streams.DEPLOYMENTS, ActiveModel)
    for pipeline in pipelines:
        async with asyncio.timeout(60), aclosing(deployments.watch(pipeline)) as changes:
            async for change in changes:
                if change.value is not None:
                    break


def with_name(name: str, action: str) -> str:
    return PIPELINE.replace("NAME", name).replace("ACTION", action)


async def test_no_cell_sees_alternating_actions_within_a_lease(tmp_path: Path) -> None:
    spec = tmp_path / "two.yaml"
    spec.write_text(SOURCE + with_name("up", "raise") + with_name("down", "lower"))
    async with open_session(None, lambda line: None) as session:
        operator = await session.connect("operator")
        await apply(operator, specfile.load(spec).objects, by="test")
        await until_seated(operator, "up", "down")
        await simulate(session, SimulatorOptions(seconds=15, speed=6, sites=2))
        actions = [Action.model_validate_json(m.data) for m in await stored(operator, "ACTIONS")]
        messages = [m for m in await stored(operator, "VERDICTS") if m.data]
        await operator.close()
    by_cell: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        by_cell[action.element].append(action)
    assert len(by_cell) == 6
    for found in by_cell.values():
        found.sort(key=lambda a: a.time_ms)
        for before, after in pairwise(found):
            assert before.pipeline == after.pipeline or after.time_ms >= before.time_ms + LEASE_MS
    assert {action.pipeline for action in actions} == {"up", "down"}
    batches = [decode_verdicts(m.data) for m in messages]
    rows = [
        row for b in batches for row in verdict_rows(b, element=None, verdict=Verdict.SUPERSEDED)
    ]
    assert rows
    for row in rows:
        assert row.reason.endswith(
            "changed power by lower" if row.action == "raise" else "by raise"
        )
