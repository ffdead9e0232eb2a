"""What the registry and the gateway refuse, and what restarted services make up for."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import nkeys
import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.learning import first
from tests.unit import hostile_models, model_signatures
from tests.unit.hostile_models import Bundle, Maker, flipped

from flyball_deployer.app import build as build_deployer
from flyball_deployer.settings import Settings as DeployerSettings
from flyball_gateway.app import build as build_gateway
from flyball_gateway.settings import Settings as GatewaySettings
from flyball_kit import signing
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto import streams
from flyball_proto.bundles import encode_manifest, manifest_key, onnx_key
from flyball_proto.commands import Reply, StatusReply
from flyball_proto.deployments import ActiveModel, DeploymentActivated
from flyball_proto.events import (
    Manifest,
    ModelAdmitted,
    ModelRecord,
    ModelRefused,
    ModelTrained,
    PipelineApplied,
)
from flyball_proto.spec import Pipeline, Source
from flyball_registry.app import build as build_registry
from flyball_registry.settings import Settings as RegistrySettings
from flyball_trainer.app import build as build_trainer
from flyball_trainer.seatzero.baseline import baseline
from flyball_trainer.seatzero.onnxfile import write
from flyball_trainer.settings import Settings as TrainerSettings

pytestmark = pytest.mark.broker


@pytest.fixture
async def applied(provisioned: Client, common: dict[str, Any], unique: str) -> str:
    """The name of a pipeline whose records are saved; nothing was announced."""
    found = chain.catalogue(unique)
    sources: Kv[Source] = Kv(lambda: provisioned, streams.PIPELINES, Source)
    pipelines: Kv[Pipeline] = Kv(lambda: provisioned, streams.PIPELINES, Pipeline)
    await sources.save(f"source.{unique}", found.sources[unique], revision=0)
    await pipelines.save(f"pipeline.{unique}", found.pipelines[unique], revision=0)
    return unique


@pytest.fixture
async def gateway(provisioned: Client, common: dict[str, Any]) -> AsyncIterator[Client]:
    async with chain.running(build_gateway(GatewaySettings(**common))):
        yield provisioned


def bundle(name: str, width: int | None = None) -> tuple[bytes, Manifest]:
    found = chain.catalogue(name)
    made = baseline(found.pipelines[name], found.sources[name])
    onnx, manifest = write(made)
    if width is not None:
        features = tuple(f"f{i}" for i in range(width))
        onnx, _ = write(
            type(made)(made.pipeline, made.task, made.feature_digest, features, made.guess)
        )
        manifest = manifest.model_copy(update={"digest": hashlib.sha256(onnx).hexdigest()})
    return onnx, manifest


def trained(manifest: Manifest, size_bytes: int) -> ModelTrained:
    return ModelTrained(
        pipeline=manifest.pipeline,
        at=datetime.now(UTC),
        digest=manifest.digest,
        manifest_digest=hashlib.sha256(encode_manifest(manifest)).hexdigest(),
        trainer=manifest.trainer,
        feature_digest=manifest.feature_digest,
        size_bytes=size_bytes,
    )


@pytest.mark.parametrize("damage", ["truncated", "foreign", "too wide", "missing", "unsigned"])
async def test_a_bad_bundle_is_refused_with_the_check_named_and_kept_as_refused(
    provisioned: Client, common: dict[str, Any], applied: str, damage: str
) -> None:
    onnx, manifest = bundle(applied, width=3 if damage == "too wide" else None)
    stored = {"truncated": onnx[:-9], "foreign": bundle("another")[0]}.get(damage, onnx)
    objects = Objects(KitSettings(**common))
    if damage != "missing":
        await objects.put(onnx_key(manifest.digest), stored)
        await objects.put(manifest_key(manifest.digest), encode_manifest(manifest))
    event = trained(manifest, len(onnx))
    await provisioned.jetstream().publish(event.subject, event.model_dump_json().encode())
    keys = "U" + 55 * "A" if damage == "unsigned" else ""
    async with chain.running(build_registry(RegistrySettings(**common, trainer_keys=keys))):
        refused = await chain.event(provisioned, ModelRefused, applied)
    wanted = {
        "truncated": "digest",
        "foreign": "digest",
        "too wide": "input",
        "unsigned": "signature",
    }
    assert refused.check == wanted.get(damage, "presence")
    assert refused.found
    assert refused.limit
    records: Kv[ModelRecord] = Kv(lambda: provisioned, streams.MODELS, ModelRecord)
    record, _ = await records.load(f"{applied}.{manifest.digest}")
    assert record is not None
    assert record.stage == "refused"


class Signers(NamedTuple):
    folder: Path
    nkey: str
    private: Path
    public: Path
    stranger: Path

    def signed(self, bundle: Bundle) -> Bundle:
        """With both signatures, as the trainer writes them; none where a file is missing."""
        if not set(model_signatures.SIGNED) <= set(bundle.files):
            return bundle
        oms = model_signatures.signature(bundle.files, self.private)
        return self.vouched(bundle, "trainer.nk").with_file("model.sig", oms)

    def vouched(self, bundle: Bundle, seed: str) -> Bundle:
        made = signing.sign(self.folder / seed, bundle.files["manifest.json"])
        return bundle.with_file("signature.json", made.model_dump_json().encode())

    def forged(self, make: Maker) -> Iterator[Bundle]:
        """Bundles whose signatures are wrong."""

        def honest(name: str, check: str) -> Bundle:
            return self.signed(make.bundle(name, check))

        bundle = honest("not signed", "signature")
        yield bundle.with_file("signature.json", None)
        yield self.vouched(honest("signed by a stranger", "signature"), "stranger.nk")
        bundle = honest("a flipped byte in the signature", "signature")
        yield bundle.with_file("signature.json", flipped(bundle.files["signature.json"]))
        yield honest("no model signature", "model-signature").with_file("model.sig", None)
        bundle = honest("model signature by a stranger", "model-signature")
        oms = model_signatures.signature(bundle.files, self.stranger)
        yield bundle.with_file("model.sig", oms)


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    """The trainer's keys and a stranger's."""
    seeds = [nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER) for _ in range(2)]
    for name, seed in zip(("trainer.nk", "stranger.nk"), seeds, strict=True):
        (tmp_path / name).write_bytes(seed)
    private, public = model_signatures.keys(tmp_path, "trainer")
    stranger, _ = model_signatures.keys(tmp_path, "stranger")
    nkey = nkeys.from_seed(bytearray(seeds[0])).public_key.decode()
    return Signers(tmp_path, nkey, private, public, stranger)


async def test_whatever_is_sent_the_registry_refuses_it_by_name_and_admits_the_next_good_model(
    provisioned: Client, common: dict[str, Any], applied: str, signers: Signers
) -> None:
    _, manifest = bundle(applied)
    make = hostile_models.maker(applied, manifest.feature_digest, manifest.features)
    hostile = [signers.signed(sent) for sent in hostile_models.hostile(make)]
    everything = [*hostile, *signers.forged(make), signers.signed(make.bundle("good", ""))]
    objects = Objects(KitSettings(**common))
    for sent in everything:
        for name, data in sent.files.items():
            await objects.put(f"models/{sent.folder}/{name}", data)
        event = sent.told.model_dump_json().encode()
        await provisioned.jetstream().publish(sent.told.subject, event)
    settings = RegistrySettings(
        **common,
        trainer_keys=signers.nkey,
        model_signing_public_key_files=str(signers.public),
        examination_cpu_s=2,
        examination_memory_mb=700,
    )
    async with chain.running(build_registry(settings)):
        good = await chain.event(provisioned, ModelAdmitted, applied)
        refused = await first(provisioned, ModelRefused, applied, len(everything) - 1)
    assert good.digest == everything[-1].told.digest
    told = {(event.digest, event.check) for event in refused}
    assert {(sent.told.digest, sent.check) for sent in everything[:-1]} == told
    assert all(event.found and event.limit for event in refused)
    records: Kv[ModelRecord] = Kv(lambda: provisioned, streams.MODELS, ModelRecord)
    record, _ = await records.load(f"{applied}.{good.digest}")
    assert record is not None
    assert (record.stage, record.warnings) == ("challenger", ("made by hand",))
    assert 0 < record.latency_p99_ms < 2
    assert 0 < record.memory_bytes < 8_000_000


async def test_what_was_applied_and_never_told_is_announced_after_a_restart(
    provisioned: Client, common: dict[str, Any], applied: str
) -> None:
    async with chain.running(build_gateway(GatewaySettings(**common))):
        told = await chain.event(provisioned, PipelineApplied, applied)
    assert (told.source, told.feature_digest) == (applied, bundle(applied)[1].feature_digest)


async def test_a_stored_bundle_that_was_never_told_is_announced_after_a_restart(
    provisioned: Client, common: dict[str, Any], applied: str
) -> None:
    onnx, manifest = bundle(applied)
    objects = Objects(KitSettings(**common))
    await objects.put(onnx_key(manifest.digest), onnx)
    async with chain.running(build_trainer(TrainerSettings(**common))):
        told = await chain.event(provisioned, ModelTrained, applied)
    assert told.digest == manifest.digest
    assert await objects.exists(manifest_key(manifest.digest))


async def test_an_admitted_model_that_was_never_told_is_announced_when_its_event_comes_again(
    provisioned: Client, common: dict[str, Any], applied: str
) -> None:
    onnx, manifest = bundle(applied)
    event = trained(manifest, len(onnx))
    await save_record(provisioned, manifest)
    await provisioned.jetstream().publish(event.subject, event.model_dump_json().encode())
    objects = Objects(KitSettings(**common))
    await objects.put(onnx_key(manifest.digest), onnx)
    await objects.put(manifest_key(manifest.digest), encode_manifest(manifest))
    async with chain.running(build_registry(RegistrySettings(**common))):
        told = await chain.event(provisioned, ModelAdmitted, applied)
    assert told.digest == manifest.digest


async def save_record(client: Client, manifest: Manifest) -> None:
    records: Kv[ModelRecord] = Kv(lambda: client, streams.MODELS, ModelRecord)
    record = ModelRecord(
        pipeline=manifest.pipeline,
        digest=manifest.digest,
        manifest_digest="m",
        trainer=manifest.trainer,
        feature_digest=manifest.feature_digest,
        stage="challenger",
        size_bytes=1,
        admitted_at=datetime.now(UTC),
    )
    await records.save(f"{manifest.pipeline}.{manifest.digest}", record, revision=0)


@pytest.mark.parametrize(
    "moved", [False, True], ids=["killed before moving", "killed after moving"]
)
async def test_a_seat_is_taken_and_told_whenever_the_deployer_was_killed(
    provisioned: Client, common: dict[str, Any], applied: str, moved: bool
) -> None:
    _, manifest = bundle(applied)
    await save_record(provisioned, manifest)
    if moved:
        pointers: Kv[ActiveModel] = Kv(lambda: provisioned, streams.DEPLOYMENTS, ActiveModel)
        pointer = ActiveModel(
            digest=manifest.digest,
            trainer=manifest.trainer,
            feature_digest=manifest.feature_digest,
            epoch=1,
            since=datetime.now(UTC),
            reason="test",
            activated=DeploymentActivated(
                pipeline=applied,
                at=datetime.now(UTC),
                digest=manifest.digest,
                trainer=manifest.trainer,
                epoch=1,
                reason="test",
            ),
        )
        await pointers.save(applied, pointer, revision=0)
    async with chain.running(build_deployer(DeployerSettings(**common))):
        told = await chain.event(provisioned, DeploymentActivated, applied)
    assert (told.digest, told.epoch) == (manifest.digest, 1)


async def test_applying_twice_changes_nothing_and_keeps_revisions(
    gateway: Client, unique: str
) -> None:
    first = await chain.apply(gateway, chain.documents(unique))
    again = await chain.apply(gateway, chain.documents(unique))
    assert [(a.kind, a.changed) for a in first.applied] == [("Source", True), ("Pipeline", True)]
    assert [a.changed for a in again.applied] == [False, False]
    assert [a.revision for a in again.applied] == [a.revision for a in first.applied]
    assert await chain.count(gateway, PipelineApplied, unique) == 1


async def test_a_running_pipeline_keeps_its_features_and_says_why(
    gateway: Client, unique: str
) -> None:
    await chain.apply(gateway, chain.documents(unique))
    reply = await chain.apply(gateway, chain.documents(unique, features=[{"metric": "users"}]))
    assert reply.error is not None
    assert (reply.ok, reply.error.kind) == (False, "conflict")
    assert "another name" in reply.error.message
    status = await chain.ask(gateway, "gateway", "status", b"{}", StatusReply)
    assert status.pipelines[0].feature_digest == bundle(unique)[1].feature_digest


async def test_of_an_invalid_file_nothing_is_applied(gateway: Client, unique: str) -> None:
    reply = await chain.apply(gateway, chain.documents(unique, source="nowhere"))
    assert reply.error is not None
    assert reply.error.kind == "invalid-spec"
    assert "unknown source 'nowhere'" in reply.error.message
    status = await chain.ask(gateway, "gateway", "status", b"{}", StatusReply)
    assert status.pipelines == ()


@pytest.mark.parametrize("body", [b"{}", b'{"objects": [], "by": "x"}', b"not json"])
async def test_a_command_that_cannot_be_read_is_answered(gateway: Client, body: bytes) -> None:
    reply = await chain.ask(gateway, "gateway", "apply", body, Reply)
    assert not reply.ok
    assert reply.error is not None
