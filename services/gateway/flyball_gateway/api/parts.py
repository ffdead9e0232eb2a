"""What the commands and the routes are made of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nats.aio.client import Client

from flyball_gateway.asking import Asking
from flyball_gateway.autonomy import Autonomies
from flyball_gateway.awaited.views import Views
from flyball_gateway.commands import Commands
from flyball_gateway.delivering import Delivering
from flyball_gateway.heard import Pulses
from flyball_gateway.identity.people import People
from flyball_gateway.incoming import Sources
from flyball_gateway.recording import Recording
from flyball_gateway.records.decided import Decided
from flyball_gateway.records.following import Following
from flyball_gateway.records.reading import Reading
from flyball_gateway.settings import Settings
from flyball_gateway.store import Specs
from flyball_kit.acts import Acts
from flyball_kit.kv import Kv
from flyball_proto.commands import Apply, ApplyReply
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_proto.holds import Hold
from flyball_proto.outcomes import AnyRecord
from flyball_proto.progress import Standings


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the service. None of them does I/O when it is made.

    `apply` is that of `commands`, with every outcome on record.
    """

    settings: Settings
    client: Callable[[], Client]
    people: People
    asking: Asking
    apply: Callable[[Apply], Awaitable[ApplyReply]]
    autonomies: Autonomies
    commands: Commands
    specs: Specs
    views: Views
    models: Kv[ModelRecord]
    pointers: Kv[ActiveModel]
    holds: Kv[Hold]
    acknowledged: Kv[AnyRecord]
    standings: Kv[Standings]
    sources: Sources
    pulses: Pulses
    reading: Reading
    decided: Decided
    delivering: Delivering
    following: Following
    recording: Recording
    acts: Acts
