"""Small models and deployments for the tests of inference, short to write."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.broker.chain import catalogue

from flyball_inference.bundle import Bundle, Parts
from flyball_proto.bundles import encode_manifest
from flyball_proto.deployments import ActiveModel, Canary, Placed
from flyball_proto.events import Manifest
from flyball_proto.spec import feature_digest, feature_names
from flyball_trainer.seatzero.baseline import Baseline, Guess
from flyball_trainer.seatzero.onnxfile import write

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A model that always gives the same score."""

    manifest: Manifest
    onnx: bytes

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def placed(self) -> Placed:
        return Placed(
            digest=self.digest,
            trainer=self.manifest.trainer,
            feature_digest=self.manifest.feature_digest,
        )

    @property
    def bundle(self) -> Bundle:
        return Bundle(self.manifest, Parts(self.onnx, encode_manifest(self.manifest)))


def constant(score: float, pipeline: str = "p") -> Made:
    """A model of the pipelines of `chain` that gives `score` to every row."""
    found = catalogue(pipeline)
    spec, source = found.pipelines[pipeline], found.sources[pipeline]
    onnx, manifest = write(
        Baseline(
            pipeline,
            "binary",
            feature_digest(spec, source),
            feature_names(spec, source),
            Guess(score),
        )
    )
    return Made(manifest, onnx)


def unusable(pipeline: str = "p") -> Made:
    """A bundle that is all right in itself, of a model that nothing can run."""
    onnx = b"no model"
    digest = hashlib.sha256(onnx).hexdigest()
    return Made(constant(0.5, pipeline).manifest.model_copy(update={"digest": digest}), onnx)


def deployment(
    epoch: int,
    active: Made,
    canary: tuple[Made, int] | None = None,
    *,
    anchor: Made | None = None,
    baseline: Made | None = None,
) -> ActiveModel:
    """Who answers; `canary` with its percent."""
    beside = None
    if canary is not None:
        model, percent = canary
        fields = model.placed.model_dump()
        beside = Canary(**fields, step=0, percent=percent, since=LONG_AGO)
    return ActiveModel(
        **active.placed.model_dump(),
        epoch=epoch,
        since=LONG_AGO,
        reason="test",
        canary=beside,
        anchor=anchor.placed if anchor else None,
        baseline=baseline.placed if baseline else None,
    )
