"""Commands about decisions that people look at afterwards."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from enum import StrEnum
from typing import Annotated

import typer

from flyball_local.cli import completion, shell
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

reviews = group("Decisions drawn at random, to see how right they are; nothing waits for it.")
app.add_typer(reviews, name="reviews")


class Finding(StrEnum):
    """As in `flyball_proto.reviews.Judgement`, which is not imported for --help; a test compares."""

    RIGHT = "right"
    WRONG = "wrong"
    UNSURE = "unsure"


Id = Annotated[str, typer.Argument(help="As in flyball reviews list.")]
Found = Annotated[Finding, typer.Argument(help="Was the proposed action right?")]
OfPipeline = Annotated[
    str | None, typer.Option("--pipeline", autocompletion=completion.pipelines, help="Of it alone.")
]


@reviews.command("list")
def list_reviews(
    every: Annotated[bool, typer.Option("--all", help="Answered and expired ones too.")] = False,
    pipeline: OfPipeline = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Decisions to look at, newest first.

    Example: flyball reviews list
    """
    from flyball_kit import clock
    from flyball_local.showing.reviewing import COLUMNS, read, review_row

    found = shell.with_operator(home, lambda client: read(client, pipeline))
    found = [review for review in found if every or review.state == "open"]
    if as_json:
        shell.put_json({"reviews": [review.model_dump(mode="json") for review in found]})
        return
    now = clock.utc_now()
    shell.out_table(COLUMNS, [review_row(r, now) for r in found], "nothing is to be looked at")


@reviews.command("show")
def show_review(review: Id, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Everything that is on record of one.

    Example: flyball reviews show congestion.4711.0
    """
    from flyball_local.showing.reviewing import one_review, read, review_lines

    found = one_review(shell.with_operator(home, lambda client: read(client, None)), review)
    if as_json:
        shell.put_json(found.model_dump(mode="json"))
    else:
        shell.out(*review_lines(found))


@reviews.command()
def answer(
    review: Id,
    finding: Found,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say whether a proposed action was right; no decision changes.

    Example: flyball reviews answer congestion.4711.0 wrong --why "the load fell by itself"
    """
    from flyball_proto.reviews import AnswerReview, ReviewReply

    name, reason = shell.checked(by, why)
    command = AnswerReview(id=review, answer=finding.value, by=name, why=reason)
    reply = shell.ask(home, "risk", "answer-review", command, ReviewReply)
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
    else:
        shell.out(f"{review}: {finding.value}, by {name}")


@reviews.command()
def summary(
    pipeline: PipelineName, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """What people found, and how far they agree with labels.

    Example: flyball reviews summary congestion
    """
    from flyball_local.showing.reviewing import summary_lines
    from flyball_proto.reviews import SummariseReviews, SummaryReply

    command = SummariseReviews(pipeline=pipeline)
    reply = shell.ask(home, "risk", "summarise-reviews", command, SummaryReply, pipeline=pipeline)
    if as_json or reply.summary is None:
        shell.put_json(reply.model_dump(mode="json"))
    else:
        shell.out(*summary_lines(reply.summary))
