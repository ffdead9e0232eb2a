"""What goes with a model for people and other tools: bill of materials and card, as files by name."""

import json
from collections.abc import Mapping
from typing import Any

from flyball_proto.events import Manifest
from flyball_trainer.bundling.bom import bill
from flyball_trainer.bundling.card import card, readable


def papers(manifest: Manifest, size_bytes: int, report: Mapping[str, Any]) -> dict[str, bytes]:
    """`bom.cdx.json`, `card.json` and `card.md` of a model; `report` is empty for a baseline.

    The same manifest, size and report give the same bytes.
    """
    said = card(manifest, size_bytes, report)
    return {
        "bom.cdx.json": encoded(bill(manifest, report)),
        "card.json": encoded(said),
        "card.md": readable(said).encode(),
    }


def encoded(value: Mapping[str, Any]) -> bytes:
    """Strict JSON: keys in order, nothing in it NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
