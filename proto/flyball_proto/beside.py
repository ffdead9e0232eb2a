"""What stands beside a hold, with the names of the pipeline that made it; codes, counted. Pure."""

from collections import Counter
from collections.abc import Iterable

from pydantic import Field

from flyball_proto.events import Wire
from flyball_proto.holds import Hold, HoldContext
from flyball_proto.spec import Pipeline, Source, feature_digest, feature_names


class HoldCounts(Wire):
    """How many holds are recorded, by state, action and reason code of the answer.

    Of a pipeline the newest 1000 ended ones are kept.
    """

    states: dict[str, int] = Field(default={})
    actions: dict[str, dict[str, int]] = Field(default={}, description="Action to states.")
    codes: dict[str, dict[str, int]] = Field(
        default={}, description="Approved or denied, to reason codes."
    )


def named_features(
    context: HoldContext, pipeline: Pipeline | None, source: Source | None
) -> dict[str, float | None]:
    """Features by name; numbered where the specification has other features by now."""
    numbers = [f"feature {i + 1}" for i in range(len(context.features))]
    if pipeline is None or source is None:
        names = numbers
    elif feature_digest(pipeline, source) == context.feature_digest:
        names = list(feature_names(pipeline, source))
    else:
        names = numbers
    if len(names) != len(context.features):
        names = numbers
    return dict(zip(names, context.features, strict=True))


def counted(holds: Iterable[Hold]) -> HoldCounts:
    """Count holds."""
    states, actions, codes = Counter[str](), dict[str, Counter[str]](), dict[str, Counter[str]]()
    for hold in holds:
        states[hold.state] += 1
        actions.setdefault(hold.action, Counter())[hold.state] += 1
        if hold.answered_code is not None:
            codes.setdefault(hold.state, Counter())[hold.answered_code] += 1
    return HoldCounts(
        states=dict(states),
        actions={action: dict(found) for action, found in sorted(actions.items())},
        codes={state: dict(found.most_common()) for state, found in sorted(codes.items())},
    )
