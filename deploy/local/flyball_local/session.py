"""A stack to work with: the one that runs on a home, or one of one's own for as long as needed."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client
from pydantic import SecretStr

from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_local.embedded.access import NotRunningError, add_element, connect, connect_home
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.home import Home
from flyball_local.embedded.stack import BUCKET, REGION, Options, Stack
from flyball_local.embedded.supervisor import Say
from flyball_proto.roles import element_role
from flyball_proto.streams import METRICS


@dataclass(frozen=True, slots=True)
class Session:
    """Connections to a running stack; the caller closes them."""

    home: Home
    nats_url: str
    own: Stack | None
    """The stack, if this process runs it."""

    async def connect(self, role: str) -> Client:
        """A connection under one of the roles."""
        return await connect_home(self.home, role)

    @property
    def pids(self) -> dict[str, int]:
        """Pids of the running parts."""
        if self.own is not None:
            return self.own.pids
        found = self.home.running()
        return dict((found and found.parts) or {})

    def objects(self) -> Objects:
        """The stack's object store."""
        access_key, secret_key = Credentials(self.home.credentials).s3_keys
        return Objects(
            KitSettings(
                s3_endpoint=f"127.0.0.1:{self.home.port('s3')}",
                s3_access_key=access_key,
                s3_secret_key=SecretStr(secret_key),
                s3_region=REGION,
                s3_bucket=BUCKET,
            )
        )

    async def connect_elements(self, source: str, elements: list[str]) -> list[Client]:
        """One connection an element, each under its own key; unknown ones are made known first."""
        credentials = Credentials(self.home.credentials)
        unknown = [e for e in elements if not credentials.element_seed_file(source, e).exists()]
        for element in unknown[1:]:
            credentials.add_element(source, element)
        for element in unknown[:1]:  # the server learns of all of them at once
            await add_element(self.home, source, element)
        return [
            await connect(
                self.nats_url,
                element_role(source, element).name,
                credentials.element_seed_file(source, element),
            )
            for element in elements
        ]


def running(home: Path) -> Session:
    """What runs on a home.

    Raises:
        NotRunningError: Nothing does.
    """
    found = Home(home).running()
    if found is None or not found.nats_url:
        raise NotRunningError(f"no stack runs on {home}; start one with: flyball up --home {home}")
    return Session(Home(home), found.nats_url, None)


@asynccontextmanager
async def with_role(home: Path, role: str) -> AsyncIterator[Client]:
    """A connection to what runs on a home, closed at the end."""
    client = await running(home).connect(role)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def open_session(
    home: Path | None,
    say: Say,
    variables: Mapping[str, Mapping[str, str]] | None = None,
    *,
    partitions: int = 1,
) -> AsyncIterator[Session]:
    """Use what runs on `home`, or run a stack there; without a home, in a folder that is removed.

    Args:
        home: The folder, or None for a temporary one.
        say: Gets a line of progress a part.
        variables: Settings by service, if a stack is started.
        partitions: Of METRICS, if a stack is started.
    """
    if home is not None and (running := Home(home).running()) is not None and running.nats_url:
        yield Session(Home(home), running.nats_url, None)
        return
    with tempfile.TemporaryDirectory(prefix="flyball-", ignore_cleanup_errors=True) as temporary:
        folder = home or Path(temporary)
        options = Options(partitions=partitions, say=say, variables=variables or {})
        async with Stack(Home(folder), options) as stack:
            await stack.wait_ready()
            yield Session(stack.home, stack.nats_url, stack)


async def partitions_of(client: Client) -> int:
    """How many partitions METRICS has; roles that may see its info."""
    info = await client.jetstream().stream_info(METRICS.name)
    transform = info.config.subject_transform
    if transform is None or transform.dest is None:
        return 1
    return int(transform.dest.split("partition(", 1)[1].split(",", 1)[0])
