"""What another model upstream does to the evidence, and when it counts as another one."""

import numpy as np
from tests.unit.evidence_rows import BLOCK_MS, design, folded, part, scored, seat, times

from flyball_proto.deployments import ActiveModel
from flyball_registry.evidence.design import Scored
from flyball_registry.evidence.evaluation import fold, standing
from flyball_registry.evidence.restarting import restarted
from flyball_registry.records.upstream import Upstream, seen
from flyball_registry.scoring.reports import shares

NOW = "2026-01-01T00:00:00+00:00"


def world(blocks: int, start_ms: int = 0) -> Scored:
    """`good` is a little better than the active model."""
    rng, time_ms = np.random.default_rng(1), times(blocks, 40, start_ms)
    chance = rng.uniform(size=len(time_ms))
    label = (rng.uniform(size=len(time_ms)) < chance).astype(float)
    return scored(time_ms, label, {"active": np.full(len(time_ms), 0.5), "good": chance})


def test_evidence_begins_anew_and_doubt_does_not() -> None:
    state, _ = folded(world(30))
    assert state.account.entries[0].outcome == "open"
    at_ms = 30 * BLOCK_MS
    after, closed = restarted(state, at_ms)
    assert closed == ("good",)
    assert after.account.entries[0].outcome == "closed"
    assert (after.comparisons, after.losses) == ({}, ())
    assert after.watch is not None
    assert after.watch.harm_evidence == 0
    assert after.board == state.board
    resumed, _ = folded(world(30, at_ms), state=after)
    assert [entry.comparison for entry in resumed.account.entries] == [1, 2]
    assert [one.comparison for one in standing(resumed, design())] == [2]


def test_rows_that_were_decided_before_are_no_evidence() -> None:
    state, _ = folded(world(10))
    after, _ = restarted(state, 20 * BLOCK_MS)
    late = world(10, 10 * BLOCK_MS)
    resumed, _ = folded(late, state=after)
    assert resumed.comparisons == {}
    refreshed, _ = fold(
        resumed, part(late, slice(0, 0)), 20 * BLOCK_MS, seat(epoch=2, digest="b-2"), design()
    )
    assert refreshed.seat is not None
    assert refreshed.seat.since_ms == 20 * BLOCK_MS, "a refresh does not bring them back"


def test_nothing_known_is_nothing_closed() -> None:
    state, closed = restarted(folded(world(1))[0].model_copy(update={"comparisons": {}}), 5)
    assert closed == ()
    again, _ = restarted(state, 3)
    assert again.seat is not None
    assert again.seat.since_ms == 5


def active(digest: str, epoch: int) -> ActiveModel:
    return ActiveModel.model_validate(
        {"digest": digest, "trainer": "t", "feature_digest": "f", "epoch": epoch, "since": NOW,
         "reason": "test"}
    )  # fmt: skip


def test_only_another_active_model_of_a_pipeline_that_was_seen_is_a_change() -> None:
    assert seen({}, ("load",), {}) == ({}, ()), "never active"
    known, changed = seen({}, ("load",), {"load": active("u1", 1), "other": active("x", 1)})
    assert (known, changed) == ({"load": Upstream(epoch=1, digest="u1")}, ())
    known, changed = seen(known, ("load",), {"load": active("u1", 2)})
    assert changed == (), "a canary beside it moved"
    known, changed = seen(known, ("load",), {"load": active("u2", 3)})
    assert changed == ("load",)
    assert seen(known, ("load",), {"load": active("u2", 3)}) == (known, ()), "seen twice"
    assert seen(known, ("load",), {}) == (known, ()), "after a restart it is not read yet"
    assert seen(known, (), {"load": active("u3", 4)}) == ({}, ()), "no longer upstream"


def test_importance_is_read_from_a_report_and_nonsense_says_nothing() -> None:
    report = b'{"importance": [{"feature": "a", "share": 0.75}, {"feature": "b", "share": 0}, 3]}'
    assert shares(report) == {"a": 0.75, "b": 0.0}
    for nonsense in (b"", b"[]", b'{"importance": {"a": 1}}', b'{"importance": [{"share": -1}]}'):
        assert shares(nonsense) == {}
