"""Where refused reports and labels go, and which of them a quarantine may still have to read."""

import numpy as np

from flyball_ingest.quarantine import Unfinished, route
from flyball_kit.fold import Input
from flyball_proto import columns
from flyball_proto.columns import Features, Flow, Rows, Skipped, SkipReason
from flyball_proto.headers import COVERS


def features(sequence: int, first: int, last: int) -> Input:
    return Input(sequence, 0, "features.p.d.0", {COVERS: f"hub.METRICS {first} {last}"}, b"")


def watching(*messages: Input) -> Unfinished:
    unfinished = Unfinished()
    watched = unfinished.routing(lambda message: [])
    for message in messages:
        watched(message)
    return unfinished


def test_nothing_is_known_before_the_first_batch() -> None:
    assert watching().unneeded(0) == 0


def test_what_a_batch_covers_is_needed_until_it_is_dispatched() -> None:
    unfinished = watching(features(1, 1, 10), features(2, 11, 25))
    assert unfinished.unneeded(0) == 0
    assert unfinished.unneeded(1) == 10
    assert unfinished.unneeded(2) == 25


def test_ticks_behind_the_last_batch_do_not_hide_what_is_done() -> None:
    unfinished = watching(features(1, 1, 10), features(2, 0, 0), features(3, 0, 0))
    assert unfinished.unneeded(3) == 10
    assert unfinished.unneeded(3) == 10


def test_labels_have_a_subject_of_their_own_and_bad_marks_lie_beside_the_reports() -> None:
    q, late = SkipReason.QUARANTINED, SkipReason.LATE
    skipped = Skipped(
        np.array([4, 5, 6, 7], columns.U64),
        np.array([1, 0, 0, 2], columns.U32),
        np.array([q, q, q, late], columns.U8),
        ("not-json", "label-value", "bad-mark", ""),
    )
    empty = np.empty((0, 1), np.float32)
    batch = Features("p", "d", Flow(skipped=skipped), Rows.none(), empty, np.empty(0, np.uint8))
    message = Input(1, 0, "features.p.d.0", None, columns.encode_features(batch))
    found = [(d.subject, d.key) for d in route(message, "reports", "labels")]
    assert found == [("reports", (4, 0)), ("labels", (5, 0)), ("reports", (6, 0))]
