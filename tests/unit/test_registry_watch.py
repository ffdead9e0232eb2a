"""The watch over the seat, the season it knows, drift of the loss, and the slices that veto."""

import math

import numpy as np
import pytest
from tests.unit.evidence_rows import design

from flyball_registry.evidence import drift, slices
from flyball_registry.evidence.scales import Scale
from flyball_registry.evidence.seasons import Usual
from flyball_registry.evidence.slices import Labelled
from flyball_registry.evidence.watch import CEILING, DECISIONS, HARM_GRID, Watch, harm_grid

PLAN = design(false_alarm_every_days=0.01)  # A = 864 blocks
ONES = np.ones(20)


def own(watch: Watch, losses: list[float], start: int = 0) -> Watch:
    """The watch after blocks of these mean losses."""
    if watch.first_ms < 0:
        watch = watch.model_copy(update={"first_ms": 0})
    for block, loss in enumerate(losses, start):
        watch = watch.model_copy(update={"own": watch.own.add(ONES, ONES * loss)})
        watch, found = watch.close_own((block + 1) * 1_000, PLAN)
        assert found == pytest.approx(loss)
    return watch


def paired(watch: Watch, differences: list[float]) -> Watch:
    """The watch after blocks in which the active was worse than the anchor by so much."""
    for value in differences:
        watch = watch.model_copy(update={"paired": watch.paired.add(ONES, ONES * value)})
        watch = watch.close_paired(PLAN)
    return watch


def wobble(mean: float, spread: float, blocks: int, seed: int = 1) -> list[float]:
    return (mean + spread * np.random.default_rng(seed).standard_normal(blocks)).tolist()


@pytest.mark.parametrize(
    ("harm", "relative", "decision"),
    [
        (False, False, "keep"),
        (True, True, "roll-back"),
        (True, False, "retrain"),
        (False, True, "compare"),
    ],
)
def test_what_both_detectors_mean_together(harm: bool, relative: bool, decision: str) -> None:
    assert DECISIONS[(harm, relative)] == decision
    watch = own(Watch.begin(PLAN), wobble(0.2, 0.02, 40))
    watch = own(watch, wobble(0.5 if harm else 0.2, 0.02, 200), 40)
    watch = paired(watch, wobble(0.0, 0.02, 20) + wobble(0.1 if relative else 0.0, 0.02, 200))
    assert watch.decision(PLAN) == decision


def test_the_detector_by_hand() -> None:
    watch = own(Watch.begin(PLAN), [0.2] * 40)
    assert watch.tolerated == pytest.approx((0.22,))  # nothing varied, so only the tolerance
    watch = own(watch, [0.5, 0.1], 40)
    steps = [step for step in HARM_GRID if step < 1 / 0.22]
    by_hand = [(((0 + 1) * (1 + s * 0.28)) + 1) * (1 + s * -0.12) for s in steps]
    assert watch.harm_evidence == pytest.approx(sum(by_hand) / len(by_hand))


def test_harm_says_nothing_until_the_usual_loss_is_known() -> None:
    watch = own(Watch.begin(PLAN), [1.0] * 39)
    assert (watch.tolerated, watch.harm_evidence) == (None, 0.0)


def test_the_usual_loss_of_the_seat_s_own_blocks_waits_for_a_season() -> None:
    plan = design(season_ms=100_000)
    watch = Watch.begin(plan).model_copy(update={"first_ms": 0})
    for block in range(100):
        assert watch.tolerated is None
        watch = watch.model_copy(update={"own": watch.own.add(ONES, ONES * 0.1)})
        watch, _ = watch.close_own((block + 1) * 1_000, plan)
    assert watch.tolerated is not None


def test_a_comparison_that_won_the_seat_says_what_is_usual() -> None:
    usual = Usual.of(0, 1_000)
    for loss in wobble(0.2, 0.01, 60):
        usual = usual.add(0, loss)
    watch = Watch.begin(PLAN, Scale(reference=1.0), usual)
    assert watch.tolerated == pytest.approx((0.22,), abs=0.01)
    too_few = Usual.of(0, 1_000).add(0, 0.2).add(0, 0.2).add(0, 0.2)
    assert Watch.begin(PLAN, Scale(reference=1.0), too_few).tolerated is None


def test_no_bet_can_make_evidence_negative_however_large_the_usual_loss() -> None:
    assert harm_grid((0.1, 0.5)) == (0.5, 1.0)
    assert harm_grid((0.999,)) == (0.5, 1.0)
    watch = own(Watch.begin(PLAN), [1.0] * 40)
    assert own(watch, [0.0] * 50, 40).harm_evidence >= 0


def test_an_active_model_that_is_its_own_anchor_gathers_no_evidence() -> None:
    assert paired(Watch.begin(PLAN), [0.0] * 2_000).relative_evidence == 0.0


def test_evidence_is_bounded_and_goes_when_the_harm_does() -> None:
    watch = own(own(Watch.begin(PLAN), [0.2] * 40), [0.9] * 500, 40)
    assert max(watch.harm) == pytest.approx(CEILING * PLAN.alarm_blocks)
    assert watch.decision(PLAN) == "retrain"
    assert own(watch, [0.05] * 300, 540).decision(PLAN) == "keep"


def test_a_rollback_forgets_the_evidence_and_keeps_what_is_usual() -> None:
    watch = paired(own(Watch.begin(PLAN), [0.2] * 40 + [0.9] * 50), wobble(0.1, 0.02, 100))
    again = watch.again()
    assert (again.harm_evidence, again.relative_evidence, again.spread) == (0.0, 0.0, 0.0)
    assert again.tolerated == watch.tolerated


def test_without_a_change_neither_detector_asks_for_a_rollback() -> None:
    for seed in range(40):
        watch = own(Watch.begin(PLAN), wobble(0.2, 0.05, 540, seed))
        watch = paired(watch, wobble(0.0, 0.05, 520, seed + 1_000))
        assert watch.decision(PLAN) != "roll-back"


def test_parts_of_a_season_with_three_visits_have_their_own_bound_others_the_largest() -> None:
    usual = Usual.of(4_000, 1_000)
    for loss, part in [(0.1, 0)] * 3 + [(0.3, 1)] * 5 + [(0.9, 2)] * 2:
        usual = usual.add(part, loss)
    assert usual.upper() == pytest.approx((0.1, 0.3, 0.3, 0.3))
    assert usual.add(2, 0.9).upper() == pytest.approx((0.1, 0.3, 0.9, 0.9))
    assert Usual.of(4_000, 1_000).add(0, 0.1).add(0, 0.1).upper() is None


def test_a_block_lies_in_the_part_of_the_season_in_which_it_ends() -> None:
    usual = Usual.of(24_000, 1_000)
    assert [usual.part(end, 24_000) for end in (1_000, 24_000, 25_000)] == [0, 23, 0]
    assert Usual.of(0, 1_000).part(5_000, 0) == 0
    assert len(Usual.of(10**9, 1_000).visits) == 24


def test_mean_and_spread_of_a_part_are_those_of_its_losses() -> None:
    losses = wobble(0.4, 0.1, 50)
    usual = Usual()
    for loss in losses:
        usual = usual.add(0, loss)
    expected = np.mean(losses) + 1.645 * np.std(losses, ddof=1) / math.sqrt(50)
    assert usual.upper() == pytest.approx((expected,))


def test_a_rise_of_the_loss_is_drift_and_a_fall_is_not() -> None:
    low, high = wobble(0.1, 0.03, 150), wobble(0.5, 0.03, 150, 2)
    _, rises = drift.extend((), low + high)
    assert len(rises) == 1
    assert 150 < rises[0].index < 200
    assert rises[0].before < 0.3 < rises[0].after
    assert drift.extend((), high + low)[1] == ()


def test_still_losses_drift_rarely() -> None:
    found = [drift.extend((), wobble(0.3, 0.1, 600, seed))[1] for seed in range(40)]
    assert sum(map(bool, found)) <= 2


def test_drift_continues_from_its_list_as_if_never_stored() -> None:
    values = [*wobble(0.2, 0.1, 700), *wobble(0.6, 0.1, 300, 2), *wobble(0.3, 0.1, 300, 3)]
    whole, rises = drift.extend((), values)
    held, found = tuple[float, ...](), list[int]()
    for at, value in enumerate(values):
        held, rise = drift.extend(held, (value,))
        found += [at] * len(rise)
        assert len(held) < drift.MAX_LOSSES
    assert held == whole
    assert found == [rise.index for rise in rises]


def sliced(worse_by: float, rows_each: int, blocks: int) -> dict[str, slices.Slice]:
    """Slices after blocks in which site b was worse by so much, site a better by as much."""
    rng, found = np.random.default_rng(1), dict[str, slices.Slice]()
    for _ in range(blocks):
        site = ["a"] * 30 + ["b"] * rows_each
        difference = np.where(np.array(site) == "a", worse_by, -worse_by)
        difference = difference + rng.normal(0, 0.05, len(site))
        found = slices.gather(found, [Labelled.of("site", site)], np.ones(len(site)), difference)
        found = slices.close(found, 0.0, 20)
    return found


def test_a_slice_that_is_worse_vetoes_once_it_has_rows_and_blocks() -> None:
    assert slices.veto(sliced(0.2, 30, 100)) == "site=b"
    assert slices.veto(sliced(0.2, 30, 20)) is None  # the pilot says nothing yet
    assert slices.veto(sliced(0.0, 30, 100)) is None


def test_a_slice_of_few_rows_vetoes_nothing_however_bad() -> None:
    found = dict[str, slices.Slice]()
    for block in range(66):
        labelled = [Labelled.of("site", ["b"] * 3)]
        found = slices.gather(found, labelled, np.ones(3), np.full(3, -0.2 - 0.01 * (block % 2)))
        found = slices.close(found, 0.0, 1)
    assert found["site=b"].rows == 198
    assert found["site=b"].log_e > math.log(2 / slices.LEVEL)
    assert slices.veto(found) is None


def test_slices_too_small_to_speak_for_themselves_are_pooled() -> None:
    rng, found = np.random.default_rng(1), dict[str, slices.Slice]()
    for block in range(150):
        site = [f"small{(block * 10 + i) % 600}" for i in range(10)]
        difference = rng.normal(-0.2, 0.05, 10)
        found = slices.gather(found, [Labelled.of("site", site)], np.ones(10), difference)
        found = slices.close(found, 0, 20)
    assert slices.veto(found) == f"site={slices.POOL}"
    assert len(found) == slices.MAX_VALUES + 1
