"""Accounts and outcomes for people. Pure."""

from collections.abc import Mapping
from typing import Any

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


def outcome_lines(found: Mapping[str, Any]) -> list[str]:
    """What a replay's object says of the models, a line a subject."""
    promotions, prequential, cpu_s = found["promotions"], found["prequential"], found["cpu_s"]
    others = ", ".join(
        f"{name.replace('_', ' ')} {_figures(figures)}"
        for name, figures in prequential["baseline"].items()
    )
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cpu_s.items())
    changes = (
        f"{promotions['successions']} succession(s), {promotions['refreshes']} refresh(es), "
        f"{found['rollbacks']} rollback(s)"
    )
    rows = f"{prequential['rows']} labelled rows behind the first fifth"
    return [
        f"models     {len(found['models'])}: {changes}",
        f"decisions  {_figures(prequential)} over {rows}",
        f"against    {others}",
        f"processor  {spent}; took {found['wall_s']:.1f} s",
    ]


def _figures(figures: Mapping[str, Any] | None) -> str:
    if figures is None or figures["value"] is None:
        return "unknown"
    accuracy = figures["accuracy"]
    return f"{figures['value']:.4f}" + ("" if accuracy is None else f" ({accuracy:.2%} right)")


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
