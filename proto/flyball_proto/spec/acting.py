"""What may be done with a prediction: proposed actions, and the risk that is accepted."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from flyball_proto.spec.base import Count, Flag, Number, Share, SpecModel
from flyball_proto.spec.durations import DurationMs, PositiveMs
from flyball_proto.spec.names import ActionName, LabelName, ObjectName

KEEP = "keep"
"""The fallback that sends nothing."""


class Decision(SpecModel):
    """An action, and the score from which it is proposed."""

    action: ActionName = Field(description="What the element is asked to do.")
    score_at_least: Number = Field(
        description="Probability for binary and multiclass; value in the target's unit for "
        "regression."
    )
    label: str | None = Field(
        default=None, description="multiclass: the class whose score is meant; only there."
    )
    severity: Literal["low", "medium", "high", "critical"] = Field(
        default="medium", description="How bad it is when the action is wrong."
    )
    reversible: Flag = Field(default=True, description="Whether the element can undo it.")
    cooldown_ms: DurationMs = Field(
        default=60_000,
        alias="cooldown",
        description="Event time before the same action may reach the same element again.",
    )
    parameter: ActionName | None = Field(
        default=None,
        description="What it changes at the element, e.g. tilt; the action's own name by default. "
        "Of pipelines that change one parameter of one element, one at a time may.",
    )
    acknowledge_ms: PositiveMs | None = Field(
        default=None,
        alias="acknowledge",
        description="How long an element may take to say what became of the action; without it "
        "nothing is expected.",
    )


class RiskBudgets(SpecModel):
    """How much may be acted on at once; what exceeds it is capped."""

    actions_per_minute: Count = Field(
        default=30, le=1_000_000, description="Dispatched actions in any minute of event time."
    )
    elements_per_label: dict[LabelName, Share] = Field(
        default_factory=dict,
        description="Label to the share of its elements that may be under an action at once, "
        "e.g. {site: 0.2}.",
    )
    window_ms: PositiveMs = Field(
        default=600_000,
        alias="window",
        description="How long a dispatched action counts in elements_per_label and per_element.",
    )
    per_action: dict[ActionName, Count] = Field(
        default_factory=dict,
        description="Action to how often it may be dispatched in any minute of event time, "
        "e.g. {offload: 10}.",
    )
    per_element: Count | None = Field(
        default=None, description="Actions that one element may get in any window."
    )


class BreakerRule(SpecModel):
    """When a pipeline steps back to advisory by itself, and when it tries again."""

    enabled: Flag = Field(default=True, description="false: it never does.")
    window_ms: PositiveMs = Field(
        default=60_000, alias="window", description="Event time over which shares are counted."
    )
    least: Count = Field(
        default=50, ge=10, description="Proposals that a window needs before it says anything."
    )
    retry_after_ms: PositiveMs = Field(
        default=300_000,
        alias="retry_after",
        description="Event time before a trial; it doubles with every trial that fails.",
    )
    labels_within_ms: PositiveMs | None = Field(
        default=None,
        alias="labels_within",
        description="Trips when no label came for so long while actions went out.",
    )


class Boundary(SpecModel):
    """An operational limit of the domain expert; it can only tighten a verdict."""

    name: ObjectName = Field(description="Named in the verdict's reason.")
    when: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="CEL over element, decision, time and model, e.g. element.labels.site == "
        "'hospital'; see Facts of a boundary. Where it cannot be evaluated, it applies."
    )
    verdict: Literal["hold", "deny"] = Field(description="What a decision gets when it applies.")


class Hold(SpecModel):
    """A decision that waits for a person. It expires to the safe side."""

    expires_ms: PositiveMs = Field(
        default=120_000, alias="expires", description="How long a person has."
    )
    approvals: Annotated[int, Field(strict=True, ge=1, le=2)] = Field(
        default=1, description="People who must agree; critical ones always take two."
    )


class Risk(SpecModel):
    """What risk is accepted."""

    autonomy: Literal["advisory", "supervised", "autonomous"] = Field(
        default="supervised",
        description="advisory: nothing is dispatched; supervised: risky ones wait for a person; "
        "autonomous: they are replaced by the fallback.",
    )
    max_error: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.05, description="Tolerated share of errors among cleared decisions."
    )
    control_share: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        default=0.05,
        description="Would-be actions of low and medium impact that are withheld at random, so "
        "that the effect of acting stays measurable.",
    )
    budgets: RiskBudgets = Field(default=RiskBudgets(), description="How much at once.")
    boundaries: tuple[Boundary, ...] = Field(
        default=(), max_length=64, description="Limits above the score."
    )
    hold: Hold = Field(default=Hold(), description="Decisions that wait for a person.")
    fallback: ActionName = Field(
        default=KEEP, description="What a replaced decision sends instead; keep sends nothing."
    )
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = Field(
        default=0.95, description="With which max_error is kept while labels are exchangeable."
    )
    unproven: Literal["notify", "hold"] = Field(
        default="notify",
        description="What becomes of a decision that would be cleared while there are too few "
        "labels to prove max_error.",
    )
    hysteresis: Annotated[Number, Field(ge=0, lt=0.5)] = Field(
        default=0.1,
        description="How far below a limit, as a share of it, the risk must fall before an element "
        "that was held or denied is cleared again within its cool-down.",
    )
    audit_share: Annotated[Number, Field(ge=0, le=0.5)] = Field(
        default=0.01,
        description="Share of cleared and of denied decisions that people are asked to review.",
    )
    priority: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=50,
        description="Among pipelines that change one parameter of one element the highest goes "
        "first.",
    )
    lease_ms: PositiveMs | None = Field(
        default=None,
        alias="lease",
        description="How long a pipeline that acted keeps others from what it changed; the "
        "action's cool-down by default.",
    )
    breaker: BreakerRule = Field(
        default=BreakerRule(), description="When the pipeline steps back to advisory by itself."
    )
    baseline_acts: Flag = Field(
        default=False,
        description="Whether the built-in baseline may act while it holds the seat; false: the "
        "pipeline is advisory until a learnt model has beaten it.",
    )
