"""From a moved pointer to the flipped model: `python tests/bench/bench_flip.py`. A benchmark, not a test.

Each model is another ensemble of 100 trees with 32 leaves, about 230 kB, fetched from a real S3
server with its signature. `end` is when everybody could know it, by the event.
"""

import asyncio
import hashlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nats
import numpy as np
from nats.aio.client import Client
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.broker import chain
from tests.broker.inference_world import World, inference_world
from tests.unit.inference_models import Made, constant, deployment
from tests.unit.test_inference_bundle import seed

from flyball_inference.app import build
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams
from flyball_proto.events import ModelFlipped

TREES, DEPTH, ROUNDS = 100, 5, 30


def forest(seed: int, pipeline: str) -> Made:
    """Full binary trees with random thresholds."""
    rng, like = np.random.default_rng(seed), constant(0.5, pipeline).manifest
    inner, nodes = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    columns: dict[str, list[Any]] = {name: [] for name in _NODES}
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for tree in range(TREES):
        for node in range(nodes):
            is_leaf = node >= inner
            row = (
                tree,
                node,
                int(rng.integers(len(like.features))),
                0.0 if is_leaf else float(rng.random()),
                "LEAF" if is_leaf else "BRANCH_LEQ",
                0 if is_leaf else 2 * node + 1,
                0 if is_leaf else 2 * node + 2,
                0,
                1.0,
            )
            for name, value in zip(_NODES, row, strict=True):
                columns[name].append(value)
            if is_leaf:
                for name, value in zip(leaves, (tree, node, 0, float(rng.random())), strict=True):
                    leaves[name].append(value)
    made = helper.make_node(
        "TreeEnsembleRegressor",
        [like.input_name],
        [like.output_name],
        domain="ai.onnx.ml",
        n_targets=1,
        **{f"nodes_{name}": values for name, values in columns.items()},
        **{f"target_{name}": values for name, values in leaves.items()},
    )
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in ((like.input_name, len(like.features)), (like.output_name, 1))
    ]
    model = helper.make_model(
        helper.make_graph([made], "forest", shapes[:1], shapes[1:]),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )
    onnx = model.SerializeToString(deterministic=True)
    digest = hashlib.sha256(onnx).hexdigest()
    return Made(like.model_copy(update={"digest": digest}), onnx)


_NODES = (
    "treeids",
    "nodeids",
    "featureids",
    "values",
    "modes",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
    "hitrates",
)


async def flips(world: World, made: list[Made], folder: Path) -> None:
    seed_file, key = seed(folder)
    await world.store(*made, signed_by=seed_file)
    await world.point(deployment(1, made[0]))
    async with chain.running(build(world.settings(trainer_keys=key))):
        await world.flipped()
        events = await world.client.jetstream().subscribe(
            ModelFlipped.pattern().replace("*", world.name)
        )
        await events.next_msg(chain.WAIT_S)
        end_ms, load_ms = [], []
        for epoch, one in enumerate(made[1:], start=2):
            await asyncio.sleep(0.05)  # let the one before be tidied up
            began = time.perf_counter()
            await world.point(deployment(epoch, one))
            message = await events.next_msg(chain.WAIT_S)
            end_ms.append((time.perf_counter() - began) * 1000)
            load_ms.append(ModelFlipped.model_validate_json(message.data).load_ms)
    print(f"{len(made[0].onnx) / 1000:.0f} kB, {len(end_ms)} flips")
    for name, found in (("load", load_ms), ("end", end_ms)):
        print(f"{name:5} median {statistics.median(found):6.1f} ms, worst {max(found):6.1f} ms")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = NatsEngine(Path(folder) / "nats")
        await asyncio.to_thread(engine.start)
        try:
            client: Client = await nats.connect(engine.url)
            await provision_streams(client)
            common = {"nats_url": engine.url, "s3_bucket": "flyball"}
            async with inference_world(client, Path(folder), "bench", common) as world:
                await flips(world, [forest(i, "bench") for i in range(ROUNDS + 1)], Path(folder))
            await client.close()
        finally:
            await asyncio.to_thread(engine.stop)


if __name__ == "__main__":
    asyncio.run(main())
