"""The document that `make evidence` writes."""

from collections.abc import Callable, Sequence
from typing import Final

from tests.evidence import (
    accounting,
    acting,
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
)

HEAD: Final = """# Evidence
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
