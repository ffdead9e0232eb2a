"""What `flyball tail` makes of each kind of message: one line with the figure that caused it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.test_audit_ledger import verdicts

from flyball_local.showing.describing import as_json, describe
from flyball_local.showing.tail import Followed
from flyball_proto.acts import Act
from flyball_proto.columns import (
    Category,
    Model,
    Outcome,
    Released,
    Verdict,
    Waiting,
    encode_verdicts,
)
from flyball_proto.events import Action, ModelRefused
from flyball_proto.headers import ERROR, ORIGINAL_SUBJECT
from flyball_proto.holds import Answer, BulkAnswer, Withdrawal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def said(subject: str, data: Any, **headers: str) -> str | None:
    content = data if isinstance(data, bytes) else data.model_dump_json().encode()
    line = describe(Followed(1, subject, headers, content))
    return None if line is None else line.removeprefix(f"{subject}  ")


def test_a_batch_of_verdicts_names_the_row_at_the_highest_risk() -> None:
    batch = verdicts([(5, 0), (6, 0)], action="offload", verdict=Verdict.HOLD)
    batch.risk[:] = (0.2, 0.42)
    batch.score[:] = (0.9, 0.8)
    batch.category[:] = Category.MEDIUM
    line = said("verdicts.p.0", encode_verdicts(batch))
    element = batch.rows.element[batch.rows.element_index[1]]
    assert line == (
        f"2 rows of 1 element(s): hold 2; {element} offload at score 0.8: hold, medium risk 0.42"
    )


def test_what_people_decided_is_told_with_the_batch_that_records_it() -> None:
    model = Model("d" * 64, 1, "active", "recent")
    hold = Waiting("p.5.0", "c1", "{}", "offload", 0.9, 0.4, 2, "boundary", model, 0, 1, 0)
    end = Released(hold, Outcome.APPROVED, "ann", "looks right", 5, 5)
    batch = replace(verdicts(), released=(end,))
    line = said("verdicts.p.0", encode_verdicts(batch))
    assert line == "no rows; offload on c1 approved by ann, because 'looks right'"
    found = as_json(Followed(7, "verdicts.p.0", {}, encode_verdicts(batch)))
    assert found is not None
    assert found["content"]["released"][0]["outcome"] == "approved"


ACTION = Action(
    pipeline="p",
    element="c1",
    action="offload",
    decision="p.5.0",
    time_ms=1,
    verdict="notify",
    category="medium",
    risk=0.31,
    score=0.96,
    model="1a2b3c4d5e",
    epoch=2,
)
ACT = Act(
    service="risk", at=NOW, verb="stop", object="pipeline p", by="ann", why="repair", outcome="done"
)
REFUSED = ModelRefused(
    pipeline="p", at=NOW, digest="1a2b3c4d5e", trainer="t", check="size", found="9 MB", limit="8 MB"
)


@pytest.mark.parametrize(
    ("subject", "data", "line"),
    [
        (
            "actions.p.c1",
            ACTION,
            "offload on c1: score 0.96, notify, medium risk 0.31, by 1a2b3c4d epoch 2",
        ),
        ("audit.risk", ACT, "ann: stop pipeline p, because 'repair': done"),
        (
            "decisions.p.0.answers",
            Answer(hold="p.5.0", answer="deny", by="ann", why="", at=NOW),
            "ann answers deny to p.5.0",
        ),
        (
            "decisions.p.0.answers",
            BulkAnswer(holds=("p.5.0", "p.6.0"), answer="deny", by="ann", why="night", at=NOW),
            "ann answers deny to 2 holds, because 'night'",
        ),
        (
            "decisions.p.0.answers",
            Withdrawal(withdrawn="ben", by="ann", why="", at=NOW),
            "ann withdraws the approvals of ben",
        ),
        (
            "model.p.refused",
            REFUSED,
            "Model 1a2b3c4d of t was refused: size, found 9 MB, limit 8 MB.",
        ),
        (
            "runtime.p.flipped",
            b'{"version":1,"digest":"1a2b3c4d5e","epoch":2}',
            "digest 1a2b3c4d, epoch 2",
        ),
        ("actions.p.c1", b'{"of": "another version"}', "of another version"),
        ("runtime.p.odd", b"\xff no json", "\ufffd no json"),
    ],
)
def test_every_kind_of_message_is_one_line(subject: str, data: Any, line: str) -> None:
    assert said(subject, data) == line


def test_a_dead_letter_says_what_could_not_be_handled_and_why() -> None:
    headers = {ORIGINAL_SUBJECT: "model.p.trained", ERROR: "ValidationError: no digest"}
    line = said("dead.registry", b"{}", **headers)
    assert line == "model.p.trained could not be handled: ValidationError: no digest"


def test_programs_get_every_row_with_its_figures() -> None:
    batch = verdicts([(5, 0), (6, 1)], action="offload", verdict=Verdict.NOTIFY)
    found = as_json(Followed(7, "verdicts.p.0", {}, encode_verdicts(batch)))
    assert found is not None
    assert (found["sequence"], found["subject"]) == (7, "verdicts.p.0")
    rows = found["content"]["rows"]
    assert [(r["sequence"], r["sample"]) for r in rows] == [(5, 0), (6, 1)]
    assert {r["verdict"] for r in rows} == {"notify"}
    assert {r["action"] for r in rows} == {"offload"}
    assert set(rows[0]) == {
        *("element", "sequence", "sample", "time_ms", "score", "action", "model", "trainer"),
        *("epoch", "verdict", "category", "risk", "reason"),
    }
    assert as_json(Followed(1, "verdicts.p.0", {}, encode_verdicts(verdicts()))) is None
