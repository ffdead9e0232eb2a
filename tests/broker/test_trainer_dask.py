"""Trees that are fitted on a real Dask cluster of two processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import onnxruntime as ort
import psutil
import pytest
from distributed import Client
from onnx import ModelProto
from tests.unit.training_rows import NAMES, class_rows, order, training_rows

from flyball_proto.bundles import decode_expected
from flyball_proto.columns import F64
from flyball_registry.admission import onnxfile as admission
from flyball_trainer.training import far
from flyball_trainer.training.fitting import NotTrained, Order, Trained, train
from flyball_trainer.workers.pool import Workers

FIT_S = 300.0
"""Two processes that import LightGBM on a busy machine."""
CLASSES = ("low", "middle", "high")


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.broker.dask_cluster", str(workers)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with cluster(2) as address:
        yield address


@pytest.fixture(scope="module")
def far_order(scheduler: str) -> Callable[..., Order]:
    def made(task: str = "binary", **more: Any) -> Order:
        rows = class_rows(1_500) if task == "multiclass" else training_rows(1_500, task)
        given = {"executor": "dask", "scheduler": scheduler, "rows": rows}
        return order(task=task, **given | more)

    return made


def fitted(asked: Order) -> Trained:
    found = train(asked)
    assert isinstance(found, Trained), found
    return found


def loss(made: Trained) -> float:
    return float(made.report["holdout"]["loss"])


async def test_a_worker_fits_on_the_cluster_that_the_settings_name(
    scheduler: str, far_order: Callable[..., Order]
) -> None:
    workers = Workers(1, FIT_S, scheduler=scheduler)
    try:
        made = await workers.train(far_order(scheduler=""))
    finally:
        await workers.stop()
    assert isinstance(made, Trained), made
    assert made.manifest.executor == "dask"
    assert fitted(far_order()).onnx == made.onnx
    with Client(scheduler, set_as_default=False) as client:
        modules = client.run(lambda: list(sys.modules))
    assert len(modules) == 2
    for names in modules.values():
        assert "lightgbm" in names
        assert not [name for name in names if name.startswith("flyball")]


@pytest.mark.parametrize(
    ("task", "classes"), [("binary", ()), ("regression", ()), ("multiclass", CLASSES)]
)
def test_what_two_workers_fit_is_admitted_and_as_good_as_what_one_process_fits(
    far_order: Callable[..., Order], task: str, classes: tuple[str, ...]
) -> None:
    asked = far_order(task, classes=classes)
    made = fitted(asked)
    here = fitted(far_order(task, classes=classes, executor="process"))
    assert loss(made) == pytest.approx(loss(here), rel=0.1)
    assert made.onnx != here.onnx
    opened = admission.parse(made.onnx)
    assert isinstance(opened, ModelProto)
    for check in (admission.self_contained, admission.allowed, admission.valid):
        assert check(opened) is None
    assert admission.shapes(opened, made.manifest) is None
    expected = decode_expected(made.files["expected.bin"])
    said = ort.InferenceSession(made.onnx).run(["score"], {"features": expected.feature})[0]
    scale = max(1.0, float(np.median(np.abs(expected.score))))
    assert np.abs(said.astype(F64) - expected.score).max() <= 1e-5 * scale
    assert opened.graph.input[0].type.tensor_type.shape.dim[1].dim_value == len(NAMES)


def test_the_same_order_gives_the_same_bytes_on_the_same_cluster(
    far_order: Callable[..., Order],
) -> None:
    drawn = {"bagging_fraction": 0.5, "bagging_freq": 1, "n_estimators": 20}
    first, second = (fitted(far_order("regression", parameters=drawn)) for _ in range(2))
    assert (first.onnx, first.report) == (second.onnx, second.report)


def test_few_rows_are_fitted_by_one_worker_alone(far_order: Callable[..., Order]) -> None:
    few = training_rows(300)
    alone = fitted(far_order(rows=few, parameters={"n_estimators": 12, "boosting": "dart"}))
    here = fitted(
        far_order(rows=few, parameters={"n_estimators": 12, "boosting": "dart"}, executor="process")
    )
    assert loss(alone) == pytest.approx(loss(here), abs=1e-6)


def test_a_dask_worker_that_dies_in_a_fit_is_said() -> None:
    long = {"n_estimators": 2_000, "num_leaves": 500, "min_data_in_leaf": 1}
    with cluster(2) as address, ThreadPoolExecutor(1) as beside:
        with Client(address, set_as_default=False) as client:
            victim = psutil.Process(min(client.run(os.getpid).values()))
            client.run(import_module, "lightgbm")
        busy_s = victim.cpu_times().user + 1.0
        rows = training_rows(1_500)
        asked = order(executor="dask", scheduler=address, rows=rows, parameters=long)
        training = beside.submit(train, asked)
        while victim.cpu_times().user < busy_s:
            assert not wait([training], 0.05).done
        victim.kill()
        found = training.result()
    assert isinstance(found, NotTrained)
    assert "on the Dask cluster: " in found.found


def test_what_lightgbm_refuses_on_the_cluster_is_said(
    far_order: Callable[..., Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = far.told
    monkeypatch.setattr(far, "told", lambda aim: told(aim) | {"max_bin": 1})
    found = train(far_order())
    assert isinstance(found, NotTrained)
    assert found.found.startswith("LightGBMError on the Dask cluster: ")
    assert isinstance(train(far_order(executor="process")), Trained)


def test_a_scheduler_without_workers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far, "CONNECT_S", 2.0)
    with cluster(0) as address:
        found = train(order(executor="dask", scheduler=address))
    assert found == NotTrained(
        "dask",
        f"a Dask scheduler at {address} without workers for 2 s",
        "at least one Dask worker there",
        False,
    )


def test_a_scheduler_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far, "CONNECT_S", 0.5)
    found = train(order(executor="dask", scheduler="tcp://127.0.0.1:9"))
    assert isinstance(found, NotTrained)
    assert (found.cause, found.retry) == ("dask", False)
    assert found.found.startswith("no Dask scheduler at tcp://127.0.0.1:9 within 0.5 s: ")
    assert "FLYBALL_TRAINER_DASK_SCHEDULER" in found.needed


def test_a_trainer_that_was_told_of_no_scheduler_says_which_setting_names_it() -> None:
    found = train(order(executor="dask"))
    assert isinstance(found, NotTrained)
    assert "FLYBALL_TRAINER_DASK_SCHEDULER=tcp://host:port" in found.needed


def test_a_trainer_without_dask_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = train(order(executor="dask", scheduler="tcp://127.0.0.1:9"))
    assert isinstance(found, NotTrained)
    assert "flyball-trainer[dask]" in found.needed
