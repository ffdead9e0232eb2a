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
        description="How long a dispatched action counts in elements_per_label.",
    )


class Boundary(SpecModel):
    """An operational limit of the domain expert; it can only tighten a verdict."""

    name: ObjectName = Field(description="Named in the verdict's reason.")
    when: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="CEL over element and decision, e.g. element.labels.site == 'hospital'."
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
    baseline_acts: Flag = Field(
        default=False,
        description="Whether the built-in baseline may act while it holds the seat; false: the "
        "pipeline is advisory until a learnt model has beaten it.",
    )
