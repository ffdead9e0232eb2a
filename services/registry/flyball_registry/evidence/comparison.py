"""One trainer against the one in the seat: from rows to blocks to a word.

    scale (regression only)  ->  pilot of 20 blocks  ->  bets, no word before 40 blocks

A comparison keeps its number, its level and its margin for life. It is `superior` only when a whole
number of seasons was bet on, at least one, and not against the veto of a slice. While a slice leans
to a veto it waits, for up to eight times the blocks that the evidence took.

Why whole seasons: an advantage that comes and goes with the day lets the evidence rise through every
good half of it. Bets on independent blocks whose means over a season sum to no more than nothing
multiply, over that season, to at most 1 on average (by the inequality of the means), wherever in the
day it begins. So the evidence at ends of seasons keeps its level, and only there.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, Self

from pydantic import Field

from flyball_proto.events import Wire
from flyball_registry.evidence import betting, slices
from flyball_registry.evidence.account import Entry
from flyball_registry.evidence.betting import Bets, Verdict
from flyball_registry.evidence.blocks import Sums
from flyball_registry.evidence.design import Design, Floats
from flyball_registry.evidence.findings import (
    Equivalent,
    Inferior,
    Outcome,
    Standing,
    Superior,
    Undecided,
)
from flyball_registry.evidence.losses import saturate
from flyball_registry.evidence.scales import Scale
from flyball_registry.evidence.seasons import Usual
from flyball_registry.evidence.slices import Labelled, Slice

UNDECIDED_BLOCKS: Final = 500
"""First report that a comparison is undecided, in base blocks; then at each doubling."""

PATIENCE: Final = 8
"""How many times the blocks of the first sufficient evidence a leaning slice may make it wait; a
slice that gets no more rows would lean for good."""

PILOTS: Final = tuple(betting.PILOT_BLOCKS * factor for factor in (1, 2, 4, 8, 16))
"""Base blocks of a pilot, by the size of its blocks."""

Word = Literal["superior", "inferior", "equivalent", "undecided"]
KINDS: Final[dict[Word, type[Outcome]]] = {
    "superior": Superior,
    "inferior": Inferior,
    "equivalent": Equivalent,
    "undecided": Undecided,
}


class Comparison(Wire):
    """State of one comparison: under 20 kB as JSON, 40 with as many slices as are told apart."""

    trainer: str
    over: str
    scale: Scale
    bets: Bets
    usual: Usual  # the challenger's own block losses, for the watch should it win
    number: int = 0  # 0 = no block closed yet
    alpha: float = 1.0
    first_ms: int = -1
    sums: Sums = Sums()  # of the open block: active less challenger, and the challenger's loss
    slices: dict[str, Slice] = Field(default_factory=dict)
    said: tuple[Word, ...] = ()
    report_at: int = UNDECIDED_BLOCKS
    pilots_ms: tuple[int, ...] = ()  # when 20, 40, 80, 160, 320 base blocks had ended
    seasons: int = 0  # whole ones bet on
    whole_ms: int = -1  # end of the block with which the last of them was whole
    reached: int = 0  # base blocks after which the evidence was enough for the first time

    @classmethod
    def begin(cls, trainer: str, over: str, design: Design) -> Self:
        """Nothing compared yet; the account numbers it when its first block closes."""
        return cls(
            trainer=trainer,
            over=over,
            scale=Scale.of(design.task),
            bets=Bets(margin=design.margin),
            usual=Usual.of(design.season_ms, design.block_ms),
        )

    def entered(self, entry: Entry) -> Self:
        """With its number and level."""
        return self.model_copy(update={"number": entry.comparison, "alpha": entry.alpha})

    def gather(
        self,
        first_ms: int,
        weight: Floats,
        active: Floats,
        challenger: Floats,
        labels: Sequence[Labelled],
    ) -> Self:
        """Take rows of the open block that both have a score for: errors (n,) each."""
        update: dict[str, object] = {}
        if self.first_ms < 0:
            update["first_ms"] = first_ms
        if self.scale.reference is None:
            update["scale"] = self.scale.gather(active, challenger)
            nothing = weight * 0.0
            return self._with(update, self.sums.add(weight, nothing))
        ours = saturate(challenger, self.scale.reference)
        theirs = saturate(active, self.scale.reference)
        difference = theirs - ours
        if labels:
            update["slices"] = slices.gather(self.slices, labels, weight, difference)
        large = int(((ours >= 1.0) | (theirs >= 1.0)).sum())
        update["scale"] = self.scale.count(len(weight), large)
        return self._with(update, self.sums.add(weight, difference, ours))

    def close(self, end_ms: int, design: Design) -> tuple["Comparison", Outcome | None]:
        """A block of at least `min_block_rows` rows ends; what is to be said for the first time."""
        if self.scale.reference is None:
            return self._with({"scale": self.scale.close()}, Sums()), None
        difference, loss = self.sums.means
        bets, _ = betting.extend(self.bets, (difference,))
        closed = self._with(
            {
                **self._looked(bets, end_ms, design.season_ms),
                "bets": bets,
                "usual": self.usual.add(self.usual.part(end_ms, design.season_ms), loss),
                "slices": slices.close(self.slices, design.margin, design.min_block_rows),
            },
            Sums(),
        )
        if not closed.reached and betting.verdict(bets, closed.alpha) == "superior":
            closed = closed.model_copy(update={"reached": bets.base_blocks})
        return _said(closed, end_ms, design)

    def verdict(self, end_ms: int, design: Design) -> tuple[Verdict, str]:
        """The word for the evidence up to a block's end, and what keeps it from being another."""
        word = betting.verdict(self.bets, self.alpha)
        if word != "superior":
            return word, ""
        if design.season_ms and not self.seasons:
            return "continue", "better so far, but less than one season was compared"
        if (worse := slices.veto(self.slices)) is not None:
            return "continue", f"better on the whole, but worse where {worse}"
        if (worse := slices.leaning(self.slices, design.margin)) is not None and self._may_wait:
            return "continue", f"better on the whole, but perhaps worse where {worse}"
        if design.season_ms and end_ms != self.whole_ms:
            return "continue", "better so far, to be decided when the next season is whole"
        return word, ""

    @property
    def _may_wait(self) -> bool:
        return not self.reached or self.bets.base_blocks < PATIENCE * self.reached

    def season_left_ms(self, now_ms: int, season_ms: int) -> int:
        """Until the first season is whole, from the pilot's end on; the whole of it before that."""
        begun = self._begun_ms(self.bets)
        if self.seasons or not season_ms:
            return 0
        return season_ms if begun is None else max(0, season_ms - (now_ms - begun))

    def outcome(self, word: Word, detail: str, end_ms: int) -> Outcome:
        """A word to be announced, with all figures beside it."""
        return KINDS[word](**self._figures(detail, end_ms))

    def standing(self, end_ms: int, design: Design) -> Standing:
        """The word for now, with all figures beside it."""
        word, detail = self.verdict(end_ms, design)
        return Standing(**self._figures(detail, end_ms), word=word)

    @property
    def is_outgrown(self) -> bool:
        """Whether errors outgrew the frozen scale, so that a new comparison must open."""
        return self.scale.is_outgrown and "superior" not in self.said

    def _looked(self, bets: Bets, end_ms: int, season_ms: int) -> dict[str, object]:
        """Whether a season became whole with the block that ends, and where later ones begin."""
        update, begun = dict[str, object](), self._begun_ms(bets)
        if bets.base_blocks in PILOTS:
            update["pilots_ms"] = (*self.pilots_ms, end_ms)
        if not season_ms or begun is None or bets.carried:
            return update
        seasons = (end_ms - begun) // season_ms
        if bets.factor != self.bets.factor:
            return {**update, "seasons": seasons}
        if seasons > self.seasons:
            update |= {"seasons": seasons, "whole_ms": end_ms}
        return update

    def _begun_ms(self, bets: Bets) -> int | None:
        """End of the pilot; None while it runs."""
        at = PILOTS.index(betting.PILOT_BLOCKS * bets.factor)
        return self.pilots_ms[at] if at < len(self.pilots_ms) else None

    def _with(self, update: dict[str, object], sums: Sums) -> Self:
        return self.model_copy(update={**update, "sums": sums})

    def _figures(self, detail: str, end_ms: int) -> dict[str, Any]:
        low, high = betting.bounds(self.bets, self.alpha)
        size = f" of {self.bets.factor} base blocks" if self.bets.factor > 1 else ""
        known = f"better by {low:+.6f} to {high:+.6f} after {self.bets.blocks} blocks{size}"
        return {
            "at_ms": end_ms,
            "trainer": self.trainer,
            "over": self.over,
            "comparison": self.number,
            "log_e": betting.evidence(self.bets)[0],
            "threshold": math.log(1 / self.alpha),
            "blocks": self.bets.base_blocks,
            "better_by_at_least": low,
            "expected_blocks": betting.expected_blocks(self.bets, self.alpha),
            "saturated_ratio": self.scale.saturated_ratio,
            "detail": f"{detail}: {known}" if detail else known,
        }


def _said(now: Comparison, end_ms: int, design: Design) -> tuple[Comparison, Outcome | None]:
    """What is to be said for the first time, and the comparison that has said it."""
    if "superior" in now.said:
        return now, None
    word, detail = now.verdict(end_ms, design)
    if word != "continue":
        if word in now.said:
            return now, None
        said = now.model_copy(update={"said": (*now.said, word)})
        return said, now.outcome(word, detail, end_ms)
    if now.bets.base_blocks < now.report_at:
        return now, None
    later = now.model_copy(update={"report_at": 2 * now.report_at})
    return later, now.outcome("undecided", detail, end_ms)
