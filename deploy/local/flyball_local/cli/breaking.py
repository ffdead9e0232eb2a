"""Commands about pipelines that stepped back by themselves."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

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

breaker = group("Pipelines that stepped back to advisory by themselves; flyball status shows them.")
app.add_typer(breaker, name="breaker")


@breaker.command("reset")
def reset_breaker(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Close a pipeline's breaker, so that it acts again.

    What is usual is learnt anew.

    Example: flyball breaker reset congestion --why "the new cells explain it"
    """
    from flyball_proto.breakers import BreakerReply, ResetBreaker

    name, reason = shell.checked(by, why, required=True)
    command = ResetBreaker(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "risk", "reset-breaker", command, BreakerReply, pipeline=pipeline)
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
        return
    was = "" if reply.changed else ", as it was before"
    shell.out(f"the breaker of {pipeline} is closed{was}; what is usual is learnt anew")
