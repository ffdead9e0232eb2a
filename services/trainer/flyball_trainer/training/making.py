"""From a fitted model to a bundle: ONNX form, manifest, proof, files beside them, report."""

import hashlib
import time
from concurrent.futures import Future
from dataclasses import asdict
from typing import TYPE_CHECKING

from flyball_proto.bundles import Expected, encode_expected
from flyball_proto.columns import Column
from flyball_proto.events import Manifest
from flyball_proto.novelty import encode_novelty
from flyball_trainer.bundling.papers import papers
from flyball_trainer.forms.convert import INPUT, OUTPUT, bundle
from flyball_trainer.kinds.catalogue import Fitted
from flyball_trainer.training import variants
from flyball_trainer.training.expected import expected
from flyball_trainer.training.fitting import NotTrained, Order, Trained
from flyball_trainer.training.novelty import novelty
from flyball_trainer.training.parity import TOLERANCE, Parity, compare
from flyball_trainer.training.platform import platform_key
from flyball_trainer.training.report import Asked, Report, holdout_report, warnings
from flyball_trainer.training.running import scores
from flyball_trainer.training.split import Split
from flyball_trainer.training.weights import weights_of

if TYPE_CHECKING:
    from flyball_trainer.training.search import Settled

MAX_WARNINGS = 16
"""The event takes no more; the report has all."""
MAX_WARNING_CHARS = 300


def made(
    order: Order,
    parts: Split,
    settled: "Settled",
    fitted: Fitted,
    fit_s: float,
    dataset: Future[tuple[bytes, str]],
) -> Trained | NotTrained:
    """The bundle of a fitted model, if its ONNX form answers as the model does."""
    began = time.perf_counter()
    parquet, dataset_digest = dataset.result()
    held = parts.holdout.feature
    known = expected(fitted, held)
    written = encode_expected(known)
    likeness = encode_novelty(novelty(parts.training.feature, held))
    draft = _draft(order, parts, settled, dataset_digest, (_digest(written), _digest(likeness)))
    onnx, manifest = bundle(fitted.form, draft)
    parity = _proven(order, fitted, onnx, held, known)
    if isinstance(parity, NotTrained):
        return parity
    smaller = [variants.made(onnx, precision, known, order.task) for precision in order.variants]
    offered = [found for found in smaller if isinstance(found, variants.Made)]
    manifest = manifest.model_copy(update={"variants": tuple(v.variant for v in offered)})
    asked = Asked.of(order.task, order.features, order.classes, fitted.importance)
    report = holdout_report(parts, fitted.scores(held), asked)
    told = [*warnings(parts, report, asked), *_left_out(smaller)]
    report |= _more(parity, settled, manifest, told)
    files = {f"model.{found.variant.precision}.onnx": found.onnx for found in offered}
    files |= {"expected.bin": written, "novelty.bin": likeness}
    files |= papers(manifest, len(onnx), report)
    convert_s = time.perf_counter() - began
    short = tuple(said[:MAX_WARNING_CHARS] for said in told[:MAX_WARNINGS])
    return Trained(onnx, manifest, report, parquet, dataset_digest, fit_s, convert_s, files, short)


def _proven(
    order: Order, fitted: Fitted, onnx: bytes, held: Column, known: Expected
) -> Parity | NotTrained:
    """Whether the ONNX form answers as the model does, on its edges and on what others will look at."""
    parity = compare(fitted, onnx, held, task=order.task, names=order.features)
    if not isinstance(parity, Parity) or not parity.holds:
        needed = "an ONNX form that answers as the fitted model does; change the parameters"
        return NotTrained("parity", parity.sentence, needed, False)
    apart = variants.distance(known.score, scores(onnx, known.feature), order.task)
    if not apart <= TOLERANCE:
        found = f"a score {apart:.3g} from the fitted model's on its expected rows"
        return NotTrained("parity", found, f"at most {TOLERANCE:g}; change the parameters", False)
    return parity


def _draft(
    order: Order,
    parts: Split,
    settled: "Settled",
    dataset_digest: str,
    proofs: tuple[str, str],
) -> Manifest:
    """`proofs` are the digests of the expected rows and of the novelty statistics."""
    return Manifest(
        digest="",
        pipeline=order.pipeline,
        trainer=order.trainer,
        kind=order.kind,
        feature_digest=order.feature_digest,
        features=order.features,
        task=order.task,
        input_name=INPUT,
        output_name=OUTPUT,
        parameters=dict(settled.parameters),
        trained_through=dict(order.trained_through),
        trained_through_ms=order.trained_through_ms,
        holdout_from_ms=parts.holdout_from_ms,
        first_sequence=int(parts.training.sequence.min()),
        first_ms=int(parts.training.time_ms[0]),
        rows=len(parts.training),
        dataset_digest=dataset_digest,
        seed=order.seed,
        classes=order.classes,
        class_weight=weights_of(parts.training, order.class_weight, order.classes),
        searched=len(settled.trials),
        executor=order.executor,
        expected_digest=proofs[0],
        novelty_digest=proofs[1],
        fitted_until_ms=int(parts.training.time_ms[-1]) + order.label_ahead_ms,
        platform=platform_key(order.kind),
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _more(parity: Parity, settled: "Settled", manifest: Manifest, told: list[str]) -> Report:
    """What the report says beside the holdout."""
    return {
        "parity": {
            "rows": parity.rows,
            "difference": parity.difference,
            "worst": parity.sentence,
            "nodes": parity.nodes,
            "all_nodes": parity.all_nodes,
        },
        "variants": [v.model_dump(mode="json") for v in manifest.variants],
        "trials": [asdict(trial) for trial in settled.trials],
        "warnings": told,
    }


def _left_out(smaller: "list[variants.Made | variants.LeftOut]") -> list[str]:
    return [
        f"variant {found.precision} is left out: {found.why}"
        for found in smaller
        if isinstance(found, variants.LeftOut)
    ]
