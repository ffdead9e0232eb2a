"""How the state of a partition is written: nothing is lost, older states are read, it stays small."""

import json
import math
import zlib
from itertools import accumulate
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.risk_bounds import full

from flyball_risk.holding.history import History
from flyball_risk.judging.caution import Caution
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.recent import Reach, Recent
from flyball_risk.judging.written import Names, apart, taken

MIB = 1 << 20
SITES = {"a": '{"site": "s1"}', "b": '{"site": "s2"}', "c": '{"site": "s1"}', "d": ""}

BEFORE: dict[str, Any] = {  # what a version wrote that had a list an element
    "clock_ms": 7000,
    "elements": {
        "a": [
            216000,
            {"offload": 6000, "reset": 7100},
            {"load": ["offload", 60000, 90000], "power": ["reset", 5000, 0]},
            [6000, 1100],
        ],
        "b": [215000, {"offload": 5000}, {"load": ["offload", 60000, 90000]}],
        "c": [217000, {"offload": 7000}],
    },
    "seconds": [[5, 1], [6, 1], [7, 2]],
    "minutes": {"offload": [[5, 1], [6, 1], [7, 1]], "reset": [[7, 1]]},
    "lease": {"revision": 0, "given": [], "taken": []},
    "groups": ["site"],
    "homes": {e: SITES[e] for e in "abc"},
    "acting": [["site", "s1", [["c", 7000], ["a", 7000]]], ["site", "s2", [["b", 5000]]]],
    "caution": {
        "actions": ["offload", "reset"],
        "elements": ["b", "a"],
        "action": [0, 1],
        "until_ms": [9000, -1000],
    },
    "history": [
        ["a", [["offload", 0, 0, 5000, 5000, 1, 0.75], ["reset", 4, 0, 7, 7, 1, math.nan]]]
    ],
}


def all_of(partition: Partition) -> list[Any]:
    """Everything that is known of elements, and in which order."""
    recent, history = partition.recent, partition.history
    return [
        recent.clock_ms,
        list(recent._elements.items()),
        list(recent._homes.items()),
        {group: list(acting.items()) for group, acting in recent._acting.items() if acting},
        +recent._sizes,
        {
            action: minute.as_json()
            for action, minute in recent._minutes.items()
            if len(minute._seconds)
        },
        list(partition.caution._until_ms.items()),
        str(history._elements),  # with scores that are no numbers
    ]


def again(partition: Partition) -> Partition:
    return Partition.load(partition.dump())


def test_a_state_of_a_version_that_wrote_a_list_an_element_is_read() -> None:
    partition = Partition.load(zlib.compress(json.dumps(BEFORE).encode(), 6))
    recent, caution = partition.recent, partition.caution
    assert recent.is_cooling("a", "reset", 8000, 5000)
    assert not recent.is_cooling("a", "reset", 12_100, 5000)
    assert recent.changed("a", "power", 12_000) == ("reset", 12_100, 7100)
    assert recent.changed("b", "load", 64_999) == ("offload", 65_000, 95_000)
    assert recent.acted_on("a", 7200, 30_000) == 2
    assert (recent.used(""), recent.used("reset")) == (4, 1)
    assert [c[1:] for c in recent.crowds("b", SITES["b"], 60_000)] == [(0, 1)]
    assert [c[1:] for c in recent.crowds("d", SITES["a"], 60_000)] == [(2, 2)]
    assert [caution.is_due(e, "offload", 8999) for e in "ab"] == [False, True]
    assert caution.is_due("a", "reset", 7999)
    assert [line.split(" at ")[1] for line in partition.history.lines("a")] == [
        "nan: hold",
        "0.75: clear",
    ]
    assert all_of(again(partition)) == all_of(partition)


ACTIONS = st.sampled_from(["offload", "reset", "boost"])
ELEMENTS = st.sampled_from("abcd")
REACHES = st.builds(
    Reach,
    st.integers(0, 60_000),
    st.sampled_from(["", "load", "power"]),
    st.integers(0, 90_000),
    st.sampled_from([0, 30_000]),
)
SCORES = st.one_of(st.floats(0, 1), st.sampled_from([math.nan, math.inf, -math.inf, 1e300]))
DEEDS = st.lists(
    st.tuples(ELEMENTS, ACTIONS, st.integers(0, 200_000), REACHES, SCORES, st.booleans()),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(DEEDS, st.sampled_from([(), ("site",), ("site", "zone")]))
def test_whatever_happened_is_written_and_read_again_in_the_same_order(
    deeds: list[tuple[str, str, int, Reach, float, bool]], groups: tuple[str, ...]
) -> None:
    partition = Partition()
    recent = partition.recent
    recent.group_by(groups)
    for element, action, time_ms, reach, score, exceeds in deeds:
        recent.advance(time_ms)
        if groups:
            recent.meet(element, SITES[element])
        recent.record(element, SITES[element], action, time_ms, reach)
        if exceeds:
            partition.caution.exceeded(element, action, time_ms + 1000)
        partition.history.note(element, time_ms, action, score, 0)
    saved = partition.dump()
    loaded = Partition.load(saved)
    assert all_of(loaded) == all_of(partition)
    assert loaded.dump() == saved


def test_a_state_at_all_bounds_is_below_two_mib_and_is_read_again() -> None:
    partition = full()
    saved = partition.dump()
    assert len(saved) < 2 * MIB
    loaded = Partition.load(saved)
    assert all_of(loaded) == all_of(partition)
    assert len(loaded.holds) == len(partition.holds)
    assert loaded.dump() == saved


def test_each_name_is_written_once_and_found_again() -> None:
    names = Names()
    places = names.put("abcab"), names.put(["c", "d"])
    assert names.as_json() == ["a", "b", "c", "d"]
    assert ["".join(taken(names.as_json(), found)) for found in places] == ["abcab", "cd"]
    assert list(accumulate(apart([5, 3, -4, 2**62]))) == [5, 3, -4, 2**62]
    assert apart([]) == []


def test_what_has_nothing_to_remember_is_read_again() -> None:
    names = Names()
    plain = Recent().as_json(names), Caution().as_json(names), History().as_json()
    assert names.as_json() == []
    assert Recent.from_json(plain[0], []).clock_ms == 0
    assert len(Caution.from_json(plain[1], [])) == 0
    assert History.from_json(plain[2]).lines("a") == ()
