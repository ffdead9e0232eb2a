"""docs/reference/subjects.md: subjects, streams, buckets, commands, and who may do what."""

import inspect
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from flyball_local.reference import permissions as may
from flyball_local.reference.commands import command_lines
from flyball_local.reference.markdown import code, first_paragraph, listed, page, table
from flyball_proto import streams, subjects
from flyball_proto.streams import Stream

_INTRO: Final = (
    "Everything that Flyball says travels on a NATS subject of this page; one that is not here does not",
    "exist, and no role may use it. The source is [proto/flyball_proto](../../proto/flyball_proto):",
    "`subjects.py`, `streams.py`, `commands.py`, `roles.py`. What events carry: [events](events.md).",
)


class Wire(NamedTuple):
    """What travels on a subject, and which stream keeps it; None = it is not stored."""

    function: Callable[..., str]
    payload: str
    stream: Stream | None
    who: str = ""
    """Who publishes it, where the role table does not say it in one word."""


_THE_SERVICE: Final = "that service"
_BY_SERVER: Final = "nobody: NATS stores it so; `adapter` writes marks"

_WIRES: Final = (
    Wire(subjects.metrics, "`MetricReport`: protobuf or JSON, by `Content-Type`", streams.METRICS),
    Wire(subjects.labels, "JSON `{time_ms, value}` or `{samples: [...]}`", streams.METRICS),
    Wire(subjects.stored_metrics, "the same report", streams.METRICS, _BY_SERVER),
    Wire(subjects.stored_labels, "the same label", streams.METRICS, _BY_SERVER),
    Wire(subjects.features, "`FeatureBatch`, protobuf", streams.FEATURES),
    Wire(subjects.samples, "`SampleBatch`, protobuf", streams.SAMPLES),
    Wire(subjects.decisions, "`DecisionBatch`, protobuf", streams.DECISIONS),
    Wire(
        subjects.answers,
        "`Answer`, `BulkAnswer`, `Withdrawal`, `StopOrder`, `BreakerOrder`, `LeaseOrder`, JSON",
        streams.DECISIONS,
    ),
    Wire(subjects.verdicts, "`VerdictBatch`, protobuf", streams.VERDICTS),
    Wire(subjects.actions, "`Action`, JSON", streams.ACTIONS),
    Wire(
        subjects.outcomes,
        "JSON: what became of an action, see `proto/flyball_proto/outcomes.py`",
        streams.OUTCOMES,
        "the element itself, as the registered names of its source say",
    ),
    Wire(subjects.quarantine, "the refused report, reasons in headers", streams.QUARANTINE),
    Wire(subjects.refused_outcomes, "the refused outcome, reason in a header", streams.QUARANTINE),
    Wire(subjects.refused_labels, "the refused label", streams.QUARANTINE),
    Wire(subjects.unreadable_labels, "the refused label", streams.QUARANTINE),
    Wire(
        subjects.event,
        "an event, JSON: see [events](events.md)",
        streams.EVENTS,
        "the owning service",
    ),
    Wire(subjects.audit, "`Act`, JSON", streams.AUDIT, _THE_SERVICE),
    Wire(subjects.dead, "the message that could not be handled", streams.DEAD, _THE_SERVICE),
    Wire(subjects.pulse, "`Pulse`, JSON, once a second", None, _THE_SERVICE),
    Wire(subjects.command, "a request and its reply, JSON: see [commands](#commands)", None),
)

_BUCKET_RECORDS: Final = {
    "pipelines": "`source.<name>`, `pipeline.<name>`: specifications with their revision",
    "models": "`<pipeline>.<digest>`: `ModelRecord`",
    "deployments": "`<pipeline>`: `ActiveModel`, who answers and since when",
    "scoreboard": "`<pipeline>`: the registry's evidence and where it stands in SAMPLES",
    "calibration": "`<pipeline>`: how often decisions are wrong, and up to where they may be cleared",
    "holds": "`<pipeline>.<sequence>.<sample>`: `Hold`",
    "contexts": "`<pipeline>.<sequence>.<sample>`: `HoldContext`",
    "reviews": "`<pipeline>.<sequence>.<sample>`: `Review`",
    "breakers": "`<pipeline>.<partition>`: how its breaker stands",
    "autonomy": "`<pipeline>`: what is proposed, and what people said",
    "stops": "`<pipeline>`: `Stop`",
    "acknowledged": "`<decision>`: `Awaited`, `….outcome`: `Told`, `….overdue`: `Overdue`",
    "progress": "`<pipeline>.<trainer>`: `TrainerProgress`",
    "standings": "`<pipeline>`: `Standings`",
    "access": "`token.<hash>`, `session.<hash>`, `invitation.<hash>`",
    "elements": "elements that the gateway has seen",
    "positions": "where every reader of a stream is, and the state that past decisions made",
}


def subjects_reference() -> str:
    """The page."""
    return "\n".join(
        [
            *page("Subjects", _INTRO),
            *_section("Subjects", _subject_lines()),
            *_section("Streams", _stream_lines()),
            *_section("Buckets", _bucket_lines()),
            *_section("Commands", command_lines()),
            *_section("Who may do what", _role_lines()),
            "",
        ]
    )


def undescribed() -> list[str]:
    """Functions of `subjects` that name a subject and are not on the page."""
    shown = {wire.function.__name__ for wire in _WIRES}
    return [f.__name__ for f in _subject_functions() if f.__name__ not in shown]


def templates() -> list[str]:
    """Every subject with its placeholders."""
    return [template(wire.function) for wire in _WIRES]


def template(function: Callable[..., str]) -> str:
    """A subject with its placeholders, as in `metrics.<source>.<element>`."""
    names = inspect.signature(function).parameters
    return function(**{name: f"<{name}>" for name in names})


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _subject_lines() -> list[str]:
    rows = [
        (
            code(template(wire.function)),
            first_paragraph(wire.function.__doc__),
            wire.payload,
            wire.stream.name if wire.stream else "not stored",
            wire.who or listed(may.may_publish(template(wire.function))),
        )
        for wire in _WIRES
    ]
    header = ("subject", "what", "payload", "stored in", "may publish")
    return [
        "`<digest8>` are the first eight characters of the pipeline's feature digest.",
        f"An element's name has at most {subjects.MAX_ELEMENT_CHARS} characters and no dot;",
        f"`{subjects.MARK}` is reserved for lockstep marks.",
        "",
        *table(header, rows),
    ]


def _stream_lines() -> list[str]:
    header = ("stream", "subjects", "bound", "at the bound", "kept for", "read by", "purged by")
    rows = [
        (
            code(stream.name),
            listed(map(code, stream.subjects)),
            _size(stream.max_bytes),
            "the publisher is refused" if stream.discard == "new" else "the oldest go",
            _age(stream.max_age_s),
            listed(may.may_read(stream)),
            listed(may.may_purge(stream)),
        )
        for stream in streams.STREAMS
    ]
    raw = listed(code(s.name) for s in streams.STREAMS if s.raw)
    return [
        "What a refused publisher does: a fold waits, and so holds back the stage before it, until the",
        "publisher of a metric gets the error. A fold's writer purges what all of its readers have read",
        f"once the stream is fuller than {streams.RETAIN_RATIO:.0%} of its bound, or than the stage's",
        f"`…_RETAIN_MIB`. {raw} hold payloads as elements sent them.",
        "",
        *table(header, rows),
        "",
        f"A message has at most {_size(streams.MAX_PAYLOAD_BYTES)}: the server refuses a larger one and",
        f"closes the connection. A report above {_size(streams.MAX_REPORT_BYTES)}, or with more than",
        f"{streams.MAX_SAMPLES_PER_REPORT} samples or {streams.MAX_FIELDS_PER_SAMPLE} fields a sample, lies",
        f"in quarantine. A fold commits at {_size(streams.BATCH_BYTES)} of output.",
    ]


def _bucket_lines() -> list[str]:
    header = (
        "bucket",
        "keys and records",
        "bound, a value",
        "at the bound",
        "old values kept",
        "written by",
        "read by",
    )
    rows = [
        (
            code(bucket.name),
            _BUCKET_RECORDS.get(bucket.name, ""),
            f"{_size(bucket.max_bytes)}, {_size(bucket.max_value_bytes)}",
            "is refused" if bucket.discard == "new" else "the oldest go",
            str(bucket.history - 1),
            listed(may.may_write_bucket(bucket)),
            listed(may.may_read_bucket(bucket)),
        )
        for bucket in streams.BUCKETS
    ]
    return [
        "JetStream key-value buckets, written by compare-and-set: a writer that was overtaken is refused.",
        "",
        *table(header, rows),
    ]


def _role_lines() -> list[str]:
    rows = []
    for role in may.listed_roles():
        publish, subscribe = may.own_subjects(role)
        read = [s.name for s in streams.STREAMS if role.name in may.may_read(s)]
        rows.append(
            (
                code(role.name),
                listed(map(code, publish)),
                listed(map(code, read)),
                listed(map(code, subscribe)),
            )
        )
    header = ("role", "may publish", "may read the stream", "hears as it is published")
    return [
        "A role is a NATS user with a key of its own; what is not listed is refused by the server.",
        "`element` stands for every element: `element.<source>.<name>` has its own two subjects and hears its",
        "own actions, nothing else. `operator` is people with the `flyball` command, `adapter` feeds that",
        "publish for many elements. Beside them the installer's role `stack` may do everything: it makes the",
        "streams, and no service has its key. Replies come to `_INBOX.<role>`, which nobody else hears.",
        "",
        *table(header, rows),
    ]


def _subject_functions() -> Iterator[Callable[..., str]]:
    for _, function in inspect.getmembers(subjects, inspect.isfunction):
        if inspect.signature(function).return_annotation is str:
            yield function


def _size(count: int) -> str:
    return f"{count // streams.MIB} MiB" if count >= streams.MIB else f"{count // 1024} KiB"


def _age(seconds: int) -> str:
    return f"{seconds // streams.DAY_S} days" if seconds else "until purged"
