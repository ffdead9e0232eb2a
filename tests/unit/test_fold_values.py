"""The pure parts of the fold runner: the commit record, credit, keys, retention."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_kit.fold.credit import Credit
from flyball_kit.fold.position import Position, is_bare, is_same_record, record
from flyball_kit.fold.positions import check_reader, retention_end
from flyball_kit.fold.routes import NO_KEY, Dispatch, by_subject, parse_key
from flyball_proto.headers import EXPECT, MARK, OWNER, POSITION

COUNT = st.integers(min_value=0, max_value=2**63)
EPOCH = st.text(alphabet="0123456789T:.+-", min_size=1)
POSITIONS = st.builds(Position, COUNT, COUNT, COUNT, COUNT, EPOCH)


@given(POSITIONS)
def test_a_position_survives_its_header(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "1 2 3 4", "1 2 3 4 e 6", "a 2 3 4 e", "-1 2 3 4 e"])
def test_a_malformed_position_is_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(ValueError, match="expected 'first last since time_ns epoch'"):
        Position.parse(text)


def test_a_stateless_fold_needs_only_what_comes_next() -> None:
    assert Position(1, 10, 0, 0, "e").needed_from == 11
    assert Position(1, 10, 4, 0, "e").needed_from == 4


@given(POSITIONS, st.text(), COUNT, st.none() | st.text())
def test_a_commit_recognises_itself(
    position: Position, owner: str, expect: int, mark: str | None
) -> None:
    mine = record(position, owner, expect, mark)
    assert is_same_record({**mine, "Other": "header"}, mine)
    assert (MARK in mine) == (mark is not None)


@pytest.mark.parametrize("name", [EXPECT, POSITION, OWNER])
def test_a_commit_that_differs_in_one_header_is_not_mine(name: str) -> None:
    mine = record(Position(1, 2, 0, 0, "e"), "me", 7, None)
    assert not is_same_record({**mine, name: "another"}, mine)
    assert not is_same_record(None, mine)


def test_only_an_empty_commit_is_bare() -> None:
    headers = record(Position(1, 2, 0, 0, "e"), "me", 7, None)
    assert is_bare(headers, b"")
    assert not is_bare(headers, b"rows")
    assert not is_bare({}, b"")
    assert not is_bare(None, b"")


@given(
    batch=st.integers(2, 50),
    steps=st.lists(st.tuples(st.sampled_from(["arrive", "fold", "end"]), st.integers(1, 30))),
)
def test_credit_bounds_what_waits_however_slow_the_fold_is(
    batch: int, steps: list[tuple[str, int]]
) -> None:
    credit, queued = Credit(batch, max_bytes=10**9), 0
    for what, count in steps:
        credit.take(queued, 0)
        if what == "arrive":
            for _ in range(min(count, credit.outstanding)):
                credit.received()
                queued += 1
        elif what == "fold":
            queued = max(0, queued - count)
        else:
            credit.returned(credit.outstanding)
        assert 0 <= credit.outstanding <= batch + batch // 2
        assert queued + credit.outstanding <= 2 * batch + batch // 2


def test_no_credit_is_asked_while_too_many_bytes_wait() -> None:
    credit = Credit(10, max_bytes=100)
    assert credit.take(queued=1, queued_bytes=101) == 0
    assert credit.take(queued=1, queued_bytes=100) == 10


def test_an_idle_reader_always_has_credit() -> None:
    credit = Credit(10, max_bytes=100)
    credit.take(0, 0)
    for _ in range(1000):
        credit.received()
        credit.take(0, 0)
        assert credit.outstanding > 0


@given(
    first=st.integers(1, 1000),
    count=st.integers(1, 1000),
    held=st.integers(0, 10**9),
    keep=st.integers(0, 10**9),
)
def test_retention_keeps_about_the_bytes_asked_for(
    first: int, count: int, held: int, keep: int
) -> None:
    last = first + count - 1
    end = retention_end(first, last, held, keep)
    assert first <= end <= last + 1
    kept = last + 1 - end
    if held <= keep:
        assert kept == count
    else:
        assert kept * held >= count * keep > (kept - 1) * held


@given(st.tuples(st.integers(0), st.integers(0)))
def test_a_key_survives_its_header(key: tuple[int, int]) -> None:
    assert parse_key(f"{key[0]} {key[1]}") == key


@pytest.mark.parametrize("text", [None, "", "1", "1 2 3", "a b", "-1 0"])
def test_a_malformed_key_is_older_than_any_row(text: str | None) -> None:
    assert parse_key(text) == NO_KEY
    assert NO_KEY < (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_dispatches_keep_their_order_inside_a_subject(sent: list[tuple[str, int]]) -> None:
    groups = by_subject(Dispatch(subject, (n, 0), b"") for subject, n in sent)
    for subject, group in groups.items():
        assert [d.key[0] for d in group] == [n for s, n in sent if s == subject]
    assert sum(map(len, groups.values())) == len(sent)


@pytest.mark.parametrize("name", ["", "a b", "a..b", "a.*", ".a", "a.", "ä", "a>"])
def test_a_reader_name_that_cannot_be_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="reader name"):
        check_reader(name)
    assert check_reader("ingest.congestion.0") == "ingest.congestion.0"
