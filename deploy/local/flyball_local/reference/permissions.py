"""Who may say and hear what, in the words of the role table. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flyball_proto.roles import ROLES, Role, element_role
from flyball_proto.streams import Bucket, Stream

INSTALLER: Final = "stack"
"""May do everything, provisions streams and belongs to the installer; not listed beside others."""

ELEMENT: Final = replace(element_role("<source>", "<element>"), name="element")
"""Any element."""

_LISTED: Final = (ELEMENT, *(role for name, role in ROLES.items() if name != INSTALLER))


def covers(pattern: str, subject: str) -> bool:
    """Whether a NATS pattern allows everything that `subject` may stand for.

    A placeholder such as `<pipeline>` in `subject` may be anything: only `*`, `>` or the same
    placeholder cover it.
    """
    wanted, given = pattern.split("."), subject.split(".")
    for position, part in enumerate(wanted):
        if part == ">":
            return len(given) > position
        if position >= len(given) or part not in {"*", given[position]}:
            return False
    return len(wanted) == len(given)


def may_publish(subject: str) -> list[str]:
    """Roles that may publish on a subject."""
    return [role.name for role in _LISTED if _any_covers(role.publish, subject)]


def may_subscribe(subject: str) -> list[str]:
    """Roles that may listen to a subject as it is published."""
    return [role.name for role in _LISTED if _any_covers(role.subscribe, subject)]


def may_read(stream: Stream) -> list[str]:
    """Roles that may read what a stream stores."""
    return [r.name for r in _LISTED if f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.>" in r.publish]


def may_purge(stream: Stream) -> list[str]:
    """Roles whose folds purge a stream behind its readers."""
    return [r.name for r in _LISTED if f"$JS.API.STREAM.PURGE.{stream.name}" in r.publish]


def may_read_bucket(bucket: Bucket) -> list[str]:
    """Roles that may read a bucket."""
    wanted = f"$JS.API.CONSUMER.MSG.NEXT.KV_{bucket.name}.>"
    return [r.name for r in _LISTED if wanted in r.publish]


def may_write_bucket(bucket: Bucket) -> list[str]:
    """Roles that may write a bucket."""
    return [r.name for r in _LISTED if f"$KV.{bucket.name}.>" in r.publish]


def own_subjects(role: Role) -> tuple[list[str], list[str]]:
    """What a role may publish and hear, without JetStream's own subjects and inboxes."""
    return _own(role.publish), _own(role.subscribe)


def listed_roles() -> tuple[Role, ...]:
    """Every role but the installer's."""
    return _LISTED


def _own(patterns: Iterable[str]) -> list[str]:
    return [p for p in patterns if not p.startswith(("$", "_INBOX"))]


def _any_covers(patterns: Iterable[str], subject: str) -> bool:
    return any(covers(pattern, subject) for pattern in patterns)
