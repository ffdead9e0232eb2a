"""Whether a trained model may be deployed. A bundle is untrusted input until it passed.

Checks run in a fixed order and the first that fails refuses; what cannot be measured fails.
"""

from collections.abc import Collection, Iterator, Sequence

from flyball_proto.bundles import is_digest
from flyball_proto.events import Manifest, ModelTrained
from flyball_proto.spec import BASELINE
from flyball_proto.spec.parameters import ALLOWED, CONVERTED_WRONGLY, TASKS, is_plugin, shown
from flyball_registry.admission import answers, novelty, oms, structure
from flyball_registry.admission import onnxfile as model
from flyball_registry.admission.claims import (
    MAX_WORDS,
    Expected,
    Found,
    Refusal,
    Unfit,
    outside,
    parsed,
)
from flyball_registry.scoring.sessions import Session, UnusableModelError

__all__ = ["Expected", "Found", "Refusal", "examine", "inside"]


def examine(
    claim: ModelTrained,
    found: Found,
    expected: Expected | None,
    trusted: Collection[str] = frozenset(),
    keys: Sequence[str] = (),
) -> Refusal | None:
    """The first refusal, None = it may be deployed if it keeps to its budgets.

    `trusted` NKeys and `keys`, PEM files: one of each must have signed; none = not looked at. Runs
    the model where it is called: for models that one trusts, or in a process that may die.
    """
    refusal = outside(claim, found, expected, trusted)
    if refusal is not None or expected is None:
        return refusal
    refusal = next(inside(claim, found, expected, keys), None)
    if refusal is not None or found.onnx is None or found.manifest is None:
        return refusal
    manifest = Manifest.model_validate_json(found.manifest)
    try:
        session = Session(found.onnx, manifest)
    except UnusableModelError as error:
        return unloadable(error)
    return next(answers.refusals(found, manifest, expected, session), None)


def unloadable(error: UnusableModelError) -> Refusal:
    """The graph runs as it stands, but not as runtimes load it."""
    return Refusal("scores", str(error)[:MAX_WORDS], "a model that runs as optimised, too")


def inside(
    claim: ModelTrained, found: Found, expected: Expected, keys: Sequence[str]
) -> Iterator[Refusal]:
    """What is wrong with a bundle that passed `outside`, the first thing first."""
    if found.onnx is None or found.manifest is None:
        yield Refusal("presence", "no whole bundle", "model.onnx and manifest.json within bounds")
        return
    if keys:
        yield from _told(oms.unsigned(found.onnx, found.manifest, found.oms, keys))
    yield from _told(structure.refused(found.onnx))
    manifest = parsed(found.manifest, len(expected.features))
    if isinstance(manifest, Refusal):
        yield manifest
        return
    yield from _of_manifest(manifest, claim, expected)
    yield from _told(novelty.unfit(found.novelty, manifest))
    yield from _told(model.unfit(found.onnx, manifest))


def _told(unfit: Unfit | None) -> Iterator[Refusal]:
    if unfit is not None:
        yield Refusal(*unfit)


def _of_manifest(manifest: Manifest, claim: ModelTrained, expected: Expected) -> Iterator[Refusal]:
    for name, says, needs in (
        ("digest", manifest.digest, claim.digest),
        ("pipeline", manifest.pipeline, claim.pipeline),
        ("trainer", manifest.trainer, claim.trainer),
        ("kind", manifest.kind, claim.kind),
        ("feature digest", manifest.feature_digest, expected.feature_digest),
        ("task", manifest.task, expected.task),
        ("classes", ", ".join(manifest.classes), ", ".join(expected.classes)),
    ):
        if says != needs:
            yield Refusal("manifest", f"{name} {says}"[:200], f"{name} {needs}"[:200])
    if manifest.features != expected.features:
        yield Refusal(
            "features",
            f"{len(manifest.features)} features, others or in another order",
            f"{len(expected.features)} features as declared",
        )
    yield from _of_names(manifest)
    if manifest.kind != BASELINE:
        yield from _of_training(manifest, claim)


def _of_names(manifest: Manifest) -> Iterator[Refusal]:
    """Digests lead to objects in S3: they must be digests. Each form comes once."""
    named = (manifest.dataset_digest, manifest.expected_digest, manifest.novelty_digest)
    for digest in (*filter(None, named), *(variant.digest for variant in manifest.variants)):
        if not is_digest(digest):
            yield Refusal("manifest", f"digest {digest[:80]!r}", "SHA-256, 64 hexadecimal digits")
    precisions = [variant.precision for variant in manifest.variants]
    if len(set(precisions)) < len(precisions):
        yield Refusal("manifest", f"{len(precisions)} variants", "one of each precision")


def _of_training(manifest: Manifest, claim: ModelTrained) -> Iterator[Refusal]:
    """What a learnt model has learnt from is known, and something was held out of it."""
    kind = manifest.kind
    if kind not in ALLOWED and not is_plugin(kind):
        yield Refusal("manifest", f"kind {kind[:80]!r}", f"{BASELINE}, {', '.join(ALLOWED)}")
    if not manifest.trained_through or manifest.trained_through != claim.trained_through:
        found = f"trained through {manifest.trained_through}"[:200]
        yield Refusal("manifest", found, f"the positions announced: {claim.trained_through}"[:200])
    yield from _of_parameters(manifest)
    if not 0 < manifest.holdout_from_ms <= manifest.trained_through_ms:
        found = f"held out from {manifest.holdout_from_ms} ms"
        limit = f"1 to {manifest.trained_through_ms} ms, its newest event time"
        yield Refusal("holdout", found, limit)
    if manifest.fitted_until_ms > manifest.holdout_from_ms:
        found = f"fitted to labels until {manifest.fitted_until_ms} ms"
        yield Refusal("holdout", found, f"at most {manifest.holdout_from_ms} ms, where it begins")


def _of_parameters(manifest: Manifest) -> Iterator[Refusal]:
    """Settings whose ONNX form is known to answer otherwise than the fitted model."""
    kind = manifest.kind
    if kind in TASKS and manifest.task not in TASKS[kind]:
        yield Refusal("parameters", f"{kind} for {manifest.task}", ", ".join(TASKS[kind]))
    for name, wrong in CONVERTED_WRONGLY.items():
        value = manifest.parameters.get(name)
        if any(type(value) is type(w) and value == w for w in wrong):
            found = f"{name}: {shown(wrong[0] if value is None else value)}"
            yield Refusal("parameters", found, "settings that are converted to ONNX exactly")
