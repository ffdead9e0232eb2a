"""Where comparisons stand and what they wait for, in sentences. Pure."""

from collections.abc import Iterable
from typing import Final

from flyball_gateway.awaited.phrases import listed, span, thousands
from flyball_gateway.awaited.situation import Situation
from flyball_proto.progress import Comparison, Standings
from flyball_proto.spec import BASELINE

_SETTLED: Final = {"inferior": "worse, by evidence", "equivalent": "no difference, by evidence"}


def season(now: Situation) -> Iterable[str]:
    """How long the guard of a whole season lasts, once anything can be compared."""
    found, seat = now.evidence, now.deployment
    if found is None or seat is None or seat.frozen or seat.pinned is not None:
        return
    learnt = found.comparisons or any(p.models for p in now.trainers)
    if not found.season_left_ms or not learnt:
        return
    which = "first" if seat.trainer == BASELINE else "next"
    when = now.when(found.season_left_ms)
    done_ms = found.season_ms - found.season_left_ms
    compared = f"{span(done_ms)} are" if done_ms else "nothing is yet"
    possible = f"{which} succession possible {when}" if when else f"no {which} succession yet"
    yield f"{possible}: a season of {span(found.season_ms)} has to be compared, {compared}"


def evidence(now: Situation) -> Iterable[str]:
    """Every comparison, the one that is nearest to its bound first; those without any together."""
    found, seat = now.evidence, now.deployment
    if found is None or seat is None:
        return
    canary = seat.canary.trainer if seat.canary else None
    compared = [
        c for c in found.comparisons
        if c.over == seat.trainer and c.trainer != canary and c.blocks and c.threshold > 0
    ]  # fmt: skip
    open_yet = [c for c in compared if c.log_e <= 0 and c.word not in _SETTLED]
    for one in sorted(compared, key=lambda c: (-c.log_e / c.threshold, c.trainer)):
        if one not in open_yet:
            yield f"{one.trainer} against {one.over}: {_standing(one, found)}"
    if open_yet:
        names, blocks = listed(sorted(c.trainer for c in open_yet)), {c.blocks for c in open_yet}
        after = f"{'' if len(blocks) == 1 else 'at most '}{_blocks(max(blocks), found)}"
        yield f"{names} against {seat.trainer}: no evidence yet after {after}"


def _standing(one: Comparison, found: Standings) -> str:
    if one.word == "superior":
        return "better, by evidence; its canary is next"
    if one.word in _SETTLED:
        return _SETTLED[one.word]
    shown = f"evidence {one.log_e:.1f} of {one.threshold:.1f}"
    if one.expected_blocks:
        return f"{shown}, about {_blocks(one.expected_blocks, found, 'more ')}"
    if one.expected_blocks == 0:  # something else than the evidence is missing
        reason = one.detail.split(": ")[0]
        return f"{shown}, {reason}" if reason.startswith("better") else shown
    return f"{shown} after {_blocks(one.blocks, found)}"


def _blocks(count: int, found: Standings, more: str = "") -> str:
    plural = "" if count == 1 else "s"
    return f"{thousands(count)} {more}block{plural} of {span(found.block_ms)}"
