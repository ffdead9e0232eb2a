"""A model's bill of materials: CycloneDX 1.6 JSON with the model, its data set and its libraries.

Everything comes from the manifest and the report: no clock, no random serial number. The library
cyclonedx-python-lib knows no model cards (11.x), so `modelCard` is added to what it writes.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6

from flyball_proto.events import Manifest

MAX_FEATURES: Final = 256
"""More are counted, not listed; the manifest has them all."""
_APPROACH: Final = "supervised"
_TASKS: Final = {
    "binary": "classification",
    "multiclass": "classification",
    "regression": "regression",
}


def bill(manifest: Manifest, report: Mapping[str, Any]) -> dict[str, Any]:
    """The bill of a model as plain values; of a baseline, `report` is empty."""
    model = _model(manifest)
    parts = [*_data(manifest), *_libraries(manifest)]
    bom = Bom(components=parts, serial_number=UUID(hex=manifest.digest[:32], version=4))
    bom.metadata.component = model
    bom.register_dependency(model, parts)
    said: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del said["metadata"]["timestamp"]
    said["metadata"].pop("tools", None)
    said["metadata"]["component"]["modelCard"] = _card(manifest, report)
    for part in said.get("components", []):
        if part["type"] == "library":
            part["purl"] = f"pkg:pypi/{part['name']}@{part['version']}"
    return said


def _model(manifest: Manifest) -> Component:
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=f"{manifest.pipeline}/{manifest.trainer}",
        version=manifest.digest,
        bom_ref=f"model:{manifest.digest}",
        description=f"{manifest.kind} model of pipeline {manifest.pipeline}",
        hashes=[_sha256(manifest.digest)],
        properties=[
            Property(name="flyball:kind", value=manifest.kind),
            Property(name="flyball:feature-digest", value=manifest.feature_digest),
            Property(name="flyball:features", value=str(len(manifest.features))),
            Property(name="flyball:rows", value=str(manifest.rows)),
            Property(name="flyball:seed", value=str(manifest.seed)),
            Property(name="flyball:platform", value=manifest.platform or "none: not fitted"),
        ],
    )


def _data(manifest: Manifest) -> Iterator[Component]:
    if manifest.dataset_digest:
        yield Component(
            type=ComponentType.DATA,
            name=f"datasets/{manifest.dataset_digest}.parquet",
            version=manifest.dataset_digest,
            bom_ref=f"dataset:{manifest.dataset_digest}",
            description=f"its first {manifest.rows} rows were learnt from",
            hashes=[_sha256(manifest.dataset_digest)],
        )


def _libraries(manifest: Manifest) -> Iterator[Component]:
    """From the platform key's words `name=version`, Python among them; a word without = is none."""
    words = [word.split("=", 1) for word in manifest.platform.split() if "=" in word]
    for name, version in words:
        if name == "python":
            yield Component(
                type=ComponentType.PLATFORM,
                name="cpython",
                version=version,
                bom_ref=f"python:{version}",
            )
        elif name != "threads":
            yield Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=version,
                bom_ref=f"library:{name}",
            )


def _card(manifest: Manifest, report: Mapping[str, Any]) -> dict[str, Any]:
    """CycloneDX `modelCard`, see cyclonedx.org/docs/1.6/json/#metadata_component_modelCard."""
    parameters: dict[str, Any] = {
        "approach": {"type": _APPROACH},
        "task": _TASKS[manifest.task],
        "architectureFamily": manifest.kind,
        "inputs": [{"format": f"float32 (n, {len(manifest.features)}) `{manifest.input_name}`"}],
        "outputs": [{"format": f"float32 (n, {_outputs(manifest)}) `{manifest.output_name}`"}],
    }
    if manifest.dataset_digest:
        parameters["datasets"] = [{"ref": f"dataset:{manifest.dataset_digest}"}]
    said: dict[str, Any] = {"modelParameters": parameters}
    if metrics := list(_metrics(report)):
        said["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    if warnings := report.get("warnings", []):
        said["considerations"] = {"technicalLimitations": list(warnings)}
    said["properties"] = [
        {"name": f"flyball:parameter:{name}", "value": str(value)}
        for name, value in sorted(manifest.parameters.items())
    ]
    said["properties"] += [
        {"name": "flyball:feature", "value": name} for name in manifest.features[:MAX_FEATURES]
    ]
    return said


def _metrics(report: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    held = report.get("holdout", {})
    for name in ("accuracy", "precision", "recall", "calibration_error", "rmse", "bias"):
        if held.get(name) is not None:
            yield {"type": name, "value": f"{held[name]:.6g}"}
    if held:
        yield {"type": held["metric"], "value": f"{held['loss']:.6g}"}
    for label, values in report.get("slices", {}).items():
        for value, said in values.items():
            slice_name = f"{label}={value}"
            yield {"type": held["metric"], "value": f"{said['loss']:.6g}", "slice": slice_name}


def _outputs(manifest: Manifest) -> int:
    return len(manifest.classes) if manifest.task == "multiclass" else 1


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
