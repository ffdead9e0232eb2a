"""What stands beside a hold, and how many there are, as the command line shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client

from flyball_kit.kv import Kv
from flyball_local.showing.listing import figure, table
from flyball_proto import streams
from flyball_proto.beside import HoldCounts, named_features
from flyball_proto.holds import Hold, HoldContext
from flyball_proto.spec import Pipeline, Source

STATES: Final = ("open", "approved", "denied", "expired")


@dataclass(frozen=True, slots=True)
class Beside:
    """A hold's context with the names of its pipeline's features."""

    context: HoldContext
    features: dict[str, float | None]

    def as_json(self) -> dict[str, Any]:
        """One object of `--json`."""
        plain = self.context.model_dump(mode="json", exclude={"hold", "version"})
        return plain | {"features": self.features}


async def beside(client: Client, hold: Hold) -> Beside | None:
    """What is recorded beside a hold; None = nothing. Role `operator`."""
    context, _ = await Kv[HoldContext](lambda: client, streams.CONTEXTS, HoldContext).load(hold.id)
    if context is None:
        return None
    pipelines: Kv[Pipeline] = Kv(lambda: client, streams.PIPELINES, Pipeline)
    sources: Kv[Source] = Kv(lambda: client, streams.PIPELINES, Source)
    pipeline, _ = await pipelines.load(f"pipeline.{hold.pipeline}")
    source = (await sources.load(f"source.{pipeline.spec.source}"))[0] if pipeline else None
    return Beside(context, named_features(context, pipeline, source))


def context_lines(found: Beside | None) -> list[str]:
    """Features, signals, neighbours and history, a line each. Pure."""
    if found is None:
        return ["beside    nothing is recorded"]
    context = found.context
    facts = [
        ("signal", [f"{name} {value:.4g}" for name, value in context.signals.items()]),
        ("feature", [f"{n} {figure(v, '.6g')}" for n, v in found.features.items()]),
        ("near", [f"{n.element} ({n.label}) was acted on" for n in context.neighbours]),
        ("before", list(context.history)),
    ]
    return [f"{name:<9} {words}" for name, lines in facts for words in lines]


def count_lines(found: HoldCounts) -> list[str]:
    """Two tables: actions by state, answers by reason code. Pure."""
    actions = [_row(name, states, STATES) for name, states in found.actions.items()]
    total = _row("all", found.states, STATES)
    lines = table(("action", *STATES), [*actions, total]).split("\n")
    codes = sorted({code for counts in found.codes.values() for code in counts})
    if codes:
        rows = [_row(state, counts, codes) for state, counts in found.codes.items()]
        lines += ["", *table(("answer", *codes), rows).split("\n")]
    return lines


def _row(name: str, counts: dict[str, int], columns: Sequence[str]) -> tuple[str, ...]:
    return (name, *(str(counts.get(column, 0)) for column in columns))
