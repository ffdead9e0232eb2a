"""Streams, key-value buckets and the S3 bucket, as `flyball_proto.streams` declares them.

Safe to repeat: what exists is compared and brought up to date. One thing is never changed in
passing: the number of partitions, because an element would move and its order and state with it.
"""

import asyncio
from dataclasses import replace
from typing import Final

import nats.errors
import urllib3
from minio import Minio
from minio.error import S3Error
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
    SubjectTransform,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError

from flyball_kit.errors import PermanentError, TransientError
from flyball_proto import streams
from flyball_proto.streams import Bucket, Stream

CONCURRENT_REQUESTS: Final = 8
_COMPARED: Final = (
    "subjects",
    "max_bytes",
    "max_age",
    "max_msg_size",
    "max_msgs_per_subject",
    "discard",
    "duplicate_window",
    "allow_direct",
    "allow_rollup_hdrs",
    "num_replicas",
)


class PartitionsChangedError(PermanentError):
    """METRICS exists with another number of partitions."""

    def __init__(self, found: str, wanted: int) -> None:
        super().__init__(
            f"stream METRICS is partitioned as {found!r}, which is not {wanted} partition(s); "
            "changing it would move elements between partitions and break their order and state: "
            "start with the old number, or cut over to a new home"
        )


def stream_config(stream: Stream, *, partitions: int, replicas: int = 1) -> StreamConfig:
    """What the server is asked for."""
    source, destination = streams.partition_transform(partitions)
    transform = SubjectTransform(src=source, dest=destination) if stream.partitioned else None
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy(stream.discard),
        max_bytes=stream.max_bytes,
        max_age=stream.max_age_s,
        duplicate_window=stream.duplicate_window_s,
        max_msg_size=streams.MAX_PAYLOAD_BYTES,
        max_msgs_per_subject=-1,
        allow_direct=True,
        allow_rollup_hdrs=False,
        num_replicas=replicas,
        subject_transform=transform,
    )


def bucket_config(bucket: Bucket, *, replicas: int = 1) -> StreamConfig:
    """A key-value bucket is a stream too; this is the shape every NATS client expects of one."""
    return StreamConfig(
        name=f"KV_{bucket.name}",
        subjects=[f"$KV.{bucket.name}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy(bucket.discard),
        max_bytes=bucket.max_bytes,
        max_age=bucket.max_age_s,
        duplicate_window=120,
        max_msg_size=bucket.max_value_bytes,
        max_msgs_per_subject=bucket.history,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
        num_replicas=replicas,
    )


async def provision_streams(
    connection: Client, *, partitions: int = 1, replicas: int = 1, retain_mib: int | None = None
) -> None:
    """Create or update every stream and key-value bucket; needs the role `stack`.

    Args:
        connection: to the server or cluster.
        partitions: of METRICS, fixed for the life of the stream.
        replicas: 3 in a cluster.
        retain_mib: bound of every data-plane stream, in place of the declared one.

    Raises:
        PartitionsChangedError: METRICS exists with another number of partitions.
        TransientError: the server did not answer.
    """
    wanted = [
        *(
            stream_config(_bounded(stream, retain_mib), partitions=partitions, replicas=replicas)
            for stream in streams.STREAMS
        ),
        *(bucket_config(bucket, replicas=replicas) for bucket in streams.BUCKETS),
    ]
    js, slots = connection.jetstream(), asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def ensure(config: StreamConfig) -> None:
        async with slots:
            await _ensure(js, config, partitions)

    try:
        async with asyncio.TaskGroup() as group:
            for config in wanted:
                group.create_task(ensure(config))
    except* (PermanentError, TransientError) as failures:
        raise failures.exceptions[0] from None


async def _ensure(js: JetStreamContext, config: StreamConfig, partitions: int) -> None:
    name = config.name or ""
    try:
        try:
            found = await js.stream_info(name)
        except NotFoundError:
            await js.add_stream(config)
            return
        _check_partitions(found, config, partitions)
        if any(getattr(found.config, key) != getattr(config, key) for key in _COMPARED):
            await js.update_stream(config)
    except BadRequestError as error:
        raise PermanentError(f"stream {name}: the server refused: {error.description}") from error
    except (APIError, nats.errors.Error) as error:
        raise TransientError(f"stream {name} could not be provisioned: {error}") from error


def _check_partitions(found: StreamInfo, config: StreamConfig, partitions: int) -> None:
    has, wants = found.config.subject_transform, config.subject_transform
    if wants is not None and (has is None or has.dest != wants.dest):
        raise PartitionsChangedError(has.dest if has else "not at all", partitions)


def _bounded(stream: Stream, retain_mib: int | None) -> Stream:
    if retain_mib is None or stream.discard != "new":
        return stream
    return replace(stream, max_bytes=retain_mib * streams.MIB)


async def provision_bucket(
    endpoint: str, access_key: str, secret_key: str, *, bucket: str, region: str, secure: bool
) -> None:
    """Create the S3 bucket unless it is there.

    Raises:
        TransientError: the store is away or refuses.
    """
    client = Minio(
        endpoint, access_key=access_key, secret_key=secret_key, secure=secure, region=region
    )

    def ensure() -> None:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)

    try:
        await asyncio.to_thread(ensure)
    except (S3Error, urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientError(f"bucket {bucket} on http://{endpoint}: {error}") from error
