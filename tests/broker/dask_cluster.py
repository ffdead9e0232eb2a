"""Dask workers on loopback: `python -m tests.broker.dask_cluster COUNT`; ends with its input.

Says the address of the scheduler when all have joined.
"""

import sys

from distributed import LocalCluster


def main() -> None:
    """Run until the input closes."""
    with LocalCluster(
        n_workers=int(sys.argv[1]),
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        worker_dashboard_address=None,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
