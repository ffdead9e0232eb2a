"""Which elements exceeded a limit of risk lately: they are cleared again well below it only. Pure.

A risk that wavers about a limit would otherwise be held, cleared and held again, and a person would
be asked about every second row. Event time alone counts. Bound: `MAX_PAIRS` pairs of element and
action; beyond it the one that exceeded its limit longest ago is forgotten, and judged as any other.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from flyball_risk.judging.written import Names, apart, taken

MAX_PAIRS: Final = 50_000


class Caution:
    """Of one partition. Changes only by `exceeded` and `relieve`."""

    def __init__(self) -> None:
        self._until_ms: dict[tuple[str, str], int] = {}  # the longest ago first

    def __len__(self) -> int:
        return len(self._until_ms)

    def remembers(self, element: str, action: str) -> bool:
        """Whether the action ever exceeded a limit at the element, as far as is known."""
        return (element, action) in self._until_ms

    def is_due(self, element: str, action: str, time_ms: int) -> bool:
        """Whether the action exceeded a limit at the element less than a cool-down ago."""
        until_ms = self._until_ms.get((element, action))
        return until_ms is not None and time_ms < until_ms

    def exceeded(self, element: str, action: str, until_ms: int) -> None:
        """The action was held or denied for its risk; that counts until then."""
        pair, pairs = (element, action), self._until_ms
        before_ms = pairs.pop(pair, until_ms)
        if len(pairs) >= MAX_PAIRS:
            del pairs[next(iter(pairs))]
        pairs[pair] = max(before_ms, until_ms)

    def relieve(self, element: str, action: str) -> None:
        """Its risk is well below every limit again, or the time has passed."""
        if self._until_ms:
            self._until_ms.pop((element, action), None)

    def as_json(self, names: Names) -> dict[str, Any]:
        """Plain values, in order; the same state gives the same. Elements are put into `names`."""
        actions = Names()
        return {
            "element": names.put([element for element, _ in self._until_ms]),
            "action": actions.put([action for _, action in self._until_ms]),
            "actions": actions.as_json(),
            "until_ms": apart(list(self._until_ms.values())),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], names: Sequence[str]) -> "Caution":
        """What `as_json` gave; nothing of a state that was written before there was caution.

        An older version wrote the elements themselves, and of actions the place alone.
        """
        found = cls()
        if not plain:
            return found
        if "elements" in plain:
            elements = plain["elements"]
            actions = [plain["actions"][place] for place in plain["action"]]
        else:
            elements = taken(names, plain["element"])
            actions = taken(plain["actions"], plain["action"])
        pairs = zip(elements, actions, strict=True)
        found._until_ms = dict(zip(pairs, accumulate(plain["until_ms"]), strict=True))
        return found
