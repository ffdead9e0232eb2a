"""Commands that let nothing out, and let it out again."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from typing import TYPE_CHECKING

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, By, HomeFolder, PipelineName, Why, app

if TYPE_CHECKING:
    from flyball_proto.commands import StopReply


@app.command()
def stop(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Stop a pipeline's actions at once, until it is resumed.

    Decisions go on, but nothing reaches an element.

    Example: flyball stop congestion --why "maintenance at site 7"
    """
    from flyball_proto.commands import StopPipeline, StopReply

    name, reason = shell.checked(by, why)
    command = StopPipeline(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "risk", "stop", command, StopReply, pipeline=pipeline)
    _say_stop(reply, f"let it act again: flyball resume {pipeline}", as_json=as_json)


@app.command()
def resume(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Let a stopped pipeline act again, from the next row on.

    Example: flyball resume congestion --why "maintenance is over"
    """
    from flyball_proto.commands import ResumePipeline, StopReply

    name, reason = shell.checked(by, why)
    command = ResumePipeline(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "risk", "resume", command, StopReply, pipeline=pipeline)
    _say_stop(reply, "actions go out from the next decision on", as_json=as_json)


def _say_stop(reply: "StopReply", then: str, *, as_json: bool) -> None:
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
        return
    state = reply.state
    if state is None:
        shell.out("done")
        return
    word = "stopped" if state.stopped else "running"
    since = f"by {state.by} at {state.at:%H:%M:%S} UTC"
    before = "" if reply.changed else ", as it was before"
    shell.out(f"{state.pipeline} is {word}, {since}{before}; {then}")
