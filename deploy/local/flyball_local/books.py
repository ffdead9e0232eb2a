"""The account of every pipeline on a running home; `flyball audit`."""

from pathlib import Path

from flyball_local.audit import Account, Auditor
from flyball_local.control import status
from flyball_local.invalid import InvalidInputError
from flyball_local.session import with_role


async def audit_home(home: Path, pipeline: str | None, patience_s: float) -> list[Account]:
    """Audit one pipeline, or all that are applied.

    Raises:
        InvalidInputError: No such pipeline is applied.
    """
    async with with_role(home, "operator") as operator:
        sources = {p.pipeline: p.source for p in (await status(operator)).pipelines}
    if pipeline is not None and pipeline not in sources:
        raise InvalidInputError(
            f"pipeline {pipeline!r}: found {', '.join(sources) or 'none'} applied; "
            "name one of them, or apply it: flyball apply -f FILE"
        )
    chosen = sources if pipeline is None else {pipeline: sources[pipeline]}
    async with with_role(home, "auditor") as client:
        return [
            await Auditor(client, name, source).settle(patience_s)
            for name, source in chosen.items()
        ]
