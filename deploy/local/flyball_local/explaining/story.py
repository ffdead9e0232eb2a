"""The story of one decision, and how it reads on one screen. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from flyball_local.lineage.trail import DecidedRow, Trail, origin_lines
from flyball_proto.outcomes import ActionOutcome
from flyball_risk.scoring.reasons import FLAWS

UNLIKE = 0.05
"""A novelty below it means: the model has seen little like this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the hold. `by` is empty when nobody answered."""

    outcome: str
    by: str = ""
    code: str = ""
    why: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The action as it went out."""

    action: str
    element: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about the decision, once it was known."""

    value: float
    known_ms: int
    is_censored: bool


@dataclass(frozen=True, slots=True)
class Vouched:
    """The first checkpoint that covers the verdict, and who wrote it as which act."""

    by: str
    act: int
    at: datetime
    key: str
    """Public key of the signature; empty = unsigned."""


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that was found; None = nothing of the kind, or not kept any more."""

    row: DecidedRow
    trail: Trail | None = None
    answer: Answer | None = None
    sent: Sent | None = None
    outcome: ActionOutcome | None = None
    label: Label | None = None
    vouched: Vouched | None = None
    source: str = "the streams"
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        trail = self.trail or Trail(self.row.id.split(".", 1)[0], self.row.model, row=self.row)
        told = trail.as_json()
        told["missing"] = [*told["missing"], *self.missing]
        return told | {
            "answer": _plain(self.answer),
            "sent": _plain(self.sent),
            "outcome": self.outcome.model_dump(mode="json") if self.outcome else None,
            "label": _plain(self.label),
            "chain": {"entry": self.row.chain, "checkpoint": _plain(self.vouched)},
            "source": self.source,
        }


def lines(story: Story) -> Iterator[str]:
    """For people: what was said, how it was judged, what came of it, and where that is written."""
    row = story.row
    labels = f" {row.labels}" if row.labels not in ("", "{}") else ""
    yield _entry("decision", f"{row.id}: {row.element}{labels}, {_ms(row.time_ms)}")
    yield from _said(row)
    yield from _judged(row)
    yield from _became(story)
    trail = story.trail
    yield from origin_lines(trail) if trail else (_of_model(row),)
    yield from _chained(story)
    for words in story.missing:
        yield _entry("missing", words)


def _said(row: DecidedRow) -> Iterator[str]:
    of = f" of {row.class_name}" if row.class_name else ""
    proposed = f" → {row.action}" if row.action else ", proposes nothing"
    yield _entry("said", f"score {row.score:g}{of}{proposed}")
    words = [f"{name} {row.signals[name]:.3g}" for name in _DOUBTS if name in row.signals]
    if row.signals.get("novelty", 1.0) < UNLIKE:
        words.append("unlike what it learnt from")
    if words:
        yield _entry("", ", ".join(words))
    if row.quality:
        yield _entry("inputs", ", ".join(_FLAWS.get(flaw, flaw) for flaw in row.quality))


_FLAWS = {flaw.name.lower(): words for flaw, words in FLAWS.items() if flaw.name}
"""What is wrong with inputs, in risk's words; by name of the flag."""

_DOUBTS = ("confidence", "credibility", "novelty", "disagreement")


def _judged(row: DecidedRow) -> Iterator[str]:
    error = row.signals.get("error")
    made = f" = {error:.3g} likely wrong, times impact {row.risk / error:.3g}" if error else ""
    yield _entry("risk", f"{row.risk:.3g}{made}: {row.category.name.lower()}")
    why = f": {row.reason}" if row.reason else ""
    yield _entry("verdict", f"{row.verdict.name.lower()}{why}")
    under = ", ".join(f"{name} {number}" for name, number in sorted(row.revisions.items()))
    policy = f"policy {row.policy[:16]}, " if row.policy else ""
    yield _entry(
        "judged by", f"{policy}revisions of {under}" if under else policy or "not recorded"
    )


def _became(story: Story) -> Iterator[str]:
    if (answer := story.answer) is not None:
        yield _entry("hold", _answered(answer))
    if (sent := story.sent) is not None:
        yield _entry("action", f"{sent.action} was sent to {sent.element} {_at(sent.at)}")
    elif story.row.action is not None:
        yield _entry("action", f"none was sent, as far as {story.source} tell")
    if (outcome := story.outcome) is not None:
        yield _entry("outcome", _outcome(outcome))
    if (label := story.label) is not None:
        censored = "; an applied action changed it" if label.is_censored else ""
        yield _entry("truth", f"{label.value:g}, known {_ms(label.known_ms)}{censored}")


def _answered(answer: Answer) -> str:
    if answer.outcome == "open":
        return "waits for a person"
    who = f" by {answer.by}" if answer.by else ", nobody answered"
    code = f" ({answer.code})" if answer.code else ""
    when = f" {_at(answer.at)}" if answer.at else ""
    why = f": {answer.why}" if answer.why else ""
    return f"{answer.outcome}{who}{code}{when}{why}"


def _outcome(outcome: ActionOutcome) -> str:
    if outcome.told_at is None:
        return f"{outcome.state}: the element said nothing, due {_at(outcome.due_at)}"
    effect = ", ".join(f"{name} {value:g}" for name, value in sorted(outcome.effect.items()))
    words = ": ".join(filter(None, (outcome.detail, effect)))
    return f"{outcome.state}, told {_at(outcome.told_at)}{': ' if words else ''}{words}"


def _chained(story: Story) -> Iterator[str]:
    row = story.row
    pipeline = row.id.split(".", 1)[0]
    where = f"verdicts.{pipeline}.{row.partition}, VERDICTS {row.sequence}"
    if not row.chain:
        yield _entry("chained", f"{where}: not, it is from before there was a chain")
        return
    number, _, found = row.chain.partition(" ")
    yield _entry("chained", f"{where}: number {number}, hash {found[:16]}, {_at(row.stored_at)}")
    if (vouched := story.vouched) is None:
        yield _entry("", "no checkpoint covers it yet: one comes within 10 minutes")
        return
    by = f"signed by {vouched.key}" if vouched.key else "unsigned"
    yield _entry("", f"covered by act {vouched.act} of {vouched.by}, {_at(vouched.at)}, {by}")


def _of_model(row: DecidedRow) -> str:
    return _entry(
        "model", f"{row.model[:16]} of trainer {row.trainer} as {row.stage}, epoch {row.epoch}"
    )


def _plain(value: Answer | Sent | Label | Vouched | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(value).items()}


def _entry(name: str, words: str) -> str:
    return f"{name:<10}{words}"


def _at(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ms(time_ms: int) -> str:
    return _at(datetime.fromtimestamp(time_ms / 1000, UTC))
