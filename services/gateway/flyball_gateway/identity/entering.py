"""Carries out commands about who may come in over HTTP."""

from datetime import timedelta
from typing import Final

from flyball_gateway.identity.people import INVITATION, People
from flyball_gateway.recording import Recording
from flyball_kit.errors import PermanentError
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

    def __init__(self, people: People, recording: Recording, url: str) -> None:
        self._people, self._recording, self._url = people, recording, url

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
        """End everything of a name."""
        ended = await self._people.revoke(command.name)
        await self._recording.note("revoke", command.name, by=command.by, detail=f"{ended} ended")
        return RevokeReply(ok=True, ended=ended)

    def access(self) -> AccessReply:
        """Who may come in."""
        return AccessReply(ok=True, access=self._people.listed())

    def url(self) -> UrlReply:
        """Where HTTP is."""
        return UrlReply(ok=True, url=self._url)
