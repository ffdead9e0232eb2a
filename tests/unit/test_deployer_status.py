"""What the gateway says of a deployment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.broker.chain import catalogue

from flyball_gateway.applying import Known
from flyball_gateway.status import Around, statuses
from flyball_proto.deployments import ActiveModel, Canary, Placed
from flyball_proto.runtimes import GONE_S, RuntimeState

RUNNING = Known(catalogue("p"), {"source.p": 3, "pipeline.p": 4})
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASELINE = Placed(digest="b1", trainer="baseline", feature_digest="f")
CANARY = Canary(digest="c1", trainer="long", feature_digest="f", step=0, percent=5, since=NOW)


@pytest.mark.parametrize(
    ("fields", "anchor", "canary"),
    [
        ({"digest": "b1", "baseline": BASELINE}, None, None),
        ({"digest": "a1", "baseline": BASELINE}, "b1", None),
        (
            {
                "digest": "a2",
                "baseline": BASELINE,
                "anchor": BASELINE.model_copy(update={"digest": "a1"}),
                "canary": CANARY,
            },
            "a1",
            "c1",
        ),
    ],
)
def test_status_names_where_a_rollback_leads_and_the_canary(
    fields: dict[str, Any], anchor: str | None, canary: str | None
) -> None:
    record = ActiveModel(
        **fields,
        trainer="recent",
        feature_digest="f",
        epoch=7,
        since=NOW,
        reason="won",
        outcome="ok",
    )
    (seen,) = statuses(RUNNING, {"p": record}, Around(NOW))
    assert (seen.model, seen.epoch, seen.anchor, seen.canary) == (
        fields["digest"],
        7,
        anchor,
        canary,
    )
    assert seen.canary_percent == (5 if canary else None)
    assert (seen.frozen, seen.outcome) == (False, "ok")
    assert (seen.since, seen.reason) == (NOW, "won")


def test_status_names_the_runtimes_that_do_not_answer_with_the_deployment_in_force() -> None:
    record = ActiveModel(
        digest="a", trainer="recent", feature_digest="f", epoch=7, since=NOW, reason="won"
    )
    states = [
        RuntimeState(instance=name, pipeline="p", at=NOW, epoch=epoch, wanted_epoch=7, trouble=why)
        for name, epoch, why in (("hub", 7, ""), ("site-1", 6, "S3 does not answer"))
    ]
    (seen,) = statuses(RUNNING, {"p": record}, Around(NOW, runtimes=states))
    assert [runtime.instance for runtime in seen.runtimes] == ["hub", "site-1"]
    assert "site-1 answers with epoch 6, 7 is wanted: S3 does not answer" in seen.disagree
    late = NOW + timedelta(seconds=2 * GONE_S)
    (seen,) = statuses(RUNNING, {"p": record}, Around(late, runtimes=states))
    assert (seen.runtimes, seen.disagree) == ((), "")
