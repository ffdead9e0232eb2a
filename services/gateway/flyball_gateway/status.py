"""What the gateway says of running pipelines. Pure."""

from collections.abc import Mapping

from flyball_gateway.applying import Known, key_of
from flyball_proto.commands import PipelineStatus
from flyball_proto.deployments import ActiveModel
from flyball_proto.spec import feature_digest


def statuses(known: Known, active: Mapping[str, ActiveModel]) -> tuple[PipelineStatus, ...]:
    """Every applied pipeline, by name."""
    catalogue = known.catalogue
    return tuple(
        PipelineStatus(
            pipeline=name,
            source=pipeline.spec.source,
            feature_digest=feature_digest(pipeline, catalogue.source_of(pipeline)),
            revision=known.revisions[key_of(pipeline)],
            model=pointer.digest if pointer else None,
            trainer=pointer.trainer if pointer else None,
            epoch=pointer.epoch if pointer else None,
        )
        for name, pipeline in sorted(catalogue.pipelines.items())
        for pointer in [active.get(name)]
    )
