"""What pipelines claimed before this process began, so that a restart leaves nobody's lease open.

Every fold's durable state remembers what went out; the second behind it is in VERDICTS. Both are
read before the first fold begins, because each fold would know only its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from flyball_kit.fold.position import Position
from flyball_proto import streams, subjects
from flyball_proto.columns import DISPATCHED, Outcome, Verdicts, decode_verdicts
from flyball_proto.headers import POSITION
from flyball_risk.capacity.claims import Claim, Claims
from flyball_risk.judging.budgets import claims_of, lease_ms
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy

MAX_MESSAGES: Final = 5_000
"""Of VERDICTS that are read behind the states, newest first; a second has fewer."""

Sent = tuple[str, str, int]
"""Element, action and event time."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A partition's state, and the input that it covers."""

    policy: Policy
    covered: int


async def take_up(
    js: JetStreamContext, policies: list[Policy], partitions: int, claims: Claims
) -> None:
    """Take up what these pipelines claimed, by their states and the verdicts behind them."""
    open_ends: dict[str, Saved] = {}
    for policy in policies:
        for partition in range(partitions):
            saved = await _state(js, policy, partition, claims)
            subject = subjects.verdicts(policy.pipeline, partition)
            last = await _last(js, streams.VERDICTS.name, subject)
            if last is not None and saved is not None and _covers(last) > saved.covered:
                open_ends[subject] = saved
    if open_ends:
        await _read_behind(js, open_ends, claims)


async def _state(
    js: JetStreamContext, policy: Policy, partition: int, claims: Claims
) -> Saved | None:
    name = f"risk.{policy.pipeline}.{partition}"
    bucket = streams.POSITIONS.name
    subject = f"$KV.{bucket}.state.{streams.VERDICTS.name}.{name}"
    found = await _last(js, f"KV_{bucket}", subject)
    if found is None or not found.data:
        return None
    claims.take_up(claims_of(policy, Partition.load(found.data).recent))
    return Saved(policy, _covers(found))


async def _read_behind(js: JetStreamContext, ends: dict[str, Saved], claims: Claims) -> None:
    """Walk VERDICTS back, until everything behind the states is read."""
    sequence = (await js.stream_info(streams.VERDICTS.name)).state.last_seq
    for at in range(sequence, max(0, sequence - MAX_MESSAGES), -1):
        try:
            message = await js.get_msg(streams.VERDICTS.name, at)
        except NotFoundError:
            continue
        saved = ends.get(message.subject or "")
        if saved is None:
            continue
        if _covers(message) <= saved.covered:
            del ends[message.subject or ""]
            if not ends:
                return
        elif message.data:
            _claim(decode_verdicts(message.data), saved.policy, claims)


def _claim(found: Verdicts, policy: Policy, claims: Claims) -> None:
    for element, action, time_ms in sent(found):
        rule = policy.rules.get(action)
        if rule is not None:
            until_ms = time_ms + lease_ms(policy, rule)
            claim = Claim(policy.pipeline, policy.priority, action, until_ms)
            claims.take(element, rule.parameter, claim, time_ms)


def sent(found: Verdicts) -> Iterator[Sent]:
    """What an output let out: rows, and what people approved."""
    rows = found.rows
    for i, verdict in enumerate(found.verdict.tolist()):
        if found.action_index[i] and verdict in DISPATCHED:
            action = found.action[int(found.action_index[i]) - 1]
            yield rows.element[int(rows.element_index[i])], action, int(rows.time_ms[i])
    for end in found.released:
        if end.outcome is Outcome.APPROVED:
            yield end.hold.element, end.hold.action, end.clock_ms


def _covers(message: RawStreamMsg) -> int:
    """Up to which input a commit, or a saved state, says it reaches; 0 = it does not say."""
    text = (message.headers or {}).get(POSITION)
    return Position.parse(text).last if text else 0


async def _last(js: JetStreamContext, stream: str, subject: str) -> RawStreamMsg | None:
    try:
        return await js.get_last_msg(stream, subject)
    except NotFoundError:
        return None
