"""Events of the control plane: published once in effect, and the last of a kind read back."""

from typing import TYPE_CHECKING, Final, TypeVar

from faststream.nats import JStream, NatsBroker
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from flyball_kit.connect import client_of
from flyball_kit.errors import TransientError
from flyball_proto import headers, streams
from flyball_proto.events import Event

if TYPE_CHECKING:
    from faststream.nats.publisher.usecase import LogicPublisher

TIMEOUT_S: Final = 5.0

E = TypeVar("E", bound=Event)


class Announcer:
    """Publishes the kinds of events that a service may publish; they stand in its AsyncAPI."""

    def __init__(self, broker: NatsBroker, *kinds: type[Event]) -> None:
        self._broker = broker
        self._publishers: dict[type[Event], LogicPublisher] = {
            kind: broker.publisher(
                kind.pattern(),
                stream=JStream(streams.EVENTS.name, declare=False),
                schema=kind,
                timeout=TIMEOUT_S,
            )
            for kind in kinds
        }

    async def publish(self, event: Event, message_id: str) -> None:
        """Store an event. The same id again within the stream's window (two minutes) is one event.

        Raises:
            TransientError: the broker did not say that it is stored.
        """
        publisher = self._publishers[type(event)]
        try:
            await publisher.publish(
                event, subject=event.subject, headers={headers.MESSAGE_ID: message_id}
            )
        except (NatsError, OSError) as error:
            raise TransientError(f"{event.subject} is not stored: {error!r}") from error

    async def last(self, kind: type[E], pipeline: str) -> E | None:
        """The last stored event of a kind; None when there is none, or no readable one.

        Raises:
            TransientError: the broker does not answer.
        """
        js = client_of(self._broker).jetstream()
        subject = kind.pattern().replace("*", pipeline)
        try:
            found = await js.get_last_msg(streams.EVENTS.name, subject)
        except NotFoundError:
            return None
        except (NatsError, OSError) as error:
            raise TransientError(f"{subject} cannot be read: {error!r}") from error
        try:
            return kind.model_validate_json(found.data or b"")
        except ValidationError:
            return None
