"""Boosted trees that are fitted by the workers of a Dask cluster together.

LightGBM's distributed learning, as `lightgbm.dask` sets it up; that one asks for pandas and leaves
it to chance which worker gets which rows and comes first, so that no two models would be the same.
Here the same number of workers of one platform gives the same model, to the bit.

Only a worker process of the trainer comes here; Dask is imported with the first such order. The
workers of the cluster need the trainer's versions of Python, Dask and LightGBM, and nothing of
Flyball: only functions of libraries are sent. What comes back is a model like any other.
"""

import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from flyball_proto.columns import F32
from flyball_proto.spec.parameters import Value
from flyball_trainer.kinds.catalogue import Aim, FitError, Fitted
from flyball_trainer.rows import TrainingRows

Client = Any
"""Dask's, which is optional and says no types."""

CONNECT_S: Final = 10.0
"""So long the scheduler may take to answer, and then to have a worker. The fit itself ends with the
trainer's `FIT_TIMEOUT_S`."""
ROWS_EACH: Final = 200
"""Fewer rows on a worker are not worth its part in the talking; then fewer workers are used."""
SILENCE_MIN: Final = 1
"""So many minutes LightGBM's workers wait for each other."""
LOCK: Final = "flyball-fit"
"""One fit at a time on a cluster: two that wait for each other's workers would wait for ever."""
SETTING: Final = "FLYBALL_TRAINER_DASK_SCHEDULER"
_ESTIMATOR: Final = {
    "boosting": "boosting_type",
    "seed": "random_state",
    "min_data_in_leaf": "min_child_samples",
    "min_sum_hessian_in_leaf": "min_child_weight",
    "min_gain_to_split": "min_split_gain",
    "lambda_l1": "reg_alpha",
    "lambda_l2": "reg_lambda",
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "bagging_freq": "subsample_freq",
}
"""Names that the estimator has beside the library's own; told by both it would warn."""


class FarError(FitError):
    """The cluster cannot fit; `needed` says what would be right."""

    kind = "dask"

    def __init__(self, found: str, needed: str) -> None:
        super().__init__(found)
        self.needed = needed


def fit(
    rows: TrainingRows,
    task: str,
    parameters: Mapping[str, Value],
    seed: int,
    *,
    classes: int = 0,
    scheduler: str,
) -> Fitted:
    """Boosted trees like those of `kinds.boosting`, fitted where `scheduler` says, tcp://host:port.

    Raises:
        FarError: no address, no Dask here, nobody there, no workers, or they failed.
        UnconvertibleError: the model has a part without ONNX form.
    """
    if not scheduler:
        raise FarError(
            "executor dask and no scheduler in the trainer's settings",
            f"{SETTING}=tcp://host:port, or executor: process",
        )
    own = {name: value for name, value in parameters.items() if name != "seed"}
    aim = Aim("lightgbm", task, classes, own, int(parameters.get("seed", seed)))
    with _cluster(scheduler) as client:
        text = _text(client, told(aim), rows)
    return _read(text)


def told(aim: Aim) -> dict[str, Any]:
    """What LightGBM's estimator is told: what `kinds.boosting` tells the library, by its names."""
    from flyball_trainer.kinds import boosting  # noqa: PLC0415 - heavy

    said = {_ESTIMATOR.get(name, name): value for name, value in boosting.settings(aim).items()}
    del said["num_threads"]  # as many as each Dask worker has
    return said


def dealt(rows: int, hands: int) -> list[slice]:
    """Which rows each of at most `hands` workers gets: in turn, so that all see all times."""
    used = max(1, min(hands, rows // ROWS_EACH))
    return [slice(first, None, used) for first in range(used)]


@contextmanager
def _cluster(scheduler: str) -> Iterator[Client]:
    """A connection to a scheduler that has workers, and the turn to fit there."""
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise FarError(
            f"executor dask and no Dask where the trainer runs: {error}",
            "flyball-trainer[dask] installed there, or executor: process",
        ) from error
    try:
        client: Client = distributed.Client(
            scheduler, timeout=CONNECT_S, set_as_default=False, name="flyball"
        )
    except (OSError, ValueError) as error:
        raise FarError(
            f"no Dask scheduler at {scheduler} within {CONNECT_S:g} s: {_first_line(error)}",
            f"one that runs there with this version of Dask; see {SETTING}",
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise FarError(
                f"a Dask scheduler at {scheduler} without workers for {CONNECT_S:g} s",
                "at least one Dask worker there",
            ) from error
        with client.as_current(), distributed.Lock(LOCK):
            yield client


def _text(client: Client, settings: Mapping[str, Any], rows: TrainingRows) -> str:
    """The booster's text form."""
    from distributed import KilledWorker  # noqa: PLC0415 - optional
    from lightgbm.basic import LightGBMError  # noqa: PLC0415 - heavy

    failures = (OSError, ImportError, RuntimeError, ValueError, TypeError, AttributeError)
    try:
        return _trained(client, settings, rows)
    except (*failures, CancelledError, LightGBMError, KilledWorker) as error:
        raise FarError(
            f"{type(error).__name__} on the Dask cluster: {_first_line(error)}",
            "workers with the trainer's versions of Python, Dask and LightGBM that live on; "
            "their logs say more",
        ) from error


def _trained(client: Client, settings: Mapping[str, Any], rows: TrainingRows) -> str:
    """Each worker fits to its rows and speaks with the others; at the end all have the model."""
    from lightgbm import Booster  # noqa: PLC0415 - heavy

    workers = sorted(client.run(import_module, "lightgbm"))  # before they wait for each other
    hands = dealt(len(rows), len(workers))
    weight = None if (rows.weight == 1).all() else rows.weight.astype(F32)
    columns = [column for column in (rows.feature, rows.label, weight) if column is not None]
    _alone(client, workers)
    networks = _networks(_places(client, workers[: len(hands)]))
    texts = []
    for worker, chosen, network in zip(workers, hands, networks, strict=False):
        pinned = {"workers": [worker], "allow_other_workers": False, "pure": False}
        parts = [np.ascontiguousarray(column[chosen]) for column in columns]
        held = client.scatter(parts, workers=[worker], hash=False)
        threads = client.nthreads()[worker]
        model = client.submit(_estimator(settings, network, threads).fit, *held, **pinned)
        booster = client.submit(getattr, model, "booster_", **pinned)
        # now, or it would be freed in the middle of the next fit
        freed = client.submit(Booster.free_network, booster, **pinned)
        texts.append(client.submit(Booster.model_to_string, freed, **pinned))
    found: list[str] = client.gather(texts)
    return found[0]


def _alone(client: Client, workers: list[str]) -> None:
    """Have each worker forget the others of a fit that failed, or it would still write to them."""
    from lightgbm import Booster  # noqa: PLC0415 - heavy

    nobody = SimpleNamespace()  # the network is the process's, not a booster's
    client.gather(
        [
            client.submit(Booster.free_network, nobody, workers=[worker], pure=False)
            for worker in workers
        ]
    )


def _estimator(settings: Mapping[str, Any], network: Mapping[str, Any], threads: int) -> Any:
    """One of any objective: it takes labels and outputs as they are."""
    from lightgbm import LGBMRegressor  # noqa: PLC0415 - heavy

    return LGBMRegressor(**settings, **network, n_jobs=threads)


def _places(client: Client, workers: list[str]) -> list[tuple[str, int]]:
    """A host and a free port of each worker, held until just now."""
    asked = {"pure": False, "allow_other_workers": False}
    servers = [
        client.submit(socket.create_server, ("", 0), workers=[worker], **asked)
        for worker in workers
    ]
    ports = [
        port
        for _, port in client.gather(
            [client.submit(socket.socket.getsockname, server, pure=False) for server in servers]
        )
    ]
    client.gather([client.submit(socket.socket.close, server, pure=False) for server in servers])
    return [
        (str(urlsplit(worker).hostname), port) for worker, port in zip(workers, ports, strict=True)
    ]


def _networks(places: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """How LightGBM on each worker finds the others; one alone has nobody to find."""
    if len(places) == 1:
        return [{}]
    machines = ",".join(f"{host}:{port}" for host, port in places)
    shared = {"machines": machines, "num_machines": len(places), "tree_learner": "data"}
    return [{**shared, "local_listen_port": port, "time_out": SILENCE_MIN} for _, port in places]


def _read(text: str) -> Fitted:
    import lightgbm  # noqa: PLC0415 - heavy

    from flyball_trainer.kinds import boosting  # noqa: PLC0415 - heavy

    return boosting.fitted(lightgbm.Booster(model_str=text))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
