"""The record as rows, in Parquet: what can be asked of it in SQL. Pure.

One row an act, or one a judged decision. Nothing is proven by these files: the JSON lines beside
them are what the chain covers, and `flyball audit verify` makes the rows again and compares.
"""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped] # has no stubs
import pyarrow.parquet as pq  # type: ignore[import-untyped] # has no stubs

from flyball_kit.segments import Entry
from flyball_proto import streams
from flyball_proto.chains import LINK
from flyball_proto.columns import F32, Category, Quality, Verdict, Verdicts, decode_verdicts
from flyball_proto.headers import CHAIN

_ACT: Final = ("service", "at", "verb", "object", "by", "why", "outcome", "detail")
_CATEGORIES: Final = {int(c): c.name.lower() for c in Category}
_VERDICTS: Final = {int(v): v.name.lower() for v in Verdict}
_SIGNALS: Final = ("novelty", "disagreement", "confidence", "credibility", "error")
_MODEL: Final = ("digest", "trainer", "stage", "epoch")


def table(stream: str, entries: Sequence[Entry]) -> pa.Table:
    """The entries of one subject as rows."""
    if stream == streams.AUDIT.name:
        return pa.Table.from_pylist(list(map(_act, entries)), schema=_ACTS)
    return pa.concat_tables(_judged(entry) for entry in entries)


def parquet(stream: str, entries: Sequence[Entry]) -> bytes:
    """The same as a file."""
    sink = io.BytesIO()
    pq.write_table(table(stream, entries), sink, compression="zstd")
    return sink.getvalue()


def difference(stream: str, entries: Sequence[Entry], stored: bytes) -> str:
    """What is wrong with a file that should be `parquet` of these entries; empty = nothing."""
    try:
        found, made = pq.read_table(io.BytesIO(stored)), table(stream, entries)
    except (pa.ArrowException, ValueError, OSError) as error:
        return f"no rows ({error})"
    return "" if found.equals(made) else "other rows than its entries give"


_ACTS: Final = pa.schema(
    [
        ("sequence", pa.uint64()),
        ("number", pa.uint64()),
        *((name, pa.string()) for name in _ACT),
        ("hash", pa.string()),
    ]
)


def _act(entry: Entry) -> dict[str, Any]:
    try:
        act = json.loads(entry.data)
    except ValueError:
        act = {}
    if not isinstance(act, dict):
        act = {}
    link = act.get(LINK) or {}
    row = {name: str(act.get(name, "")) for name in _ACT}
    return row | {
        "sequence": entry.sequence,
        "number": link.get("number"),
        "hash": link.get("hash"),
    }


def _judged(entry: Entry) -> pa.Table:
    batch = decode_verdicts(entry.data)
    rows, count = batch.rows, len(batch.rows)
    number = entry.headers.get(CHAIN, "0").split()[0]
    of_element = rows.element_index
    columns: dict[str, Any] = {
        "sequence": pa.array(np.full(count, entry.sequence, np.uint64)),
        "number": pa.array(np.full(count, int(number), np.uint64)),
        "metrics": pa.array(rows.sequence),
        "sample": pa.array(rows.sample),
        "time": pa.array(rows.time_ms).cast(pa.timestamp("ms", tz="UTC")),
        "element": _words(rows.element, of_element),
        "labels": _words(rows.label_set, rows.label_index[of_element] if count else of_element),
        "score": pa.array(batch.score, from_pandas=True),
        "action": _words(("", *batch.action), batch.action_index),
        "verdict": _named(lambda v: _VERDICTS.get(v, str(v)), batch.verdict),
        "category": _named(lambda v: _CATEGORIES.get(v, str(v)), batch.category),
        "risk": pa.array(batch.risk, from_pandas=True),
        "reason": _words(("", *batch.reason), batch.reason_index),
        "quality": _named(_flags, batch.quality),
        "policy": _words([batch.policy_hash], np.zeros(count)),
    }
    if batch.class_name:
        columns["class"] = _words(batch.class_name, batch.class_index)
    else:
        columns["class"] = pa.nulls(count, pa.string())
    columns |= {name: _signal(batch, name) for name in _SIGNALS}
    for name in _MODEL:
        found = [str(getattr(model, name)) for model in batch.model]
        columns[f"model_{name}"] = _words(found, batch.model_index)
    return pa.table(columns)


def _words(words: Iterable[str], index: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(list(words), pa.string()).take(pa.array(index.astype(np.int64)))


def _named(names: Callable[[int], str], values: np.ndarray[Any, Any]) -> pa.Array:
    """Words for numbers, of which there are few different ones."""
    found, places = np.unique(values, return_inverse=True)
    return _words([names(int(value)) for value in found], places)


def _flags(value: int) -> str:
    return ",".join(flag.name.lower() for flag in Quality(value) if flag.name)


def _signal(batch: Verdicts, name: str) -> pa.Array:
    """A column of proposals spread over all rows; null where it is not known."""
    found = np.full(len(batch.rows), np.nan, F32)
    of_proposals = getattr(batch.assessment, name)
    if len(of_proposals):
        found[batch.action_index > 0] = of_proposals
    return pa.array(found, from_pandas=True)
