"""Who may do what over HTTP, by value: the table below is written by hand."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from flyball_gateway.identity.access import ACTS, ROLES, AccessRecord, Person, key_of, may, who_may
from flyball_gateway.identity.limits import MAX_ADDRESSES, Failures, Sparse

MAY = {
    "viewer": "read",
    "operator": "read publish stop resume",
    "approver": "read stop answer",
    "engineer": "read publish apply stop",
    "admin": "read publish apply answer stop resume manage",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("role", sorted(MAY))
def test_a_role_may_exactly_what_the_table_says(role):
    assert {act for act in ACTS if may(Person("ann", role), act)} == set(MAY[role].split())


def test_the_table_names_every_role():
    assert set(MAY) == set(ROLES)


def test_nobody_may_do_what_is_no_act():
    assert not any(may(Person("ann", role), "everything") for role in ROLES)


def test_those_who_may_are_named_in_order():
    assert who_may("answer") == ("approver", "admin")


def test_a_record_is_found_by_the_hash_of_its_secret():
    found = hashlib.sha256(b"fbt_secret").hexdigest()
    assert key_of("token", "fbt_secret") == f"token.{found}"


@pytest.mark.parametrize("text", ["", "secret", "fbs_x", "fbt_" + "x" * 200])
def test_what_cannot_be_a_token_is_not_looked_up(text):
    assert key_of("token", text) is None


def test_a_record_is_over_at_its_last_moment():
    record = AccessRecord(
        name="ann", role="viewer", kind="token", since=NOW, expires_at=NOW, by="bob"
    )
    assert record.is_over(NOW)
    assert not record.is_over(NOW - timedelta(microseconds=1))


def test_the_eleventh_failure_of_a_minute_has_to_wait():
    failures = Failures()
    assert [failures.note("a", float(i)) for i in range(10)] == [0] * 10
    assert failures.note("a", 10.0) == 50
    assert failures.note("b", 10.0) == 0
    assert failures.note("a", 60.0) == 0, "the first one is a minute ago"


def test_only_so_many_addresses_are_remembered():
    failures = Failures(most=1)
    failures.note("first", 0.0)
    for i in range(MAX_ADDRESSES):
        failures.note(f"address {i}", 0.0)
    assert failures.note("first", 1.0) == 0
    assert failures.note(f"address {MAX_ADDRESSES - 1}", 1.0) > 0


def test_what_happens_often_is_told_once_a_minute_with_its_count():
    sparse = Sparse()
    assert sparse.count("x", 0.0) == 1
    assert [sparse.count("x", float(s)) for s in (1, 30, 59)] == [None] * 3
    assert sparse.count("y", 59.0) == 1
    assert sparse.count("x", 60.0) == 4
