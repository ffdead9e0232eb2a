"""A canary's step as it goes on. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from flyball_proto.columns import Tally
from flyball_proto.deployments import Canary
from flyball_proto.events import ModelMeasured
from flyball_registry.evidence.guards import Latency, Step


def stepped(step: Step | None, canary: Canary, tallies: Sequence[Tally], now_ms: int) -> Step:
    """The step with what models did since; another step begins now."""
    if step is None or (step.digest, step.epoch) != (canary.digest, canary.epoch):
        step = Step(
            digest=canary.digest, epoch=canary.epoch, percent=canary.percent, since_ms=now_ms
        )
    return step.add(tallies)


def with_runtime(step: Step, latencies: Iterable[ModelMeasured], trips: Mapping[str, str]) -> Step:
    """With what runtimes said of the models; live alone."""
    slowest = [
        Latency(
            canary_ms=event.p99_ms[step.digest],
            active_ms=max((v for k, v in event.p99_ms.items() if k != step.digest), default=0),
        )
        for event in latencies
        if event.epoch >= step.epoch and step.digest in event.p99_ms and len(event.p99_ms) > 1
    ]
    latency = max(slowest, key=lambda found: found.canary_ms, default=step.latency)
    tripped = trips.get(step.digest, step.tripped)
    return step.model_copy(update={"latency": latency, "tripped": tripped})
