"""Processor time of a stack's parts, with the worker processes that they started."""

from collections.abc import Mapping
from typing import Final

import psutil

TRAINING: Final = frozenset({"trainer"})
JUDGING: Final = frozenset({"registry", "deployer", "gateway"})


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds of each part since it began, its children's included, ended or not.

    A part that was restarted in between counts from its restart.
    """
    found = {}
    for name, pid in pids.items():
        try:
            process = psutil.Process(pid)
            found[name] = _own(process) + sum(_alive(c) for c in process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return found


def split(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds between two readings: for decisions (engines included), judging and training."""
    spent = {name: max(0.0, after[name] - before.get(name, 0.0)) for name in after}
    training = sum(s for name, s in spent.items() if name in TRAINING)
    judging = sum(s for name, s in spent.items() if name in JUDGING)
    decisions = sum(spent.values()) - training - judging
    return {
        "decisions": round(decisions, 2),
        "judging": round(judging, 2),
        "training": round(training, 2),
    }


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _alive(process: psutil.Process) -> float:
    try:
        return _own(process)
    except psutil.NoSuchProcess:
        return 0.0
