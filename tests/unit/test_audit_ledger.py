"""The auditor's books: nothing is lost, doubled or acted on without being named."""

import ast
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_local import audit
from flyball_local.audit import Ledger
from flyball_local.audit.account import Latencies
from flyball_proto.columns import (
    I64,
    U8,
    U16,
    U32,
    U64,
    Flow,
    Model,
    Outcome,
    Released,
    Rows,
    Skipped,
    SkipReason,
    Verdict,
    Verdicts,
    Waiting,
)

RowKey = tuple[int, int]
MODEL = Model("ab" * 32, 1, "active", "baseline")


def verdicts(
    keys: Sequence[RowKey] = (),
    skipped: Sequence[tuple[int, int, SkipReason]] = (),
    verdict: Verdict = Verdict.CLEAR,
    action: str = "",
    model: Model = MODEL,
) -> Verdicts:
    """A batch of decisions on element `cell` and of rows without one."""
    n = len(keys)
    rows = Rows(
        ("cell",),
        np.zeros(n, U32),
        np.array([k[0] for k in keys], U64),
        np.array([k[1] for k in keys], U16),
        np.zeros(n, I64),
        ("{}",),
        np.zeros(1, U32),
    )
    out = Skipped(
        np.array([s[0] for s in skipped], U64),
        np.array([s[1] for s in skipped], U32),
        np.array([s[2] for s in skipped], U8),
    )
    every = [*(k[0] for k in keys), *(s[0] for s in skipped)] or [0]
    return Verdicts(
        "p",
        "cd" * 32,
        Flow("local.METRICS", min(every), max(every), out),
        rows,
        (model,),
        np.zeros(n, U8),
        np.zeros(n),
        (action,) if action else (),
        np.full(n, 1 if action else 0, U8),
        np.zeros(n, U8),
        np.full(n, verdict, U8),
        np.zeros(n, U8),
        np.zeros(n),
        (),
        np.zeros(n, U16),
    )


def ledger_with(reports: dict[int, int]) -> Ledger:
    ledger = Ledger("p")
    for sequence, rows in reports.items():
        ledger.received(0, sequence, rows)
    return ledger


def test_every_row_accounted_once_closes_the_account() -> None:
    ledger = ledger_with({1: 2, 3: 1, 4: 3, 6: 1})
    ledger.judged(0, verdicts([(1, 0), (1, 1), (4, 1)], [(3, 1, SkipReason.QUARANTINED)]))
    ledger.judged(
        0,
        verdicts(
            skipped=[
                (4, 1, SkipReason.LATE),
                (4, 1, SkipReason.DOUBLE),
                (6, 1, SkipReason.WARMING_UP),
            ]
        ),
    )
    account = ledger.account()
    assert account.closes
    assert (account.rows_in, account.decisions) == (7, 3)
    assert (account.quarantined, account.doubles) == (1, 1)
    assert (account.late, account.warming_up) == (1, 1)
    assert account.verdicts == {"clear": 3}


def test_a_row_lost_and_another_doubled_do_not_cancel_out() -> None:
    ledger = ledger_with({1: 2})
    ledger.judged(0, verdicts([(1, 0), (1, 0)]))
    account = ledger.account()
    assert (account.lost, account.duplicated) == (1, 1)
    assert account.problems == (
        "row 1.0: a decision too many",
        "report 1: 1 of 2 row(s) lost",
    )
    assert not account.closes


@pytest.mark.parametrize(
    "again",
    [
        verdicts([(1, 0)]),
        verdicts(skipped=[(1, 1, SkipReason.DOUBLE)]),
        verdicts([(9, 0)]),
    ],
    ids=["decided again", "skipped after its decision", "never came in"],
)
def test_what_is_accounted_too_often_is_duplicated(again: Verdicts) -> None:
    ledger = ledger_with({1: 1})
    ledger.judged(0, verdicts([(1, 0)]))
    assert ledger.account().closes
    ledger.judged(0, again)
    assert ledger.account().duplicated == 1
    assert not ledger.account().closes


def test_a_sample_beyond_its_report_is_no_decision_of_it() -> None:
    ledger = ledger_with({1: 2})
    ledger.judged(0, verdicts([(1, 0), (1, 2)]))
    assert (ledger.account().lost, ledger.account().duplicated) == (1, 1)


@given(
    reports=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    data=st.data(),
)
def test_one_row_removed_and_one_repeated_are_seen_whatever_the_batches(
    reports: list[int], cuts: list[int], data: st.DataObject
) -> None:
    keys = [(10 + i, sample) for i, rows in enumerate(reports) for sample in range(rows)]
    removed = data.draw(st.sampled_from(keys))
    repeated = data.draw(st.sampled_from(keys))
    kept = [k for k in keys if k != removed]
    if repeated != removed:
        kept.append(repeated)
    ledger = ledger_with({10 + i: rows for i, rows in enumerate(reports)})
    edges = sorted({0, len(kept), *(min(c, len(kept)) for c in cuts)})
    for start, end in itertools.pairwise(edges):
        ledger.judged(0, verdicts(kept[start:end]))
    account = ledger.account()
    assert account.rows_in == len(keys)
    assert account.lost == 1
    assert account.duplicated == (repeated != removed)


def test_rows_from_before_the_view_are_told_apart() -> None:
    ledger = Ledger("p")
    ledger.received(0, 3, 1)
    ledger.received(1, 4, 1)
    ledger.begin(0, 5)
    ledger.received(0, 5, 1)
    ledger.judged(0, verdicts([(2, 0), (5, 0)], [(3, 1, SkipReason.LATE)]))
    ledger.judged(1, verdicts([(4, 0)]))
    account = ledger.account()
    assert account.closes
    assert (account.rows_in, account.unverifiable) == (2, 2)


def test_memory_is_bounded_by_giving_up_the_oldest_report() -> None:
    ledger = Ledger("p", max_open=2)
    for sequence in (1, 2, 3):
        ledger.received(0, sequence, 5)
    assert ledger.open_reports == 2
    assert ledger.account().lost == 15
    assert ledger.account().problems[0] == "report 1: 5 of 5 row(s) lost"


def test_an_action_stands_on_exactly_one_dispatched_verdict() -> None:
    ledger = ledger_with({1: 1, 2: 1, 3: 1})
    ledger.judged(0, verdicts([(1, 0), (2, 0)], action="offload"))
    ledger.judged(0, verdicts([(3, 0)], action="offload", verdict=Verdict.HOLD))
    ledger.acted((1, 0), "cell", "offload")
    ledger.acted((2, 0), "cell", "offload")
    assert ledger.account().closes
    assert ledger.account().actions == 2


def test_missing_repeated_and_unfounded_actions_are_named() -> None:
    ledger = ledger_with({1: 1, 2: 1, 3: 1})
    ledger.judged(0, verdicts([(1, 0), (2, 0)], action="offload", verdict=Verdict.NOTIFY))
    ledger.judged(0, verdicts([(3, 0)], action="offload", verdict=Verdict.DENY))
    ledger.acted((1, 0), "cell", "offload")
    ledger.acted((1, 0), "cell", "offload")
    ledger.acted((3, 0), "cell", "offload")
    account = ledger.account()
    assert account.actions_repeated == 1
    assert account.actions_unfounded == 1
    assert account.actions_missing == 1
    assert not account.closes


def test_an_action_to_another_element_than_judged_is_a_problem() -> None:
    ledger = ledger_with({1: 1})
    ledger.judged(0, verdicts([(1, 0)], action="offload"))
    ledger.acted((1, 0), "other", "offload")
    assert not ledger.account().closes
    assert "offload to other, judged was offload to cell" in ledger.account().problems[0]


def test_a_replacement_that_keeps_everything_as_it_is_needs_no_action() -> None:
    ledger = ledger_with({1: 1})
    ledger.judged(0, verdicts([(1, 0)], action="keep", verdict=Verdict.REPLACE))
    assert ledger.account().closes


def test_a_decision_without_a_model_is_a_problem() -> None:
    ledger = ledger_with({1: 1})
    ledger.judged(0, verdicts([(1, 0)], model=Model("", 0, "active", "")))
    assert not ledger.account().closes


def test_percentiles_are_exact_to_two_per_cent() -> None:
    latencies = Latencies()
    latencies.add(np.arange(1, 101) * 1_000_000)
    found = latencies.summary()
    assert found["p50"] == pytest.approx(50, rel=0.02)
    assert found["p99"] == pytest.approx(99, rel=0.02)


def test_the_auditor_stands_on_the_contracts_alone() -> None:
    allowed = {"nats", "numpy", "flyball_proto", "flyball_local.audit"} | sys.stdlib_module_names
    for path in Path(audit.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert {name.split(".")[0], ".".join(name.split(".")[:2])} & allowed, (path, name)


def approved(sequence: int, action: str = "offload") -> Verdicts:
    """Verdicts without rows in which people approve the decision of a row before."""
    hold = Waiting(f"p.{sequence}.0", "cell", "{}", action, 0.5, 0.2, 3, "why", MODEL, 0, 9, 0)
    end = Released(hold, Outcome.APPROVED, "ana", "", 1, 0)
    return replace(verdicts(), released=(end,))


def test_an_action_that_people_approved_is_founded_and_missed_when_it_is_not_sent() -> None:
    for is_sent in (True, False):
        ledger = ledger_with({1: 1})
        ledger.judged(0, verdicts([(1, 0)], verdict=Verdict.HOLD, action="offload"))
        ledger.judged(0, approved(1))
        if is_sent:
            ledger.acted((1, 0), "cell", "offload")
        found = ledger.account()
        assert found.closes is is_sent
        assert (found.actions, found.actions_missing) == ((1, 0) if is_sent else (0, 1))


def test_stopped_actions_are_counted_once_and_close_the_books() -> None:
    ledger = ledger_with({1: 1, 2: 1})
    ledger.judged(0, verdicts([(1, 0), (2, 0)], action="offload"))
    ledger.acted((1, 0), "cell", "offload")
    for key in ((2, 0), (2, 0), (1, 0)):
        ledger.stopped(key)
    found = ledger.account()
    assert found.closes
    assert (found.actions, found.actions_stopped, found.actions_missing) == (1, 1, 0)
    ledger.acted((2, 0), "cell", "offload")  # it was said that it never would be
    assert ledger.account().actions_unfounded == 1


def test_an_action_of_a_row_whose_metrics_are_gone_is_no_false_alarm() -> None:
    ledger = Ledger("p")
    ledger.begin(0, 10)
    ledger.acted((4, 0), "cell-1", "offload")
    account = ledger.account()
    assert (account.actions, account.actions_unfounded, account.closes) == (0, 0, True)
    ledger.acted((10, 0), "cell-1", "offload")
    assert ledger.account().actions_unfounded == 1
