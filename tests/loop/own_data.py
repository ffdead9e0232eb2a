"""Files of the kind that a newcomer brings, and targets in them that somebody may ask for."""

import csv
import gzip
from itertools import islice
from pathlib import Path

ELEMENTS = 12
DATA = Path("/work/shared/data")
QUICK = (
    ("cicids2017_stream.csv.gz", "Labelb"),
    ("cisco_fabric_sessions.csv.gz", "output-data-rate"),
    ("cisco_fabric_sessions.csv.gz", "phase"),
    ("cisco_fabric_sessions_events.csv", "event=enable_interface"),
    ("cisco_leaf7_3h.csv.gz", "output-data-rate"),
    ("cisco_leaf7_3h.csv.gz", "fabric_event=2"),
    ("cisco_leaf7_3h_events.csv", "event"),
    ("elec2.csv.gz", "class"),
    ("elec2.csv.gz", "nswprice"),
    ("itu5g_energy.csv.gz", "Energy"),
    ("itu5g_energy.csv.gz", "RUType=Type5"),
    ("nab_known_cause.csv.gz", "value"),
    ("nab_known_cause.csv.gz", "anomaly_window"),
    ("skab_valve1.csv.gz", "anomaly"),
    ("ucc5g_sessions.csv.gz", "RSRP"),
    ("ucc5g_sessions.csv.gz", "NetworkMode"),
)
"""File and target; each is played by the tests, cut short."""
ALL = (
    *QUICK,
    ("cicids2017_stream.csv.gz", "Flow Duration"),
    ("cisco_fabric_sessions.csv.gz", "element_fault"),
    ("cisco_fabric_sessions.csv.gz", "session"),
    ("cisco_fabric_sessions_events.csv", "event"),
    ("cisco_leaf7_3h.csv.gz", "fabric_event"),
    ("cisco_leaf7_3h_events.csv", "interface"),
    ("itu5g_energy.csv.gz", "load"),
    ("skab_valve1.csv.gz", "Volume Flow RateRMS"),
    ("ucc5g_sessions.csv.gz", "DL_bitrate"),
    ("ucc5g_sessions.csv.gz", "State"),
)
"""All are proposed for by the tests and played in full by `tests/bench/bench_own_data.py`."""


def cut(source: Path, target: Path, pieces: int, rows: int) -> int:
    """Copy `pieces` runs of rows of some elements from all over a file, so that what it holds varies.

    Returns how many rows were copied.
    """
    data = source.read_bytes()
    text = (gzip.decompress(data) if source.suffix == ".gz" else data).decode()
    header, *whole = csv.reader(text.splitlines())
    if "element" in header:
        at = header.index("element")
        names = list(dict.fromkeys(row[at] for row in whole))
        chosen = set(names[:: max(1, len(names) // ELEMENTS)])
        whole = [row for row in whole if row[at] in chosen]
    step = max(rows, len(whole) // pieces)
    kept = [row for start in range(0, len(whole), step) for row in whole[start : start + rows]]
    kept = list(islice(kept, pieces * rows))
    with target.open("w", newline="") as file:
        csv.writer(file).writerows([header, *kept])
    return len(kept)
