"""Every subject of the system. A subject that is not here does not exist."""

import re
from typing import Final, NamedTuple

MAX_ELEMENT_CHARS: Final = 128
_ELEMENT = re.compile(rf"[A-Za-z0-9\-:@/=+,%~][A-Za-z0-9_\-:@/=+,%~]{{0,{MAX_ELEMENT_CHARS - 1}}}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

MARK: Final = "_mark"
"""Reserved element name of a lockstep mark, in band with the partition's rows."""


class Stored(NamedTuple):
    """A METRICS subject as the stream stores it: `<kind>.<source>.<partition>.<element>`."""

    kind: str
    source: str
    partition: int
    element: str


def is_element(name: str) -> bool:
    """Whether `name` may name an element: one NATS token, not reserved, at most 128 characters."""
    return _ELEMENT.fullmatch(name) is not None


def is_name(name: str) -> bool:
    """Whether `name` may name a source or a pipeline: lower-case letters, digits and dashes."""
    return _NAME.fullmatch(name) is not None


def parse_stored(subject: str) -> Stored | None:
    """Split a stored METRICS subject; None when the stream's transform did not apply to it."""
    tokens = subject.split(".")
    if len(tokens) != 4 or not tokens[2].isdecimal():
        return None
    return Stored(tokens[0], tokens[1], int(tokens[2]), tokens[3])


def metrics(source: str, element: str) -> str:
    """Where an element publishes its reports."""
    return f"metrics.{source}.{element}"


def labels(pipeline: str, element: str) -> str:
    """Where confirmed truth about an element's decisions is published."""
    return f"labels.{pipeline}.{element}"


def stored_metrics(source: str, partition: int, element: str) -> str:
    """Where METRICS keeps a report; also where a driver writes a mark."""
    return f"metrics.{source}.{partition}.{element}"


def partition_of(element: str, partitions: int) -> int:
    """The partition the server's subject transform gives an element (FNV-1a, 32 bits, modulo)."""
    value = 0x811C9DC5
    for byte in element.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value % partitions


def features(pipeline: str, digest8: str, partition: int) -> str:
    """Feature rows of one pipeline, feature digest and partition."""
    return f"features.{pipeline}.{digest8}.{partition}"


def samples(pipeline: str, digest8: str, partition: int) -> str:
    """Feature rows with their label, once it is known."""
    return f"samples.{pipeline}.{digest8}.{partition}"


def decisions(pipeline: str, partition: int) -> str:
    """What the active model said."""
    return f"decisions.{pipeline}.{partition}"


def answers(pipeline: str, partition: int) -> str:
    """People's answers to holds, in one order with the decisions that they are about."""
    return f"decisions.{pipeline}.{partition}.answers"


def verdicts(pipeline: str, partition: int) -> str:
    """What risk judged; the record that every action stands on."""
    return f"verdicts.{pipeline}.{partition}"


def actions(pipeline: str, element: str) -> str:
    """The only thing an element ever receives."""
    return f"actions.{pipeline}.{element}"


def outcomes(pipeline: str, element: str) -> str:
    """Where an element says what became of an action."""
    return f"outcomes.{pipeline}.{element}"


def quarantine(source: str, partition: int = 0, partitions: int = 1) -> str:
    """Refused reports, untouched. One subject a partition, so that on each of them keys grow."""
    return f"quarantine.{source}" if partitions == 1 else f"quarantine.{source}.{partition}"


def refused_labels(pipeline: str, partition: int) -> str:
    """Labels that were not used, untouched; no source can be named so."""
    return f"quarantine._labels.{pipeline}.{partition}"


def unreadable_labels(pipeline: str, partition: int) -> str:
    """Labels that could not be read or were not wanted, untouched; no source can be named so.

    Not beside `refused_labels`: another fold finds those, and on each subject keys only grow.
    """
    return f"quarantine._unread.{pipeline}.{partition}"


def refused_outcomes(pipeline: str) -> str:
    """Outcomes of actions that could not be read, untouched; no source can be named so."""
    return f"quarantine._outcomes.{pipeline}"


def stored_labels(pipeline: str, partition: int, element: str) -> str:
    """Where METRICS keeps a label."""
    return f"labels.{pipeline}.{partition}.{element}"


def event(domain: str, pipeline: str, what: str) -> str:
    """`<domain>.<pipeline>.<past-tense>`, as in `model.congestion.trained`."""
    return f"{domain}.{pipeline}.{what}"


def command(service: str, verb: str) -> str:
    """A request to a service; the reply says what was done or exactly why not."""
    return f"cmd.{service}.{verb}"


def pulse(service: str) -> str:
    """How a service is, once a second; not stored."""
    return f"pulse.{service}"


def audit(service: str) -> str:
    """A service's record of its own acts."""
    return f"audit.{service}"


def dead(service: str) -> str:
    """Control messages a service could not handle, payload untouched."""
    return f"dead.{service}"


EVENT_DOMAINS: Final = (
    "model",
    "evaluation",
    "deployment",
    "risk",
    "drift",
    "pipeline",
    "runtime",
)
"""First tokens of the EVENTS stream's subjects."""
