"""The text of nats-server.conf, from values. Pure; `NatsEngine` writes and reloads it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flyball_proto import streams
from flyball_proto.roles import Role

MAX_FILE_BYTES: Final = 16 << 30
"""What all streams together may reserve; the streams' own bounds add up to far less."""
MAX_MEMORY_BYTES: Final = 256 << 20
MAX_CONNECTIONS: Final = 4096


@dataclass(frozen=True, slots=True)
class User:
    """A role and the public half of its NKey."""

    public_key: str
    role: Role


@dataclass(frozen=True, slots=True)
class NatsConf:
    """What may differ between two servers; everything else is the same for all.

    Without users the server asks nobody who they are, which is for tests only. `sync_interval` is
    a duration or `always` (survives a power cut, measured at a sixth of the publish rate); None
    keeps the server's default of two minutes, which survives the death of the process.
    """

    users: tuple[User, ...] = ()
    encryption_key: str | None = field(default=None, repr=False)
    sync_interval: str | None = None
    http_port: int | None = None
    max_payload_bytes: int = streams.MAX_PAYLOAD_BYTES


def render(conf: NatsConf, *, port: int, store: Path) -> str:
    """Configuration of a server that listens on loopback alone and keeps its streams in `store`."""
    lines = [
        f"listen: 127.0.0.1:{port}",
        f"max_payload: {conf.max_payload_bytes}",
        f"max_connections: {MAX_CONNECTIONS}",
        'write_deadline: "10s"',
        *([f"http: 127.0.0.1:{conf.http_port}"] if conf.http_port else []),
        "jetstream {",
        f"  store_dir: {_quoted(str(store))}",
        f"  max_memory_store: {MAX_MEMORY_BYTES}",
        f"  max_file_store: {MAX_FILE_BYTES}",
        *([f"  sync_interval: {_quoted(conf.sync_interval)}"] if conf.sync_interval else []),
        *_encryption(conf.encryption_key),
        "}",
        *_authorization(conf.users),
    ]
    return "\n".join(lines) + "\n"


def _encryption(key: str | None) -> list[str]:
    return [] if key is None else ["  cipher: chachapoly", f"  key: {_quoted(key)}"]


def _authorization(users: Iterable[User]) -> list[str]:
    rendered = [_user(user) for user in users]
    return ["authorization {", "  users: [", *rendered, "  ]", "}"] if rendered else []


def _user(user: User) -> str:
    role = user.role
    responses = ', allow_responses: {max: 1, expires: "1m"}' if role.allow_responses else ""
    return (
        f"    {{nkey: {user.public_key}, permissions: {{"
        f"publish: {{allow: {_list(role.publish)}}}, "
        f"subscribe: {{allow: {_list(role.subscribe)}}}{responses}}}}}"
    )


def _list(subjects: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(subject) for subject in subjects) + "]"


def _quoted(text: str) -> str:
    # JSON's string syntax is a subset of what the server reads between double quotes.
    return json.dumps(text)
