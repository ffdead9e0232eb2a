"""How the story stands and how it ended: evidence, losses, effect of acting, delivery."""

from typing import Final

from nats.aio.client import Client

from flyball_gateway.dora import dora
from flyball_kit.clock import utc_now
from flyball_kit.kv import Kv
from flyball_local.demo.losses import Losses
from flyball_local.demo.script import PIPELINE, Script
from flyball_local.demo.story import Telling
from flyball_local.simulator.rehearsal import BEGIN_MS
from flyball_proto import streams
from flyball_proto.progress import Comparison, Standings
from flyball_proto.spec import BASELINE

BEFORE_MS: Final = 1_800_000
"""The loss before the change is that of half an hour."""


async def standing(client: Client, losses: Losses, now_ms: int) -> str:
    """One line: how good decisions were in the last quarter of an hour, and what evidence there is."""
    found = losses.brier(now_ms - 900_000, now_ms)
    loss = "" if found is None else f"Brier {_loss(found)}; "
    standings = await _standings(client)
    if standings is None or not standings.seat_trainer:
        return f"{loss}no labels yet"
    compared = ", ".join(
        f"{c.trainer} {c.log_e:.1f} of {c.threshold:.1f}" for c in standings.comparisons
    )
    return f"{loss}{standings.seat_trainer} in the seat; evidence: {compared or 'none yet'}"


async def lines(client: Client, telling: Telling, losses: Losses, script: Script) -> list[str]:
    """The summary, one line a part of the story; what did not come is said plainly."""
    standings = await _standings(client)
    return [
        "",
        f"succession {_succession(telling, standings)}",
        f"recovery   {_recovery(telling, losses, script)}",
        f"effect     {_effect(telling, standings)}",
        f"people     {_people(telling)}",
        f"delivery   {_delivery(telling)}",
    ]


async def _standings(client: Client) -> Standings | None:
    records: Kv[Standings] = Kv(lambda: client, streams.STANDINGS, Standings)
    return (await records.load(PIPELINE))[0]


def _succession(telling: Telling, standings: Standings | None) -> str:
    won = [(at, e) for at, e in telling.seats if e.change == "succession"]
    if won:
        at_ms, event = won[0]
        hours = (at_ms - BEGIN_MS) / 3_600_000
        return f"{event.trainer} took the seat after {hours:.1f} h: {event.reason}"
    return f"none yet: {_evidence(standings.comparisons if standings else ())}"


def _evidence(comparisons: tuple[Comparison, ...]) -> str:
    if not comparisons:
        return "no comparison is open"
    best = max(comparisons, key=lambda c: c.log_e - c.threshold)
    return f"evidence {best.log_e:.1f} of {best.threshold:.1f} for {best.trainer}"


def _recovery(telling: Telling, losses: Losses, script: Script) -> str:
    change_ms = BEGIN_MS + round(script.change_hour * 3_600_000)
    end_ms = BEGIN_MS + round(script.hours * 3_600_000)
    newer = [(at, e) for at, e in telling.seats if at > change_ms and e.trainer != BASELINE]
    until_ms = newer[0][0] if newer else end_ms
    before = losses.brier(max(BEGIN_MS, change_ms - BEFORE_MS), change_ms - 30_000)
    during = losses.brier(change_ms, until_ms)
    words = [f"Brier {_loss(before)} before the change, {_loss(during)} after it"]
    drifts = [at for at, _ in telling.drifts if at > change_ms]
    if drifts:
        words.append(f"drift seen after {(drifts[0] - change_ms) / 60_000:.0f} min")
    if not newer:
        return f"{', '.join(words)}; no newer model yet"
    after = losses.brier(newer[-1][0], end_ms)
    minutes = (newer[0][0] - change_ms) / 60_000
    words.append(f"a newer model after {minutes:.0f} min, {_loss(after)} with the last one")
    return ", ".join(words)


def _loss(found: tuple[float, float] | None) -> str:
    """A Brier score and how far it is below that of the last value, which knows how hard it was."""
    if found is None:
        return "unknown"
    score, last = found
    return f"{score:.3f} ({_below(score, last)})"


def _below(score: float, last: float) -> str:
    share = 1 - score / last if last else 0.0
    return f"{abs(share):.0%} {'below' if share >= 0 else 'above'} the last value's {last:.3f}"


def _effect(telling: Telling, standings: Standings | None) -> str:
    """Load when it was decided and 40 s later, acted on and left alone at random."""
    words = [
        f"{what}: {found.before / found.count:.0f} → {found.after / found.count:.0f} % load "
        f"({found.count} times)"
        for what, found in telling.effects.items()
    ]
    if standings is not None and standings.effect.withheld_mean is not None:
        mean, rows = standings.effect.withheld_mean, standings.effect.withheld_rows
        words.append(f"{mean:.0%} of {rows} rows left alone were congested within 30 s")
    return ", ".join(words) or "not measured: nothing was acted on"


def _people(telling: Telling) -> str:
    kinds = ("holds by boundary", "holds by risk", "expired holds", "denials", "capped actions")
    return ", ".join(f"{telling.counts[kind]} {kind}" for kind in kinds)


def _delivery(telling: Telling) -> str:
    """DORA's measures of the loop's own deployments."""
    found = dora(PIPELINE, tuple(telling.heard), now=utc_now())
    failed = "" if found.change_fail_rate is None else f" ({found.change_fail_rate:.0%})"
    return (
        f"{found.deployments} deployments ({_counts(found.by_change)}), lead time fit → active "
        f"{_seconds(found.machine_lead_s)}, {found.failed} failed{failed}, recovery of a failed one "
        f"{_seconds(found.recovery_s)}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _seconds(value: float | None) -> str:
    return "nothing to measure" if value is None else f"{value:.2f} s"
