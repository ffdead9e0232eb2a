"""Commands about decisions that wait for people."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball_local.cli import completion, shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, By, HomeFolder, Why, app, group

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_local.showing.answering import Outcome
    from flyball_local.showing.choosing import Filters, Given
    from flyball_local.showing.holding import Beside
    from flyball_proto.beside import HoldCounts
    from flyball_proto.holds import Hold

holds = group("Decisions that wait for a person.")
app.add_typer(holds, name="holds")


class Code(StrEnum):
    """As in `flyball_proto.holds.ReasonCode`, which is not imported for --help; a test compares."""

    AGREE = "agree"
    WRONG_PREDICTION = "wrong-prediction"
    WRONG_ACTION = "wrong-action"
    BAD_TIMING = "bad-timing"
    MAINTENANCE = "maintenance"
    DATA_QUALITY = "data-quality"
    POLICY = "policy"
    OTHER = "other"


OfPipeline = Annotated[
    str | None, typer.Option("--pipeline", autocompletion=completion.pipelines, help="Of it alone.")
]
OfElement = Annotated[str | None, typer.Option("--element", help="About it alone.")]
OfAction = Annotated[str | None, typer.Option("--action", help="Proposing it alone.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(help="As in flyball holds list.", autocompletion=completion.open_holds),
]
OfLabels = Annotated[
    list[str] | None, typer.Option("--label", help="With this label alone, as in site=s1.")
]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", help="Opened so long ago, as in 10min.")
]
Expect = Annotated[
    int | None,
    typer.Option("--expect", min=1, help="With --all: do nothing unless they are so many."),
]
AsCode = Annotated[Code, typer.Option("--code", help="Why, as it is counted.")]
EveryOne = Annotated[bool, typer.Option("--all", help="Every open one that the filters leave.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")]


@holds.command("list")
def list_holds(  # noqa: PLR0913, PLR0917 - one a word of the command line
    every: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    pipeline: OfPipeline = None,
    element: OfElement = None,
    action: OfAction = None,
    labels: OfLabels = None,
    older_than: OlderThan = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="How many, by state, action and reason code.")
    ] = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Decisions that wait for a person, newest first.

    Example: flyball holds list --label site=s1
    """
    from flyball_kit import clock
    from flyball_local.showing.choosing import filters_of
    from flyball_local.showing.listing import HOLD_COLUMNS, hold_row
    from flyball_proto.beside import counted

    wanted, now = filters_of(pipeline, element, action, labels, older_than), clock.utc_now()
    read = shell.with_operator(home, lambda client: _read(client, pipeline))
    matching = [hold for hold in read if wanted.match(hold, now)]
    if summary:
        _say_counts(counted(matching), as_json=as_json)
        return
    found = [hold for hold in matching if every or hold.state == "open"]
    if as_json:
        shell.put_json({"holds": [hold.model_dump(mode="json") for hold in found]})
        return
    shell.out_table(HOLD_COLUMNS, [hold_row(h, now) for h in found], "no decision waits")


@holds.command("show")
def show_hold(
    hold: Annotated[str, typer.Argument(autocompletion=completion.open_holds)],
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """One hold, and what stands beside it.

    Example: flyball holds show congestion.4711.0
    """
    from flyball_kit import clock
    from flyball_local.showing.holding import beside, context_lines
    from flyball_local.showing.listing import hold_lines, one_hold

    async def work(client: "Client") -> "tuple[Hold, Beside | None]":
        found = one_hold(await _read(client, None), hold)
        return found, await beside(client, found)

    found, context = shell.with_operator(home, work)
    if as_json:
        stands = context.as_json() if context else None
        shell.put_json(found.model_dump(mode="json") | {"context": stands})
    else:
        shell.out(*hold_lines(found, clock.utc_now()), *context_lines(context))


@holds.command()
def approve(  # noqa: PLR0913, PLR0917 - one a word of the command line
    ids: Ids = None,
    why: Why = "",
    code: AsCode = Code.OTHER,
    by: By = None,
    every: EveryOne = False,
    pipeline: OfPipeline = None,
    element: OfElement = None,
    action: OfAction = None,
    labels: OfLabels = None,
    older_than: OlderThan = None,
    expect: Expect = None,
    yes: Yes = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Let decisions that wait go out to their elements.

    Example: flyball holds approve congestion.4711.0 --why "the cell is overloaded" --code agree
    """
    from flyball_local.showing.choosing import Given, filters_of

    given = Given("approve", *shell.checked(by, why), code.value)
    wanted = filters_of(pipeline, element, action, labels, older_than)
    _check(ids, given, wanted, expect, every=every)
    if ids:
        _answer(home, ids, given, as_json=as_json)
    else:
        _answer_all(home, wanted, given, expect, yes=yes, as_json=as_json)


@holds.command()
def deny(  # noqa: PLR0913, PLR0917 - one a word of the command line
    ids: Ids = None,
    why: Why = "",
    code: AsCode = Code.OTHER,
    by: By = None,
    every: EveryOne = False,
    pipeline: OfPipeline = None,
    element: OfElement = None,
    action: OfAction = None,
    labels: OfLabels = None,
    older_than: OlderThan = None,
    expect: Expect = None,
    yes: Yes = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Keep decisions that wait from their elements.

    Example: flyball holds deny --all --label site=s1 --expect 12 --yes --code maintenance
    """
    from flyball_local.showing.choosing import Given, filters_of

    given = Given("deny", *shell.checked(by, why), code.value)
    wanted = filters_of(pipeline, element, action, labels, older_than)
    _check(ids, given, wanted, expect, every=every)
    if ids:
        _answer(home, ids, given, as_json=as_json)
    else:
        _answer_all(home, wanted, given, expect, yes=yes, as_json=as_json)


async def _read(client: "Client", pipeline: str | None) -> "list[Hold]":
    from flyball_local.showing import records
    from flyball_local.showing.listing import one_pipeline

    if pipeline is None:
        return await records.holds(client)
    one_pipeline(await records.known_pipelines(client), pipeline)
    return await records.holds(client, f"{pipeline}.")


def _check(
    ids: list[str] | None, given: "Given", wanted: "Filters", expect: int | None, *, every: bool
) -> None:
    """Either ids, or --all; filters and a count belong to --all.

    Raises:
        InvalidInputError: Neither, or both.
    """
    from flyball_local.invalid import InvalidInputError

    if bool(ids) == every or (ids and (wanted.are_any or expect is not None)):
        raise InvalidInputError(
            f"holds {given.answer}: name ids, or --all with --pipeline, --element, --action, "
            "--label or --older-than, and --expect; which there are: flyball holds list"
        )


def _answer(home: Path, ids: list[str], given: "Given", *, as_json: bool) -> None:
    """Answer one after the other; one that is refused does not keep the others from it."""
    from flyball_local.showing.answering import answer_holds

    chosen = list(dict.fromkeys(ids))
    _say(shell.with_operator(home, lambda client: answer_holds(client, chosen, given)), as_json)


def _answer_all(
    home: Path,
    wanted: "Filters",
    given: "Given",
    expect: int | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Answer every open one that the filters leave at once, when a person said so."""
    from flyball_kit import clock
    from flyball_local.showing.answering import answer_many
    from flyball_local.showing.choosing import check_count

    now = clock.utc_now()
    found = shell.with_operator(home, lambda client: _read(client, wanted.pipeline))
    chosen = [h for h in found if h.state == "open" and wanted.match(h, now)]
    check_count(len(chosen), expect, given.answer)
    if chosen and not yes:
        _confirm(chosen, given.answer)
    _say(shell.with_operator(home, lambda client: answer_many(client, chosen, given)), as_json)


def _confirm(chosen: "list[Hold]", verb: str) -> None:
    from flyball_local.invalid import InvalidInputError

    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"holds {verb} --all would {verb} {len(chosen)}; say --yes where nobody can be asked"
        )
    for hold in chosen:
        shell.say(f"{hold.id}  {hold.action} on {hold.element}: {hold.reason}")
    typer.confirm(f"{verb} these {len(chosen)}?", abort=True, err=True)


def _say(outcomes: "list[Outcome]", as_json: bool) -> None:
    if as_json:
        shell.put_json({"answers": [outcome.as_json() for outcome in outcomes]})
    for outcome in outcomes:
        if outcome.refusal:
            shell.say(f"{outcome.id}: {outcome.refusal}")
        elif not as_json:
            shell.out(f"{outcome.id}: {outcome.words}")
    if not outcomes and not as_json:
        shell.out("no decision waits")
    shell.end(not any(outcome.refusal for outcome in outcomes))


def _say_counts(found: "HoldCounts", *, as_json: bool) -> None:
    from flyball_local.showing.holding import count_lines

    if as_json:
        shell.put_json(found.model_dump(mode="json"))
    else:
        shell.out(*count_lines(found))
