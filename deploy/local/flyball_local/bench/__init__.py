"""`flyball bench`: how fast the loop is on this machine, with its account closed after each run."""

from flyball_local.bench.run import Report, run_bench
from flyball_local.bench.table import show

__all__ = ["Report", "run_bench", "show"]
