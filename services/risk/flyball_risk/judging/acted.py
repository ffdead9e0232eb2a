"""Elements that were acted on, and how they are written. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from operator import sub
from typing import Any, NamedTuple

from flyball_risk.judging.written import Names, Once, apart, taken


class Changed(NamedTuple):
    """What an action changed, until when it may not be changed again, and by other pipelines."""

    action: str
    cooled_ms: int
    lease_ms: int


@dataclass(slots=True)
class Acted:
    """An element that was acted on, and when by action, in event time; until when that counts.

    `lately` is kept only where a budget for each element is configured, which bounds it.
    """

    until_ms: int
    times_ms: dict[str, int] = field(default_factory=dict)
    changed: dict[str, Changed] = field(default_factory=dict)
    lately: list[int] = field(default_factory=list)


def columns_of(elements: Mapping[str, Acted], names: Names) -> dict[str, Any]:
    """Plain values; of elements with several actions or parameters these follow each other.

    A change counts from the action that made it: of one action that is mostly the same.
    """
    found = list(elements.values())
    changes = [changed for acted in found for changed in acted.changed.values()]
    made_ms = [acted.times_ms[c.action] for acted in found for c in acted.changed.values()]
    actions, parameters, by = Once[tuple[str, ...]](), Once[tuple[str, ...]](), Names()
    return {
        "element": names.put(elements),
        "until_ms": apart([acted.until_ms for acted in found]),
        "action": actions.put(map(tuple, [acted.times_ms for acted in found])),
        "actions": actions.as_json(),
        "time_ms": apart([time_ms for acted in found for time_ms in acted.times_ms.values()]),
        "parameter": parameters.put(map(tuple, [acted.changed for acted in found])),
        "parameters": parameters.as_json(),
        "changed_by": by.put([changed.action for changed in changes]),
        "by": by.as_json(),
        "cooldown_ms": apart(list(map(sub, [changed.cooled_ms for changed in changes], made_ms))),
        "leased_ms": apart(list(map(sub, [changed.lease_ms for changed in changes], made_ms))),
        "lately": apart([len(acted.lately) for acted in found]),
        "lately_ms": apart([time_ms for acted in found for time_ms in acted.lately]),
    }


def acted_of(plain: Mapping[str, Any], names: Sequence[str]) -> dict[str, Acted]:
    """What `columns_of` gave."""
    times_ms, lately_ms = accumulate(plain["time_ms"]), accumulate(plain["lately_ms"])
    changes = zip(
        taken(plain["by"], plain["changed_by"]),
        accumulate(plain["cooldown_ms"]),
        accumulate(plain["leased_ms"]),
        strict=True,
    )
    rows = zip(
        taken(names, plain["element"]),
        accumulate(plain["until_ms"]),
        taken(plain["actions"], plain["action"]),
        taken(plain["parameters"], plain["parameter"]),
        accumulate(plain["lately"]),
        strict=True,
    )
    found: dict[str, Acted] = {}
    for element, until_ms, actions, parameters, lately in rows:
        at_ms = dict(zip(actions, times_ms, strict=False))
        changed = {
            parameter: Changed(by, at_ms[by] + cooldown_ms, at_ms[by] + leased_ms)
            for parameter, (by, cooldown_ms, leased_ms) in zip(parameters, changes, strict=False)
        }
        found[element] = Acted(until_ms, at_ms, changed, list(islice(lately_ms, lately)))
    return found


def acted_before(elements: Mapping[str, Any]) -> dict[str, Acted]:
    """The same as an older version wrote it: a list an element."""
    return {element: _acted(*fields) for element, fields in elements.items()}


def _acted(
    until_ms: int,
    times_ms: dict[str, int],
    changed: Mapping[str, tuple[str, int, int]] | None = None,
    lately: Iterable[int] = (),
) -> Acted:
    """What was empty at the end was left out; at first there were only the first two."""
    changes = {
        parameter: Changed(action, times_ms[action] + cooldown_ms, times_ms[action] + lease_ms)
        for parameter, (action, cooldown_ms, lease_ms) in (changed or {}).items()
    }
    return Acted(until_ms, times_ms, changes, list(accumulate(lately)))
