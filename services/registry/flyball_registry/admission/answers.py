"""What a model says of rows whose scores are known, and whether its smaller forms say the same."""

import hashlib
from collections.abc import Iterator

from flyball_proto.bundles import Expected as Said
from flyball_proto.events import Manifest, Variant
from flyball_registry.admission import onnxfile, parity, structure
from flyball_registry.admission.claims import Expected, Found, Refusal, Unfit
from flyball_registry.scoring.sessions import Session, UnusableModelError


def refusals(
    found: Found, manifest: Manifest, expected: Expected, session: Session
) -> Iterator[Refusal]:
    """What is wrong with the answers of a model that runs, the first thing first."""
    if not manifest.expected_digest:
        if manifest.variants:
            yield Refusal("variants", "nothing to compare them by", "expected.bin in the bundle")
        return
    if found.expected is None:
        yield Refusal("expected", "none within the bounds", "expected.bin, as the manifest says")
        return
    if (digest := hashlib.sha256(found.expected).hexdigest()) != manifest.expected_digest:
        yield Refusal("expected", digest, manifest.expected_digest)
    said = parity.decoded(found.expected, manifest)
    if isinstance(said, Unfit):
        yield Refusal(*said)
        return
    if (unfit := parity.converted(session, said, manifest.task)) is not None:
        yield Refusal(*unfit)
    for variant in manifest.variants:
        form = found.variants.get(variant.precision)
        yield from _of_variant(variant, form, manifest, expected)
        if form is not None:
            yield from _of_form(variant, form, manifest, said)


def _of_variant(
    variant: Variant, form: bytes | None, manifest: Manifest, expected: Expected
) -> Iterator[Refusal]:
    """A smaller form is as untrusted as the model."""
    if form is None or len(form) > expected.max_bytes:
        limit = f"model.{variant.precision}.onnx of at most {expected.max_bytes} bytes"
        yield Refusal("variants", f"{variant.precision}: none within the bounds", limit)
        return
    digest, size = hashlib.sha256(form).hexdigest(), len(form)
    if (digest, size) != (variant.digest, variant.size_bytes):
        found = f"{variant.precision}: {digest}, {size} bytes"
        yield Refusal("variants", found, f"{variant.digest}, {variant.size_bytes} bytes")
    unfit = structure.refused(form) or onnxfile.unfit(form, manifest)
    if unfit is not None:
        yield Refusal("variants", f"{variant.precision}: {unfit.found}", unfit.limit)


def _of_form(variant: Variant, form: bytes, manifest: Manifest, said: Said) -> Iterator[Refusal]:
    try:
        other = Session(form, manifest)
    except UnusableModelError as error:
        found = f"{variant.precision}: {error}"[:200]
        yield Refusal("variants", found, "a form that runs as optimised, too")
        return
    unfit = parity.smaller(variant, other, said, manifest.task)
    if unfit is not None:
        yield Refusal(*unfit)
