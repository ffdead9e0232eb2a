"""Who vouches for a bundle by OpenSSF model signing."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit import hostile_models
from tests.unit.hostile_models import flipped
from tests.unit.model_signatures import keys, signature

from flyball_registry.admission import oms
from flyball_registry.admission.checks import examine
from flyball_registry.admission.claims import Expected
from flyball_registry.settings import Settings

FEATURES = ("load.last", "load.mean")
MAKE = hostile_models.maker("p", "d" * 64, FEATURES)
EXPECTED = Expected("d" * 64, FEATURES, "binary", 1_000_000)
BUNDLE = MAKE.bundle("signed", "")
JUNK = MAKE.bundle("junk", "", b"no model at all")


def test_a_bundle_with_the_signature_of_one_of_the_keys_is_admitted(tmp_path: Path) -> None:
    private, public = keys(tmp_path, "trainer")
    _, other = keys(tmp_path, "other")
    found = BUNDLE.found(**{"model.sig": signature(BUNDLE.files, private)})
    assert examine(BUNDLE.told, found, EXPECTED, keys=[str(other), str(public)]) is None


@pytest.mark.parametrize(
    "damage",
    [
        "none",
        "by a stranger",
        "of another bundle",
        "of one file",
        "flipped",
        "cut",
        "lists",
        "text",
    ],
)
def test_a_signature_that_does_not_fit_is_refused_before_the_model_is_parsed(
    tmp_path: Path, damage: str
) -> None:
    private, public = keys(tmp_path, "trainer")
    stranger, _ = keys(tmp_path, "stranger")
    good = signature(JUNK.files, private)
    given = {
        "none": {},
        "by a stranger": {"model.sig": signature(JUNK.files, stranger)},
        "of another bundle": {"model.sig": signature(BUNDLE.files, private)},
        "of one file": {"model.sig": signature(JUNK.files, private, "manifest.json")},
        "flipped": {"model.sig": flipped(good)},
        "cut": {"model.sig": good[:-9]},
        "lists": {"model.sig": b"[" * 60_000},
        "text": {"model.sig": b"signed, honestly"},
    }[damage]
    refusal = examine(JUNK.told, JUNK.found(**given), EXPECTED, keys=[str(public)])
    assert refusal is not None
    assert refusal.check == oms.CHECK
    assert refusal.found
    assert refusal.limit == "model.sig by trainer.pub.pem"


def test_without_keys_no_signature_is_looked_for() -> None:
    assert examine(BUNDLE.told, BUNDLE.found(), EXPECTED) is None


def test_a_key_file_that_is_not_there_is_named_at_the_start(tmp_path: Path) -> None:
    _, public = keys(tmp_path, "trainer")
    assert Settings(model_signing_public_key_files=f"{public}, ").signers.pem == (str(public),)
    with pytest.raises(ValidationError, match=r"no such file: .*missing\.pem"):
        Settings(model_signing_public_key_files=f"{public},{tmp_path}/missing.pem")
