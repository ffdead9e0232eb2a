"""The document that `make evidence` writes."""

from collections.abc import Callable, Sequence
from typing import Final

from tests.evidence import (
    accounting,
    acting,
    clearing,
    overlap,
    promoting,
    refreshing,
    siting,
    succession,
    watching,
)
from tests.evidence.section import Section, Size, Table

PARTS: Final[tuple[Callable[[Size], Section], ...]] = (
    succession.null,
    succession.seasonal,
    succession.power,
    overlap.section,
    watching.runs,
    watching.delays,
    refreshing.section,
    accounting.section,
    promoting.section,
    acting.section,
    siting.section,
    clearing.guarantee,
    clearing.changes,
)

HEAD: Final = """# Evidence

What the statistics of the loop promise, and whether they keep it. Every table is written by `make evidence`
(`python -m tests.evidence`): the code that decides in production is run over seeded streams, so that a second run
gives this file again. `make test` makes the same claims at a small size (`tests/evidence`), and sets traps: models
that look good and must not win (`tests/evidence/test_traps.py`).

A model takes the seat by a test by betting that is looked at after every block (Waudby-Smith & Ramdas 2024), at a
level that the account gives it (e-LOND, Xu & Ramdas 2024); it loses the seat by two e-detectors (Shin, Ramdas &
Rinaldo 2023). A **false succession** is a win of a model that is not better. A **block** is one number: the mean
loss of the active model less that of the other one over two horizons of event time or more. An advantage is given in
**spreads**, the standard deviation of such a number. After a share of runs, three standard errors of chance are
allowed for a level to be kept.

**What is proven, what is measured.** For independent blocks the level is a theorem for the *clipped* mean, `clip(X / 4s)`:
with a skewed loss the clipped mean is not 0 when the mean is, so left-skewed blocks come near to the level, and a harm
that shows in rare catastrophes only is found by the watch and not by this test. For correlated blocks the level is
measured, not proven: blocks double while their first 80 show a lag-1 correlation of 0.2 or more, and of few doubled
blocks it is underestimated. The shares under AR(0.6) and AR(0.8) are larger than those the test was designed with,
and under the level.

**Two faults that these simulations found, mended since.** *Waiting for one season* did not keep the level: an advantage
that comes and goes with the day won in 9 % of streams, with the week in 38 %, where the design says 0.8 %. In the good half of a later
season the evidence holds that season's gain and not yet its loss. With up to about a hundred blocks a day little of it
is seen, which is where the design's figure is from; with 288 it shows. Now only the ends of whole seasons of bets
count, where the level is a theorem for independent blocks. *A slice's veto* could come too late: the whole won after
50 blocks, a slice with a tenth of its rows needs more for its own evidence, and with ten sites, one of them much
worse, 25 of 30 such models were promoted. Now a slice that leans to the worse side makes the succession wait.

**What is not shown.** Profiles that are no season of the declared length. Dependence beyond that of AR(1) and overlapping
labels. Models that know of the test and game it. The share of false successions of a pipeline whose seat, slices and drift all
act at once: the whole stack is tested for what it does (`tests/loop`), not for its levels. A level says how often one is wrong
when nothing is to be found; it is no probability that a promoted model is good. Slices with fewer than 200 rows veto
nothing, and a leaning slice that gets no more rows holds a succession up for eight times as many blocks as the
evidence took, then no longer. The gate of refreshes gives a 95 % bound for each look, not for all of them together:
what holds over many refreshes is that each was measured against the same anchor.

**What is cleared without a person.** The bound on its error holds at each look while labelled proposals are
exchangeable, for the drawn ones alone and for all of them together: a group among them may be worse. It stands on
labels that come. When the world changes nothing bounds the error at once; then the bet bounds how long it goes
unnoticed, the longer the smaller the excess is.
"""


def page(sections: Sequence[Section]) -> str:
    """As Markdown."""
    return "\n".join([HEAD, *(_part(section) for section in sections)])


def _part(section: Section) -> str:
    claims = [
        f"* {claim.sentence}: {claim.found}{'' if claim.holds else ' (**does not hold**)'}"
        for claim in section.claims
    ]
    tables = "\n".join(_table(table) for table in section.tables)
    return f"## {section.title}\n\n{section.method}\n\n{tables}\n" + "\n".join(claims) + "\n"


def _table(table: Table) -> str:
    lines = [f"**{table.caption}**", "", _line(table.head), _line(["---"] * len(table.head))]
    return "\n".join([*lines, *(_line(row) for row in table.rows), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
