"""What keeping the record costs: chaining, archiving and verifying batches of verdicts.

.venv/bin/python -m tests.bench.bench_archive
"""

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.risk_rows import Row, judged

from flyball_gateway.archiving.tables import parquet
from flyball_kit.segments import Entry, name_of, write
from flyball_local.record.folders import ABOUT, Export, verify_folder
from flyball_proto.chains import beginning
from flyball_proto.columns import encode_verdicts
from flyball_proto.headers import CHAIN

BATCHES, ROWS = 40, 5_000
SUBJECT = "verdicts.congestion.0"


def timed(what: str, rows: int, size: int, call: Callable[[], Any]) -> Any:
    started = time.process_time()
    found = call()
    took = time.process_time() - started
    print(f"{what:<10}{took * 1e6 / rows:8.3f} us/row {size / took / 1e6:8.1f} MB/s")
    return found


def main() -> None:
    rng = np.random.default_rng(7)
    payloads = []
    for batch in range(BATCHES):
        scores = rng.beta(1, 12, ROWS).round(6)
        rows = [Row(f"cell-{i % 1000}", batch * 5_000 + i, float(s)) for i, s in enumerate(scores)]
        payloads.append(encode_verdicts(judged(rows)))
    size, count = sum(map(len, payloads)), BATCHES * ROWS
    print(f"{count:,} rows in {BATCHES} outputs, {size / count:.1f} B/row")
    place, entries = beginning(SUBJECT), []

    def chain() -> None:
        nonlocal place
        for number, data in enumerate(payloads, 1):
            place = place.then(data)
            entries.append(Entry(number, datetime.now(UTC), {CHAIN: place.text}, data))

    timed("chain", count, size, chain)
    lines = timed("lines", count, size, lambda: write("VERDICTS", SUBJECT, entries))
    rows = timed("parquet", count, size, lambda: parquet("VERDICTS", entries))
    print(f"lines {len(lines) / count:.1f} B/row, parquet {len(rows) / count:.1f} B/row")
    with tempfile.TemporaryDirectory() as folder:
        name = name_of("VERDICTS", SUBJECT, entries)
        (Path(folder) / name.path()).parent.mkdir(parents=True)
        (Path(folder) / name.path()).write_bytes(lines)
        export = Export(at=datetime.now(UTC).isoformat())
        (Path(folder) / ABOUT).write_text(export.model_dump_json())
        found = timed("verify", count, size, lambda: verify_folder(Path(folder), {}))
        print("holds:", found.holds)


if __name__ == "__main__":
    main()
