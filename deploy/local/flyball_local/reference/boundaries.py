"""What boundaries may say, for `docs/reference/specification.md`. Pure."""

from collections.abc import Iterator

from flyball_proto.spec.boundaries import MEANINGS
from flyball_proto.spec.typed import known_calls


def boundary_lines() -> Iterator[str]:
    """The section about facts and functions."""
    yield from ("", "## Facts of a boundary", "")
    yield (
        "An expression in [CEL](https://cel.dev) that gives true or false: facts, numbers, texts in "
        "quotes, lists in `[]`, brackets, `! && || ? :`, `== != < <= > >= in`, `+ - * / %`, and "
        f"{known_calls()}. Whole numbers and others can be compared, and not be added to each other. "
        "It is checked when it is applied, with the line and column of a mistake: unknown names, "
        "actions, classes and labels, operands of different kinds, values that a fact never has."
    )
    yield (
        "What is absent can be asked for: `has(decision.novelty) && decision.novelty < 0.01`. Without "
        "`has` an absent fact makes the boundary apply, and the reason says so. Of several boundaries "
        "that apply the strictest decides. None makes a verdict milder."
    )
    yield from ("", "| fact | meaning |", "|---|---|")
    yield from (f"| `{fact}` | {meaning} |" for fact, meaning in MEANINGS.items())
