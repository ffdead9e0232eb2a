"""Where a pipeline's models stand, for people to see: a small extract of the scoreboard. Pure."""

from datetime import datetime
from typing import Final

from flyball_proto import progress
from flyball_proto.progress import Comparison, Standings
from flyball_registry.contract import Contract
from flyball_registry.evidence.design import ACTIVE
from flyball_registry.evidence.effects import Arms
from flyball_registry.records.figures import columns
from flyball_registry.records.scoreboard import Effect, Figures, Mean, Scoreboard, Standing

MAX_DETAIL_CHARS: Final = 500
"""With it and the bounds of the evaluation a record has under 200 kB."""


def standings(board: Scoreboard, contract: Contract, at: datetime) -> Standings:
    """The extract of a scoreboard whose figures are made (`Scoreboard.shown`)."""
    seat, active, design = board.seat, board.figures.get(ACTIVE), contract.design
    return Standings(
        pipeline=board.pipeline,
        feature_digest=board.feature_digest,
        at=at,
        task=contract.task,
        metric=contract.metric,
        now_ms=max(0, board.folded_ms),
        labelled=_labelled(active, contract.task) if active else 0,
        unlabelled=board.unlabelled,
        block_ms=contract.block_ms,
        season_ms=design.season_ms if design else 0,
        season_left_ms=_season_left_ms(board, contract),
        seat_trainer=seat.trainer if seat else "",
        seat_digest=seat.digest if seat else "",
        share=board.share,
        figures=columns(board, contract),
        comparisons=comparisons(board),
        effect=_effect(board.effect),
        judgements=board.number,
        why_not=contract.why_not,
        opened=board.state.account.opened,
        successions=board.state.account.successions,
    )


def comparisons(board: Scoreboard) -> tuple[Comparison, ...]:
    """Where each comparison stands."""
    return tuple(_comparison(one) for one in board.comparisons)


def _labelled(active: Figures, task: str) -> int:
    """A regression leaves rows without a finite score out of its means."""
    return active.rows + (active.not_finite if task == "regression" else 0)


def _season_left_ms(board: Scoreboard, contract: Contract) -> int:
    """Of the comparison that has run longest; a whole season while none has begun."""
    season_ms, now_ms = contract.design.season_ms if contract.design else 0, board.state.open_ms
    begun = [c for c in board.state.comparisons.values() if c.first_ms >= 0]
    return min((c.season_left_ms(now_ms, season_ms) for c in begun), default=season_ms)


def _comparison(one: Standing) -> Comparison:
    return Comparison(
        trainer=one.trainer,
        over=one.over,
        comparison=one.comparison,
        log_e=one.log_e,
        threshold=one.threshold,
        blocks=one.blocks,
        better_by_at_least=one.better_by_at_least,
        expected_blocks=one.expected_blocks,
        word=one.word,
        detail=one.detail[:MAX_DETAIL_CHARS],
    )


def _of_action(action: str, arms: Arms) -> progress.ActionEffect:
    low, high = arms.interval or (None, None)
    return progress.ActionEffect(
        action=action,
        withheld_rows=arms.withheld.rows,
        withheld_mean=arms.withheld.mean,
        acted_rows=arms.acted.rows,
        acted_mean=arms.acted.mean,
        difference=arms.difference,
        low=low,
        high=high,
    )


def _effect(effect: Effect) -> progress.Effect:
    return progress.Effect(
        withheld_rows=effect.withheld.rows,
        withheld_mean=_mean(effect.withheld),
        acted_rows=effect.acted.rows,
        acted_mean=_mean(effect.acted),
        actions=tuple(_of_action(name, arms) for name, arms in sorted(effect.actions.items())),
    )


def _mean(mean: Mean) -> float | None:
    return mean.total / mean.weight if mean.weight else None
