"""Worker processes of the trainer: warm, replaceable, gone with the service."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest
from nats.aio.client import Client
from tests.broker.learning import RECENT, World

from flyball_trainer.learning.contract import contract
from flyball_trainer.learning.material import Material
from flyball_trainer.training.fitting import NotTrained, Order, Trained
from flyball_trainer.workers.pool import WorkerLostError, Workers

HEAVY = {"lightgbm", "sklearn", "scipy", "pyarrow", "onnxruntime"}


@pytest.fixture
def order() -> Order:
    world = World(Client(), "p", RECENT)
    material = Material(2, 1 << 20)
    material.append(0, world.samples(200))
    found = world.found
    return material.order(contract(found.pipelines["p"], found.sources["p"]), "recent", 201_000)


@asynccontextmanager
async def workers(count: int = 1, timeout_s: float = 60.0) -> AsyncIterator[Workers]:
    made = Workers(count, timeout_s)
    try:
        yield made
    finally:
        await made.stop()


async def test_a_worker_is_kept_warm_has_low_priority_and_gives_the_same_model_again(
    order: Order,
) -> None:
    async with workers() as made:
        assert made.pids == frozenset()
        first = await made.train(order)
        (pid,) = made.pids
        assert psutil.Process(pid).nice() > psutil.Process().nice()
        again = await made.train(order)
        assert made.pids == {pid}
    assert isinstance(first, Trained)
    assert isinstance(again, Trained)
    assert first.onnx == again.onnx
    assert not psutil.pid_exists(pid)


async def test_what_cannot_be_fitted_is_said_and_the_worker_goes_on(order: Order) -> None:
    few = replace(order, rows=order.rows.part(slice(0, 99)))
    async with workers() as made:
        refused = await made.train(few)
        assert isinstance(refused, NotTrained)
        assert refused.retry
        assert isinstance(await made.train(order), Trained)
        assert len(made.pids) == 1


async def test_a_worker_that_dies_is_told_and_replaced(order: Order) -> None:
    async with workers() as made:
        await made.train(order)
        (pid,) = made.pids
        os.kill(pid, signal.SIGSTOP)
        training = asyncio.ensure_future(made.train(order))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="died"):
            await training
        assert isinstance(await made.train(order), Trained)
        assert pid not in made.pids


async def test_a_training_that_takes_too_long_is_given_up(order: Order) -> None:
    async with workers(timeout_s=5.0) as made:
        await made.train(order)
        (pid,) = made.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerLostError, match="no model within 5 s"):
            await made.train(order)
        assert not psutil.pid_exists(pid)
        assert isinstance(await made.train(order), Trained)


async def test_no_more_than_the_allowed_number_of_workers_run(order: Order) -> None:
    async with workers(count=2) as made:
        found = await asyncio.gather(*(made.train(order) for _ in range(5)))
        assert len(made.pids) == 2
    digests = {trained.manifest.digest for trained in found if isinstance(trained, Trained)}
    assert len(digests) == 1


def test_the_service_itself_imports_no_library_of_its_workers() -> None:
    code = "import flyball_trainer.app, json, sys; print(json.dumps(list(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert not HEAVY & set(json.loads(said))
