"""Commands that audit: whether every row is accounted for, and whether the record holds."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typing_extensions import override

from flyball_local.cli import completion, shell
from flyball_local.cli.root import DEFAULT_HOME, MARKUP, AsJson, HomeFolder, app

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_local.record.findings import Findings


class _OrAccount(TyperGroup):
    """`flyball audit PIPELINE` is `flyball audit account PIPELINE`."""

    unsaid: Final = "account"

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in that goes without saying."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else [self.unsaid, *args])


audit = typer.Typer(
    cls=_OrAccount,
    rich_markup_mode=MARKUP,
    help="Audit what was decided and done: the account of every row, the chain of the record.",
)
app.add_typer(audit, name="audit")


@audit.command()
def account(
    pipeline: Annotated[
        str | None,
        typer.Argument(help="Default: every one.", autocompletion=completion.pipelines),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds without progress until rows are lost.")
    ] = 5.0,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Close the account of every row, from the streams alone.

    `flyball audit congestion` is short for it.

    Example: flyball audit account congestion
    """
    from flyball_local.books import audit_home
    from flyball_local.showing.words import account_lines

    accounts = shell.run(audit_home(home, pipeline, patience))
    if as_json:
        shell.put_json({one.pipeline: one.as_json() for one in accounts})
    else:
        for one in accounts:
            shell.out(f"{one.pipeline}:", *(f"  {line}" for line in account_lines(one)))
        if not accounts:
            shell.out("no pipeline is applied: flyball apply -f pipelines/ran.yaml")
    shell.end(all(one.closes for one in accounts))


@audit.command()
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="An export, or a copy of the archive. Default: the running stack."
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", help="JSON with the services' public keys, kept elsewhere; also old ones."
        ),
    ] = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Check that nobody changed, moved or removed an act or a verdict.

    Of a folder it needs no stack; keys are those of --home, if it has some. Exit code 0: the record holds; 1: it does not.

    Example: flyball audit verify exported
    """
    from flyball_local.record.folders import keys_of, verify_folder

    trusted = keys_of(keys) if keys else _own_keys(home)
    if folder is not None:
        _show(verify_folder(folder, trusted), as_json=as_json)
        return

    async def run(client: "Client") -> "Findings":
        from flyball_local.record.live import verify_live

        return await verify_live(client, trusted)

    _show(shell.with_operator(home, run), as_json=as_json)


@audit.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Empty, or not there yet.")],
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Write the record of acts and verdicts into a folder.

    JSON lines to verify, Parquet to ask. It has what the archive in S3 keeps, and what the streams hold behind that.

    Example: flyball audit export exported
    """
    from flyball_local.record.live import export as write
    from flyball_local.session import running

    objects, keys = running(home).objects(), _own_keys(home)

    async def run(client: "Client") -> dict[str, int]:
        return await write(client, objects, folder, keys)

    found = shell.with_operator(home, run)
    if as_json:
        shell.put_json(found)
    else:
        entries, files = found["entries"], found["archived_files"]
        shell.out(f"{entries} entries of the streams and {files} archived files in {folder}")
        shell.say(f"check it with: flyball audit verify {folder}")
    if found["archives_away"]:
        shell.say(
            "the archive in S3 does not answer, so this has only what the streams still hold; flyball "
            "status shows S3: once it runs export again, into another folder"
        )


def _own_keys(home: Path) -> dict[str, tuple[str, ...]]:
    """The public keys of the services of a home, as far as it has credentials."""
    from flyball_local.embedded.credentials import Credentials
    from flyball_local.embedded.home import Home

    credentials = Credentials(Home(home).credentials)
    return {
        service: (credentials.public_key(service),)
        for service in ("risk", "deployer", "gateway")
        if credentials.seed_file(service).exists()
    }


def _show(findings: "Findings", *, as_json: bool) -> None:
    from flyball_local.record.findings import lines

    if as_json:
        shell.put_json(findings.as_json())
    else:
        shell.out(*lines(findings))
    shell.end(findings.holds)
