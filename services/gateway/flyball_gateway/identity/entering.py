"""Carries out commands about who may come in over HTTP."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from flyball_gateway.identity.people import INVITATION, People
from flyball_gateway.recording import Recording
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.commands import (
    AccessReply,
    Invite,
    InviteReply,
    IssueToken,
    RevokeAccess,
    RevokeReply,
    TokenReply,
    UrlReply,
)

LOGIN: Final = "/login?code="

Withdraw = Callable[[str, str, str], Awaitable[tuple[str, ...]]]
"""Lets approvals of somebody count no longer: who, by whom, why; returns the holds."""


class HttpOffError(PermanentError):
    """A login link would lead nowhere."""

    kind = "http-off"

    def __init__(self) -> None:
        super().__init__(
            "the gateway serves no HTTP, so a login link would lead nowhere; set "
            "FLYBALL_GATEWAY_HTTP_PORT and start it again"
        )


class Entering:
    """Who may come in: what `cmd.gateway.*` can be asked about it. Each act is on record."""

    def __init__(self, people: People, recording: Recording, url: str, withdraw: Withdraw) -> None:
        self._people, self._recording, self._url = people, recording, url
        self._withdraw = withdraw

    async def invite(self, command: Invite) -> InviteReply:
        """A link that logs one browser in, once."""
        if not self._url:
            raise HttpOffError
        code, expires_at = await self._people.issue(
            "invitation", command.name, command.role, command.by, INVITATION
        )
        await self._recording.note("invite", f"{command.role} {command.name}", by=command.by)
        return InviteReply(ok=True, url=f"{self._url}{LOGIN}{code}", expires_at=expires_at)

    async def issue_token(self, command: IssueToken) -> TokenReply:
        """A bearer token."""
        token, expires_at = await self._people.issue(
            "token", command.name, command.role, command.by, timedelta(days=command.days)
        )
        of = f"{command.role} {command.name}"
        await self._recording.note(
            "issue token", of, by=command.by, detail=f"for {command.days} days"
        )
        return TokenReply(ok=True, token=token, expires_at=expires_at)

    async def revoke(self, command: RevokeAccess) -> RevokeReply:
        """End everything of a name; approvals that wait for a second one count no longer."""
        ended = await self._people.revoke(command.name)
        withdrawn, detail = await self._withdrawn(command)
        said = "; ".join(filter(None, (f"{ended} ended, {len(withdrawn)} withdrawn", detail)))
        await self._recording.note("revoke", command.name, by=command.by, detail=said)
        return RevokeReply(ok=True, ended=ended, withdrawn=withdrawn, detail=detail)

    async def _withdrawn(self, command: RevokeAccess) -> tuple[tuple[str, ...], str]:
        """The access has ended whatever risk says; what is not done is said with the next step."""
        try:
            return await self._withdraw(command.name, command.by, "access revoked"), ""
        except (PermanentError, TransientError) as error:
            return (), (
                f"the access has ended, but approvals that {command.name} gave to open holds may "
                f"still count: {error}; revoke again, or deny those holds"
            )

    def access(self) -> AccessReply:
        """Who may come in."""
        return AccessReply(ok=True, access=self._people.listed())

    def url(self) -> UrlReply:
        """Where HTTP is."""
        return UrlReply(ok=True, url=self._url)
