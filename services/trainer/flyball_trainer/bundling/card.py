"""A model's card: what it is for, what it learnt from, how good it is, where it errs, how to check it.

One dict, `card.json`, and the same for people, `card.md`. After Mitchell et al. 2019, *Model cards for
model reporting*. Nothing in it is asked of a clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from flyball_proto.events import Manifest

SHOWN: Final = 12
"""Features, slices and outliers that are shown; the report has more."""

_KINDS: Final = {
    "baseline": "the built-in guess that needs no learning",
    "lightgbm": "gradient boosted trees (LightGBM)",
    "histogram": "gradient boosted trees (scikit-learn)",
    "forest": "random forest (scikit-learn)",
    "logistic": "logistic regression (scikit-learn)",
    "ridge": "ridge regression (scikit-learn)",
    "mlp": "small neural network (scikit-learn)",
}
_SAYS: Final = {
    "binary": "the probability of class 1",
    "multiclass": "a probability for each class",
    "regression": "a value",
}

Card = dict[str, Any]


def card(manifest: Manifest, size_bytes: int, report: Mapping[str, Any]) -> Card:
    """The card of a model as plain values; `report` is empty for a baseline, which has no holdout."""
    held = report.get("holdout", {})
    return {
        "version": 1,
        "purpose": _purpose(manifest),
        "model": _model(manifest, size_bytes),
        "data": _data(manifest, held),
        "measures": {k: v for k, v in held.items() if k not in ("from_ms", "calibration")},
        "classes": list(report.get("classes", [])),
        "slices": report.get("slices", {}),
        "worst": report.get("worst", [])[:SHOWN],
        "calibration": held.get("calibration", []),
        "importance": report.get("importance", [])[:SHOWN],
        "limits": list(_limits(manifest, held)),
        "warnings": list(report.get("warnings", [])),
        "reproduce": {
            "command": f"flyball reproduce {manifest.digest[:12]}",
            "platform": manifest.platform,
        },
        "signature": _signature(manifest.digest),
    }


def readable(said: Card) -> str:
    """The card for people, in Markdown."""
    lines = [f"# {said['model']['pipeline']} / {said['model']['trainer']}", "", said["purpose"], ""]
    if said["warnings"]:
        lines += ["## Warnings", "", *(f"* {warning}" for warning in said["warnings"]), ""]
    lines += ["## Model", "", *_table(said["model"]), ""]
    lines += ["## Data", "", *_table(said["data"]), ""]
    if said["measures"]:
        lines += _measured(said)
    lines += ["## Limits", "", *(f"* {limit}" for limit in said["limits"]), ""]
    lines += _checked(said)
    return "\n".join(lines)


def _purpose(manifest: Manifest) -> str:
    kind = _KINDS.get(manifest.kind, f"a model of kind {manifest.kind}")
    return (
        f"For pipeline {manifest.pipeline}: {kind}, which says {_SAYS[manifest.task]} of each row of "
        f"{len(manifest.features)} features. No decision of it reaches an element before the risk "
        "service has judged it."
    )


def _model(manifest: Manifest, size_bytes: int) -> Card:
    return {
        "digest": manifest.digest,
        "pipeline": manifest.pipeline,
        "trainer": manifest.trainer,
        "kind": manifest.kind,
        "task": manifest.task,
        "size_bytes": size_bytes,
        "features": len(manifest.features),
        "feature_digest": manifest.feature_digest,
        "parameters": dict(manifest.parameters),
        "searched": manifest.searched,
        "class_weight": dict(manifest.class_weight),
        "seed": manifest.seed,
        "executor": manifest.executor,
        "variants": [v.model_dump(mode="json") for v in manifest.variants],
    }


def _data(manifest: Manifest, held: Mapping[str, Any]) -> Card:
    if not manifest.dataset_digest:
        return {}
    return {
        "dataset_digest": manifest.dataset_digest,
        "rows": manifest.rows,
        "fitted_until": _time(manifest.fitted_until_ms),
        "holdout_from": _time(manifest.holdout_from_ms),
        "holdout_rows": held.get("rows", 0),
        "known_through": _time(manifest.trained_through_ms),
    }


def _limits(manifest: Manifest, held: Mapping[str, Any]) -> Iterator[str]:
    yield "It knows only features of its own feature digest, and only elements like those it saw."
    if held:
        yield (
            f"The measures are from {held['rows']} held-out rows that are newer than those it learnt "
            "from; whether it is better than another model is said by evidence in operation alone."
        )
    if manifest.class_weight:
        yield "Classes were weighted in the fit: its probabilities are shifted towards the weighted ones."
    if manifest.searched:
        yield f"Its settings are the best of {manifest.searched} that were tried on rows before the holdout."
    if manifest.kind == "baseline":
        yield "It has learnt nothing: it is what a learnt model has to beat, and the last fallback."


def _signature(digest: str) -> Card:
    return {
        "nkey": "signature.json: Ed25519 of the trainer's NKey over manifest.json",
        "oms": "model.sig: OpenSSF model signature over model.onnx and manifest.json",
        "verify": (
            "python -m model_signing verify key FOLDER --signature model.sig "
            f"--public_key model-signing.pub.pem  # FOLDER: model.onnx, manifest.json of {digest[:12]}"
        ),
    }


def _measured(said: Card) -> list[str]:
    flat = {k: v for k, v in said["measures"].items() if not isinstance(v, list)}
    lines = ["## Measures", "", *_table(flat), ""]
    if confusion := said["measures"].get("confusion"):
        names = said["classes"]
        rows = [[name, *row] for name, row in zip(names, confusion, strict=True)]
        lines += ["Truth by row, answer by column:", "", *_grid(["", *names], rows), ""]
    for label, values in said["slices"].items():
        rows = [
            [value, s["rows"], s["loss"], s["share_of_rows"], s["share_of_error"]]
            for value, s in list(values.items())[:SHOWN]
        ]
        lines += [*_grid([label, "rows", "loss", "share of rows", "share of error"], rows), ""]
    if said["calibration"]:
        rows = [[b["rows"], b["said"], b["came"]] for b in said["calibration"]]
        lines += ["## Calibration", "", *_grid(["rows", "said", "came"], rows), ""]
    if said["importance"]:
        rows = [[e["feature"], e["share"]] for e in said["importance"]]
        lines += ["## What it looks at", "", *_grid(["feature", "share"], rows), ""]
    return lines


def _checked(said: Card) -> list[str]:
    again, signature = said["reproduce"], said["signature"]
    return [
        "## Check it yourself",
        "",
        f"* Train it again: `{again['command']}`"
        + (f" (made on {again['platform']})" if again["platform"] else ""),
        f"* {signature['nkey']}",
        f"* {signature['oms']}; `{signature['verify']}`",
        "",
    ]


def _table(values: Mapping[str, Any]) -> list[str]:
    return _grid(["", ""], [[name, _flat(value)] for name, value in values.items()])


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{k}={_number(v)}" for k, v in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(f"{v['precision']} ({v['size_bytes']} bytes)" for v in value) or "-"
    return value


def _grid(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    names = list(header)
    said = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return said + [f"| {' | '.join(_number(cell) for cell in row)} |" for row in rows]


def _number(value: Any) -> str:
    """A cell; a bar would end it."""
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return said.replace("|", "\\|")


def _time(ms: int) -> str:
    """UTC; event times of replayed data may lie beyond what a calendar has."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return f"{ms} ms"
