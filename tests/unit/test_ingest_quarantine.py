"""Which reports a quarantine may still have to read."""

from flyball_ingest.quarantine import Unfinished
from flyball_kit.fold import Input
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
