"""Training rows as a Parquet file, and back. The only room that knows pyarrow.

The same rows give the same bytes under the same pyarrow; the file's SHA-256 is its name in S3.
"""

import hashlib
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, F64, I64, U16, U32, U64, Column
from flyball_trainer.rows import TrainingRows

FEATURE_PREFIX: Final = "feature."
"""Before a feature's name, so that none can be taken for another column."""
ROW_GROUP_ROWS: Final = 1 << 16
_PLAIN: Final = {
    "sequence": U64,
    "sample": U16,
    "time_ms": I64,
    "known_ms": I64,
    "label": F64,
    "weight": F64,
}
_NAMED: Final = ("element", "labels")


class DatasetError(PermanentError):
    """A file is no data set of ours, or one of other features."""

    kind = "dataset"


class Dataset(NamedTuple):
    """A file and its SHA-256, hex."""

    parquet: bytes
    digest: str


def write(rows: TrainingRows, features: tuple[str, ...]) -> Dataset:
    """All rows in their order, one column a feature."""
    columns: dict[str, pa.Array] = {
        "element": _dictionary(rows.element_index, rows.element),
        "labels": _dictionary(rows.label_index, rows.label_set),
        **{name: pa.array(getattr(rows, name)) for name in _PLAIN},
    }
    by_feature = np.ascontiguousarray(rows.feature.T)
    for name, values in zip(features, by_feature, strict=True):
        columns[FEATURE_PREFIX + name] = pa.array(values)
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns),
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="none",
        use_dictionary=list(_NAMED),
        write_statistics=False,
        store_schema=False,
    )
    written = sink.getvalue().to_pybytes()
    return Dataset(written, hashlib.sha256(written).hexdigest())


def read(parquet: bytes, features: tuple[str, ...]) -> TrainingRows:
    """The rows that `write` was given.

    Raises:
        DatasetError: it is no data set, or its features are other ones.
    """
    try:
        table = pq.read_table(pa.BufferReader(parquet))
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"found no Parquet file: {error}; fetch the data set again") from error
    wanted = [*_NAMED, *_PLAIN, *(FEATURE_PREFIX + name for name in features)]
    if table.column_names != wanted:
        different = sorted(set(table.column_names) ^ set(wanted)) or ["the order of the columns"]
        raise DatasetError(
            f"found a data set of other columns, first {different[0]!r}; read it with the features "
            "of its manifest"
        )
    element, element_index = _indexed(table["element"].to_pylist())
    label_set, label_index = _indexed(table["labels"].to_pylist())
    plain = {name: table[name].to_numpy().astype(dtype) for name, dtype in _PLAIN.items()}
    feature = [table[FEATURE_PREFIX + name].to_numpy() for name in features]
    return TrainingRows(
        element=element,
        element_index=element_index,
        label_set=label_set,
        label_index=label_index,
        feature=np.stack(feature, axis=1).astype(F32)
        if feature
        else np.empty((len(table), 0), F32),
        **plain,
    )


def _dictionary(index: Column, names: tuple[str, ...]) -> pa.Array:
    """Names as a plain column: each value its own, whatever names are no longer used."""
    values = pa.array(names, pa.string())
    return values.take(pa.array(index.astype(np.int64)))


def _indexed(values: list[str]) -> tuple[tuple[str, ...], Column]:
    names = tuple(sorted(set(values)))
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([place[value] for value in values], U32)
