"""Commands about reports that were refused."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, HomeFolder, SourceName, app, group

if TYPE_CHECKING:
    from nats.aio.client import Client

quarantine = group("Reports that were refused: kept untouched, with the reason.")
app.add_typer(quarantine, name="quarantine")

Sequence = Annotated[int, typer.Argument(min=1, help="In METRICS, as in flyball quarantine list.")]


@quarantine.command("list")
def list_reports(
    source: SourceName,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 20,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Refused reports of a source, newest first, with the reasons.

    Example: flyball quarantine list ran
    """
    from flyball_local.showing.listing import QUARANTINE_COLUMNS, report_row
    from flyball_local.showing.refused import listed

    reply = shell.with_operator(home, lambda client: listed(client, source, limit))
    if as_json:
        shell.put_json({"total": reply.total, "reports": reply.model_dump(mode="json")["reports"]})
        return
    rows = [report_row(report) for report in reply.reports]
    shell.out_table(QUARANTINE_COLUMNS, rows, f"nothing of {source} was refused")
    if reply.total > len(rows):
        shell.say(f"{len(rows)} of {reply.total}; more with --limit")


@quarantine.command("show")
def show_report(
    source: SourceName,
    sequence: Sequence,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """One refused report as its element sent it, and the reasons.

    The report goes to standard output, the reasons to standard error.

    Example: flyball quarantine show ran 4711
    """
    from flyball_local.showing.refused import one

    report = shell.with_operator(home, lambda client: one(client, source, sequence))
    if as_json:
        shell.put_json(report.model_dump(mode="json"))
        return
    shell.say(f"{report.element or '?'}, {report.at:%Y-%m-%d %H:%M:%S} UTC: {report.detail}")
    if report.payload is None:
        shell.say(f"its payload of {report.size_bytes:,} bytes is larger than any report may be")
    else:
        shell.out(report.payload)


@quarantine.command()
def retry(
    source: SourceName,
    sequences: Annotated[list[int], typer.Argument(min=1, help="In METRICS.")],
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Publish refused reports again, and say what became of each.

    Useful after the source's specification was corrected; what was refused stays in quarantine.

    Example: flyball quarantine retry ran 4711 4712
    """
    from flyball_local.session import running
    from flyball_local.showing.refused import retry as again

    session = running(home)

    async def run(client: "Client") -> list[Any]:
        return [await again(session, client, source, n) for n in dict.fromkeys(sequences)]

    found = shell.with_operator(home, run)
    if as_json:
        shell.put_json({"retried": [retried.as_json() for retried in found]})
    else:
        for retried in found:
            shell.out(*retried.lines)
    shell.end(all(retried.is_accepted for retried in found))
