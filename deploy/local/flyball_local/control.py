"""Requests to services, as the command line and the drivers make them."""

from collections.abc import Iterable
from typing import Final, TypeVar

import nats.errors
from nats.aio.client import Client
from pydantic import ValidationError

from flyball_kit.errors import PermanentError, TransientError
from flyball_proto import subjects
from flyball_proto.commands import Apply, ApplyReply, Reply, StatusReply, StatusRequest
from flyball_proto.events import Wire
from flyball_proto.spec import Pipeline, Source, as_document

TIMEOUT_S: Final = 15.0
_Reply = TypeVar("_Reply", bound=Reply)


class RefusedError(PermanentError):
    """A service refused a command; the message is the service's own.

    `reason` is its stable word, e.g. `not-found`.
    """

    def __init__(self, message: str, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason


async def apply(
    client: Client, objects: Iterable[Source | Pipeline], by: str, why: str = ""
) -> ApplyReply:
    """Bring sources and pipelines into force; role `operator`.

    Raises:
        RefusedError: The gateway said no, and why.
        TransientError: No gateway answered.
    """
    documents = tuple(as_document(found) for found in objects)
    command = Apply(objects=documents, by=by, why=why)
    return await request(client, "gateway", "apply", command, ApplyReply)


async def status(client: Client) -> StatusReply:
    """What runs; role `operator`."""
    return await request(client, "gateway", "status", StatusRequest(), StatusReply)


async def request(
    client: Client,
    service: str,
    verb: str,
    command: Wire,
    reply: type[_Reply],
    *,
    timeout_s: float = TIMEOUT_S,
) -> _Reply:
    """Ask a service to do something.

    Raises:
        RefusedError: It said no, and why.
        TransientError: It did not answer.
    """
    subject = subjects.command(service, verb)
    try:
        message = await client.request(
            subject, command.model_dump_json().encode(), timeout=timeout_s
        )
    except (TimeoutError, nats.errors.Error) as error:
        raise TransientError(
            f"{service} did not answer {subject} ({type(error).__name__}); it may be starting: "
            f"try again, and see its log in the home's folder logs/{service}.log"
        ) from error
    try:
        found = reply.model_validate_json(message.data)
    except ValidationError as error:
        raise RefusedError(
            f"{service} answered {verb} with something else than a {reply.__name__}: "
            f"{message.data[:200]!r}; do the command and the stack have the same version?"
        ) from error
    if found.ok:
        return found
    if found.error is None:
        raise RefusedError(f"{service} refused {verb} and gave no reason; see logs/{service}.log")
    raise RefusedError(found.error.message, found.error.kind)
