"""Accounts and tables for people, plain when piped. Pure."""

from collections.abc import Sequence

from flyball_local.audit import Account


def account_lines(account: Account) -> list[str]:
    """The account of one pipeline, a line a subject."""
    skipped = (
        f"{account.quarantined} quarantined + {account.doubles} doubles + {account.late} late + "
        f"{account.warming_up} warming up"
    )
    lines = [
        f"rows in    {account.rows_in} = {account.decisions} decisions + {skipped}",
        f"lost       {account.lost}, duplicated {account.duplicated}",
        f"verdicts   {_counts(account)}",
        f"actions    {_actions(account)}",
    ]
    if account.latency_ms:
        p50, p99 = account.latency_ms["p50"], account.latency_ms["p99"]
        lines.append(f"latency    p50 {p50:.1f} ms, p99 {p99:.1f} ms from stored metric to verdict")
    if account.unverifiable:
        lines.append(f"not seen   {account.unverifiable} older row(s): their metrics are gone")
    lines.append(f"digest     {account.decisions_digest}")
    lines += [f"problem    {problem}" for problem in account.problems]
    lines.append("the account closes" if account.closes else "THE ACCOUNT DOES NOT CLOSE")
    return lines


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    every = [header, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )


def _counts(account: Account) -> str:
    return ", ".join(f"{name} {count}" for name, count in account.verdicts.items()) or "none"


def _actions(account: Account) -> str:
    wrong = {
        "missing": account.actions_missing,
        "unfounded": account.actions_unfounded,
        "repeated": account.actions_repeated,
    }
    words = "".join(f", {count} {name}" for name, count in wrong.items() if count)
    return f"{account.actions} sent{words or ', each on its verdict'}"
