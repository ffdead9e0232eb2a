from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MetricReport(_message.Message):
    __slots__ = ("element", "labels", "samples")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    element: str
    labels: _containers.ScalarMap[str, str]
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    def __init__(self, element: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("time_ms", "values", "nulls")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    values: _containers.ScalarMap[str, float]
    nulls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, time_ms: _Optional[int] = ..., values: _Optional[_Mapping[str, float]] = ..., nulls: _Optional[_Iterable[str]] = ...) -> None: ...

class Covers(_message.Message):
    __slots__ = ("origin", "first", "last")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    origin: str
    first: int
    last: int
    def __init__(self, origin: _Optional[str] = ..., first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Skipped(_message.Message):
    __slots__ = ("sequence", "rows", "reason", "detail")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    sequence: bytes
    rows: bytes
    reason: bytes
    detail: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sequence: _Optional[bytes] = ..., rows: _Optional[bytes] = ..., reason: _Optional[bytes] = ..., detail: _Optional[_Iterable[str]] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("id", "time_ms", "last")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    id: str
    time_ms: int
    last: bool
    def __init__(self, id: _Optional[str] = ..., time_ms: _Optional[int] = ..., last: _Optional[bool] = ...) -> None: ...

class Flow(_message.Message):
    __slots__ = ("covers", "skipped", "mark", "tick_ms", "revisions")
    class RevisionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COVERS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    TICK_MS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    covers: Covers
    skipped: Skipped
    mark: Mark
    tick_ms: int
    revisions: _containers.ScalarMap[str, int]
    def __init__(self, covers: _Optional[_Union[Covers, _Mapping]] = ..., skipped: _Optional[_Union[Skipped, _Mapping]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., tick_ms: _Optional[int] = ..., revisions: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("element", "element_index", "sequence", "sample", "time_ms", "label_set", "label_index")
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_FIELD_NUMBER: _ClassVar[int]
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    element: _containers.RepeatedScalarFieldContainer[str]
    element_index: bytes
    sequence: bytes
    sample: bytes
    time_ms: bytes
    label_set: _containers.RepeatedScalarFieldContainer[str]
    label_index: bytes
    def __init__(self, element: _Optional[_Iterable[str]] = ..., element_index: _Optional[bytes] = ..., sequence: _Optional[bytes] = ..., sample: _Optional[bytes] = ..., time_ms: _Optional[bytes] = ..., label_set: _Optional[_Iterable[str]] = ..., label_index: _Optional[bytes] = ...) -> None: ...

class Arrivals(_message.Message):
    __slots__ = ("element", "element_index", "sequence", "time_ms", "value", "before")
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_INDEX_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    element: _containers.RepeatedScalarFieldContainer[str]
    element_index: bytes
    sequence: bytes
    time_ms: bytes
    value: bytes
    before: bytes
    def __init__(self, element: _Optional[_Iterable[str]] = ..., element_index: _Optional[bytes] = ..., sequence: _Optional[bytes] = ..., time_ms: _Optional[bytes] = ..., value: _Optional[bytes] = ..., before: _Optional[bytes] = ...) -> None: ...

class FeatureBatch(_message.Message):
    __slots__ = ("pipeline", "feature_digest", "flow", "rows", "width", "feature", "quality", "target_metric", "target", "arrivals")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TARGET_METRIC_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ARRIVALS_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    width: int
    feature: bytes
    quality: bytes
    target_metric: _containers.RepeatedScalarFieldContainer[str]
    target: bytes
    arrivals: Arrivals
    def __init__(self, pipeline: _Optional[str] = ..., feature_digest: _Optional[str] = ..., flow: _Optional[_Union[Flow, _Mapping]] = ..., rows: _Optional[_Union[Rows, _Mapping]] = ..., width: _Optional[int] = ..., feature: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., target_metric: _Optional[_Iterable[str]] = ..., target: _Optional[bytes] = ..., arrivals: _Optional[_Union[Arrivals, _Mapping]] = ...) -> None: ...

class ModelRef(_message.Message):
    __slots__ = ("digest", "epoch", "stage", "trainer", "precision", "trained_ms")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TRAINER_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    TRAINED_MS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    epoch: int
    stage: str
    trainer: str
    precision: str
    trained_ms: int
    def __init__(self, digest: _Optional[str] = ..., epoch: _Optional[int] = ..., stage: _Optional[str] = ..., trainer: _Optional[str] = ..., precision: _Optional[str] = ..., trained_ms: _Optional[int] = ...) -> None: ...

class DecisionBatch(_message.Message):
    __slots__ = ("pipeline", "feature_digest", "flow", "rows", "model", "model_index", "score", "action", "action_index", "quality", "class_name", "class_index", "doubts")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_INDEX_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    DOUBTS_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    model: _containers.RepeatedCompositeFieldContainer[ModelRef]
    model_index: bytes
    score: bytes
    action: _containers.RepeatedScalarFieldContainer[str]
    action_index: bytes
    quality: bytes
    class_name: _containers.RepeatedScalarFieldContainer[str]
    class_index: bytes
    doubts: Doubts
    def __init__(self, pipeline: _Optional[str] = ..., feature_digest: _Optional[str] = ..., flow: _Optional[_Union[Flow, _Mapping]] = ..., rows: _Optional[_Union[Rows, _Mapping]] = ..., model: _Optional[_Iterable[_Union[ModelRef, _Mapping]]] = ..., model_index: _Optional[bytes] = ..., score: _Optional[bytes] = ..., action: _Optional[_Iterable[str]] = ..., action_index: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., class_name: _Optional[_Iterable[str]] = ..., class_index: _Optional[bytes] = ..., doubts: _Optional[_Union[Doubts, _Mapping]] = ...) -> None: ...

class Doubts(_message.Message):
    __slots__ = ("novelty", "disagreement", "width", "feature")
    NOVELTY_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    novelty: bytes
    disagreement: bytes
    width: int
    feature: bytes
    def __init__(self, novelty: _Optional[bytes] = ..., disagreement: _Optional[bytes] = ..., width: _Optional[int] = ..., feature: _Optional[bytes] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("decision", "element", "label_set", "action", "score", "risk", "category", "reason", "model", "time_ms", "expires_ms", "opened_ms", "approvals", "fact_set")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    OPENED_MS_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    FACT_SET_FIELD_NUMBER: _ClassVar[int]
    decision: str
    element: str
    label_set: str
    action: str
    score: float
    risk: float
    category: int
    reason: str
    model: ModelRef
    time_ms: int
    expires_ms: int
    opened_ms: int
    approvals: int
    fact_set: str
    def __init__(self, decision: _Optional[str] = ..., element: _Optional[str] = ..., label_set: _Optional[str] = ..., action: _Optional[str] = ..., score: _Optional[float] = ..., risk: _Optional[float] = ..., category: _Optional[int] = ..., reason: _Optional[str] = ..., model: _Optional[_Union[ModelRef, _Mapping]] = ..., time_ms: _Optional[int] = ..., expires_ms: _Optional[int] = ..., opened_ms: _Optional[int] = ..., approvals: _Optional[int] = ..., fact_set: _Optional[str] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("decision", "feature", "signal", "neighbour", "history")
    class SignalEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOUR_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    decision: str
    feature: _containers.RepeatedScalarFieldContainer[float]
    signal: _containers.ScalarMap[str, float]
    neighbour: _containers.RepeatedCompositeFieldContainer[Neighbour]
    history: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decision: _Optional[str] = ..., feature: _Optional[_Iterable[float]] = ..., signal: _Optional[_Mapping[str, float]] = ..., neighbour: _Optional[_Iterable[_Union[Neighbour, _Mapping]]] = ..., history: _Optional[_Iterable[str]] = ...) -> None: ...

class Neighbour(_message.Message):
    __slots__ = ("element", "label", "time_ms")
    ELEMENT_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    element: str
    label: str
    time_ms: int
    def __init__(self, element: _Optional[str] = ..., label: _Optional[str] = ..., time_ms: _Optional[int] = ...) -> None: ...

class Turned(_message.Message):
    __slots__ = ("state", "reason", "clock_ms", "until_ms", "before", "number", "by")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    state: int
    reason: str
    clock_ms: int
    until_ms: int
    before: int
    number: int
    by: str
    def __init__(self, state: _Optional[int] = ..., reason: _Optional[str] = ..., clock_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., before: _Optional[int] = ..., number: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("hold", "outcome", "by", "why", "at_ms", "clock_ms", "before", "code")
    HOLD_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    hold: Waiting
    outcome: int
    by: str
    why: str
    at_ms: int
    clock_ms: int
    before: int
    code: str
    def __init__(self, hold: _Optional[_Union[Waiting, _Mapping]] = ..., outcome: _Optional[int] = ..., by: _Optional[str] = ..., why: _Optional[str] = ..., at_ms: _Optional[int] = ..., clock_ms: _Optional[int] = ..., before: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class Answered(_message.Message):
    __slots__ = ("sequence", "decision", "result", "detail", "by", "at_ms")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    decision: str
    result: int
    detail: str
    by: str
    at_ms: int
    def __init__(self, sequence: _Optional[int] = ..., decision: _Optional[str] = ..., result: _Optional[int] = ..., detail: _Optional[str] = ..., by: _Optional[str] = ..., at_ms: _Optional[int] = ...) -> None: ...

class VerdictBatch(_message.Message):
    __slots__ = ("pipeline", "feature_digest", "flow", "rows", "model", "model_index", "score", "action", "action_index", "quality", "verdict", "category", "risk", "reason", "reason_index", "opened", "released", "answered", "class_name", "class_index", "policy_hash", "assessment", "context", "turned")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_INDEX_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REASON_INDEX_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TURNED_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    model: _containers.RepeatedCompositeFieldContainer[ModelRef]
    model_index: bytes
    score: bytes
    action: _containers.RepeatedScalarFieldContainer[str]
    action_index: bytes
    quality: bytes
    verdict: bytes
    category: bytes
    risk: bytes
    reason: _containers.RepeatedScalarFieldContainer[str]
    reason_index: bytes
    opened: _containers.RepeatedCompositeFieldContainer[Waiting]
    released: _containers.RepeatedCompositeFieldContainer[Released]
    answered: _containers.RepeatedCompositeFieldContainer[Answered]
    class_name: _containers.RepeatedScalarFieldContainer[str]
    class_index: bytes
    policy_hash: str
    assessment: Assessment
    context: _containers.RepeatedCompositeFieldContainer[Context]
    turned: _containers.RepeatedCompositeFieldContainer[Turned]
    def __init__(self, pipeline: _Optional[str] = ..., feature_digest: _Optional[str] = ..., flow: _Optional[_Union[Flow, _Mapping]] = ..., rows: _Optional[_Union[Rows, _Mapping]] = ..., model: _Optional[_Iterable[_Union[ModelRef, _Mapping]]] = ..., model_index: _Optional[bytes] = ..., score: _Optional[bytes] = ..., action: _Optional[_Iterable[str]] = ..., action_index: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., verdict: _Optional[bytes] = ..., category: _Optional[bytes] = ..., risk: _Optional[bytes] = ..., reason: _Optional[_Iterable[str]] = ..., reason_index: _Optional[bytes] = ..., opened: _Optional[_Iterable[_Union[Waiting, _Mapping]]] = ..., released: _Optional[_Iterable[_Union[Released, _Mapping]]] = ..., answered: _Optional[_Iterable[_Union[Answered, _Mapping]]] = ..., class_name: _Optional[_Iterable[str]] = ..., class_index: _Optional[bytes] = ..., policy_hash: _Optional[str] = ..., assessment: _Optional[_Union[Assessment, _Mapping]] = ..., context: _Optional[_Iterable[_Union[Context, _Mapping]]] = ..., turned: _Optional[_Iterable[_Union[Turned, _Mapping]]] = ...) -> None: ...

class Assessment(_message.Message):
    __slots__ = ("novelty", "disagreement", "confidence", "credibility", "error", "impact")
    NOVELTY_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CREDIBILITY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    IMPACT_FIELD_NUMBER: _ClassVar[int]
    novelty: bytes
    disagreement: bytes
    confidence: bytes
    credibility: bytes
    error: bytes
    impact: bytes
    def __init__(self, novelty: _Optional[bytes] = ..., disagreement: _Optional[bytes] = ..., confidence: _Optional[bytes] = ..., credibility: _Optional[bytes] = ..., error: _Optional[bytes] = ..., impact: _Optional[bytes] = ...) -> None: ...

class Tally(_message.Message):
    __slots__ = ("model", "rows", "not_finite", "action", "verdict", "category")
    class ActionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class VerdictEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class CategoryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NOT_FINITE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    model: ModelRef
    rows: int
    not_finite: int
    action: _containers.ScalarMap[str, int]
    verdict: _containers.ScalarMap[int, int]
    category: _containers.ScalarMap[int, int]
    def __init__(self, model: _Optional[_Union[ModelRef, _Mapping]] = ..., rows: _Optional[int] = ..., not_finite: _Optional[int] = ..., action: _Optional[_Mapping[str, int]] = ..., verdict: _Optional[_Mapping[int, int]] = ..., category: _Optional[_Mapping[int, int]] = ...) -> None: ...

class SampleBatch(_message.Message):
    __slots__ = ("pipeline", "feature_digest", "flow", "rows", "width", "feature", "label", "known_ms", "weight", "censored", "model", "model_index", "score", "verdict", "quality", "tally", "unlabelled", "share", "action", "action_index", "category", "novelty", "disagreement")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    KNOWN_MS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CENSORED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TALLY_FIELD_NUMBER: _ClassVar[int]
    UNLABELLED_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_INDEX_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    NOVELTY_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENT_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    width: int
    feature: bytes
    label: bytes
    known_ms: bytes
    weight: bytes
    censored: bytes
    model: _containers.RepeatedCompositeFieldContainer[ModelRef]
    model_index: bytes
    score: bytes
    verdict: bytes
    quality: bytes
    tally: _containers.RepeatedCompositeFieldContainer[Tally]
    unlabelled: int
    share: float
    action: _containers.RepeatedScalarFieldContainer[str]
    action_index: bytes
    category: bytes
    novelty: bytes
    disagreement: bytes
    def __init__(self, pipeline: _Optional[str] = ..., feature_digest: _Optional[str] = ..., flow: _Optional[_Union[Flow, _Mapping]] = ..., rows: _Optional[_Union[Rows, _Mapping]] = ..., width: _Optional[int] = ..., feature: _Optional[bytes] = ..., label: _Optional[bytes] = ..., known_ms: _Optional[bytes] = ..., weight: _Optional[bytes] = ..., censored: _Optional[bytes] = ..., model: _Optional[_Iterable[_Union[ModelRef, _Mapping]]] = ..., model_index: _Optional[bytes] = ..., score: _Optional[bytes] = ..., verdict: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., tally: _Optional[_Iterable[_Union[Tally, _Mapping]]] = ..., unlabelled: _Optional[int] = ..., share: _Optional[float] = ..., action: _Optional[_Iterable[str]] = ..., action_index: _Optional[bytes] = ..., category: _Optional[bytes] = ..., novelty: _Optional[bytes] = ..., disagreement: _Optional[bytes] = ...) -> None: ...
