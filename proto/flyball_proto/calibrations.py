"""What risk has learnt about how often its decisions are wrong: KV `calibration`, key `<pipeline>`."""

from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Event, Wire

MAX_SCORES: Final = 256
"""Of each class; more are thinned to quantiles."""


class Conformal(Wire):
    """Labelled proposals of one action: sorted scores of those that were right, and wrong.

    With s the score of a new proposal: p(right) = (1 + #{right <= s}) / (n + 1), and
    p(wrong) = (1 + #{wrong >= s}) / (n + 1), class-conditional (ALGORITHMS 6).
    """

    right: tuple[float, ...] = Field(default=(), max_length=MAX_SCORES)
    wrong: tuple[float, ...] = Field(default=(), max_length=MAX_SCORES)


class CutOff(Wire):
    """Up to which probability of error decisions may be cleared, and what that stands on.

    `at` None: nothing may be cleared without a person; with fewer than `needed` rows nothing is
    proven yet, see `proven`.
    """

    at: float | None = Field(default=None, ge=0, le=1)
    proven: bool = Field(default=False, description="There are enough rows to say so.")
    rows: int = Field(
        default=0, ge=0, description="Audit and control rows, one an element and block."
    )
    below: int = Field(default=0, ge=0, description="Of them those up to the cut-off.")
    errors: int = Field(default=0, ge=0, description="Of those below the ones that were wrong.")
    bound: float = Field(default=1.0, ge=0, le=1, description="Clopper-Pearson, of the error.")
    max_error: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0.5, lt=1)
    needed: int = Field(
        ge=1, description="Rows that a proof takes, with the errors seen so far: none at first."
    )


class SteppedBack(Wire):
    """The error of cleared decisions is beyond `max_error`: the pipeline is advisory."""

    since_ms: int = Field(description="Event time.")
    error: float = Field(description="Share that was wrong among the rows since the cut-off.")
    lower_bound: float
    rows: int


class Calibration(Wire):
    """One pipeline's; written by risk alone, by compare-and-set. About 20 kB."""

    version: Literal[1] = 1
    pipeline: str
    feature_digest: str
    at: AwareDatetime
    event_ms: int = Field(description="Event time up to which labels are in it.")
    rows: int = Field(default=0, ge=0, description="Labelled decisions that it was fitted to.")
    wrong: int = Field(default=0, ge=0, description="Of them those that were wrong.")
    conformal: dict[str, Conformal] = Field(default={}, description="By action.")
    weights: dict[str, float] = Field(
        default={},
        description="Signal to its weight in the log-odds of an error; empty = not fitted.",
    )
    intercept: float = 0.0
    raw: tuple[float, ...] = Field(
        default=(), max_length=64, description="Knots: fitted probability."
    )
    error: tuple[float, ...] = Field(
        default=(), max_length=64, description="Knots: probability after isotonic regression."
    )
    drifted: bool = Field(default=False, description="The stream changed lately.")
    cut_off: CutOff | None = None
    stepped_back: SteppedBack | None = None


class Calibrated(Event):
    """A calibration says something else than the one before: a cut-off came, went or moved."""

    domain, what = "risk", "calibrated"
    rows: int
    cut_off: CutOff
    detail: str


class SteppedBackNow(Event):
    """Cleared decisions are wrong more often than `max_error`: the pipeline is advisory."""

    domain, what = "risk", "stepped-back"
    found: SteppedBack
    max_error: float
