"""Commands about who may come in over HTTP."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from enum import StrEnum
from typing import Annotated

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, By, HomeFolder, app, group

users = group("Who may use the page and the HTTP API.")
app.add_typer(users, name="users")


class RoleName(StrEnum):
    """As in `flyball_proto.commands.Role`, which is not imported for --help; a test compares."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ENGINEER = "engineer"
    ADMIN = "admin"


Name = Annotated[str, typer.Argument(help="Of a person or program.")]
AsRole = Annotated[RoleName, typer.Option("--role", help="What it may do.")]


@users.command()
def invite(
    name: Name,
    role: AsRole = RoleName.VIEWER,
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Print a link that logs one browser in, once, within ten minutes.

    Example: flyball users invite ann --role approver
    """
    from flyball_local.login import login_link

    asker = shell.checked(by)[0]
    shell.checked(name)
    reply = shell.with_operator(home, lambda client: login_link(client, name, role.value, by=asker))
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
        return
    shell.out(reply.url)
    if reply.expires_at:
        shell.say(f"for {name} as {role.value}, once, until {reply.expires_at:%H:%M:%S} UTC")


@users.command()
def token(
    name: Name,
    role: AsRole = RoleName.VIEWER,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is good.")] = 90,
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Print a bearer token for a person or program; it is shown once.

    Example: flyball users token grafana --role viewer --days 30
    """
    from flyball_proto.commands import IssueToken, TokenReply

    asker = shell.checked(by)[0]
    shell.checked(name)
    command = IssueToken(name=name, role=role.value, days=days, by=asker)
    reply = shell.ask(home, "gateway", "issue-token", command, TokenReply)
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
        return
    shell.out(reply.token)
    if reply.expires_at:
        shell.say(f"for {name} as {role.value}, until {reply.expires_at:%Y-%m-%d}")


@users.command()
def revoke(
    name: Name, by: By = None, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """End all tokens and sessions of a name at once.

    Example: flyball users revoke ann
    """
    from flyball_proto.commands import RevokeAccess, RevokeReply

    asker = shell.checked(by)[0]
    shell.checked(name)
    command = RevokeAccess(name=name, by=asker)
    reply = shell.ask(home, "gateway", "revoke", command, RevokeReply)
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
    elif reply.ended:
        shell.out(f"{name}: {reply.ended} ended")
    else:
        shell.out(f"{name} has neither token nor session; who has: flyball users list")
    if reply.withdrawn and not as_json:
        shell.out(f"{len(reply.withdrawn)} holds need another approval: {name} had agreed to them")
    if reply.detail:
        shell.say(reply.detail)
        shell.end(well=False)


@users.command("list")
def list_users(home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Who has a token, a session or an invitation.

    Example: flyball users list
    """
    from flyball_local.showing.listing import ACCESS_COLUMNS, access_row
    from flyball_proto.commands import AccessReply, ListAccess

    reply = shell.ask(home, "gateway", "access", ListAccess(), AccessReply)
    if as_json:
        shell.put_json({"access": reply.model_dump(mode="json")["access"]})
        return
    nobody = "nobody may come in; let somebody in: flyball users invite NAME"
    shell.out_table(ACCESS_COLUMNS, [access_row(a) for a in reply.access], nobody)
