"""How unlike its training data a row is: the statistics of a bundle, and what they say."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_trainer_again import made, rows_of
from tests.unit.training_rows import order

from flyball_proto.bundles import content_digest, encode_manifest
from flyball_proto.columns import F32, F64, Column
from flyball_proto.events import Manifest
from flyball_proto.novelty import (
    MAX_CALIBRATION,
    MAX_NOVELTY_BYTES,
    Novelty,
    NoveltyError,
    calibration_of,
    decode_novelty,
    distances,
    encode_novelty,
    p_values,
)
from flyball_trainer.training.again import again
from flyball_trainer.training.novelty import novelty
from flyball_trainer.training.stored import Stored


def moving_together(rows: int, width: int = 12, seed: int = 0) -> Column:
    """Features that follow three unseen causes, and a little of their own."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(rows, 3)) @ np.random.default_rng(99).normal(size=(3, width))
    own = 0.1 * rng.normal(size=(rows, width))
    return (50 + 5 * (causes + own)).astype(F32)


KNOWN = novelty(moving_together(3_000), moving_together(400, seed=1))


def test_of_rows_like_the_training_rows_at_most_a_share_a_has_a_p_value_of_a() -> None:
    found = p_values(KNOWN, moving_together(20_000, seed=2))
    assert found.dtype == F32
    assert found.min() >= np.float32(1 / 257)
    assert found.max() <= 1
    for a in (0.01, 0.05, 0.1, 0.5):
        assert (found <= a).mean() == pytest.approx(a, abs=0.05)  # the calibration's own chance


def test_over_many_calibrations_p_values_are_valid_on_average() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(400):
        held = calibration_of(rng.exponential(size=1_000))
        new = rng.exponential(size=500)
        p = (1 + len(held) - np.searchsorted(held, new, side="left")) / (len(held) + 1)
        shares.append((p <= 13 / 257).mean())
    assert np.mean(shares) == pytest.approx(13 / 257, abs=0.003)


def test_a_row_far_off_and_a_row_that_breaks_how_features_move_together_are_novel() -> None:
    usual = moving_together(50, seed=4)
    far, torn = usual.copy(), usual.copy()
    far += 100
    torn[:, 0] = usual[::-1, 0] + 15  # well within the range of this feature alone
    assert p_values(KNOWN, far).max() == np.float32(1 / 257)
    assert np.median(p_values(KNOWN, torn)) <= 0.01
    assert np.median(p_values(KNOWN, usual)) > 0.2


def test_what_is_missing_lies_at_the_mean_and_what_is_infinite_is_novel() -> None:
    rows = np.full((3, 12), np.nan, F32)
    rows[1, 3], rows[2, 3] = np.inf, -np.inf
    assert distances(KNOWN, rows)[0] == 0
    assert p_values(KNOWN, rows).tolist() == [1.0, np.float32(1 / 257), np.float32(1 / 257)]


def test_a_feature_that_never_changed_is_novel_when_it_does_and_one_never_seen_says_nothing() -> (
    None
):
    rows, held = moving_together(500), moving_together(100, seed=1)
    for part in (rows, held):
        part[:, 0], part[:, 1] = 20.0, np.nan
    found = novelty(rows, held)
    asked = np.repeat(held[:1], 4, axis=0)
    asked[1, 0] = np.nextafter(F32.type(20), F32.type(21))
    asked[2, 0] = 20.5
    asked[3, 1] = 1e6
    p = p_values(found, asked)
    assert p[[1, 3]] == pytest.approx(p[0], abs=0.02)
    assert p[0] > 0.05
    assert p[2] <= 0.01


@pytest.mark.parametrize("width", [1, 2, 8, 9, 200])
def test_any_width_gives_statistics_that_can_be_read_back(width: int) -> None:
    rng = np.random.default_rng(width)
    found = novelty(rng.normal(size=(60, width)).astype(F32), rng.normal(size=(7, width)))
    assert found.component.shape == (min(8, width), width)
    assert found.component @ found.component.T == pytest.approx(np.eye(min(8, width)), abs=1e-9)
    written = encode_novelty(found)
    assert len(written) <= MAX_NOVELTY_BYTES
    assert encode_novelty(decode_novelty(written, width)) == written


def test_few_features_are_measured_by_the_distance_of_mahalanobis() -> None:
    rows = moving_together(2_000, width=4)
    found = novelty(rows, rows[:100])
    z = (rows - rows.mean(axis=0, dtype=F64)) / rows.std(axis=0, dtype=F64)
    inverse = np.linalg.inv(np.cov(z.T, bias=True))
    truth = np.sqrt(np.einsum("ni,ij,nj->n", z, inverse, z))
    assert distances(found, rows) == pytest.approx(truth, rel=1e-3)


def test_rows_that_all_say_the_same_or_nothing_give_statistics_too() -> None:
    for value in (7.0, np.nan, np.inf):
        rows = np.full((100, 5), value, F32)
        assert p_values(novelty(rows, rows[:9]), rows[:2]).tolist() == [1.0, 1.0]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_how_rows_are_batched_does_not_change_their_p_values(sizes: list[int]) -> None:
    rows = moving_together(sum(sizes), seed=8)
    cut = np.split(rows, np.cumsum(sizes)[:-1])
    assert np.concatenate([p_values(KNOWN, part) for part in cut]).tolist() == (
        p_values(KNOWN, rows).tolist()
    )


def test_of_many_held_out_rows_256_quantiles_are_kept_and_of_few_all() -> None:
    assert calibration_of(np.array([3.0, 1.0, 2.0])).tolist() == [1, 2, 3]
    assert calibration_of(np.arange(256.0)[::-1]).tolist() == list(range(256))
    many = calibration_of(np.arange(2_570.0 - 1))
    assert len(many) == MAX_CALIBRATION
    assert many.tolist() == [10 * i - 1 for i in range(1, 257)]


def test_more_rows_than_are_looked_at_say_about_the_same() -> None:
    found = novelty(moving_together(60_000), moving_together(400, seed=1))
    new = moving_together(2_000, seed=5)
    assert p_values(found, new) == pytest.approx(p_values(KNOWN, new), abs=0.15)


def changed(**how: object) -> bytes:
    return encode_novelty(replace(KNOWN, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"\0" * (MAX_NOVELTY_BYTES + 1), "262145 bytes"),
        (encode_novelty(KNOWN)[:-1], "are right for what they begin with"),
        (encode_novelty(KNOWN) + b"\0" * 8, "are right for what they begin with"),
        (np.array([13, 8, 256], "<u4").tobytes(), "statistics of 13 features; the model has 12"),
        (np.array([12, 9, 256], "<u4").tobytes(), "9 components"),
        (np.array([12, 8, 257], "<u4").tobytes(), "257 distances"),
        (np.array([12, 8, 0], "<u4").tobytes(), "0 distances"),
        (changed(mean=np.full(12, np.nan)), "not finite"),
        (changed(rest=np.inf), "not finite"),
        (changed(weight=-KNOWN.weight), "a weight of -"),
        (changed(rest=0.0), "a variance of 0"),
        (changed(variance=np.zeros(8)), "a variance of 0"),
        (changed(calibration=KNOWN.calibration[::-1]), "do not rise"),
        (changed(calibration=KNOWN.calibration - 1e9), "negative"),
    ],
)
def test_bytes_that_no_training_writes_are_refused_by_name(data: bytes, said: str) -> None:
    with pytest.raises(NoveltyError, match=said):
        decode_novelty(data, 12)


def test_a_trained_model_brings_its_statistics_and_its_manifest_vouches_for_them() -> None:
    wanted = order("logistic", "binary")
    found = made(wanted)
    written = found.files["novelty.bin"]
    assert found.manifest.novelty_digest == hashlib.sha256(written).hexdigest()
    known = decode_novelty(written, len(found.manifest.features))
    assert np.median(p_values(known, wanted.rows.feature)) > 0.2
    assert p_values(known, wanted.rows.feature[:3] + 1e6).max() < 0.05


def test_a_model_trained_again_has_the_same_statistics_and_an_older_one_still_none() -> None:
    found = made(order("logistic", "binary", rows=rows_of("binary")))
    assert again(Stored(found.manifest, found.onnx, found.dataset)).same
    other = found.manifest.model_copy(update={"novelty_digest": "0" * 64})
    assert content_digest(other) != content_digest(found.manifest)


def test_a_manifest_that_names_no_statistics_is_written_as_it_was_before_there_were_any() -> None:
    manifest = Manifest(
        digest="",
        pipeline="p",
        trainer="t",
        kind="ridge",
        feature_digest="",
        features=("a",),
        task="regression",
    )
    assert b"novelty" not in encode_manifest(manifest)


def test_statistics_are_equal_only_if_their_bytes_are() -> None:
    assert isinstance(KNOWN, Novelty)
    assert encode_novelty(KNOWN) == encode_novelty(
        novelty(moving_together(3_000), moving_together(400, seed=1))
    )
