"""What is left of the evidence when the world that it is about became another one."""

from flyball_registry.evidence.state import State


def restarted(state: State, since_ms: int) -> tuple[State, tuple[str, ...]]:
    """The state without evidence from before `since_ms`, and whose comparisons were closed.

    Closed comparisons keep their numbers in the account, so nobody gets fresh doubt. The watch keeps
    its usual loss and its scale, the scoreboard its sums.
    """
    account = state.account
    for _, comparison in sorted(state.comparisons.items()):
        if comparison.number and not comparison.said:
            account = account.note(comparison.number, "closed")
    seat = state.seat
    if seat is not None:
        seat = seat.model_copy(update={"since_ms": max(seat.since_ms, since_ms)})
    again = state.model_copy(
        update={
            "seat": seat,
            "account": account,
            "comparisons": {},
            "watch": state.watch.again() if state.watch else None,
            "losses": (),
            "relative": (),
        }
    )
    return again, tuple(sorted(state.comparisons))
