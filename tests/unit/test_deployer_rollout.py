from datetime import UTC, datetime, timedelta

import pytest

from flyball_deployer.rollout import Activate, Seat, Stay, admitted
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(
    digest: str, *, minutes: int = 0, trainer: str = "baseline", stage: str = "challenger"
) -> ModelRecord:
    return ModelRecord(
        pipeline="p",
        digest=digest,
        manifest_digest="m",
        trainer=trainer,
        feature_digest="f",
        stage=stage,
        size_bytes=1,
        admitted_at=NOW + timedelta(minutes=minutes),
    )


def seat(record: ModelRecord | None, *, epoch: int = 4, trainer: str = "baseline") -> Seat:
    pointer = ActiveModel(
        digest=record.digest if record else "gone",
        trainer=trainer,
        feature_digest="f",
        epoch=epoch,
        since=NOW,
        reason="test",
    )
    return Seat(pointer, record)


@pytest.mark.parametrize(
    ("before", "candidate", "wanted"),
    [
        (Seat(), model("a"), 1),
        (Seat(), model("a", stage="refused"), "refused"),
        (Seat(), model("a", trainer="recent"), "by evidence"),
        (seat(model("a")), model("a"), "is active"),
        (seat(model("a")), model("b", minutes=1), 5),
        (seat(model("a", minutes=1)), model("b"), "admitted later"),
        (seat(model("a")), model("b"), "admitted later"),
        (seat(None), model("b"), 5),
        (seat(model("r"), trainer="recent"), model("b", minutes=1), "belongs to recent"),
    ],
)
def test_who_takes_the_seat(before: Seat, candidate: ModelRecord, wanted: int | str) -> None:
    transition = admitted(before, candidate, now=NOW)
    if isinstance(wanted, int):
        assert isinstance(transition, Activate)
        assert (transition.pointer.epoch, transition.pointer.digest) == (wanted, candidate.digest)
        assert transition.pointer.since == NOW
    else:
        assert isinstance(transition, Stay)
        assert wanted in transition.reason


def test_seeing_the_same_model_twice_moves_the_pointer_once() -> None:
    candidate = model("a")
    first = admitted(Seat(), candidate, now=NOW)
    assert isinstance(first, Activate)
    after = Seat(first.pointer, candidate)
    assert isinstance(admitted(after, candidate, now=NOW), Stay)
