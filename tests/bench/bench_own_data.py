"""Whole public files as a newcomer plays them: no specification, only a target.

    python tests/bench/bench_own_data.py --data FOLDER [FILE ...]

Each is proposed for and replayed in lockstep on a stack of its own, one after the other. Prints a
table for docs/benchmarks.md on standard output; an account that does not close ends it with 1.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flyball_local import specfile
from flyball_local.playing.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.proposing.newspec import propose, write
from flyball_local.session import open_session

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.loop.own_data import ALL, DATA

COLUMNS = (
    *("file", "target", "task", "rows", "propose s", "wall s", "decisions", "doubles", "refused"),
    *("lost", "doubled", "loss", "persistence", "first model", "ungated", "beside persistence"),
    "successions, refreshes, rollbacks",
)


async def play(csv: Path, target: str, folder: Path) -> tuple[str, float, dict[str, Any]]:
    """The task, seconds to propose, and the replay's object."""
    began_s = time.monotonic()
    name = re.sub(r"[^a-z0-9]+", "-", f"{csv.name.split('.')[0]}-{target}".lower()).strip("-")
    found, spec = propose(csv, target), folder / f"{name}.yaml"
    took_s = time.monotonic() - began_s
    write(found, spec)
    catalogue = specfile.load(spec)
    (pipeline,) = catalogue.pipelines.values()
    async with open_session(None, say, LOCKSTEP) as session:
        played = await replay_on(session, catalogue, ReplayOptions(spec, csv, say=say))
    return pipeline.spec.target.task, took_s, played.as_json()


def line(csv: Path, target: str, task: str, took_s: float, found: dict[str, Any]) -> str:
    """One row of the table."""
    figures, promotions = found["prequential"], found["promotions"]
    others = figures["baseline"]
    refused = ", ".join(f"{r['code']} {r['rows']}" for r in found["refused"]) or "0"
    cells = [
        *(csv.name, target, task, f"{found['rows_in']:,}", f"{took_s:.1f}"),
        *(f"{found['wall_s']:.0f}", f"{found['decisions']:,}", str(found["doubles"]), refused),
        *(str(found["lost"]), str(found["duplicated"]), shown(figures)),
        *(shown(others[name]) for name in ("persistence", "first_model", "ungated_retraining")),
        beside(figures, others["persistence"]),
        f"{promotions['successions']}, {promotions['refreshes']}, {found['rollbacks']}",
    ]
    return f"| {' | '.join(cells)} |"


def shown(figures: dict[str, Any] | None) -> str:
    """A loss, or that there is none."""
    return "-" if figures is None or figures["value"] is None else f"{figures['value']:.4g}"


def beside(loop: dict[str, Any], persistence: dict[str, Any] | None) -> str:
    """How much smaller the loss of the loop is."""
    if loop["value"] is None or persistence is None or not persistence["value"]:
        return "-"
    return f"{1 - loop['value'] / persistence['value']:+.1%}"


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Play all cases, or those of the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("file", nargs="*", help="beginnings of file names, or of file:target")
    asked = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |", flush=True)
    print(f"|{'---|' * len(COLUMNS)}", flush=True)
    well = True
    with tempfile.TemporaryDirectory() as folder:
        for file, target in ALL:
            if asked.file and not any(f"{file}:{target}".startswith(name) for name in asked.file):
                continue
            task, took_s, found = asyncio.run(play(asked.data / file, target, Path(folder)))
            print(line(asked.data / file, target, task, took_s, found), flush=True)
            well &= found["closes"]
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
