"""Bills of materials, cards and signatures of models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.unit.training_rows import order, training_rows

from flyball_proto.bundles import encode_manifest
from flyball_proto.events import Manifest
from flyball_trainer.bundling.papers import papers
from flyball_trainer.bundling.signing import SigningKeyError, model_signature
from flyball_trainer.training.fitting import Trained, train

BASELINE = Manifest(
    digest="ab" * 32,
    pipeline="congestion",
    trainer="baseline",
    kind="baseline",
    feature_digest="d" * 64,
    features=("load.last",),
    task="binary",
    parameters={"prior": 0.5},
)


def validates(written: bytes) -> bool:
    """Whether CycloneDX's own schema takes a bill; needs the library's extra `json-validation`."""
    pytest.importorskip("jsonschema")
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.decode()) is None


@pytest.fixture(scope="module")
def trained() -> Trained:
    found = train(order())
    assert isinstance(found, Trained)
    return found


def test_the_bill_of_materials_names_model_data_and_libraries(
    trained: Trained,
) -> None:
    bom = json.loads(trained.files["bom.cdx.json"])
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": trained.manifest.digest}]
    said = model["modelCard"]["modelParameters"]
    assert said["datasets"] == [{"ref": f"dataset:{trained.dataset_digest}"}]
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    parts = {c["name"]: c for c in bom["components"]}
    assert parts[f"datasets/{trained.dataset_digest}.parquet"]["type"] == "data"
    assert parts["lightgbm"]["purl"].startswith("pkg:pypi/lightgbm@4.")


def test_bills_are_valid_by_the_schema_of_cyclonedx(trained: Trained) -> None:
    assert validates(trained.files["bom.cdx.json"])
    assert validates(papers(BASELINE, 700, {})["bom.cdx.json"])


def test_a_baseline_has_a_card_too() -> None:
    found = papers(BASELINE, 700, {})
    assert "It has learnt nothing" in found["card.md"].decode()


def test_the_same_model_has_the_same_papers(trained: Trained) -> None:
    again = train(order())
    assert isinstance(again, Trained)
    assert again.files == trained.files


def test_the_card_says_what_the_report_does_in_both_forms(trained: Trained) -> None:
    said, read = json.loads(trained.files["card.json"]), trained.files["card.md"].decode()
    assert said["measures"]["loss"] == trained.report["holdout"]["loss"]
    assert said["data"]["dataset_digest"] == trained.dataset_digest
    assert f"flyball reproduce {trained.manifest.digest[:12]}" in read
    for heading in ("## Model", "## Data", "## Measures", "## Calibration", "## Limits"):
        assert heading in read
    assert "| hospital | 30 |" in read


def test_warnings_stand_first_on_the_card() -> None:
    rows = training_rows()
    rows.feature[:, 0] = rows.label
    found = train(order(rows=rows))
    assert isinstance(found, Trained)
    read = found.files["card.md"].decode()
    assert read.index("## Warnings") < read.index("## Model")
    assert "equals the label" in read


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_anybody_can_verify_a_signature_with_the_usual_command(
    trained: Trained, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    files = {"model.onnx": trained.onnx, "manifest.json": encode_manifest(trained.manifest)}
    folder, signature = tmp_path / "anywhere", tmp_path / "model.sig"
    signature.write_bytes(model_signature(keys[0], files, trained.manifest.digest))
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command += ["--signature", str(signature), "--public_key", str(keys[1])]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (folder / "manifest.json").write_bytes(files["manifest.json"].replace(b"recent", b"forged"))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_key_that_cannot_sign_is_named(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match=r"missing\.pem cannot be used"):
        model_signature(tmp_path / "missing.pem", {}, "m")
    (tmp_path / "odd.pem").write_text("no key")
    with pytest.raises(SigningKeyError, match="EC P-256 private key"):
        model_signature(tmp_path / "odd.pem", {}, "m")
