"""Which holds somebody on the command line means, and what they say to them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from flyball_local.invalid import InvalidInputError
from flyball_proto.holds import MAX_BULK, Hold, ReasonCode
from flyball_proto.spec import parse_duration_ms


@dataclass(frozen=True, slots=True)
class Given:
    """An answer, who gives it and why."""

    answer: Literal["approve", "deny"]
    by: str
    why: str
    code: ReasonCode = "other"


@dataclass(frozen=True, slots=True)
class Filters:
    """What the holds that are meant have in common."""

    pipeline: str | None = None
    element: str | None = None
    action: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    older_than_s: float | None = None

    @property
    def are_any(self) -> bool:
        """Whether anything is asked for at all."""
        return self != Filters()

    def match(self, hold: Hold, now: datetime) -> bool:
        """Whether a hold is meant."""
        age_s = (now - hold.opened_at).total_seconds()
        return (
            self.pipeline in {None, hold.pipeline}
            and self.element in {None, hold.element}
            and self.action in {None, hold.action}
            and self.labels.items() <= hold.labels.items()
            and age_s >= (self.older_than_s or 0)
        )


def filters_of(
    pipeline: str | None,
    element: str | None,
    action: str | None,
    labels: Sequence[str] | None,
    older_than: str | None,
) -> Filters:
    """Options as they were written.

    Raises:
        InvalidInputError: A label is no NAME=VALUE, or a time is none.
    """
    pairs = {}
    for label in labels or ():
        name, equals, value = label.partition("=")
        if not (name and equals and value):
            raise InvalidInputError(
                f"--label {label!r}: found no NAME=VALUE; as in --label site=s1"
            )
        pairs[name] = value
    return Filters(pipeline, element, action, pairs, _seconds(older_than))


def check_count(found: int, expected: int | None, verb: str) -> None:
    """Whether as many may be answered at once, and as many as were expected.

    Raises:
        InvalidInputError: They may not; nothing was answered.
    """
    if expected is not None and found != expected:
        raise InvalidInputError(
            f"holds {verb} --all --expect {expected}: {found} open holds match, so none was "
            "answered; look at them again (flyball holds list) and expect what you see"
        )
    if found > MAX_BULK:
        raise InvalidInputError(
            f"holds {verb} --all: {found} open holds match, at most {MAX_BULK} are answered at once; "
            "narrow it with --action, --label, --element or --older-than"
        )


def _seconds(older_than: str | None) -> float | None:
    if older_than is None:
        return None
    try:
        return parse_duration_ms(older_than) / 1000
    except ValueError as error:
        raise InvalidInputError(f"--older-than: {error}") from error
