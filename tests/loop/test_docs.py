"""The commands of the guides work as they stand there, one section after the other."""

from pathlib import Path

import pytest
from tests.loop.documented import ROOT, prepare, run_section, sections

GUIDES = sorted((ROOT / "docs").glob("*.md"))
SECTIONS = [
    pytest.param(guide.stem, lines, id=f"{guide.stem}: {heading}")
    for guide in GUIDES
    for heading, lines in sections(guide.read_text()).items()
]

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("docs")]


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder a guide: a later section finds what an earlier one left."""
    return {guide.stem: prepare(tmp_path_factory.mktemp(guide.stem)) for guide in GUIDES}


@pytest.mark.parametrize(("guide", "lines"), SECTIONS)
def test_the_commands_of_a_guide_work(
    guide: str, lines: list[str], clones: dict[str, Path]
) -> None:
    run_section(lines, clones[guide])
