"""Whether a canary step is safe: technical guards, no evidence of accuracy. Pure.

Each guard compares what the canary did with what the active model did in the same epoch:

    errors       a runtime tripped over the canary                      error
    rows         at least `MIN_ROWS` of the canary, else                inconclusive
    numbers      scores that are not finite: none more than the active's share
    actions      total variation between the shares of proposed actions
    categories   the same of risk categories
    held         share of verdicts that hold or deny, at most `MAX_HELD` above the active's
    latency      p99 of a call, live only, `MAX_SLOWER` times the active's in the same interval

Elements that a hash chose differ from the rest by chance, so shares are compared with a bound and
not for equality. Missing data is never success.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeVar

from pydantic import Field

from flyball_proto.columns import Category, Tally, Verdict
from flyball_proto.events import Wire
from flyball_proto.judgements import Guard

MIN_ROWS: Final = 500
MAX_VARIATION: Final = 0.1
"""Total variation of shares; that of 500 rows of the same kind is below 0.06 in 99 of 100 cases."""

MAX_HELD: Final = 0.1
MAX_NOT_FINITE: Final = 0.001
MAX_SLOWER: Final = 1.5
SLACK_MS: Final = 0.5
"""Calls that differ by less are equally fast: it is the noise of one machine."""

NO_ACTION: Final = ""

K = TypeVar("K")
Outcome = Literal["pass", "fail", "inconclusive", "error"]
_WORST_FIRST: Final[tuple[Outcome, ...]] = ("error", "fail", "inconclusive")


class Counts(Wire):
    """What one side of a canary step did; a handful of numbers."""

    rows: int = 0
    not_finite: int = 0
    action: dict[str, int] = Field(default={})
    verdict: dict[int, int] = Field(default={})
    category: dict[int, int] = Field(default={})

    def add(self, tally: Tally) -> "Counts":
        """Count more rows."""
        return Counts(
            rows=self.rows + tally.rows,
            not_finite=self.not_finite + tally.not_finite,
            action=_sum(self.action, tally.action),
            verdict=_sum(self.verdict, tally.verdict),
            category=_sum(self.category, tally.category),
        )


class Latency(Wire):
    """The 99th percentile of a call, as the slowest partition measured it last."""

    canary_ms: float
    active_ms: float


class Step(Wire):
    """One canary step, from its first decision on."""

    digest: str
    epoch: int
    percent: int
    since_ms: int
    canary: Counts = Counts()
    active: Counts = Counts()
    latency: Latency | None = None
    tripped: str = ""
    told: tuple[str, ...] = ()  # outcomes that were judged: at most one of each

    def add(self, tallies: Sequence[Tally]) -> "Step":
        """Count what was decided during the step."""
        canary, active = self.canary, self.active
        for tally in tallies:
            if tally.model.epoch < self.epoch:
                continue
            if tally.model.stage != "canary":
                active = active.add(tally)
            elif tally.model.digest == self.digest:
                canary = canary.add(tally)
        return self.model_copy(update={"canary": canary, "active": active})


def guards(step: Step) -> tuple[Guard, ...]:
    """Every guard of a step, with what was found and what is allowed."""
    canary, active = step.canary, step.active
    found = [
        _guard("errors", "error" if step.tripped else "pass", step.tripped or "none", "none"),
        _guard(
            "rows",
            "pass" if min(canary.rows, active.rows) >= MIN_ROWS else "inconclusive",
            f"{canary.rows} of the canary, {active.rows} of the active model",
            f"at least {MIN_ROWS} each",
        ),
    ]
    if canary.rows:
        found.append(_not_finite(canary, active))
    if min(canary.rows, active.rows) >= MIN_ROWS:
        found += [
            _variation("actions", _actions(canary), _actions(active)),
            _variation("categories", _categories(canary), _categories(active)),
            _held(canary, active),
        ]
    if step.latency is not None:
        found.append(_latency(step.latency))
    return tuple(found)


def outcome(found: Sequence[Guard]) -> Outcome:
    """The worst of all guards; `pass` only if every one passed."""
    said = {guard.outcome for guard in found}
    return next((word for word in _WORST_FIRST if word in said), "pass")


def to_tell(step: Step, clock_ms: int, block_ms: int) -> tuple[Outcome, tuple[Guard, ...]] | None:
    """What to judge now: a conclusion at once, once; what is inconclusive after four blocks, once."""
    found = guards(step)
    said = outcome(found)
    if said in step.told or {"pass", "fail", "error"} & set(step.told):
        return None
    if said == "inconclusive" and clock_ms < step.since_ms + 4 * block_ms:
        return None
    return said, found


def _not_finite(canary: Counts, active: Counts) -> Guard:
    share, usual = canary.not_finite / canary.rows, active.not_finite / max(1, active.rows)
    limit = usual + MAX_NOT_FINITE
    enough = canary.rows >= MIN_ROWS
    bad = share > limit and (enough or canary.not_finite >= MAX_NOT_FINITE * MIN_ROWS)
    return _guard(
        "numbers",
        "fail" if bad else "pass",
        f"{canary.not_finite} of {canary.rows} scores are not finite",
        f"at most {limit:.2%}",
    )


def _variation(name: str, canary: Mapping[str, float], active: Mapping[str, float]) -> Guard:
    """Half the sum of differences of shares."""
    keys = sorted(canary.keys() | active.keys())
    apart = {key: canary.get(key, 0.0) - active.get(key, 0.0) for key in keys}
    total = sum(map(abs, apart.values())) / 2
    most = max(keys, key=lambda key: abs(apart[key]), default="")
    return _guard(
        name,
        "fail" if total > MAX_VARIATION else "pass",
        f"{total:.3f} apart; {most or 'no action'} {canary.get(most, 0):.1%} "
        f"against {active.get(most, 0):.1%}",
        f"at most {MAX_VARIATION:g}",
    )


def _held(canary: Counts, active: Counts) -> Guard:
    mine, usual = _held_share(canary), _held_share(active)
    return _guard(
        "held",
        "fail" if mine > usual + MAX_HELD else "pass",
        f"{mine:.1%} held or denied",
        f"at most {usual + MAX_HELD:.1%}",
    )


def _latency(latency: Latency) -> Guard:
    limit_ms = MAX_SLOWER * latency.active_ms + SLACK_MS
    return _guard(
        "latency",
        "fail" if latency.canary_ms > limit_ms else "pass",
        f"p99 {latency.canary_ms:.2f} ms",
        f"at most {limit_ms:.2f} ms, the active model takes {latency.active_ms:.2f} ms",
    )


def _actions(counts: Counts) -> dict[str, float]:
    """Shares of proposals; rows without one, too."""
    proposed = {name: n for name, n in counts.action.items() if name != NO_ACTION}
    shares = {name: n / counts.rows for name, n in proposed.items()}
    return shares | {NO_ACTION: 1.0 - sum(shares.values())}


def _categories(counts: Counts) -> dict[str, float]:
    return {_category(k): n / counts.rows for k, n in counts.category.items()}


def _category(value: int) -> str:
    return Category(value).name.lower() if value in set(Category) else str(value)


def _held_share(counts: Counts) -> float:
    return sum(counts.verdict.get(v, 0) for v in (Verdict.HOLD, Verdict.DENY)) / counts.rows


def _guard(name: str, said: Outcome, found: str, limit: str) -> Guard:
    return Guard(name=name, outcome=said, found=found, limit=limit)


def _sum(left: Mapping[K, int], right: Mapping[K, int]) -> dict[K, int]:
    return dict(Counter(left) + Counter(right))
