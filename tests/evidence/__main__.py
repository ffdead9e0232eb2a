"""The evidence at full size, into docs/evidence.md: `make evidence`. Both processors, seeds fixed."""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.evidence.page import PARTS, page
from tests.evidence.section import FULL, Section

DOCUMENT = Path(__file__).parents[2] / "docs" / "evidence.md"


def part(at: int) -> Section:
    """One part at full size."""
    return PARTS[at](FULL)


def main() -> int:
    """Write the document; 1 when a claim does not hold."""
    with ProcessPoolExecutor(2) as pool:
        sections = list(pool.map(part, range(len(PARTS))))
    DOCUMENT.write_text(page(sections))
    refuted = [claim for section in sections for claim in section.refuted]
    for claim in refuted:
        print(f"does not hold: {claim.sentence}: {claim.found}", file=sys.stderr)
    return 1 if refuted else 0


if __name__ == "__main__":
    raise SystemExit(main())
