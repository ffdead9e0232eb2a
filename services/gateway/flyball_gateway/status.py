"""What the gateway says of running pipelines. Pure."""

from collections.abc import Mapping
from typing import Any

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
            **_deployment(active.get(name)),
        )
        for name, pipeline in sorted(catalogue.pipelines.items())
    )


def _deployment(record: ActiveModel | None) -> dict[str, Any]:
    """Who answers; nothing while nobody does."""
    if record is None:
        return {}
    fallback = record.anchor or record.baseline
    return {
        "model": record.digest,
        "trainer": record.trainer,
        "epoch": record.epoch,
        "anchor": fallback.digest if fallback and fallback.digest != record.digest else None,
        "canary": record.canary.digest if record.canary else None,
        "canary_percent": record.canary.percent if record.canary else None,
        "frozen": record.frozen,
        "outcome": record.outcome or None,
    }
