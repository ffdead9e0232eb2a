"""A trail as OpenLineage run events, so that a catalogue beside Flyball shows the same story. Pure.

    <pipeline>.train.<trainer>   samples of the network and the data set → the model
    <pipeline>.deploy            the model → the deployment, one run an epoch

Runs are named after what they made (UUIDs of digest and epoch), so sending a trail twice says the
same twice. What the trail does not hold is left out.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from openlineage.client.event_v2 import InputDataset as Input
from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    dataset_version_dataset,
    documentation_job,
    execution_parameters_run,
    job_type_job,
    nominal_time_run,
    schema_dataset,
)

from flyball_local.lineage.trail import Trail
from flyball_proto import subjects
from flyball_proto.bundles import dataset_key, onnx_key
from flyball_proto.deployments import DeploymentActivated
from flyball_proto.events import Manifest, ModelTrained
from flyball_proto.spec import digest8

PRODUCER: Final = "urn:flyball:lineage"
NAMESPACE: Final = "flyball"
STREAMS: Final = "nats://SAMPLES"
BUCKET: Final = "s3://flyball"
_RUNS: Final = uuid.uuid5(uuid.NAMESPACE_URL, PRODUCER)


def events(trail: Trail) -> Iterator[RunEvent]:
    """What is known of a trail's model: its training, and every time that it became active."""
    if trail.trained is not None:
        yield _training(trail, trail.trained)
    for placed in trail.placements:
        if isinstance(placed, DeploymentActivated):
            yield _activation(trail, placed)


def _training(trail: Trail, made: ModelTrained) -> RunEvent:
    manifest = trail.manifest
    run = Run(_run_id(f"trained {made.digest}"), facets=_run_facets(manifest) if manifest else {})
    name = f"{trail.pipeline}.train.{made.trainer}"
    words = f"Fits a {made.kind} model, because of {made.because}."
    return RunEvent(
        eventTime=_at(made.at),
        eventType=RunState.COMPLETE,
        producer=PRODUCER,
        run=run,
        job=Job(NAMESPACE, name, facets=_job_facets("TRAINING", words)),
        inputs=_learnt_from(trail.pipeline, made, manifest),
        outputs=[OutputDataset(BUCKET, onnx_key(made.digest), facets=_version(made.digest))],
    )


def _learnt_from(pipeline: str, made: ModelTrained, manifest: Manifest | None) -> list[Input]:
    """The samples by partition, as far as they were read, and the data set that was kept of them."""
    digest = digest8(made.feature_digest)
    found = [
        Input(
            STREAMS,
            subjects.samples(pipeline, digest, int(partition)),
            facets=_version(f"METRICS {_from(manifest)}{sequence}"),
        )
        for partition, sequence in sorted(made.trained_through.items())
    ]
    if manifest is not None and manifest.dataset_digest:
        fields = [
            schema_dataset.SchemaDatasetFacetFields(name, "float32") for name in manifest.features
        ]
        facets = _version(manifest.dataset_digest)
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields, producer=PRODUCER)
        found.append(Input(BUCKET, dataset_key(manifest.dataset_digest), facets=facets))
    return found


def _activation(trail: Trail, placed: DeploymentActivated) -> RunEvent:
    by = f" by {placed.by}" if placed.by else ""
    words = f"{placed.change}{by}, judgement {placed.judgement}: {placed.reason}"
    deployment = OutputDataset(
        NAMESPACE, f"deployments/{trail.pipeline}", facets=_version(f"epoch {placed.epoch}")
    )
    return RunEvent(
        eventTime=_at(placed.at),
        eventType=RunState.COMPLETE,
        producer=PRODUCER,
        run=Run(_run_id(f"activated {trail.pipeline} {placed.epoch}")),
        job=Job(NAMESPACE, f"{trail.pipeline}.deploy", facets=_job_facets("DEPLOYMENT", words)),
        inputs=[Input(BUCKET, onnx_key(placed.digest), facets=_version(placed.digest))],
        outputs=[deployment],
    )


def _run_facets(manifest: Manifest) -> dict[str, RunFacet]:
    told = {"seed": manifest.seed, "platform": manifest.platform, **manifest.parameters}
    parameters = [
        execution_parameters_run.ExecutionParameter(name, value=str(value))
        for name, value in sorted(told.items())
    ]
    facets: dict[str, RunFacet] = {
        "executionParameters": execution_parameters_run.ExecutionParametersRunFacet(
            parameters, producer=PRODUCER
        )
    }
    if manifest.first_ms:
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(
            _ms(manifest.first_ms), _ms(manifest.trained_through_ms), producer=PRODUCER
        )
    return facets


def _job_facets(kind: str, words: str) -> dict[str, JobFacet]:
    return {
        "jobType": job_type_job.JobTypeJobFacet("STREAMING", "FLYBALL", kind, producer=PRODUCER),
        "documentation": documentation_job.DocumentationJobFacet(words, producer=PRODUCER),
    }


def _version(version: str) -> dict[str, DatasetFacet]:
    facet = dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=PRODUCER)
    return {"version": facet}


def _from(manifest: Manifest | None) -> str:
    return f"{manifest.first_sequence} to " if manifest and manifest.first_sequence else "up to "


def _run_id(what: str) -> str:
    return str(uuid.uuid5(_RUNS, what))


def _at(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms(time_ms: int) -> str:
    return _at(datetime.fromtimestamp(time_ms / 1000, UTC))
