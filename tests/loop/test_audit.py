"""The auditor against streams of a real server: whole ones, and ones that were tampered with."""

import pytest
from nats.aio.client import Client
from tests.unit.test_audit_ledger import MODEL, verdicts

from flyball_local.audit import Account, Auditor, Beginning
from flyball_proto import subjects
from flyball_proto.columns import SkipReason, Verdict, encode_verdicts
from flyball_proto.events import Action

pytestmark = pytest.mark.broker
PIPELINE, SOURCE = "p", "ran"


async def publish_rows(client: Client, rows: int) -> list[int]:
    """Reports of one row each; returns their METRICS sequences."""
    js = client.jetstream()
    report = b'{"element":"cell","time_ms":1,"values":{"load":1}}'
    return [(await js.publish("metrics.ran.cell", report)).seq for _ in range(rows)]


async def judge(client: Client, *sequences: int, skipped: int | None = None) -> int:
    batch = verdicts(
        [(s, 0) for s in sequences],
        [(skipped, 1, SkipReason.WARMING_UP)] if skipped else [],
    )
    subject = subjects.verdicts(PIPELINE, 0)
    return (await client.jetstream().publish(subject, encode_verdicts(batch))).seq


async def audit(client: Client, beginning: Beginning = Beginning()) -> Account:
    return await Auditor(client, PIPELINE, SOURCE, beginning).settle(patience_s=0.3)


async def test_streams_that_agree_close_the_account(provisioned: Client) -> None:
    first, second, third = await publish_rows(provisioned, 3)
    await provisioned.jetstream().publish(
        subjects.stored_metrics(SOURCE, 0, subjects.MARK), b'{"id":"m","time_ms":1}'
    )
    await judge(provisioned, second, third, skipped=first)
    account = await audit(provisioned)
    assert account.closes, account
    assert (account.rows_in, account.decisions, account.warming_up) == (3, 2, 1)
    assert account.latency_ms["p99"] > 0


async def test_one_message_removed_and_one_repeated_are_one_lost_and_one_duplicated(
    provisioned: Client,
) -> None:
    found = await publish_rows(provisioned, 5)
    stored = [await judge(provisioned, sequence) for sequence in found]
    assert (await audit(provisioned)).closes
    await provisioned.jetstream().delete_msg("VERDICTS", stored[2])
    await judge(provisioned, found[1])
    account = await audit(provisioned)
    assert (account.lost, account.duplicated) == (1, 1)
    assert account.problems == (
        f"row {found[1]}.0: a decision too many",
        f"report {found[2]}: 1 of 1 row(s) lost",
    )


async def test_a_view_that_begins_now_leaves_out_what_was_before(provisioned: Client) -> None:
    await publish_rows(provisioned, 2)
    beginning = await Beginning.now(provisioned)
    (mine,) = await publish_rows(provisioned, 1)
    await judge(provisioned, mine)
    account = await audit(provisioned, beginning)
    assert account.closes
    assert account.rows_in == 1


async def test_an_action_without_its_verdict_is_found_in_the_stream(provisioned: Client) -> None:
    first, second = await publish_rows(provisioned, 2)
    batch = verdicts([(first, 0)], action="offload", verdict=Verdict.CLEAR)
    js = provisioned.jetstream()
    await js.publish(subjects.verdicts(PIPELINE, 0), encode_verdicts(batch))
    await judge(provisioned, second)
    for sequence in (first, second):
        action = Action(
            pipeline=PIPELINE,
            element="cell",
            action="offload",
            decision=f"{PIPELINE}.{sequence}.0",
            time_ms=1,
            verdict="clear",
            category="low",
            risk=0.1,
            score=0.9,
            model=MODEL.digest,
            epoch=1,
        )
        await js.publish(subjects.actions(PIPELINE, "cell"), action.model_dump_json().encode())
    account = await audit(provisioned)
    assert (account.actions, account.actions_unfounded, account.actions_missing) == (2, 1, 0)
    assert not account.closes
