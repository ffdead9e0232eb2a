"""Which pipelines are applied, and one set of runners for each: follows the bucket `pipelines`."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from flyball_kit import clock
from flyball_kit.connect import Connect
from flyball_kit.connect import redis as connect_redis
from flyball_kit.errors import TransientError
from flyball_kit.fold import (
    Dispatch,
    Dispatcher,
    DispatchOptions,
    Endpoint,
    FoldOptions,
    FoldRunner,
    Input,
)
from flyball_kit.kv import Kv, UnreadableRecordError
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry, traced, traced_route
from flyball_proto import streams, subjects
from flyball_proto.chains import Head
from flyball_proto.headers import MESSAGE_ID
from flyball_proto.holds import ActionsStopped
from flyball_proto.spec import Pipeline
from flyball_risk.acknowledging import routes as acknowledging
from flyball_risk.acknowledging.routes import awaited
from flyball_risk.answering.recorded import RECORDS
from flyball_risk.answering.replies import Replies
from flyball_risk.answering.turned import turned_route
from flyball_risk.breaking.merits import Merits, together
from flyball_risk.calibrating.calibrations import Calibrations
from flyball_risk.capacity.allowances import allowance_of
from flyball_risk.capacity.claims import Claims
from flyball_risk.capacity.leasing import Leasing
from flyball_risk.fold import RiskFold
from flyball_risk.judging.budgets import claims_of, view_of
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy, policy_of
from flyball_risk.sending.dispatch import decision_of, route
from flyball_risk.settings import Settings
from flyball_risk.steering.autonomy import Facts
from flyball_risk.steering.resuming import take_up
from flyball_risk.steering.stops import Stops, order_in_band

PREFIX = "pipeline."
RETRY_S = 2.0
STATE_VERSION = "1"
OUTCOMES_BYTES = int(streams.OUTCOMES.max_bytes * streams.RETAIN_RATIO)
STOPPED_A_MESSAGE = 500
"""Decisions that one `actions-stopped` event names."""

log = logging.getLogger("flyball.risk.pipelines")


class Pipelines:
    """Starts judging and dispatching when a pipeline appears; takes changed policies over.

    `synced` turns True when everything that was applied before the start has been seen. Nothing is
    dispatched before it is known which pipelines are stopped.
    """

    def __init__(
        self,
        tasks: Tasks,
        connect: Connect,
        client: Callable[[], Client],
        settings: Settings,
        stops: Stops,
        replies: Replies,
        calibrations: Calibrations,
    ) -> None:
        self._tasks, self._connect, self._calibrations = tasks, connect, calibrations
        self._client = client
        self._stops, self._replies = stops, replies
        self._partitions, self._control_key = settings.partitions, settings.control_key
        self._retain_bytes = settings.retain_mib * streams.MIB
        self._applied: Kv[Pipeline] = Kv(client, streams.PIPELINES, Pipeline)
        self._policies: dict[str, Policy] = {}
        self._claims = Claims()
        self._known: dict[tuple[str, int], Partition] = {}
        redis = connect_redis(settings) if self._partitions > 1 else None
        self.leasing = Leasing(
            redis, settings.redis_prefix, lambda *order: order_in_band(client(), *order)
        )
        if redis is not None:
            tasks.spawn("leases", self.leasing.forever)
        self._judges: dict[tuple[str, int], FoldRunner] = {}
        self.synced = False

    async def follow(self) -> None:
        """Run for ever."""
        await self._stops.synced.wait()
        await self._resume()
        async for change in self._applied.watch(PREFIX, synced=self._on_synced):
            name = change.key.removeprefix(PREFIX)
            if change.value is None:
                await self._stop(name)
            else:
                self._take_over(change.value, change.revision)

    async def _resume(self) -> None:
        """Know every claim before the first fold begins; waits for the broker."""
        while True:
            try:
                applied = (await self._applied.items(PREFIX)).values()
                policies = [policy_of(pipeline, revision) for pipeline, revision in applied]
                js = self._client().jetstream()
                await take_up(js, policies, self._partitions, self._claims)
            except UnreadableRecordError as error:
                log.warning("%s; claims are taken up as the states are read", error)
                return
            except (TransientError, NatsError, OSError) as error:
                log.warning("claims are read later: %r", error)
                await clock.sleep(RETRY_S)
            else:
                return

    def policy(self, pipeline: str) -> Policy:
        """The policy in force."""
        return self._policies[pipeline]

    def frame(self, pipeline: str, partition: int, state: Partition) -> Frame:
        """Under what the next output of a partition is judged; a new state's claims are taken up."""
        policy, recent = self.policy(pipeline), state.recent
        if self._known.get((pipeline, partition)) is not state:
            self._known[pipeline, partition] = state
            self._claims.take_up(claims_of(policy, recent))
        budgets = policy.risk.budgets
        allowance = allowance_of(budgets, partition, self._partitions, recent.lease)
        if self._partitions > 1:
            self.leasing.see(pipeline, view_of(allowance, recent), allowance)
        return Frame(
            policy,
            *self._calibrations.of(pipeline),
            allowance=allowance,
            claims=self._claims,
            learns=True,
            labelled_ms=self._calibrations.heard(pipeline),
        )

    def facts(self) -> Iterator[Facts]:
        """What pipelines did well; of those whose partitions have all judged something."""
        for name in self.names:
            states = [self._known.get((name, partition)) for partition in range(self._partitions)]
            merits = together(state.merits if state else Merits() for state in states)
            if merits is not None and all(s and not s.breaker.is_open for s in states):
                yield name, merits, self._calibrations.of(name)[0]

    def heads(self) -> list[Head]:
        """How far the chains of verdicts reached."""
        return [head for judging in self._judges.values() if (head := judging.head)]

    def find(self, pipeline: str) -> Policy | None:
        """The policy in force; None when no such pipeline is applied."""
        return self._policies.get(pipeline)

    @property
    def names(self) -> tuple[str, ...]:
        """Applied pipelines."""
        return tuple(self._policies)

    def _on_synced(self) -> None:
        self.synced = True

    def _take_over(self, pipeline: Pipeline, revision: int) -> None:
        name = pipeline.name
        is_new = name not in self._policies
        self._policies[name] = policy_of(pipeline, revision, control_key=self._control_key)
        log.info("%s: policy revision %d", name, revision)
        if is_new:
            self._tasks.add(f"holds.{name}", self._recording(name))
            self._tasks.add(f"outcomes.{name}", self._hearing(name))
            for partition in range(self._partitions):
                judging = self._judges[name, partition] = self._judging(name, partition)
                self._tasks.add(f"verdicts.{name}.{partition}", judging)
                self._tasks.add(f"actions.{name}.{partition}", self._dispatching(name, partition))

    async def _stop(self, name: str) -> None:
        if name not in self._policies:
            return
        await self._tasks.remove(f"holds.{name}")
        await self._tasks.remove(f"outcomes.{name}")
        for partition in range(self._partitions):
            await self._tasks.remove(f"verdicts.{name}.{partition}")
            self._judges.pop((name, partition), None)
            self._known.pop((name, partition), None)
            await self._tasks.remove(f"actions.{name}.{partition}")
        self._claims.drop(name)
        self.leasing.forget(name)
        del self._policies[name]

    def _judging(self, name: str, partition: int) -> FoldRunner:
        return FoldRunner(
            f"risk.{name}.{partition}",
            connect=self._connect,
            source=Endpoint(
                streams.DECISIONS.name,
                subjects.decisions(name, partition),
                also=(subjects.answers(name, partition),),
            ),
            target=Endpoint(streams.VERDICTS.name, subjects.verdicts(name, partition)),
            fold=lambda: traced("risk.judge", RiskFold(partial(self.frame, name, partition))),
            gate=self._calibrations.gate(name, partition),
            options=FoldOptions(
                version=STATE_VERSION,
                durable_state=True,
                chained=True,
                retain_bytes=self._retain_bytes,
            ),
            observer=FoldTelemetry(f"verdicts.{name}.{partition}"),
        )

    def _dispatching(self, name: str, partition: int) -> Dispatcher:
        return Dispatcher(
            f"actions.{name}.{partition}",
            connect=self._connect,
            source=Endpoint(streams.VERDICTS.name, subjects.verdicts(name, partition)),
            target=streams.ACTIONS.name,
            route=traced_route("risk.dispatch", partial(self._route, name)),
            gate=self._stops.gate(name),
            barred=partial(tell_stopped, name, partition),
            observer=FoldTelemetry(f"actions.{name}.{partition}"),
        )

    def _route(self, name: str, message: Input) -> list[Dispatch]:
        """Actions, and records of what elements owe about them, behind the same gate."""
        found, policy = route(message), self.policy(name)
        return [*found, *awaited(found, message, policy.patience)] if policy.is_owed else found

    def _hearing(self, name: str) -> Dispatcher:
        """What elements say; of all partitions, because they do not know theirs."""
        return Dispatcher(
            f"outcomes.{name}",
            connect=self._connect,
            source=Endpoint(streams.OUTCOMES.name, subjects.outcomes(name, "*")),
            target=acknowledging.RECORDS,
            route=acknowledging.outcome_route,
            options=DispatchOptions(retain_source_bytes=OUTCOMES_BYTES),
            observer=FoldTelemetry(f"outcomes.{name}"),
        )

    def _recording(self, name: str) -> Dispatcher:
        """All partitions in one, so that keys grow on the subject of the events."""
        return Dispatcher(
            f"holds.{name}",
            connect=self._connect,
            source=Endpoint(streams.VERDICTS.name, f"verdicts.{name}.*"),
            target=RECORDS,
            route=partial(self._records, name),
            delivered=partial(self._replies.delivered, name),
            observer=FoldTelemetry(f"holds.{name}"),
        )

    def _records(self, name: str, message: Input) -> list[Dispatch]:
        """What a message says of holds and of the breaker."""
        turned = turned_route(message, self._partitions)
        return [*self._replies.route(name, message), *turned]


async def tell_stopped(
    pipeline: str, partition: int, dispatches: Sequence[Dispatch], js: JetStreamContext
) -> None:
    """Name the decisions whose actions a stop kept from being sent.

    After a crash they may be named once more; the ids make that one event within two minutes.
    """
    sent = [dispatch for dispatch in dispatches if not dispatch.stream]
    for first in range(0, len(sent), STOPPED_A_MESSAGE):
        part = sent[first : first + STOPPED_A_MESSAGE]
        event = ActionsStopped(
            pipeline=pipeline,
            at=clock.utc_now(),
            partition=partition,
            decisions=tuple(map(decision_of, part)),
        )
        sequence, place = part[0].key
        message_id = f"actions-stopped.{pipeline}.{partition}.{sequence}.{place}.{len(part)}"
        data = event.model_dump_json().encode()
        await js.publish(event.subject, data, headers={MESSAGE_ID: message_id})
