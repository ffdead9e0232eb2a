"""People and risk against a real server: many holds at once, two who must agree, reviews."""

import asyncio
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from pydantic import BaseModel
from tests.broker.risk_world import actions, risk_service, stored, until
from tests.broker.test_risk_holds import RISKY, SCORE, ask, feed, records, until_held
from tests.unit.review_rows import AT, DIGEST, SOURCE, review, truth
from tests.unit.risk_rows import Row, pipeline

from flyball_kit.fold.broker import end
from flyball_kit.kv import Kv
from flyball_proto.acts import Act
from flyball_proto.columns import (
    encode_samples,
)
from flyball_proto.commands import AnswerHolds, HoldsReply, WithdrawApprovals, WithdrawReply
from flyball_proto.holds import HoldContext
from flyball_proto.reviews import (
    AnswerReview,
    Review,
    ReviewReply,
    SummariseReviews,
    SummaryReply,
)
from flyball_proto.spec import digest8
from flyball_proto.streams import REVIEWS
from flyball_risk.judging.control import DEFAULT_KEY
from flyball_risk.reviewing import desk, drawing

pytestmark = pytest.mark.broker

T = TypeVar("T", bound=BaseModel)

DENIED = 0.3
"""A score whose risk is critical under `RISKY`."""


async def command(client: Client, verb: str, body: BaseModel, kind: type[T]) -> T:
    async with asyncio.timeout(30):
        while True:
            try:
                data = body.model_dump_json().encode()
                reply = await client.request(f"cmd.risk.{verb}", data, timeout=20)
            except NoRespondersError:  # the service is not up yet
                await asyncio.sleep(0.02)
            else:
                return kind.model_validate_json(reply.data)


async def apply(client: Client, *decisions: dict[str, Any], **risk: Any) -> None:
    given = pipeline(*(decisions or (RISKY,)), **({"hold": {"expires": "120s"}} | risk))
    data = given.model_dump_json().encode()
    await client.jetstream().publish("$KV.pipelines.pipeline.congestion", data)


def many(answer: Any, **given: Any) -> AnswerHolds:
    return AnswerHolds(answer=answer, by="ana", why="night shift", **given)


async def acts(client: Client) -> list[Act]:
    found = [Act.model_validate_json(m.data) for m in await stored(client, "AUDIT")]
    return [act for act in found if act.verb != "checkpoint"]


async def test_many_are_answered_at_once_each_by_itself_and_every_outcome_is_on_record(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned, budgets={"actions_per_minute": 3})
    async with risk_service(nats_url):
        rows = [Row(f"cell-{i}", 1000, SCORE, site=f"s{i % 2}") for i in range(10)]
        await feed(provisioned, *rows)
        await until_held(provisioned, 10)
        contexts = await stored(provisioned, "KV_contexts")
        assert {HoldContext.model_validate_json(m.data).hold for m in contexts} == {
            f"congestion.{i + 1}.0" for i in range(10)
        }
        wrong = await command(
            provisioned, "answer-holds", many("deny", action="offload", expected=9), HoldsReply
        )
        assert wrong.error is not None
        assert wrong.error.kind == "unexpected-count"
        assert "10 open holds match" in wrong.error.message
        some = many("approve", labels={"site": "s0"}, expected=5, code="agree")
        approved = await command(provisioned, "answer-holds", some, HoldsReply)
        assert (approved.ended, {r.kind for r in approved.refused}) == (3, {"capped"})
        assert set(approved.states.values()) == {"approved"}
        rest = await command(
            provisioned, "answer-holds", many("deny", pipeline="congestion", expected=7), HoldsReply
        )
        assert (rest.ended, rest.refused) == (7, ())

        async def sent() -> bool:
            return len(await actions(provisioned)) >= 3

        await until(sent)
        states = [h.state for h in (await records(provisioned)).values()]
        assert (states.count("approved"), states.count("denied")) == (3, 7)
        codes = {h.answered_code for h in (await records(provisioned)).values()}
        assert codes == {"agree", "other"}
    assert len(await actions(provisioned)) == 3
    found = await acts(provisioned)
    (bulk,) = [a for a in found if a.verb == "approve" and "label site s0" in a.object]
    assert (bulk.by, bulk.why, bulk.outcome) == ("ana", "night shift", "done")
    assert bulk.detail == "3 ended; 2 refused: capped 2; code agree"
    named = " ".join(a.detail for a in found if a.verb == "approve" and a is not bulk)
    assert {h for h in approved.states if h in named} == set(approved.states)
    assert "refused, capped: " in named


async def test_a_thousand_holds_are_denied_by_one_command(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    async with risk_service(nats_url):
        await feed(provisioned, *(Row(f"cell-{i}", 1000, SCORE) for i in range(1200)))
        await until_held(provisioned, 1200)
        ids = tuple(f"congestion.{i + 1}.0" for i in range(1000))
        denied = await command(
            provisioned, "answer-holds", many("deny", holds=ids, expected=1000), HoldsReply
        )
        assert (denied.error, denied.ended, denied.refused) == (None, 1000, ())
        late = await command(
            provisioned, "answer-holds", many("deny", holds=ids[:2], expected=2), HoldsReply
        )
        assert late.error is not None
        assert "0 open holds match" in late.error.message
    states = [h.state for h in (await records(provisioned)).values()]
    assert (states.count("denied"), states.count("open")) == (1000, 200)


async def test_an_approval_that_was_withdrawn_before_the_second_one_sends_nothing(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned, hold={"expires": "120s", "approvals": 2})
    async with risk_service(nats_url):
        await feed(provisioned, Row("a", 1000, SCORE))
        await until_held(provisioned, 1)
        first = await ask(provisioned, "congestion.1.0", "approve", by="ana")
        assert first.hold is not None
        assert (first.hold.state, first.hold.agreed_by) == ("open", ("ana",))
        assert first.detail == "1 of 2 people agree"
        twice = await ask(provisioned, "congestion.1.0", "approve", by="ana")
        assert twice.error is not None
        assert "ana agreed already" in twice.error.message
        bulk = many("approve", action="offload", expected=1)
        alone = await command(provisioned, "answer-holds", bulk, HoldsReply)
        assert [r.kind for r in alone.refused] == ["needs-two"]
        out = WithdrawApprovals(name="ana", by="root", why="left")
        withdrawn = await command(provisioned, "withdraw-approvals", out, WithdrawReply)
        assert withdrawn.holds == ("congestion.1.0",)
        assert (await records(provisioned))["congestion.1.0"].agreed_by == ()
        second = await ask(provisioned, "congestion.1.0", "approve", by="ben")
        assert second.detail == "1 of 2 people agree"
        assert await actions(provisioned) == []
        third = await ask(provisioned, "congestion.1.0", "approve", by="cid")
        assert third.hold is not None
        assert (third.hold.state, third.hold.answered_by) == ("approved", "ben, cid")
        none = await command(provisioned, "withdraw-approvals", out, WithdrawReply)
        assert none.holds == ()


async def test_a_person_and_another_who_answers_many_contradict_each_other_and_one_counts(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    async with risk_service(nats_url):
        await feed(provisioned, *(Row(f"cell-{i}", 1000, SCORE) for i in range(4)))
        await until_held(provisioned, 4)
        one, all_ = await asyncio.gather(
            ask(provisioned, "congestion.2.0", "approve", by="ben"),
            command(
                provisioned, "answer-holds", many("deny", action="offload", expected=4), HoldsReply
            ),
        )
        hold = (await records(provisioned))["congestion.2.0"]
        if one.ok:
            assert hold.state == "approved"
            if all_.ok:
                assert [(r.hold, r.kind) for r in all_.refused] == [("congestion.2.0", "conflict")]
                assert "was approved by ben at" in all_.refused[0].message
            else:  # it was approved before they were counted
                assert all_.error is not None
                assert all_.error.kind == "unexpected-count"
        else:
            assert one.error is not None
            assert one.error.kind == "conflict"
            assert (hold.state, all_.ended) == ("denied", 4)


async def reviews(client: Client) -> dict[str, Review]:
    found = [Review.model_validate_json(m.data) for m in await stored(client, "KV_reviews")]
    return {review.id: review for review in found}


def answer(review: str, found: Any, by: str = "ana") -> AnswerReview:
    return AnswerReview(id=review, answer=found, by=by)


async def test_people_review_what_was_drawn_and_what_is_known_to_be_wrong_without_being_told(
    provisioned: Client, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "POOL_SHARE", 1.0)
    js = provisioned.jetstream()
    await js.publish("$KV.pipelines.source.ran", SOURCE.model_dump_json().encode())
    await apply(provisioned, audit_share=0.5)
    rows = [Row(f"cell-{i}", 1000, DENIED) for i in range(40)]
    every = {f"congestion.{i + 1}.0" for i in range(40)}
    drawn = {d for d in every if drawing.is_drawn(DEFAULT_KEY, 0.5, d)}
    async with risk_service(nats_url):
        await feed(provisioned, *rows)

        async def recorded(count: int) -> bool:
            return len(await reviews(provisioned)) >= count

        await until(lambda: recorded(len(drawn)))
        assert set(await reviews(provisioned)) == drawn
        subject = f"samples.congestion.{digest8(DIGEST)}.0"
        await js.publish(subject, encode_samples(truth(rows, 0.0)))
        await until(lambda: recorded(len(drawn) + 1))
        found = await reviews(provisioned)
        seeds = set(found) - drawn
        assert 0 < len(seeds) <= 0.1 * len(found)
        assert {(r.state, r.truth, r.seeded, r.verdict) for r in found.values()} == {
            ("open", None, False, "deny")
        }
        seed, other = min(seeds), min(drawn)
        careless = await command(provisioned, "answer-review", answer(seed, "right"), ReviewReply)
        assert careless.review is not None
        assert (careless.review.seeded, careless.review.truth) == (True, "wrong")
        careful = await command(provisioned, "answer-review", answer(other, "wrong"), ReviewReply)
        assert careful.review is not None
        assert (careful.review.seeded, careful.review.truth) == (False, "wrong")
        late = answer(other, "right", by="ben")
        refused = await command(provisioned, "answer-review", late, ReviewReply)
        assert refused.error is not None
        assert (refused.error.kind, "by ana: wrong" in refused.error.message) == ("conflict", True)
        unknown = await command(provisioned, "answer-review", answer("x.1.0", "right"), ReviewReply)
        assert unknown.error is not None
        assert unknown.error.kind == "not-found"
        asked = SummariseReviews(pipeline="congestion")
        reply = await command(provisioned, "summarise-reviews", asked, SummaryReply)
        assert reply.summary is not None
        assert (reply.summary.answered, reply.summary.share) == (2, 0.5)
        assert (reply.summary.wrong["deny"].count, reply.summary.wrong["deny"].of) == (1, 1)
        (ana,) = reply.summary.reviewers
        assert (ana.agreed.count, ana.agreed.of) == (1, 2)
        assert (ana.caught.count, ana.caught.of) == (0, 1)
        assert ana.caught.high == pytest.approx(0.975)
    assert await actions(provisioned) == []
    done = [(a.verb, a.object, a.outcome) for a in await acts(provisioned)]
    assert ("review", f"decision {seed}", "done") in done
    assert ("review", f"decision {other}", "refused") in done


async def test_beyond_the_bounds_the_oldest_reviews_expire_and_the_oldest_ended_ones_go(
    provisioned: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MAX_OPEN", 3)
    monkeypatch.setattr(desk, "KEPT", 2)
    records: Kv[Review] = Kv(lambda: provisioned, REVIEWS, Review)
    for i in range(6):
        opened = review(str(i), share=1.0, opened_at=AT + timedelta(seconds=i))
        await records.save(opened.id, opened, revision=0)
    office = desk.Desk(records, lambda: provisioned, "key", 0.1)
    following = asyncio.create_task(office.follow())

    async def known(count: int) -> bool:
        return len(office.of("congestion")) == count

    await until(lambda: known(6))
    await office.trim("congestion")
    states = {id_: r.state for id_, r in (await reviews(provisioned)).items()}
    assert [states[f"congestion.{i}.0"] for i in range(6)] == ["expired"] * 3 + ["open"] * 3
    expired = (await reviews(provisioned))["congestion.0.0"]
    assert expired.answered_why == "3 newer ones are open"
    await office.trim("congestion")
    assert "congestion.0.0" not in await reviews(provisioned)
    assert await known(5)
    late = await office.answer(answer("congestion.1.0", "right"))
    assert late is not None
    assert late.state == "expired"
    await office.answer(answer("congestion.5.0", "right"))
    await office.told("congestion", "congestion.5.0", "wrong")
    later = (await reviews(provisioned))["congestion.5.0"]
    assert (later.answer, later.truth, later.seeded) == ("right", "wrong", False)
    await end(following)
