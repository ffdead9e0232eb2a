"""The loop on real data: what the decisions taken were worth, beside what else could have been had.

    python tests/bench/bench_replays.py --data FOLDER [NAME ...]

FOLDER holds the data sets that `pipelines/` has specifications for; each is replayed in lockstep on
a stack of its own. Prints a table for docs/benchmarks.md on standard output.
"""

import argparse
import asyncio
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flyball_local import specfile
from flyball_local.playing.observed import connected
from flyball_local.playing.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.session import Session, open_session
from flyball_local.showing.tail import follow
from flyball_proto.columns import decode_samples
from flyball_proto.streams import SAMPLES

ROOT = Path(__file__).parents[2]
DAY_TWO_MS = (1_672_617_600_000, 1_672_704_000_000)
"""2023-01-02, when 33 base stations report that nobody has seen before."""


@dataclass(frozen=True)
class Case:
    """One replay."""

    name: str
    spec: str
    csv: str
    label_delay: int = 0


CASES = (
    Case("elec2", "elec2", "elec2.csv.gz"),
    Case("elec2, labels 48 rows late", "elec2", "elec2.csv.gz", 48),
    Case("itu5g", "itu5g_energy", "itu5g_energy.csv.gz"),
    Case("cisco_leaf7", "cisco_leaf7", "cisco_leaf7_3h.csv.gz"),
    Case("cicids2017", "cicids2017", "cicids2017_stream.csv.gz"),
)


async def run(case: Case, data: Path) -> dict[str, Any]:
    """Play one case; newcomers' figures are added where the data have some."""
    spec = ROOT / "pipelines" / f"{case.spec}.yaml"
    options = ReplayOptions(spec, data / case.csv, say=say, label_delay_rows=case.label_delay)
    catalogue = specfile.load(spec)
    async with open_session(None, say, LOCKSTEP) as session:
        found = (await replay_on(session, catalogue, options)).as_json()
        if case.spec == "itu5g_energy":
            found["newcomers"] = await newcomers(session)
    return found


async def newcomers(session: Session) -> dict[str, float]:
    """Mean absolute error on the stations that first report on the second day, that day."""
    first: dict[str, int] = {}
    errors: list[tuple[str, int, float]] = []
    async with connected(session, "operator") as client:
        left = (await client.jetstream().stream_info(SAMPLES.name)).state.messages
        async with aclosing(follow(client, SAMPLES.name, "samples.energy.>", 0)) as messages:
            async for message in messages:
                left -= 1
                if message.data:
                    batch = decode_samples(message.data)
                    rows = batch.rows
                    names = [rows.element[i] for i in rows.element_index.tolist()]
                    error = np.abs(batch.label - batch.score).tolist()
                    for name, at, wrong in zip(names, rows.time_ms.tolist(), error, strict=True):
                        first[name] = min(at, first.get(name, at))
                        errors.append((name, at, wrong))
                if not left:
                    break
    began, ended = DAY_TWO_MS
    new = [e for n, at, e in errors if began <= first[n] and began <= at < ended]
    old = [e for n, at, e in errors if first[n] < began <= at < ended]
    return {"rows": len(new), "new": float(np.mean(new)), "old": float(np.mean(old))}


def line(case: Case, found: dict[str, Any]) -> str:
    """One row of the table."""
    figures, promotions = found["prequential"], found["promotions"]
    baseline = figures["baseline"]
    cells = [
        case.name,
        f"{found['rows_in']:,}",
        shown(figures),
        shown(baseline["persistence"]),
        shown(baseline["first_model"]),
        shown(baseline["ungated_retraining"]),
        shown(figures["whole"]),
        f"{promotions['successions']}, {promotions['refreshes']}, {found['rollbacks']}",
        str(len(found["models"])),
        ", ".join(f"{k} {v:.0f}" for k, v in found["cpu_s"].items()),
        f"{found['wall_s']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def shown(figures: dict[str, Any] | None) -> str:
    """Loss, and accuracy where there is one."""
    if figures is None or figures["value"] is None:
        return "-"
    accuracy = figures["accuracy"]
    return f"{figures['value']:.4f}" + ("" if accuracy is None else f" ({accuracy:.4f})")


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Run all cases, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("name", nargs="*")
    asked = parser.parse_args()
    print(
        "| data | rows | loop | persistence | first model | ungated retraining | loop, all rows "
        "| successions, refreshes, rollbacks | models | CPU s | wall s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for case in CASES:
        if asked.name and not any(case.name.startswith(name) for name in asked.name):
            continue
        found = asyncio.run(run(case, asked.data))
        print(line(case, found), flush=True)
        say(f"{case.name}: {found['prequential']}")
        if "newcomers" in found:
            print(f"\n{case.name}, 2023-01-02: {found['newcomers']}\n", flush=True)


if __name__ == "__main__":
    main()
