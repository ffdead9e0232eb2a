"""A planted change in a whole loop: when the loop follows, and what a refresh costs beyond its fit.

    python tests/bench/bench_planted_change.py

Plays eighty minutes of six machines in lockstep; at the fiftieth their users weigh a third more. The
time from fit to flipped covers conversion, parity, signing, S3, admission, the gate, the pointer,
loading and warming.
"""

import asyncio
import json
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from statistics import median

from flyball_local import specfile
from flyball_local.playing.observed import connected
from flyball_local.playing.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.session import open_session
from flyball_local.showing.tail import follow
from flyball_proto.deployments import DeploymentActivated
from flyball_proto.events import ModelFlipped, ModelTrained
from flyball_proto.judgements import Refreshed, Superior
from flyball_proto.streams import EVENTS

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.loop.driving import LEARNING, write_learnable

SECONDS, CHANGE_S, MACHINES = 4_800, 3_000, 6
BEGIN_MS = 1_767_225_600_000


async def measured() -> dict[str, object]:
    """Milliseconds of each refresh, and of its parts."""
    trained: dict[str, ModelTrained] = {}
    won: list[Superior] = []
    refreshed: list[Refreshed] = []
    activated: dict[str, DeploymentActivated] = {}
    flipped: dict[str, ModelFlipped] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec, csv = Path(folder, "plant.yaml"), Path(folder, "plant.csv")
        spec.write_text(LEARNING)
        write_learnable(csv, seconds=SECONDS, change_s=CHANGE_S)
        async with open_session(None, say, LOCKSTEP) as session:
            await replay_on(session, specfile.load(spec), ReplayOptions(spec, csv, say=say))
            async with connected(session, "operator") as client:
                last = (await client.jetstream().stream_info(EVENTS.name)).state.last_seq
                async with aclosing(follow(client, EVENTS.name, ">", 0)) as found:
                    async for message in found:
                        what = message.subject.split(".", 2)[2]
                        if what == ModelTrained.what:
                            event = ModelTrained.model_validate_json(message.data)
                            trained[event.digest] = event
                        elif what == Superior.what:
                            won.append(Superior.model_validate_json(message.data))
                        elif what == Refreshed.what:
                            refreshed.append(Refreshed.model_validate_json(message.data))
                        elif what == DeploymentActivated.what:
                            change = DeploymentActivated.model_validate_json(message.data)
                            if change.change == "refresh":
                                activated[change.digest] = change
                        elif what == ModelFlipped.what:
                            flip = ModelFlipped.model_validate_json(message.data)
                            flipped.setdefault(flip.digest, flip)
                        if message.sequence >= last:
                            break
    rows = [
        (trained[d].fitted_at, trained[d].at, activated[d].at, flipped[d].at)
        for d in activated
        if d in flipped and trained[d].fitted_at is not None
    ]
    parts = {
        "fit to announced": [_ms(fitted, told) for fitted, told, _, _ in rows],
        "announced to pointer": [_ms(told, moved) for _, told, moved, _ in rows],
        "pointer to flipped": [_ms(moved, at) for _, _, moved, at in rows],
        "fit to flipped": [_ms(fitted, at) for fitted, _, _, at in rows],
    }
    after = [r for r in refreshed if r.event_ms > BEGIN_MS + 1000 * CHANGE_S]
    return {
        "successions": [
            {
                "labels": (w.event_ms - BEGIN_MS) // 1000 * MACHINES,
                "judged to flipped ms": _ms(w.at, flipped[w.digest].at),
            }
            for w in won
        ],
        "labels from the change to the first refresh": (
            (after[0].event_ms - BEGIN_MS) // 1000 - CHANGE_S
        )
        * MACHINES,
        "refreshes before the change": len(refreshed) - len(after),
        "refreshes after it": len(after),
        **{name: {"median": median(ms), "worst": max(ms)} for name, ms in parts.items() if ms},
    }


def _ms(begin: object, end: object) -> float:
    return round((end - begin).total_seconds() * 1000, 1)  # type: ignore[operator] # datetimes


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured()), indent=2))
