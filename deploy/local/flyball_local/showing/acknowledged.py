"""Lines about what became of actions, and what actions change. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from flyball_proto.outcomes import ActionOutcome
from flyball_proto.progress import ActionEffect

COLUMNS: Final = ("decision", "element", "action", "sent", "state", "after", "detail")


def row(found: ActionOutcome) -> tuple[str, ...]:
    """One action."""
    after = f"{(found.told_at - found.sent_at).total_seconds():.1f} s" if found.told_at else ""
    late = " (late)" if found.told_at and found.told_at > found.due_at else ""
    figures = ", ".join(f"{name} {value:g}" for name, value in sorted(found.effect.items()))
    return (
        found.decision,
        found.element,
        found.action,
        f"{found.sent_at:%Y-%m-%dT%H:%M:%SZ}",
        found.state + late,
        after,
        "; ".join(part for part in (found.detail, figures) if part),
    )


def effect_lines(found: Iterable[ActionEffect]) -> Iterator[str]:
    """What each action changes: labels under it against labels of rows left alone at random."""
    for one in found:
        if one.difference is None:
            yield (
                f"{one.action}: nothing to compare yet ({one.acted_rows} rows acted on, "
                f"{one.withheld_rows} left alone)"
            )
            continue
        interval = "too few blocks for an interval"
        if one.low is not None and one.high is not None:
            interval = f"95 %: {one.low:+.3f} to {one.high:+.3f}"
        yield (
            f"{one.action}: mean label {one.difference:+.3f} ({interval}; {one.acted_rows} rows "
            f"acted on, {one.withheld_rows} left alone)"
        )
