"""Plants two models that must never answer: one signed by a stranger, one damaged on its way.

The planter has the trainer's place on NATS and in S3, but not the trainer's signing key. Both are
copies of a real bundle under a digest of their own, so that no real one is touched.
"""

import asyncio
import hashlib
import secrets
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Final

import nkeys
from nats.aio.client import Client

from flyball_kit import signing
from flyball_kit.clock import utc_now
from flyball_kit.objects import Objects
from flyball_local.showing.tail import follow
from flyball_proto import streams
from flyball_proto.bundles import encode_manifest, manifest_key, onnx_key, signature_key
from flyball_proto.events import Manifest, ModelRefused, ModelTrained

MAX_BYTES: Final = 8 << 20
ANSWER_S: Final = 30.0


async def plant(client: Client, objects: Objects, real: ModelTrained) -> list[ModelRefused]:
    """Plant both beside a `real` model and wait for what admission says; roles of `client`: trainer.

    Raises:
        TimeoutError: Admission said nothing.
    """
    onnx = await objects.get(onnx_key(real.digest), MAX_BYTES)
    manifest = Manifest.model_validate_json(await objects.get(manifest_key(real.digest), MAX_BYTES))
    after = (await client.jetstream().stream_info(streams.EVENTS.name)).state.last_seq
    forged = _renamed(onnx, "planted by a stranger")
    damaged = _renamed(onnx, "damaged on its way")
    digests = [
        await _publish(client, objects, real, manifest, forged, forged),
        await _publish(client, objects, real, manifest, damaged, _flipped(damaged)),
    ]
    return await _refusals(client, real.pipeline, after, digests)


async def _publish(
    client: Client,
    objects: Objects,
    real: ModelTrained,
    manifest: Manifest,
    onnx: bytes,
    stored: bytes,
) -> str:
    """Store a bundle and announce it as a trainer would; its digest is that of `onnx`."""
    digest = hashlib.sha256(onnx).hexdigest()
    text = encode_manifest(manifest.model_copy(update={"digest": digest}))
    signature = _stranger(text)
    await objects.put(onnx_key(digest), stored)
    await objects.put(signature_key(digest), signature)
    await objects.put(manifest_key(digest), text)
    event = real.model_copy(
        update={
            "digest": digest,
            "manifest_digest": hashlib.sha256(text).hexdigest(),
            "at": utc_now(),
            "size_bytes": len(onnx),
            "mark": None,
        }
    )
    await client.jetstream().publish(event.subject, event.model_dump_json().encode())
    return digest


def _stranger(data: bytes) -> bytes:
    """A signature by a key that nobody knows."""
    with tempfile.TemporaryDirectory() as folder:
        seed = Path(folder) / "stranger.nk"
        seed.write_bytes(nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER))
        return signing.sign(seed, data).model_dump_json().encode()


def _renamed(onnx: bytes, words: str) -> bytes:
    """The same model with another `doc_string` (field 6 of ModelProto), so with another digest."""
    text = words.encode()
    return onnx + bytes([6 << 3 | 2, len(text)]) + text


def _flipped(onnx: bytes) -> bytes:
    """One bit differs, in the middle."""
    middle = len(onnx) // 2
    return onnx[:middle] + bytes([onnx[middle] ^ 1]) + onnx[middle + 1 :]


async def _refusals(
    client: Client, pipeline: str, after: int, digests: list[str]
) -> list[ModelRefused]:
    found: dict[str, ModelRefused] = {}
    subject = ModelRefused.pattern().replace("*", pipeline)
    async with (
        asyncio.timeout(ANSWER_S),
        aclosing(follow(client, streams.EVENTS.name, subject, after)) as messages,
    ):
        async for message in messages:
            event = ModelRefused.model_validate_json(message.data)
            if event.digest in digests:
                found[event.digest] = event
            if len(found) == len(digests):
                break
    return [found[digest] for digest in digests]
