"""Commands about pipelines that earned a proposal for more autonomy."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from typing import TYPE_CHECKING

from flyball_local.cli import shell
from flyball_local.cli.root import (
    DEFAULT_HOME,
    AsJson,
    By,
    HomeFolder,
    PipelineName,
    Why,
    app,
    group,
)

if TYPE_CHECKING:
    from flyball_proto.autonomy import AutonomyReply

autonomy = group("Proposals that a pipeline gets more autonomy. Only people decide.")
app.add_typer(autonomy, name="autonomy")


@autonomy.command("list")
def list_autonomy(home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """What is proposed, and what it stands on.

    Example: flyball autonomy list
    """
    from flyball_local.showing import records

    found = shell.with_operator(home, records.autonomy)
    if as_json:
        shell.put_json({"proposals": [each.model_dump(mode="json") for each in found]})
        return
    for each in found:
        by = f" by {each.by}" if each.by else ""
        why = f": {each.why}" if each.why else ""
        shell.out(f"{each.pipeline}  {each.now} → {each.proposed}, {each.state}{by}{why}")
        shell.out(*(f"    {sentence}" for sentence in each.evidence))
    if not found:
        shell.out("nothing is proposed")


@autonomy.command()
def accept(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Apply a pipeline's specification with the proposed autonomy.

    Example: flyball autonomy accept congestion --why "a good month"
    """
    from flyball_proto.autonomy import AcceptAutonomy, AutonomyReply

    name, reason = shell.checked(by, why, required=True)
    command = AcceptAutonomy(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "gateway", "accept-autonomy", command, AutonomyReply)
    _say(reply, f"{pipeline} is applied with the new autonomy", as_json=as_json)


@autonomy.command()
def decline(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Leave a pipeline the autonomy that it has.

    Example: flyball autonomy decline congestion --why "not before winter"
    """
    from flyball_proto.autonomy import AutonomyReply, DeclineAutonomy

    name, reason = shell.checked(by, why, required=True)
    command = DeclineAutonomy(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "risk", "decline-autonomy", command, AutonomyReply)
    _say(reply, f"{pipeline} stays as it is, and nothing is proposed for a while", as_json=as_json)


def _say(reply: "AutonomyReply", words: str, *, as_json: bool) -> None:
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
    else:
        shell.out(words)
