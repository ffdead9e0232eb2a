import hashlib
from dataclasses import fields, replace

import numpy as np
import pytest
from tests.unit.training_rows import NAMES, training_rows

from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.dataset import DatasetError, read, write


def same(one: TrainingRows, other: TrainingRows) -> bool:
    pairs = ((getattr(one, f.name), getattr(other, f.name)) for f in fields(TrainingRows))
    return all(
        a == b if isinstance(a, tuple) else a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in pairs
    )


@pytest.mark.parametrize("count", [0, 1, 600])
def test_what_was_written_is_read_back_to_the_bit(count: int) -> None:
    rows = training_rows(count)
    if count < 2:
        rows = replace(rows, element=rows.element[:count], label_set=rows.label_set[:count])
    assert same(read(write(rows, NAMES).parquet, NAMES), rows)


def test_the_digest_is_that_of_the_bytes_and_the_same_for_the_same_rows() -> None:
    first, second = write(training_rows(), NAMES), write(training_rows(), NAMES)
    assert first == second
    assert first.digest == hashlib.sha256(first.parquet).hexdigest()
    assert write(training_rows(seed=1), NAMES).digest != first.digest


def test_names_that_no_row_uses_change_nothing() -> None:
    rows = training_rows()
    spare = replace(rows, element=(*rows.element, "cell-3"))
    assert write(spare, NAMES) == write(rows, NAMES)


def test_a_feature_may_be_called_like_any_other_column() -> None:
    names = ("label", "weight", "element", "time_ms", "labels")
    rows = training_rows()
    assert same(read(write(rows, names).parquet, names), rows)


def test_a_file_that_is_no_data_set_is_refused() -> None:
    with pytest.raises(DatasetError, match="no Parquet file"):
        read(b"PAR1 or not", NAMES)


@pytest.mark.parametrize("names", [NAMES[:-1], (*NAMES, "more"), NAMES[::-1]])
def test_a_data_set_of_other_features_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(DatasetError, match="other columns"):
        read(write(training_rows(), NAMES).parquet, names)


def test_missing_values_stay_missing() -> None:
    found = read(write(training_rows(), NAMES).parquet, NAMES)
    assert np.isnan(found.feature).any()
