"""Typed records in JetStream key-value buckets: read, written by compare-and-set, watched.

Buckets are made by the installer, not here. Reads ask the stream's leader, never a replica.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from pydantic import TypeAdapter, ValidationError

from flyball_kit import feed
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.headers import EXPECT
from flyball_proto.streams import Bucket

T = TypeVar("T")

_WRONG_LAST_SEQUENCE: Final = 10071


class LostRaceError(TransientError):
    """Somebody else wrote the key since it was read: read again, decide again."""

    kind = "conflict"

    def __init__(self, bucket: str, key: str, revision: int) -> None:
        self.bucket, self.key, self.revision = bucket, key, revision
        super().__init__(f"{bucket}/{key}: changed since revision {revision}", delay_s=0.0)


class UnreadableRecordError(PermanentError):
    """The stored value is not what this version of Flyball writes."""

    kind = "unreadable"


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A key's value now; `value` None = deleted."""

    key: str
    value: T | None
    revision: int


class Kv(Generic[T]):
    """The records of one bucket, all of type `T`.

    `client` gives the connection at each call, so that the object can be made before connecting:
    `Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)`. `bytes` as `kind` takes values as
    they are.
    """

    def __init__(self, client: Callable[[], Client], bucket: Bucket, kind: type[T] | Any) -> None:
        self._client, self._bucket = client, bucket.name
        self._codec: TypeAdapter[T] = TypeAdapter(kind)
        self._raw = kind is bytes
        self._log = logging.getLogger("flyball.kv")

    async def load(self, key: str) -> tuple[T | None, int]:
        """The value and its revision; (None, 0) when the key was never written.

        A deleted key gives (None, revision of the deletion), which `save` takes.

        Raises:
            UnreadableRecordError: the value does not validate.
            TransientError: the broker does not answer.
        """
        with self._unavailable(key):
            try:
                found = await self._js.get_last_msg(f"KV_{self._bucket}", self._subject(key))
            except NotFoundError:
                return None, 0
            entry = _entry(self._bucket, found)
        return self._decode(entry), entry.revision

    async def save(self, key: str, value: T, *, revision: int) -> int:
        """Write if the key still has this revision (0 = never written); returns the new one.

        Raises:
            LostRaceError: it has another one.
            TransientError: no answer; whether it was written shows at the next `load`.
        """
        return await self._put(key, self._encode(value), revision, {})

    async def delete(self, key: str, *, revision: int) -> int:
        """Delete if the key still has this revision; a marker keeps counting revisions."""
        return await self._put(key, b"", revision, {"KV-Operation": "DEL"})

    async def items(self, prefix: str = "") -> dict[str, tuple[T, int]]:
        """All values under a prefix (`""`, or whole tokens as in `source.`) with revisions."""
        found: dict[str, tuple[T, int]] = {}
        with self._unavailable(prefix or "*"):
            session = feed.session(self._client(), self._bucket, _pattern(prefix))
            async with aclosing(session) as entries:
                async for entry in entries:
                    if isinstance(entry, feed.Synced):
                        break
                    if (value := self._decode(entry)) is not None:
                        found[entry.key] = (value, entry.revision)
        return found

    async def watch(
        self, prefix: str = "", *, synced: Callable[[], None] | None = None
    ) -> AsyncGenerator[Change[T], None]:
        """All values under a prefix, then every change, for ever; survives the broker.

        `synced` is called each time everything that was there has been shown. A value that cannot
        be read is an error in the log and skipped: the last readable one stays in force. Of two
        quick changes of one key only the last may be shown. A change is shown at once, or within
        `feed.IDLE_S` after the broker came back.
        """
        async with aclosing(feed.changes(self._client, self._bucket, _pattern(prefix))) as entries:
            async for entry in entries:
                if isinstance(entry, feed.Synced):
                    if synced is not None:
                        synced()
                    continue
                try:
                    value = self._decode(entry)
                except UnreadableRecordError as error:
                    self._log.error("%s; it is skipped", error)
                    continue
                yield Change(entry.key, value, entry.revision)

    async def _put(self, key: str, data: bytes, revision: int, extra: dict[str, str]) -> int:
        expect = {EXPECT: str(revision), **extra}
        with self._unavailable(key):
            try:
                return (await self._js.publish(self._subject(key), data, headers=expect)).seq
            except APIError as error:
                if error.err_code == _WRONG_LAST_SEQUENCE:
                    raise LostRaceError(self._bucket, key, revision) from error
                raise

    @property
    def _js(self) -> JetStreamContext:
        return self._client().jetstream()

    def _subject(self, key: str) -> str:
        return f"$KV.{self._bucket}.{key}"

    def _encode(self, value: T) -> bytes:
        return value if isinstance(value, bytes) else self._codec.dump_json(value)

    def _decode(self, entry: feed.Entry) -> T | None:
        if entry.data is None:
            return None
        if self._raw:
            return entry.data  # type: ignore[return-value] # T is bytes
        try:
            return self._codec.validate_json(entry.data)
        except ValidationError as error:
            raise UnreadableRecordError(
                f"{self._bucket}/{entry.key} revision {entry.revision} is unreadable: "
                f"{error.errors(include_url=False)[0]['msg']}; was it written by another version?"
            ) from error

    @contextmanager
    def _unavailable(self, key: str) -> Iterator[None]:
        try:
            yield
        except (NatsError, OSError) as error:
            raise TransientError(
                f"bucket {self._bucket}, {key}: no answer from the broker ({error!r})"
            ) from error


def _pattern(prefix: str) -> str:
    """`""` → everything, `source.` → everything below, `source.ran` → this key."""
    return f"{prefix}>" if not prefix or prefix.endswith(".") else prefix


def _entry(bucket: str, found: RawStreamMsg) -> feed.Entry:
    return feed.read(bucket, found.subject or "", found.headers, found.data, found.seq or 0)
