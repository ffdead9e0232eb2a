"""Tokens, sessions and invitations against a real bucket: used once, ended at once, bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client

from flyball_gateway.identity import people as module
from flyball_gateway.identity.access import AccessRecord, Person
from flyball_gateway.identity.people import BadCodeError, People, TooManyError
from flyball_kit.fold.broker import end
from flyball_kit.kv import Kv
from flyball_proto.streams import ACCESS

pytestmark = pytest.mark.broker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@asynccontextmanager
async def followed(
    client: Client, now: Callable[[], datetime] = lambda: NOW
) -> AsyncIterator[People]:
    """What one gateway knows of who may come in."""
    records = Kv(lambda: client, ACCESS, AccessRecord)
    people = People(records, lambda: client, session=HOUR, now=now)
    following = asyncio.create_task(people.follow())
    await until(people, lambda: people.synced)
    yield people
    await end(following)


async def until(people: People, so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not so():
            await people.changed.wait(0.05)


async def test_two_gateways_let_one_of_two_in_with_the_same_code(provisioned: Client) -> None:
    async with followed(provisioned) as one, followed(provisioned) as other:
        code, _ = await one.issue("invitation", "ann", "viewer", "tests", HOUR)
        await until(other, lambda: len(other.listed()) == 1)
        found = await asyncio.gather(
            one.exchange(code), other.exchange(code), return_exceptions=True
        )
        (session,) = [result for result in found if isinstance(result, tuple)]
        assert [type(result) for result in found if result is not session] == [BadCodeError]
        for people in (one, other):
            await until(
                people, lambda people=people: people.find("session", session[0]) is not None
            )
            assert [access.kind for access in people.listed()] == ["session"]


async def test_what_one_gateway_revokes_ends_at_the_other(provisioned: Client) -> None:
    async with followed(provisioned) as one, followed(provisioned) as other:
        token, _ = await one.issue("token", "eve", "viewer", "tests", HOUR)
        await until(other, lambda: other.find("token", token) == Person("eve", "viewer"))
        assert await other.revoke("eve") == 1
        assert other.find("token", token) is None
        await until(one, lambda: one.find("token", token) is None)
        assert not one.still(Person("eve", "viewer"))
        assert await one.revoke("eve") == 0


async def test_who_came_in_is_known_after_a_restart(provisioned: Client) -> None:
    async with followed(provisioned) as people:
        token, _ = await people.issue("token", "ann", "engineer", "tests", HOUR)
    async with followed(provisioned) as people:
        assert people.find("token", token) == Person("ann", "engineer")


async def test_what_is_over_lets_nobody_in_and_is_swept(provisioned: Client) -> None:
    now = [NOW]
    async with followed(provisioned, lambda: now[0]) as people:
        token, _ = await people.issue("token", "ann", "viewer", "tests", HOUR)
        code, _ = await people.issue("invitation", "ann", "viewer", "tests", HOUR)
        now[0] = NOW + HOUR
        assert people.find("token", token) is None
        assert people.listed() == ()
        with pytest.raises(BadCodeError):
            await people.exchange(code)
        await people.sweep_over()
        kept = await Kv(lambda: provisioned, ACCESS, AccessRecord).items()
        assert kept == {}


async def test_the_marks_of_what_ended_do_not_fill_the_bucket(provisioned: Client) -> None:
    async with followed(provisioned) as people:
        for _ in range(5):
            await people.issue("token", "ann", "viewer", "tests", HOUR)
        await people.revoke("ann")
        info = await provisioned.jetstream().stream_info(f"KV_{ACCESS.name}")
        assert info.state.messages == 5, "so that every gateway sees them"
        async with asyncio.timeout(20):
            while info.state.messages:
                await people.sweep_marks(older_than_s=0.0)
                info = await provisioned.jetstream().stream_info(f"KV_{ACCESS.name}")


async def test_there_are_only_so_many(provisioned: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORDS", 3)
    now = [NOW]
    async with followed(provisioned, lambda: now[0]) as people:
        for _ in range(3):
            await people.issue("token", "ann", "viewer", "tests", HOUR)
        with pytest.raises(TooManyError):
            await people.issue("token", "ann", "viewer", "tests", HOUR)
        now[0] = NOW + HOUR
        await people.issue("token", "ann", "viewer", "tests", HOUR)
