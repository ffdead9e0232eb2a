"""The one-time link that lets a browser in, as `flyball up` and the demo print it."""

import getpass
from contextlib import suppress
from typing import Final

from nats.aio.client import Client

from flyball_local.control import request
from flyball_proto.commands import Invite, InviteReply, Role

NOBODY: Final = "operator"
"""Who asks where the machine has no name for it, as in some containers."""


def login_name() -> str:
    """What the person at this terminal is called, at most 64 characters."""
    with suppress(OSError, KeyError):
        return getpass.getuser()[:64] or NOBODY
    return NOBODY


async def login_link(client: Client, name: str, role: Role = "admin", by: str = "") -> InviteReply:
    """A link for `name`, good once and for ten minutes; `client` has the role `operator`.

    Raises:
        RefusedError: The gateway said no, and why.
        TransientError: It did not answer.
    """
    command = Invite(name=name, role=role, by=by or name)
    return await request(client, "gateway", "invite", command, InviteReply)
