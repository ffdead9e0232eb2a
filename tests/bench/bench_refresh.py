"""What a refresh costs: from the end of the fit to the flip in inference, in a whole loop.

    python tests/bench/bench_refresh.py

Plays forty minutes of six machines in lockstep; every refresh of the seat counts. The time covers
conversion, parity, signing, S3, admission, the gate, the pointer, loading and warming.
"""

import asyncio
import json
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from statistics import median

from flyball_local import specfile
from flyball_local.observed import connected
from flyball_local.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.session import open_session
from flyball_local.tail import follow
from flyball_proto.deployments import DeploymentActivated
from flyball_proto.events import ModelFlipped, ModelTrained
from flyball_proto.streams import EVENTS

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.loop.driving import LEARNING, write_learnable


async def measured() -> dict[str, object]:
    """Milliseconds of each refresh, and of its parts."""
    trained: dict[str, ModelTrained] = {}
    activated: dict[str, DeploymentActivated] = {}
    flipped: dict[str, ModelFlipped] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec, csv = Path(folder, "plant.yaml"), Path(folder, "plant.csv")
        spec.write_text(LEARNING)
        write_learnable(csv, seconds=4_800, change_s=3_000)
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
    return {
        "refreshes": len(rows),
        **{name: {"median": median(ms), "worst": max(ms)} for name, ms in parts.items() if ms},
    }


def _ms(begin: object, end: object) -> float:
    return round((end - begin).total_seconds() * 1000, 1)  # type: ignore[operator] # datetimes


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured()), indent=2))
