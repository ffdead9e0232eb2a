"""What the HTTP routes say, by value: events on the wire, rows, the page of routes."""

import json
import re

import numpy as np
import pytest
from tests.unit.risk_rows import LEARNT

from flyball_gateway.incoming import BadReportError, check
from flyball_gateway.records import sse
from flyball_gateway.records.decided import Place
from flyball_gateway.records.following import Following
from flyball_gateway.records.reading import Stored
from flyball_gateway.records.rows import last_rows, verdict_rows
from flyball_proto.columns import F64, I64, U8, U16, U32, U64, Flow, Rows, Verdict, Verdicts

REPORT = b'{"element": "a", "time_ms": 1, "values": {"x": 1}}'


def verdicts(*elements: str) -> Verdicts:
    """One row each; sequences count from 1, scores are tenths of them."""
    names, n = sorted(set(elements)), len(elements)
    return Verdicts(
        "p",
        "f" * 64,
        Flow("hub.METRICS", 1, n),
        Rows(
            names,
            np.array([names.index(e) for e in elements], U32),
            np.arange(1, n + 1, dtype=U64),
            np.zeros(n, U16),
            np.arange(n, dtype=I64) * 1000,
            ('{"site":"s1"}',),
            np.zeros(len(names), U32),
        ),
        (LEARNT,),
        np.zeros(n, U8),
        np.arange(1, n + 1).astype(F64) / 10,
        ("offload",),
        np.ones(n, U8),
        np.full(n, 5, U8),
        np.array([Verdict.CLEAR, Verdict.HOLD] * n, U8)[:n],
        np.zeros(n, U8),
        np.full(n, 0.25, F64),
        ("too much",),
        np.ones(n, U16),
    )


def test_rows_come_newest_first_and_are_whole():
    first = next(iter(verdict_rows(verdicts("a", "b"))))
    assert first.model_dump() == {
        "decision": "p.2.0",
        "time_ms": 1000,
        "element": "b",
        "labels": {"site": "s1"},
        "score": 0.2,
        "class_name": None,
        "action": "offload",
        "model": "a" * 64,
        "trainer": "recent",
        "stage": "active",
        "epoch": 3,
        "quality": ["clipped", "stale"],
        "verdict": "hold",
        "category": "negligible",
        "risk": 0.25,
        "reason": "too much",
        "error": None,
        "decision_confidence_score": None,
        "potential_impact_info": None,
        "confidence": None,
        "credibility": None,
        "novelty": None,
        "disagreement": None,
    }


def test_rows_of_one_element_or_verdict_alone():
    batch = verdicts("a", "b", "a", "a")
    assert [r.decision for r in verdict_rows(batch, element="a")] == ["p.4.0", "p.3.0", "p.1.0"]
    assert [r.decision for r in verdict_rows(batch, verdict=Verdict.HOLD)] == ["p.4.0", "p.2.0"]
    assert list(verdict_rows(batch, element="nobody")) == []


def test_an_element_is_as_it_was_last_decided_on():
    assert [(r.element, r.score) for r in last_rows(verdicts("a", "b", "a"))] == [
        ("a", 0.3),
        ("b", 0.2),
    ]


def test_a_score_that_is_no_number_is_null():
    batch = verdicts("a")
    batch.score[0] = np.nan
    assert next(verdict_rows(batch)).score is None


def test_a_place_is_read_as_it_was_written():
    assert Place.parse(Place(7, 3).text) == Place(7, 3)
    assert Place.parse("7") == Place(7, 0)


@pytest.mark.parametrize(
    ("pattern", "subject", "found"),
    [
        ("risk.p.held", "risk.p.held", True),
        ("risk.*.held", "risk.p.held", True),
        ("risk.>", "risk.p.held", True),
        (">", "risk.p.held", True),
        ("risk.*", "risk.p.held", False),
        ("risk.p.held.>", "risk.p.held", False),
        ("*.p.*", "risk.q.held", False),
        ("runtime.*.settled.*", "runtime.p.settled.trainer", True),
    ],
)
def test_subjects_match_as_in_nats(pattern, subject, found):
    assert sse.matches(pattern, subject) is found


@pytest.mark.parametrize("pattern", ["", "metrics.>", "risk..held", "risk.>.held", "risk." * 99])
def test_a_subject_that_no_event_can_have_is_refused(pattern):
    with pytest.raises(sse.PatternError, match="valid"):
        sse.check(pattern)


def test_an_event_cannot_forge_another_one():
    text = sse.event(5, "risk.p.held", b"x\nid: 9\n\n").decode()
    assert (
        text
        == f"id: 5\nevent: risk.p.held\ndata: {json.dumps(chr(120) + chr(10) + 'id: 9' + chr(10) * 2)}\n\n"
    )
    assert sse.event(5, "risk.p.held", b"\xe2\x80\xa8").count(b"\n\n") == 1


@pytest.mark.parametrize(
    ("element", "report", "kind", "code"),
    [
        ("a.b", REPORT, "application/json", "bad-element"),
        ("b", REPORT, "application/json", "bad-element"),
        ("a", b"x", "application/json", "not-json"),
        ("a", b'{"element": "a", "values": {"x": 1}}', "application/json", "no-time"),
        ("a", REPORT, "text/csv", "unknown-content-type"),
        ("a", REPORT, "application/x-protobuf", "not-protobuf"),
    ],
)
def test_what_is_no_report_is_refused_at_the_door(element, report, kind, code):
    with pytest.raises(BadReportError) as refused:
        check(element, report, kind)
    assert refused.value.kind == code


def test_a_report_of_the_element_is_taken():
    check("a", REPORT, "application/json")


def test_followers_read_what_is_kept_and_no_further_back():
    following = Following(lambda: None, kept=3)
    assert following.after(0) is None, "nothing was read yet"
    for sequence in (4, 5, 7, 8):
        following.take(Stored(sequence, "risk.p.held", b"{}"))
    assert [event.sequence for event in following.after(5)] == [7, 8]
    assert [event.sequence for event in following.after(4)] == [5, 7, 8]
    assert following.after(3) is None
    assert following.after(8) == []


def test_the_page_of_routes_loads_nothing_and_names_every_route():
    from flyball_gateway.api.describing import page  # noqa: PLC0415
    from flyball_gateway.api.reference import document  # noqa: PLC0415 - half a second

    found = document()
    text = page(found)
    assert all(path in text for path in found["paths"])
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')>\s]+)", text) == [
        "/v1/openapi.json"
    ]
    assert "<script" not in text
