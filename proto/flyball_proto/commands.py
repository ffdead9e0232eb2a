"""Commands: requests on `cmd.<service>.<verb>` whose reply says what was done or exactly why not."""

from typing import Literal

from pydantic import AwareDatetime, Field

from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Wire
from flyball_proto.holds import MAX_BULK, MAX_WHY_CHARS, Hold, ReasonCode, Stop
from flyball_proto.progress import Measures, SliceMeasures
from flyball_proto.runtimes import RuntimeState


class Failure(Wire):
    """Why a command was not carried out."""

    kind: str = Field(description="Stable word, e.g. `invalid-spec`, `not-found`, `conflict`.")
    message: str = Field(description="What was found, what would be valid, the next step.")


class Reply(Wire):
    """Base of every reply: `ok`, or `error` says why not."""

    ok: bool
    error: Failure | None = None


class Apply(Wire):
    """`cmd.gateway.apply`: bring a specification into force."""

    objects: tuple[dict[str, object], ...] = Field(
        min_length=1, description="Source and Pipeline documents, as in the YAML file."
    )
    by: str = Field(min_length=1, description="Who asks.")
    why: str = Field(default="", max_length=MAX_WHY_CHARS)


class Applied(Wire):
    """One object's outcome."""

    kind: str
    name: str
    revision: int
    changed: bool


class ApplyReply(Reply):
    """What was applied; an unchanged object keeps its revision."""

    applied: tuple[Applied, ...] = ()


class StatusRequest(Wire):
    """`cmd.gateway.status`: what is running."""


class PipelineStatus(Wire):
    """One pipeline as the gateway sees it."""

    pipeline: str
    source: str
    feature_digest: str
    revision: int
    model: str | None = None
    trainer: str | None = None
    epoch: int | None = None
    anchor: str | None = Field(default=None, description="Digest that a rollback would lead to.")
    canary: str | None = Field(default=None, description="Digest that answers for a share.")
    canary_percent: int | None = Field(default=None, description="Of the elements, by hash.")
    frozen: bool = Field(default=False, description="Nothing moves until a person decides.")
    outcome: str | None = Field(
        default=None, description="What became of the last judgement, in words."
    )
    since: AwareDatetime | None = Field(default=None, description="When this epoch began.")
    reason: str | None = Field(default=None, description="Why this model is active.")
    stopped: Stop | None = Field(default=None, description="Set while a person has stopped it.")
    open_holds: int = Field(default=0, description="Decisions that wait for a person.")
    breaker: str = Field(
        default="",
        description="`open: …` or `trial: …` while it has stepped back by itself, and why; "
        "empty = it has not.",
    )
    awaited: tuple[str, ...] = Field(
        default=(), description="What happens next and when, one sentence each."
    )
    runtimes: tuple[RuntimeState, ...] = Field(
        default=(), description="Who answers, and with which epoch; those not gone."
    )
    disagree: str = Field(
        default="",
        description="How the runtimes' epochs differ from the deployment's; empty = not.",
    )


class StatusReply(Reply):
    """Every applied pipeline."""

    pipelines: tuple[PipelineStatus, ...] = ()


class AnswerHold(Wire):
    """`cmd.risk.answer-hold`: approve or deny one decision that waits for a person.

    The reply comes when the answer is part of the record; it says what then became of the hold. A
    hold that has an answer already, or is expired, is refused with `conflict` or `expired`.
    """

    hold: str = Field(min_length=1, description="The hold's id: `<pipeline>.<sequence>.<sample>`.")
    answer: Literal["approve", "deny"]
    by: str = Field(min_length=1)
    why: str = Field(default="", max_length=MAX_WHY_CHARS)
    code: ReasonCode = "other"


class HoldReply(Reply):
    """The hold as it is now; `detail` says what it still waits for."""

    hold: Hold | None = None
    detail: str = ""


class AnswerHolds(Wire):
    """`cmd.risk.answer-holds`: approve or deny many decisions that wait, each judged by itself.

    Either `holds` names them, or the other fields say which open ones are meant. When their number
    is not `expected`, nothing is done. What needs two people cannot be approved this way.
    """

    holds: tuple[str, ...] = Field(default=(), max_length=MAX_BULK)
    pipeline: str | None = Field(default=None, min_length=1)
    element: str | None = Field(default=None, min_length=1)
    action: str | None = Field(default=None, min_length=1)
    labels: dict[str, str] = Field(default={}, max_length=8, description="All of them.")
    older_than_s: float | None = Field(default=None, ge=0, description="Opened so long ago.")
    expected: int = Field(ge=1, le=MAX_BULK, description="How many open ones are meant.")
    answer: Literal["approve", "deny"]
    by: str = Field(min_length=1)
    why: str = Field(default="", max_length=MAX_WHY_CHARS)
    code: ReasonCode = "other"


class NotAnswered(Wire):
    """One of many holds to which the answer did not count."""

    hold: str
    kind: str = Field(description="Stable word, as in `Failure`.")
    message: str


class HoldsReply(Reply):
    """What became of many holds at once."""

    ended: int = Field(default=0, description="Holds that the answer ended.")
    states: dict[str, str] = Field(default={}, description="Hold to its state now.")
    refused: tuple[NotAnswered, ...] = ()


class WithdrawApprovals(Wire):
    """`cmd.risk.withdraw-approvals`: the approvals of somebody count no longer in open holds.

    Asked by the gateway when it takes somebody's access away.
    """

    name: str = Field(min_length=1, max_length=64, description="Whose approvals.")
    by: str = Field(min_length=1)
    why: str = Field(default="", max_length=MAX_WHY_CHARS)


class WithdrawReply(Reply):
    """The holds that had counted an approval of theirs."""

    holds: tuple[str, ...] = ()


class StopPipeline(Wire):
    """`cmd.risk.stop`: no action of the pipeline is stored after the reply, until `ResumePipeline`."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(default="", max_length=MAX_WHY_CHARS)


class ResumePipeline(Wire):
    """`cmd.risk.resume`: let a stopped pipeline act again, from the next decision on."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(default="", max_length=MAX_WHY_CHARS)


class StopReply(Reply):
    """The pipeline's state now; `changed` is False when it was so before."""

    state: Stop | None = None
    changed: bool = False


class PromoteModel(Wire):
    """`cmd.deployer.promote`: a person makes an admitted model the active one, at once.

    It is its own anchor then, a canary ends, a frozen seat is free again. A digest that was rolled
    back may return this way, and only this way.
    """

    pipeline: str = Field(min_length=1)
    digest: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class RollBackSeat(Wire):
    """`cmd.deployer.rollback`: a person takes the active model back to the anchor."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class PinSeat(Wire):
    """`cmd.deployer.pin`: nothing moves by itself; a canary that is under way ends."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class UnpinSeat(Wire):
    """`cmd.deployer.unpin`: evidence may move the seat again, pinned or frozen as it was."""

    pipeline: str = Field(min_length=1)
    by: str = Field(min_length=1)
    why: str = Field(min_length=1, max_length=MAX_WHY_CHARS)


class DeploymentReply(Reply):
    """The deployment as it is now."""

    deployment: ActiveModel | None = None


class Reproduce(Wire):
    """`cmd.trainer.reproduce`: train a model again from its manifest and data set, and compare.

    It takes as long as the training did; ask with a timeout of minutes.
    """

    pipeline: str = Field(min_length=1)
    digest: str = Field(min_length=64, max_length=64)


class Reproduction(Wire):
    """What came of training again."""

    digest: str
    again: str = Field(description="Digest of the model that was made now.")
    same: bool = Field(description="The digests are equal: the same bytes.")
    platform: str = Field(description="On what the model was fitted.")
    here: str = Field(description="On what it was fitted again.")
    difference: float = Field(description="Largest distance of two scores on the data set.")
    rows: int = Field(description="Rows of the data set that were scored by both.")
    holds: bool = Field(description="Equal, or on another platform at most 1e-6 apart.")
    took_s: float


class ReproduceReply(Reply):
    """What came of it."""

    reproduction: Reproduction | None = None


class CompareModels(Wire):
    """`cmd.registry.compare`: two admitted models on the newest labelled rows neither was fitted to."""

    pipeline: str = Field(min_length=1)
    digest: str = Field(min_length=64, max_length=64)
    other: str = Field(min_length=64, max_length=64)


class ModelComparison(Wire):
    """Two models side by side; for people, it is no evidence and moves nothing."""

    digest: str
    other: str
    rows: int
    first_ms: int
    last_ms: int
    metric: str
    measures: Measures
    other_measures: Measures
    better_by: float = Field(description="Mean loss of the other less this one's.")
    low: float = Field(description="95 % confidence interval over blocks, lower end.")
    high: float
    blocks: int
    slices: tuple[SliceMeasures, ...] = ()
    other_slices: tuple[SliceMeasures, ...] = ()


class CompareReply(Reply):
    """The comparison."""

    comparison: ModelComparison | None = None


class DoraRequest(Wire):
    """`cmd.gateway.dora`: how well the loop delivers."""

    pipeline: str = Field(min_length=1)


class Dora(Wire):
    """DORA's measures of one pipeline's deployments; None = nothing to measure by yet."""

    pipeline: str
    since: AwareDatetime | None = Field(description="The oldest event that was looked at.")
    deployments: int = Field(description="Full activations of a learnt model.")
    by_change: dict[str, int] = Field(description="Successions, refreshes, promotions apart.")
    per_day: float | None = Field(description="Deployment frequency.")
    change_lead_s: float | None = Field(description="Specification applied → active, median.")
    machine_lead_s: float | None = Field(description="End of the fit → active, median.")
    data_lead_s: float | None = Field(
        description="Newest row learnt from → evidence for it, event time, median."
    )
    failed: int = Field(description="Rolled back or overridden by a person within a day.")
    change_fail_rate: float | None
    recovery_s: float | None = Field(description="Failed activation → restored model, median.")
    alarm_to_recovery_s: float | None = Field(description="Alarm → restored model, median.")
    rework_rate: float | None = Field(
        description="Rollbacks and trainings because of drift, a deployment."
    )
    waited_for_people_s: float | None = Field(description="Asked → decided, median.")
    promotion_yield: float | None = Field(description="Deployments a learnt model.")


class DoraReply(Reply):
    """The measures."""

    dora: Dora | None = None


class ListQuarantined(Wire):
    """`cmd.ingest.quarantine`: refused reports of a source, newest first.

    Payloads are given only when asked for, one report at a time: they are as elements sent them.
    """

    source: str = Field(min_length=1)
    limit: int = Field(default=20, ge=1, le=500)
    sequence: int | None = Field(
        default=None, ge=1, description="This METRICS sequence alone, with its payload."
    )


class Quarantined(Wire):
    """One refused report."""

    sequence: int = Field(description="In METRICS.")
    element: str
    at: AwareDatetime
    codes: tuple[str, ...] = Field(description="Stable reason codes.")
    detail: str = ""
    size_bytes: int
    content_type: str = ""
    payload: str | None = Field(default=None, description="As text; base64 when it is none.")


class QuarantinedReply(Reply):
    """Refused reports, newest first."""

    reports: tuple[Quarantined, ...] = ()
    total: int = Field(default=0, description="How many of the source are kept.")


Role = Literal["viewer", "operator", "approver", "engineer", "admin"]
"""What a person may do over HTTP, see the gateway's README."""


class Invite(Wire):
    """`cmd.gateway.invite`: a link that logs one browser in, once, within ten minutes."""

    name: str = Field(min_length=1, max_length=64)
    role: Role
    by: str = Field(min_length=1)


class InviteReply(Reply):
    """The link; it is shown once and not stored readably."""

    url: str = ""
    expires_at: AwareDatetime | None = None


class IssueToken(Wire):
    """`cmd.gateway.issue-token`: a bearer token for a person or program."""

    name: str = Field(min_length=1, max_length=64)
    role: Role
    days: int = Field(default=90, ge=1, le=3650)
    by: str = Field(min_length=1)


class TokenReply(Reply):
    """The token; it is shown once and not stored readably."""

    token: str = ""
    expires_at: AwareDatetime | None = None


class RevokeAccess(Wire):
    """`cmd.gateway.revoke`: all tokens and sessions of a name end at once."""

    name: str = Field(min_length=1, max_length=64)
    by: str = Field(min_length=1)


class RevokeReply(Reply):
    """How many tokens and sessions ended, and what became of approvals that they gave."""

    ended: int = 0
    withdrawn: tuple[str, ...] = Field(
        default=(), description="Holds in which an approval of theirs counts no longer."
    )
    detail: str = Field(default="", description="What could not be done, and the next step.")


class ListAccess(Wire):
    """`cmd.gateway.access`: who has a token or a session."""


class Access(Wire):
    """One token or session, without its secret."""

    name: str
    role: Role
    kind: Literal["token", "session", "invitation"]
    since: AwareDatetime
    expires_at: AwareDatetime


class AccessReply(Reply):
    """Everybody who may come in, by name."""

    access: tuple[Access, ...] = ()


class GatewayUrl(Wire):
    """`cmd.gateway.url`: where the gateway serves HTTP."""


class UrlReply(Reply):
    """The address; empty = HTTP is off."""

    url: str = ""
