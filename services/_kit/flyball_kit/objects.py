"""Content-addressed objects in any S3: written once, never changed, checked when read back."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.settings import KitSettings

TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 2.0
MAX_CONNECTIONS: Final = 4

R = TypeVar("R")

_MISSING: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchObject"})


class ObjectMissingError(PermanentError):
    """There is no such object."""

    kind = "not-found"


class ObjectRefusedError(PermanentError):
    """The object is larger than allowed, or is not what its name says."""

    kind = "refused-object"


class Objects:
    """The objects of one bucket. Blocking calls run in threads; at most `MAX_CONNECTIONS` at once.

    Nothing is retried here: the caller's message comes back.
    """

    def __init__(self, settings: KitSettings) -> None:
        self._bucket = settings.s3_bucket
        self._where = f"s3://{settings.s3_endpoint}/{settings.s3_bucket}"
        self._minio = Minio(
            settings.s3_endpoint,
            access_key=settings.s3_access_key or None,
            secret_key=settings.s3_secret_key.get_secret_value() or None,
            region=settings.s3_region,
            secure=settings.s3_secure,
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S),
                maxsize=MAX_CONNECTIONS,
                retries=False,
            ),
        )

    async def put(self, key: str, data: bytes) -> None:
        """Store an object; the same key again is a no-op, because objects never change.

        Raises:
            ObjectRefusedError: other content of another size stands under the key.
            TransientError: S3 does not answer.
        """
        size = await self.size(key)
        if size == len(data):
            return
        if size is not None:
            raise ObjectRefusedError(
                f"{self._where}/{key} holds {size} bytes, not these {len(data)}; objects never "
                "change, so choose a key that names the content"
            )
        await self._call(
            key, lambda: self._minio.put_object(self._bucket, key, io.BytesIO(data), len(data))
        )

    async def get(self, key: str, max_bytes: int, *, digest: str | None = None) -> bytes:
        """Read an object of at most `max_bytes`; with `digest` (SHA-256, hex) it is verified.

        Raises:
            ObjectMissingError: there is none.
            ObjectRefusedError: it is larger, or its content has another digest.
            TransientError: S3 does not answer.
        """
        # Asked first: some servers answer a failed GET in a form that the client cannot read.
        size = await self.size(key)
        if size is None:
            raise ObjectMissingError(f"{self._where}/{key} does not exist")
        if size > max_bytes:
            raise ObjectRefusedError(
                f"{self._where}/{key} holds {size} bytes; at most {max_bytes} are allowed"
            )
        data = await self._call(key, lambda: self._read(key, size))
        if digest is not None and (found := hashlib.sha256(data).hexdigest()) != digest:
            raise ObjectRefusedError(f"{self._where}/{key} has digest {found}, expected {digest}")
        return data

    async def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return await self.size(key) is not None

    async def size(self, key: str) -> int | None:
        """Its size in bytes, None when there is none."""
        try:
            return await self._call(
                key, lambda: self._minio.stat_object(self._bucket, key).size or 0
            )
        except ObjectMissingError:
            return None

    async def expired(self, prefix: str, before: datetime, limit: int) -> list[str]:
        """At most `limit` keys under a prefix of objects that were stored before a time."""

        def find() -> list[str]:
            listed = self._minio.list_objects(self._bucket, prefix=prefix, recursive=True)
            old = (x for x in listed if x.last_modified is not None and x.last_modified < before)
            return [x.object_name for x in islice(old, limit) if x.object_name]

        return await self._call(prefix, find)

    async def keys(self, prefix: str, limit: int) -> list[str]:
        """At most `limit` keys under a prefix, sorted."""

        def find() -> list[str]:
            listed = self._minio.list_objects(self._bucket, prefix=prefix, recursive=True)
            return [x.object_name for x in islice(listed, limit) if x.object_name]

        return sorted(await self._call(prefix, find))

    async def remove(self, key: str) -> None:
        """Remove an object; absent is as good as removed."""
        await self._call(key, lambda: self._minio.remove_object(self._bucket, key))

    def _read(self, key: str, length: int) -> bytes:
        response = self._minio.get_object(self._bucket, key)
        try:
            found: bytes = response.read(length)
            return found
        finally:
            response.close()
            response.release_conn()

    async def _call(self, key: str, call: Callable[[], R]) -> R:
        try:
            return await asyncio.to_thread(call)
        except S3Error as error:
            if error.code in _MISSING:
                raise ObjectMissingError(f"{self._where}/{key} does not exist") from error
            if error.code in {"AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"}:
                raise ObjectRefusedError(
                    f"{self._where}/{key}: {error.code}; check the keys"
                ) from error
            raise TransientError(f"{self._where}/{key}: {error.code}") from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"{self._where} does not answer: {error}") from error
