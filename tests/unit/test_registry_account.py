"""The account: how much doubt each comparison may use."""

import math

import pytest

from flyball_registry.evidence.account import MAX_ENTRIES, Account, gamma


def test_the_shares_of_all_comparisons_sum_to_one() -> None:
    n = 200_000
    head = math.fsum(gamma(k) for k in range(1, n))
    # the rest by Euler and Maclaurin: the integral of 1 / (x log(x)^2) is 1 / log(x)
    x, c = n + 1.0, gamma(1) * 2 * math.log(2) ** 2
    rest = c / math.log(x) + gamma(n) / 2
    assert head + rest == pytest.approx(1.0, abs=1e-9)
    assert all(gamma(k) > gamma(k + 1) for k in range(1, 100))


def test_levels_by_hand_before_and_after_a_succession() -> None:
    account, first = Account().open("a", "baseline", 0.05, 7)
    account, second = account.open("b", "baseline", 0.05, 8)
    assert (first.comparison, second.comparison) == (1, 2)
    assert first.alpha == pytest.approx(0.05 / (2 * math.log(2) ** 2) / 2.10974280123689)
    assert second.alpha == pytest.approx(0.05 / (3 * math.log(3) ** 2) / 2.10974280123689)
    account, third = account.note(1, "superior").open("b", "a", 0.05, 9)
    assert third.alpha == pytest.approx(2 * 0.05 * gamma(3))
    assert [e.outcome for e in account.entries] == ["superior", "open", "open"]


def test_only_a_succession_earns_more_and_numbers_are_never_used_again() -> None:
    account = Account()
    for outcome in ("inferior", "equivalent", "undecided", "closed", "outgrown"):
        account, entry = account.open("a", "b", 0.05, 0)
        account = account.note(entry.comparison, outcome)
    account, entry = account.open("renamed", "b", 0.05, 0)
    assert (entry.comparison, account.successions) == (6, 0)
    assert entry.alpha == 0.05 * gamma(6)


def test_the_account_that_is_shown_is_bounded() -> None:
    account = Account()
    for _ in range(3 * MAX_ENTRIES):
        account, _ = account.open("a", "b", 0.05, 0)
    assert account.opened == 3 * MAX_ENTRIES
    assert account.entries[0].comparison == 2 * MAX_ENTRIES + 1
