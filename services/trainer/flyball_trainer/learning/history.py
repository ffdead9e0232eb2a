"""What the broker remembers about a pipeline: what a restarted trainer goes on from."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from flyball_kit.errors import TransientError
from flyball_proto import streams
from flyball_proto.events import ModelTrained
from flyball_proto.judgements import Drifted
from flyball_proto.streams import Stream

BATCH: Final = 256
FETCH_S: Final = 5.0
INACTIVE_S: Final = 60.0

Told = ModelTrained | Drifted


class History:
    """What was announced about a pipeline, as far as its trainers' progress rests on it."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def read(self, pipeline: str) -> list[tuple[int, Told]]:
        """Every stored training and drift of a pipeline with its sequence, oldest first.

        Raises:
            TransientError: the broker does not answer.
        """
        subjects = [k.pattern().replace("*", pipeline) for k in (ModelTrained, Drifted)]
        config = ConsumerConfig(
            filter_subjects=subjects,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=INACTIVE_S,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            return await _all(self._client(), config)
        except (NatsError, OSError) as error:
            raise TransientError(f"events of {pipeline} cannot be read: {error!r}") from error

    async def newest(self, stream: Stream, subject: str) -> int:
        """The sequence of the newest message of a subject; 0 = there is none.

        Raises:
            TransientError: the broker does not answer.
        """
        try:
            return (await self._client().jetstream().get_last_msg(stream.name, subject)).seq or 0
        except NotFoundError:
            return 0
        except (NatsError, OSError) as error:
            raise TransientError(f"{subject} cannot be read: {error!r}") from error


async def _all(client: Client, config: ConsumerConfig) -> list[tuple[int, Told]]:
    """Everything that a new consumer finds now; what does not validate is passed over."""
    found: list[tuple[int, Told]] = []
    subscription = await client.jetstream().pull_subscribe(
        "",
        stream=streams.EVENTS.name,
        config=config,
        inbox_prefix=f"{client.new_inbox()}.".encode(),
    )
    try:
        pending = (await subscription.consumer_info()).num_pending or 0
        while pending:
            for message in await subscription.fetch(min(BATCH, pending), timeout=FETCH_S):
                pending = message.metadata.num_pending
                drift = message.subject.startswith(f"{Drifted.domain}.")
                with suppress(ValidationError):
                    event = (Drifted if drift else ModelTrained).model_validate_json(message.data)
                    found.append((message.metadata.sequence.stream, event))
    finally:
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()
    return found
