"""What each part of the stack costs: processor time and resident memory, read from the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds since the process began, and memory that is its own or its share of."""

    cpu_s: float
    pss_mib: float


def usage(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Usage of each part; a part that has just died is left out."""
    found = {}
    for name, pid in pids.items():
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            memory = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        found[name] = Usage(times.user + times.system, memory.pss / MIB)
    return found


def spent(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """Processor seconds of each part between two readings."""
    return {
        name: round(after[name].cpu_s - before[name].cpu_s, 2) for name in after if name in before
    }
