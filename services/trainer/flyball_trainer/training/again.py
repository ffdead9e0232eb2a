"""A stored model trained again from its manifest and data set, and compared; in a process of its own."""

import hashlib
import time

from flyball_kit.errors import PermanentError
from flyball_proto.bundles import encode_expected
from flyball_proto.commands import Reproduction
from flyball_proto.novelty import encode_novelty
from flyball_proto.spec import BASELINE
from flyball_trainer.forms.convert import bundle
from flyball_trainer.kinds.catalogue import Fitted
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training import weights
from flyball_trainer.training.dataset import read
from flyball_trainer.training.expected import expected
from flyball_trainer.training.fitting import Order, fitted_to
from flyball_trainer.training.novelty import novelty
from flyball_trainer.training.platform import platform_key
from flyball_trainer.training.running import scores
from flyball_trainer.training.stored import Stored
from flyball_trainer.training.variants import distance

TOLERANCE = 1e-6
"""On another platform scores may be so far apart; for regression times the usual size of a score."""
_FAR = 1e300
"""JSON has no infinity."""


class UnreproducibleError(PermanentError):
    """The manifest and the data set do not say enough to train the model again."""

    kind = "unreproducible"


def again(stored: Stored) -> Reproduction:
    """Fit with the parameters that were chosen, on the rows that were learnt from; compare.

    The draft of the manifest is the stored one, so the digests differ only if the fit, its form, the
    expected rows or the novelty statistics do. Scores are compared only where the digests differ.

    Raises:
        UnreproducibleError: there is no data set, or it has fewer rows than were learnt from.
        FitError, UnconvertibleError, DatasetError: it cannot be fitted here, and why.
    """
    began, manifest = time.perf_counter(), stored.manifest
    rows = _rows(stored)
    made = _fitted(stored, rows)
    held = rows.feature[rows.time_ms >= manifest.holdout_from_ms]
    learnt = rows.feature[: manifest.rows]
    digest = hashlib.sha256(encode_expected(expected(made, held))).hexdigest()
    likeness = hashlib.sha256(encode_novelty(novelty(learnt, held))).hexdigest()
    draft = manifest.model_copy(
        update={
            "digest": "",
            "variants": (),
            "expected_digest": digest if manifest.expected_digest else "",
            "novelty_digest": likeness if manifest.novelty_digest else "",
        }
    )
    onnx, new = bundle(made.form, draft)
    same = new.digest == manifest.digest
    apart = 0.0 if same else _apart(stored, onnx, rows)
    here = platform_key(manifest.kind)
    elsewhere = here != manifest.platform
    return Reproduction(
        digest=manifest.digest,
        again=new.digest,
        same=same,
        platform=manifest.platform,
        here=here,
        difference=apart,
        rows=len(rows),
        holds=same or (elsewhere and apart <= TOLERANCE),
        took_s=round(time.perf_counter() - began, 3),
    )


def _rows(stored: Stored) -> TrainingRows:
    manifest = stored.manifest
    if manifest.kind == BASELINE or not manifest.dataset_digest:
        raise UnreproducibleError(
            f"model {manifest.digest[:12]} of kind {manifest.kind} names no data set; models that "
            "were fitted by this trainer do"
        )
    rows = read(stored.dataset, manifest.features)
    if not 0 < manifest.rows <= len(rows):
        raise UnreproducibleError(
            f"model {manifest.digest[:12]} learnt from {manifest.rows} rows, its data set has "
            f"{len(rows)}; the manifest or the data set is not the one it was made with"
        )
    return rows


def _fitted(stored: Stored, rows: TrainingRows) -> Fitted:
    manifest = stored.manifest
    order = Order(
        pipeline=manifest.pipeline,
        trainer=manifest.trainer,
        kind=manifest.kind,
        task=manifest.task,
        parameters=manifest.parameters,
        features=manifest.features,
        feature_digest=manifest.feature_digest,
        rows=rows,
        horizon_ms=0,
        label_ahead_ms=0,
        seed=manifest.seed,
        classes=manifest.classes,
        executor=manifest.executor,
        scheduler=stored.scheduler,
    )
    training = rows.part(slice(0, manifest.rows))
    weighed = weights.apply(training, manifest.class_weight, manifest.classes)
    return fitted_to(weighed, order, manifest.parameters)


def _apart(stored: Stored, onnx: bytes, rows: TrainingRows) -> float:
    """Largest distance of a score, on all rows of the data set; what is not finite is far."""
    before, now = scores(stored.onnx, rows.feature), scores(onnx, rows.feature)
    return min(distance(before, now, stored.manifest.task), _FAR)
