"""A conformal test martingale: is what comes still like what came, whatever its distribution?

Each block has a nonconformity, larger the stranger it is. Its p-value is its rank among those of the
blocks before that lay in the same part of the season, with ties broken at random; while blocks of a
part are exchangeable p-values are independent and uniform (Vovk, Gammerman & Shafer, *Algorithmic
Learning in a Random World*, 2nd ed. 2022, ch. 4 on Mondrian predictors and ch. 8). The Simple Jumper bets on small or on large ones or on neither and changes its mind with probability `JUMP`
a block:

    capital_e <- (1 - J) capital_e + J / 3 sum(capital)       e in -1, 0, 1
    capital_e <- capital_e (1 + e (p - 1/2))

A long calm makes the martingale small and then slow, so it is watched by Shiryaev and Roberts' rule,
`evidence <- (evidence + 1) * growth`: without a change it takes at least `ALARM` blocks on average
until the evidence reaches `ALARM` (Vovk et al., *Retrain or not retrain*, COPA 2021).

Beyond `MAX_KNOWN` blocks, shared among the parts, nonconformities are compared with the first ones
alone, which is exact only as far as those tell the distribution.
"""

import hashlib
from typing import Final, Self

from flyball_proto.events import Wire

JUMP: Final = 0.01
BETS: Final = (-1.0, 0.0, 1.0)
ALARM: Final = 1_000.0
CEILING: Final = 1e6
"""Evidence is cut off here, which changes nothing: it is far beyond the alarm."""
MAX_KNOWN: Final = 512


class Jumper(Wire):
    """The martingale and the blocks that it knows; under 12 kB as JSON."""

    known: tuple[tuple[float, ...], ...] = ()  # by part of the season
    capital: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    evidence: float = 0.0

    @property
    def alarms(self) -> bool:
        """Whether blocks are unlike those of before."""
        return self.evidence >= ALARM

    def take(self, nonconformity: float, name: int, part: int = 0, parts: int = 1) -> Self:
        """One more block; `name` tells it from all others and breaks ties."""
        known = self.known or ((),) * parts
        p = p_value(known[part], nonconformity, uniform(name))
        shared = JUMP * sum(self.capital) / len(BETS)
        grown = [
            ((1 - JUMP) * held + shared) * (1 + bet * (p - 0.5))
            for held, bet in zip(self.capital, BETS, strict=True)
        ]
        growth = sum(grown)
        if len(known[part]) < MAX_KNOWN // parts:
            more = (*known[part], nonconformity)
            known = (*known[:part], more, *known[part + 1 :])
        return type(self)(
            known=known,
            capital=tuple(held / growth for held in grown),
            evidence=min(CEILING, (self.evidence + 1) * growth),
        )

    def again(self) -> Self:
        """No bet was made yet; the known blocks stay."""
        return type(self)(known=self.known)


def p_value(known: tuple[float, ...], value: float, tie: float) -> float:
    """The smoothed rank of `value` among the known ones and itself; `tie` is uniform in [0, 1)."""
    larger = sum(one > value for one in known)
    equal = 1 + sum(one == value for one in known)
    return (larger + tie * equal) / (len(known) + 1)


def uniform(name: int) -> float:
    """A number in [0, 1) that follows from a name and looks random."""
    digest = hashlib.blake2b(name.to_bytes(8, "little", signed=True), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64
