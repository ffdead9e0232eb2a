"""The trainer in live operation: samples in, signed models out."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nkeys
import pytest
from minio import Minio
from nats.aio.client import Client
from pydantic import SecretStr
from tests.broker import chain, learning
from tests.broker.learning import LINEAR, RECENT, World, first
from tests.conftest import BUCKET
from typing_extensions import override

from flyball_kit.fold.positions import find
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_kit.signing import verify
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import S3Engine
from flyball_proto import streams
from flyball_proto.bundles import (
    bom_key,
    card_key,
    dataset_key,
    manifest_key,
    report_key,
    signature_key,
)
from flyball_proto.commands import Reproduce, ReproduceReply
from flyball_proto.events import Manifest, ModelTrained, Signature, TrainingFailed
from flyball_proto.judgements import Drifted
from flyball_proto.spec import digest8, feature_names
from flyball_registry.admission.checks import examine
from flyball_registry.admission.claims import Expected, Signers
from flyball_registry.admission.store import fetch
from flyball_trainer.reproducing.answering import NotReproducedError, Reproducing
from flyball_trainer.seatzero.baseline import baseline
from flyball_trainer.seatzero.onnxfile import write
from flyball_trainer.store import Bundles

pytestmark = pytest.mark.broker

MIB = 1 << 20


def nkey(folder: Path) -> tuple[Path, str]:
    """A seed file and its public key."""
    seed = nkeys.encode_seed(b"0123456789abcdef0123456789abcdef", nkeys.PREFIX_BYTE_USER)
    path = folder / "trainer.nk"
    path.write_bytes(seed)
    return path, nkeys.from_seed(bytearray(seed)).public_key.decode()


@pytest.fixture
def oms_keys(tmp_path: Path) -> Credentials:
    """Keys of OpenSSF model signatures, made as the embedded stack makes them."""
    made = Credentials(tmp_path / "creds")
    made.folder.mkdir(mode=0o700)
    made.prepare()
    return made


async def test_trainers_side_by_side_deliver_bundles_that_admission_accepts(
    provisioned: Client,
    common: dict[str, Any],
    unique: str,
    oms_keys: Credentials,
) -> None:
    world = World(provisioned, unique, RECENT, LINEAR)
    await world.apply()
    await world.rows(400)
    signed = common | {"model_signing_key_file": oms_keys.model_signing_key}
    async with learning.trainer(signed):
        events = [
            (await first(provisioned, ModelTrained, unique, 1, trainer=name))[0]
            for name in ("baseline", "recent", "linear")
        ]
    objects = Objects(KitSettings(**common))
    signers = Signers(pem=(str(oms_keys.model_signing_public_key),))
    for event in events:
        features = world.found.pipelines[unique], world.found.sources[unique]
        expected = Expected(world.digest, feature_names(*features), "binary", MIB)
        found = await fetch(objects, event, expected, signers)
        assert examine(event, found, expected, keys=signers.pem) is None
        for key in (bom_key(event.digest), *(card_key(event.digest, f) for f in ("json", "md"))):
            assert await objects.exists(key)
    for event in events[1:]:
        assert (event.trained_through, event.trained_through_ms) == ({"0": 400}, 401_000)
        assert event.because == "cadence"
        assert await objects.exists(report_key(event.digest))
        written = await objects.get(manifest_key(event.digest), MIB)
        dataset = Manifest.model_validate_json(written).dataset_digest
        assert await objects.get(dataset_key(dataset), MIB, digest=dataset)


async def reproduced(client: Client, pipeline: str, digest: str) -> ReproduceReply:
    command = Reproduce(pipeline=pipeline, digest=digest).model_dump_json().encode()
    message = await client.request("cmd.trainer.reproduce", command, learning.WAIT_S)
    return ReproduceReply.model_validate_json(message.data)


async def test_a_stored_model_is_trained_again_when_asked_one_at_a_time(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique, RECENT)
    await world.apply()
    await world.rows(400)
    async with learning.trainer(common):
        for name in ("baseline", "recent"):
            (event,) = await first(provisioned, ModelTrained, unique, 1, trainer=name)
            reply = await reproduced(provisioned, unique, event.digest)
            assert reply.reproduction is not None, reply.error
            assert reply.reproduction.same
        told = await asyncio.gather(
            *(reproduced(provisioned, unique, event.digest) for _ in range(2))
        )
        assert sorted(r.ok for r in told) == [False, True]
        assert {r.error.kind for r in told if r.error} == {"busy"}
        elsewhere = await reproduced(provisioned, "other", event.digest)
        assert elsewhere.error
        assert f"is of pipeline {unique}, not of other" in elsewhere.error.message
        unknown = await reproduced(provisioned, unique, "0" * 64)
        assert unknown.error
        assert unknown.error.kind == "not-found"
    assert await chain.count(provisioned, ModelTrained, unique) == 2
    impatient = Reproducing(Bundles(Objects(KitSettings(**common)), None), 0.05)
    with pytest.raises(NotReproducedError, match=r"was not trained again within 0\.05 s"):
        await impatient.reproduce(Reproduce(pipeline=unique, digest=event.digest))


async def test_a_bundle_is_signed_with_the_trainers_key(
    provisioned: Client, common: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    seed_file, public = nkey(tmp_path)
    objects, found = Objects(KitSettings(**common)), learning.catalogue(unique)
    onnx, manifest = write(baseline(found.pipelines[unique], found.sources[unique]))
    await Bundles(objects, seed_file).put(onnx, manifest)
    written = await objects.get(manifest_key(manifest.digest), MIB)
    signature = await objects.get(signature_key(manifest.digest), MIB)
    verify(written, Signature.model_validate_json(signature), {public})


async def test_retraining_follows_event_time_and_not_the_messages(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique)
    await world.apply()
    async with learning.trainer(common):
        for number, rows in enumerate((150, 60, 60), 1):
            await world.rows(rows)
            if number != 2:  # at 60 s after the first training nothing is due
                wanted = {1: 1, 3: 2}[number]
                found = await first(provisioned, ModelTrained, unique, wanted, trainer="recent")
    assert [event.trained_through_ms for event in found] == [151_000, 271_000]


async def test_drift_brings_the_next_training_forward_for_those_who_want_it(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(
        provisioned, unique, RECENT | {"retrain_on_drift": True}, RECENT | {"name": "steady"}
    )
    await world.apply()
    drift = Drifted(pipeline=unique, at=datetime.now(UTC), on="loss", event_ms=151_000, detail="x")
    async with learning.trainer(common):
        await world.rows(150)
        await first(provisioned, ModelTrained, unique, 1, trainer="recent")
        await first(provisioned, ModelTrained, unique, 1, trainer="steady")
        await provisioned.jetstream().publish(drift.subject, drift.model_dump_json().encode())
        await world.rows(30)
        found = await first(provisioned, ModelTrained, unique, 2, trainer="recent")
        assert (found[1].because, found[1].trained_through_ms) == ("drift", 181_000)
        await world.rows(70)
        found = await first(provisioned, ModelTrained, unique, 2, trainer="steady")
        assert (found[1].because, found[1].trained_through_ms) == ("cadence", 251_000)


async def test_one_class_only_is_told_once_and_trained_when_the_other_comes(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique)
    await world.apply()
    async with learning.trainer(common):
        await world.rows(150, label=1.0)
        failed = (await first(provisioned, TrainingFailed, unique, 1))[0]
        await world.rows(30, label=1.0)
        await world.rows(100)
        await first(provisioned, ModelTrained, unique, 1, trainer="recent")
    assert failed.trainer == "recent"
    assert "1 in all" in failed.found
    assert "both classes" in failed.needed
    assert await chain.count(provisioned, TrainingFailed, unique) == 1


class Waits(logging.Handler):
    """Hears that something is waited for."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.heard = word, asyncio.Event()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self.word in record.getMessage():
            self.heard.set()


async def test_while_s3_is_away_a_training_waits_and_reading_goes_on(
    provisioned: Client, common: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    s3, waits = S3Engine(tmp_path / "s3"), Waits("does not answer")
    await asyncio.to_thread(s3.start)
    Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1").make_bucket(
        BUCKET
    )
    own = {
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.access_key,
        "s3_secret_key": SecretStr(s3.secret_key),
    }
    world = World(provisioned, unique, RECENT | {"window": "120s"})
    await world.apply()
    log = logging.getLogger("flyball.trainer.publishing")
    log.addHandler(waits)
    try:
        async with learning.trainer(common | own):
            await first(provisioned, ModelTrained, unique, 1, trainer="baseline")
            await asyncio.to_thread(s3.stop)
            await world.rows(150)
            async with asyncio.timeout(learning.WAIT_S):
                await waits.heard.wait()
            await world.rows(2_000)
            await reads_on(provisioned, world)
            await asyncio.to_thread(s3.start)
            found = await first(provisioned, ModelTrained, unique, 2, trainer="recent")
    finally:
        log.removeHandler(waits)
        await asyncio.to_thread(s3.stop)
    assert [event.trained_through_ms for event in found] == [151_000, 2_151_000]
    assert await chain.count(provisioned, TrainingFailed, unique) == 0


async def reads_on(client: Client, world: World) -> None:
    """Wait until the trainer has read so far that it needs its first message no more."""
    reader = f"trainer.{world.name}.{digest8(world.digest)}.0"
    async with asyncio.timeout(learning.WAIT_S):
        while True:
            registered = await find(client.jetstream(), streams.SAMPLES.name, reader)
            if registered is not None and registered.sequence >= 1:
                return
