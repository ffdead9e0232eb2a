"""What people see of learning: how far trainers are, where comparisons stand, what each part does."""

from typing import Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Event, Wire


class TrainerProgress(Wire):
    """How far one trainer is: KV `progress`, key `<pipeline>.<trainer>`; written by the trainer.

    Times are event time in Unix milliseconds, 0 = none yet.
    """

    version: Literal[1] = 1
    pipeline: str
    trainer: str
    feature_digest: str
    at: AwareDatetime
    state: Literal["gathering", "waiting", "queued", "fitting", "publishing"] = Field(
        description="`gathering`: too few rows for the first training; `waiting`: for the next one."
    )
    now_ms: int = Field(description="Newest event time at which a label was known.")
    rows: int = Field(description="Usable rows since the last training, or since the beginning.")
    rows_needed: int = Field(description="How many a training needs at least.")
    span_ms: int = Field(description="Event time between the oldest and the newest of them.")
    span_needed_ms: int
    due_ms: int = Field(description="Event time at which the cadence asks for the next training.")
    rows_per_s: float = Field(
        default=0.0, ge=0, description="Usable rows that came a second of event time, lately."
    )
    trained_through_ms: int = 0
    models: int = Field(default=0, ge=0, description="Models that it has delivered.")
    last_digest: str = ""
    failed: str = Field(default="", description="Why the last training gave no model.")


class Bin(Wire):
    """Rows whose score lay together: what was said, and what came."""

    rows: int
    said: float = Field(description="Mean score.")
    came: float = Field(description="Share of label 1; multiclass: of right answers.")


class Measures(Wire):
    """How good scores were on some rows; weighted. What does not fit the task is None or empty."""

    rows: int = 0
    loss: float | None = Field(default=None, description="Brier, or mean absolute error.")
    accuracy: float | None = None
    precision: float | None = Field(default=None, description="Multiclass: mean over classes.")
    recall: float | None = Field(default=None, description="Multiclass: mean over classes.")
    confusion: tuple[tuple[float, ...], ...] = Field(
        default=(), description="Weight by class: rows the truth, columns the answer."
    )
    calibration_error: float | None = Field(
        default=None, description="Expected calibration error over `calibration`."
    )
    calibration: tuple[Bin, ...] = ()


class SliceMeasures(Wire):
    """The measures of one value of a declared label."""

    label: str
    value: str
    measures: Measures


class ColumnFigures(Wire):
    """How good one column of scores was, prequentially."""

    column: str = Field(description="`active`, `anchor`, `baseline`, or a trainer's name.")
    rows: int
    loss: float | None = Field(description="Brier loss, or mean absolute error.")
    accuracy: float | None = None
    whole: Measures = Measures()
    recent: Measures = Field(default=Measures(), description="Over the newest blocks.")
    since_succession: Measures = Field(
        default=Measures(), description="Since the trainer in the seat took it."
    )
    slices: tuple[SliceMeasures, ...] = ()


class Comparison(Wire):
    """A challenger against the trainer in the seat."""

    trainer: str
    over: str
    comparison: int = Field(description="The how-manieth comparison ever opened.")
    log_e: float
    threshold: float = Field(description="log(1 / alpha) of this comparison: the bound of log E.")
    blocks: int
    better_by_at_least: float = Field(description="In units of the metric; may be below 0.")
    expected_blocks: int | None = Field(
        description="Blocks until the bound is reached at the present pace; None = not foreseeable."
    )
    word: str
    detail: str


class ActionEffect(Wire):
    """What one action does; the interval (95 %) is None while there are too few blocks."""

    action: str
    withheld_rows: int
    withheld_mean: float | None
    acted_rows: int
    acted_mean: float | None
    difference: float | None = Field(description="Mean label, acted less withheld.")
    low: float | None = None
    high: float | None = None


class Effect(Wire):
    """What actions do: labels of rows left alone at random, and of rows under an action."""

    withheld_rows: int = 0
    withheld_mean: float | None = None
    acted_rows: int = 0
    acted_mean: float | None = None
    actions: tuple[ActionEffect, ...] = Field(default=(), max_length=16)


class Standings(Wire):
    """Where a pipeline's models stand: KV `standings`, key `<pipeline>`; written by the registry."""

    version: Literal[1] = 1
    pipeline: str
    feature_digest: str
    at: AwareDatetime
    task: str
    metric: str
    now_ms: int = Field(description="Event time up to which labels are evidence; 0 = none yet.")
    labelled: int = Field(description="Rows with a label that were taken into account.")
    unlabelled: int = 0
    block_ms: int = Field(description="Length of an evaluation block.")
    season_ms: int = Field(
        description="No succession before a whole season was compared; 0 = none."
    )
    season_left_ms: int = Field(default=0, description="Event time until a season was compared.")
    seat_trainer: str = ""
    seat_digest: str = ""
    share: float = 1.0
    figures: tuple[ColumnFigures, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    effect: Effect = Effect()
    judgements: int = Field(default=0, description="Number of the last judgement.")
    why_not: str = Field(
        default="", description="Why the pipeline cannot be evaluated; empty = it can."
    )
    opened: int = Field(default=0, description="Comparisons ever opened: the account of doubt.")
    successions: int = Field(default=0, description="Comparisons that ended with `superior`.")


class ModelsScored(Event):
    """Where a pipeline's models stand, as an event: at each judgement and at most once a minute."""

    domain, what = "model", "scored"
    event_ms: int
    mark: str | None = None
    figures: tuple[ColumnFigures, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


class StagePulse(Wire):
    """One running part of a service: a fold or a dispatcher, by its task name."""

    stage: str
    rows: int = Field(description="Rows committed since the process began.")
    commits: int
    lag: int = Field(description="Input messages stored, but not yet received.")
    latency_ms: dict[str, float] = Field(
        default={},
        description="`p50`, `p99` of the last ten seconds: from the storing of the oldest input of "
        "a commit to the commit's acknowledgement; empty when nothing was committed.",
    )


class Pulse(Wire):
    """How a service is, once a second on `pulse.<service>`; not stored."""

    version: Literal[1] = 1
    service: str
    at: AwareDatetime
    pid: int
    live: bool
    ready: bool
    reasons: dict[str, str] = Field(default={})
    stages: tuple[StagePulse, ...] = ()
