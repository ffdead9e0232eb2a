"""What a model makes of its features, as its trainer reported."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from flyball_kit.errors import PermanentError
from flyball_kit.objects import Objects
from flyball_proto.bundles import report_key

MAX_BYTES: Final = 4 << 20
MAX_KNOWN: Final = 8


class Reports:
    """The reports of one pipeline's models that were asked for last, at most `MAX_KNOWN`.

    A report is measured, neither digested nor signed: it decides only which features a drift event
    is about. One that is not there or makes no sense says nothing.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: OrderedDict[str, dict[str, float]] = OrderedDict()

    async def importance(self, digest: str, features: Sequence[str]) -> tuple[float, ...]:
        """The share of each feature, 0 or more; empty = not known.

        Raises:
            TransientError: S3 does not answer.
        """
        if digest not in self._known:
            try:
                written = await self._objects.get(report_key(digest), MAX_BYTES)
            except PermanentError:
                written = b"{}"
            self._known[digest] = shares(written)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        known = self._known[digest]
        return tuple(known.get(name, 0.0) for name in features) if known else ()


def shares(report: bytes) -> dict[str, float]:
    """Feature to its share, as `report.json` lists them under `importance`."""
    try:
        found: Any = json.loads(report)
    except ValueError:
        return {}
    listed = found.get("importance") if isinstance(found, dict) else None
    shares = dict[str, float]()
    for entry in listed if isinstance(listed, list) else ():
        match entry:
            case {"feature": str(name), "share": int() | float() as share} if 0 <= share <= 1:
                shares[name] = float(share)
    return shares
