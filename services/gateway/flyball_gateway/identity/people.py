"""Tokens, sessions and invitations: made, exchanged, revoked and followed in KV `access`.

All of them are kept in memory as well, so that asking who somebody is costs nothing. A change made
here counts at once; one made by another gateway, within the moment that a watch takes.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_gateway.bell import Bell
from flyball_gateway.identity.access import (
    PREFIXES,
    SECRET_BYTES,
    AccessRecord,
    Kind,
    Person,
    key_of,
)
from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto.commands import Access, Role
from flyball_proto.streams import ACCESS

MAX_RECORDS: Final = 1000
INVITATION: Final = timedelta(minutes=10)
SWEEP_S: Final = 60.0
MARKER_S: Final = 60.0
"""A deletion's mark stays so long, so that every gateway sees it; then it is removed as well."""

MAX_ENDED: Final = 4 * MAX_RECORDS
"""Keys that ended lately: what the watch shows of them is old. The oldest are forgotten first."""


class TooManyError(PermanentError):
    """There are as many tokens, sessions and invitations as there may be."""

    kind = "too-many"

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_RECORDS} tokens, sessions and invitations exist, which is the most; revoke some "
            "(flyball users list, flyball users revoke NAME)"
        )


class BadCodeError(PermanentError):
    """A login code that does not exist, was used, or is too old."""

    kind = "bad-code"

    def __init__(self) -> None:
        super().__init__(
            "this login link was used already, is older than ten minutes, or never existed; get "
            "another one: flyball users invite"
        )


class People:
    """Everybody who may come in; at most `MAX_RECORDS` records."""

    def __init__(
        self,
        records: Kv[AccessRecord],
        client: Callable[[], Client],
        *,
        session: timedelta,
        now: clock.Now = clock.utc_now,
    ) -> None:
        self._records, self._client = records, client
        self._session, self._now = session, now
        self._known: dict[str, tuple[AccessRecord, int]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._undeleted: dict[
            str, str
        ] = {}  # ended here, but the broker did not say that it is gone
        self._marks: dict[str, float] = {}
        self._changing = asyncio.Lock()
        self.synced = False
        self.changed = Bell()
        """Rings whenever a record came or went."""

    async def follow(self) -> None:
        """Keep up with the bucket, for ever."""
        async with aclosing(self._records.watch(synced=self._on_synced)) as changes:
            async for change in changes:
                if change.value is None:
                    self._known.pop(change.key, None)
                    if change.revision:
                        self._marks.setdefault(change.key, clock.monotonic_s())
                elif change.key not in self._ended:
                    self._known[change.key] = (change.value, change.revision)
                self.changed.ring()

    async def sweep(self) -> None:
        """Once a minute remove what is over, for ever."""
        while True:
            await clock.sleep(SWEEP_S)
            with suppress(TransientError):
                async with self._changing:
                    await self.sweep_over()
            await self.sweep_marks()

    async def sweep_over(self) -> None:
        """Remove what is over."""
        now = self._now()
        for key in [key for key, (record, _) in self._known.items() if record.is_over(now)]:
            self._forget(key)
        for key in list(self._undeleted):
            await self._delete(key)

    async def sweep_marks(self, older_than_s: float = MARKER_S) -> None:
        """Remove the marks of deletions, so that the bucket never fills with them."""
        since = clock.monotonic_s() - older_than_s
        for key in [key for key, seen_s in self._marks.items() if seen_s <= since]:
            with suppress(NatsError, OSError):
                js = self._client().jetstream()
                await js.purge_stream(f"KV_{ACCESS.name}", subject=f"$KV.{ACCESS.name}.{key}")
                del self._marks[key]

    async def issue(
        self, kind: Kind, name: str, role: Role, by: str, lasts: timedelta
    ) -> tuple[str, datetime]:
        """Make a token, session or invitation; returns the secret, which nobody can read again.

        Raises:
            TooManyError: `MAX_RECORDS` are in use.
            TransientError: the broker did not say that it is stored.
        """
        async with self._changing:
            return await self._issue(kind, name, role, by, lasts)

    async def exchange(self, code: str) -> tuple[str, AccessRecord]:
        """Make a session of an invitation, which ends with it; returns the session's secret.

        Of two who use a code in the same instant one gets in: the invitation is deleted by
        compare-and-set first.

        Raises:
            BadCodeError: it does not exist, was used, or is over.
        """
        key = key_of("invitation", code) or ""
        async with self._changing:
            record, revision = self._known.get(key, (None, 0))
            if record is None or record.is_over(self._now()):
                raise BadCodeError
            try:
                await self._records.delete(key, revision=revision)
            except LostRaceError:
                raise BadCodeError from None
            self._forget(key)
            del self._undeleted[key]
            made = await self._issue("session", record.name, record.role, record.by, self._session)
        return made[0], record

    async def revoke(self, name: str) -> int:
        """End everything of a name, now; returns how many tokens, sessions and invitations."""
        async with self._changing:
            for key in [key for key, (record, _) in self._known.items() if record.name == name]:
                self._forget(key)
            ending = [key for key, of in self._undeleted.items() if of == name]
            for key in ending:
                await self._delete(key)
        return len(ending)

    async def end(self, kind: Kind, secret: str) -> None:
        """End one token or session; harmless when there is none."""
        key = key_of(kind, secret)
        async with self._changing:
            if key in self._known:
                self._forget(key)
                await self._delete(key)

    def find(self, kind: Kind, secret: str) -> Person | None:
        """Who comes in with this secret; None = nobody, any more."""
        key = key_of(kind, secret)
        found = self._known.get(key) if key else None
        return None if found is None or found[0].is_over(self._now()) else found[0].person

    def still(self, person: Person) -> bool:
        """Whether somebody of this name and role may come in yet."""
        now = self._now()
        return any(
            record.person == person and record.kind != "invitation" and not record.is_over(now)
            for record, _ in self._known.values()
        )

    def listed(self) -> tuple[Access, ...]:
        """Everybody who may come in, by name."""
        now = self._now()
        found = [record.shown for record, _ in self._known.values() if not record.is_over(now)]
        return tuple(sorted(found, key=lambda access: (access.name, access.kind, access.since)))

    def check(self) -> str | None:
        """For `Health`: whether everybody is known yet."""
        return None if self.synced else "reading who may come in (bucket `access`)"

    def _on_synced(self) -> None:
        self.synced = True

    async def _issue(
        self, kind: Kind, name: str, role: Role, by: str, lasts: timedelta
    ) -> tuple[str, datetime]:
        now = self._now()
        if len(self._known) >= MAX_RECORDS:
            await self.sweep_over()
        if len(self._known) >= MAX_RECORDS:
            raise TooManyError
        secret = PREFIXES[kind] + secrets.token_urlsafe(SECRET_BYTES)
        key = key_of(kind, secret) or ""
        record = AccessRecord(
            name=name, role=role, kind=kind, since=now, expires_at=now + lasts, by=by
        )
        self._known[key] = (record, await self._records.save(key, record, revision=0))
        self.changed.ring()
        return secret, record.expires_at

    def _forget(self, key: str) -> None:
        """Let nobody in with it from now on, also while the broker is away."""
        record, _ = self._known.pop(key)
        self._undeleted[key] = record.name
        self._ended[key] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        self.changed.ring()

    async def _delete(self, key: str) -> None:
        """Delete the record whatever its revision; others may do the same at once."""
        while True:
            found, revision = await self._records.load(key)
            if found is None:
                break
            with suppress(LostRaceError):
                await self._records.delete(key, revision=revision)
                break
        self._undeleted.pop(key, None)
