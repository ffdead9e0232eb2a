"""A stored baseline written again from what its manifest says; it was never fitted."""

from flyball_kit.errors import PermanentError
from flyball_proto.commands import Reproduction
from flyball_proto.events import Manifest
from flyball_trainer.seatzero.baseline import Baseline, Guess, Logistic, Repeated
from flyball_trainer.seatzero.onnxfile import write


class OddBaselineError(PermanentError):
    """The manifest's parameters are none of a baseline."""

    kind = "unreproducible"


def again(manifest: Manifest) -> Reproduction:
    """The same parameters give the same file on every platform, so only that holds.

    Raises:
        OddBaselineError: a parameter is missing, or names a feature that the manifest does not have.
    """
    _, new = write(
        Baseline(
            manifest.pipeline,
            manifest.task,
            manifest.feature_digest,
            manifest.features,
            _guess(manifest),
            manifest.classes,
        )
    )
    same = new.digest == manifest.digest
    return Reproduction(
        digest=manifest.digest,
        again=new.digest,
        same=same,
        platform=manifest.platform,
        here=manifest.platform,
        difference=0.0,
        rows=0,
        holds=same,
        took_s=0.0,
    )


def _guess(manifest: Manifest) -> Guess:
    said = manifest.parameters
    try:
        column = manifest.features.index(str(said["feature"])) if "feature" in said else None
        logistic = (
            Logistic(float(said["centre"]), float(said["slope"])) if "slope" in said else None
        )
        repeated = Repeated(float(said["confidence"])) if "confidence" in said else None
        return Guess(float(said["prior"]), column, logistic, repeated)
    except (KeyError, ValueError) as error:
        raise OddBaselineError(
            f"model {manifest.digest[:12]} is no baseline of this version: its parameters are "
            f"{dict(said)} ({error})"
        ) from error
