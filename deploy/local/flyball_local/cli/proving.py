"""Commands that prove a model: train it again, read its card."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from typing import TYPE_CHECKING, Any

from flyball_local.cli import shell
from flyball_local.cli.models import Digest, OfPipeline, models
from flyball_local.cli.root import DEFAULT_HOME, AsJson, HomeFolder, app

if TYPE_CHECKING:
    from nats.aio.client import Client

PATIENCE_S = 630.0
"""The trainer gives up earlier and says so."""
MAX_CARD_BYTES = 1 << 20


@app.command()
def reproduce(
    digest: Digest,
    pipeline: OfPipeline = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Train a model again from its data set, and compare.

    It takes as long as the training did and changes nothing. Exit code 0: the same bytes, or on
    another platform the same scores; 1: not.

    Example: flyball reproduce 1a2b3c4d
    """
    from flyball_local.control import request
    from flyball_local.showing import records
    from flyball_local.showing.modellist import one_model
    from flyball_local.showing.proving import reproduction_lines
    from flyball_proto.commands import Reproduce, ReproduceReply

    async def run(client: "Client") -> Any:
        record = one_model((await records.models(client, pipeline)).records, digest)
        command = Reproduce(pipeline=record.pipeline, digest=record.digest)
        shell.say(f"training {record.digest[:12]} of {record.pipeline} again")
        return await request(
            client, "trainer", "reproduce", command, ReproduceReply, timeout_s=PATIENCE_S
        )

    found = shell.with_operator(home, run).reproduction
    if as_json:
        shell.put_json(found.model_dump(mode="json"))
    else:
        shell.out(*reproduction_lines(found))
    shell.end(found.holds)


@models.command()
def card(
    digest: Digest,
    pipeline: OfPipeline = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """What a model is for, learnt from, good and bad at.

    Example: flyball models card 1a2b3c4d
    """
    from flyball_local.session import running
    from flyball_local.showing import records
    from flyball_local.showing.modellist import one_model
    from flyball_proto.bundles import card_key

    objects = running(home).objects()

    async def run(client: "Client") -> bytes:
        record = one_model((await records.models(client, pipeline)).records, digest)
        key = card_key(record.digest, "json" if as_json else "md")
        return await objects.get(key, MAX_CARD_BYTES)

    shell.out(shell.with_operator(home, run).decode().rstrip())
