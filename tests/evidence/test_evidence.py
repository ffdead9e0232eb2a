"""The evidence at a size that tests can take; the full one is `make evidence`."""

from collections.abc import Callable

import pytest
from tests.evidence.page import PARTS
from tests.evidence.section import SMALL, Section


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.__module__}.{part.__name__}")
def test_every_claim_holds(part: Callable[..., Section]) -> None:
    section = part(SMALL)
    assert section.claims
    assert section.refuted == []
