import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import S3, make_bucket, started

from flyball_kit.errors import TransientError
from flyball_kit.objects import ObjectMissingError, ObjectRefusedError, Objects
from flyball_kit.settings import KitSettings
from flyball_local.embedded.engines import S3Engine

pytestmark = pytest.mark.broker


@pytest.fixture
def objects(kit_settings: KitSettings) -> Objects:
    return Objects(kit_settings)


async def test_what_is_put_is_read_back(objects: Objects, unique: str) -> None:
    data = bytes(range(256)) * 5000
    await objects.put(f"models/{unique}/model.onnx", data)
    assert await objects.exists(f"models/{unique}/model.onnx")
    digest = hashlib.sha256(data).hexdigest()
    assert await objects.get(f"models/{unique}/model.onnx", 2 << 20, digest=digest) == data


async def test_an_empty_object_is_an_object(objects: Objects, unique: str) -> None:
    await objects.put(unique, b"")
    assert await objects.get(unique, 10) == b""


async def test_the_same_key_again_is_a_no_op_and_other_content_is_refused(
    objects: Objects, unique: str
) -> None:
    await objects.put(unique, b"one")
    await objects.put(unique, b"one")
    with pytest.raises(ObjectRefusedError, match="holds 3 bytes, not these 5"):
        await objects.put(unique, b"other")
    assert await objects.get(unique, 10) == b"one"


async def test_a_missing_object_is_a_permanent_error(objects: Objects, unique: str) -> None:
    assert not await objects.exists(unique)
    with pytest.raises(ObjectMissingError, match=unique):
        await objects.get(unique, 10)


async def test_no_more_than_the_bound_is_read(objects: Objects, unique: str) -> None:
    await objects.put(unique, b"0123456789")
    assert await objects.get(unique, 10) == b"0123456789"
    with pytest.raises(ObjectRefusedError, match="holds 10 bytes; at most 9 are allowed"):
        await objects.get(unique, 9)


async def test_content_that_is_not_what_its_name_says_is_refused(
    objects: Objects, unique: str
) -> None:
    await objects.put(unique, b"data")
    with pytest.raises(ObjectRefusedError, match="expected 0000"):
        await objects.get(unique, 10, digest="0" * 64)


async def test_wrong_keys_are_a_permanent_error_that_does_not_show_them(
    common: dict[str, Any], unique: str
) -> None:
    wrong = Objects(KitSettings(**{**common, "s3_secret_key": "not-the-key"}))
    with pytest.raises(ObjectRefusedError) as caught:
        await wrong.get(unique, 10)
    assert "not-the-key" not in str(caught.value)


async def test_a_server_that_is_away_is_a_transient_error(
    common: dict[str, Any], unique: str, free_port: Callable[[], int]
) -> None:
    away = Objects(KitSettings(**{**common, "s3_endpoint": f"127.0.0.1:{free_port()}"}))
    with pytest.raises(TransientError, match="does not answer"):
        await away.get(unique, 10)


async def test_the_same_objects_are_there_after_the_server_was_killed(tmp_path: Path) -> None:
    engine = S3Engine(tmp_path)
    with started(engine):
        s3 = S3(engine.endpoint, engine.access_key, engine.secret_key)
        make_bucket(s3)
        objects = Objects(
            KitSettings(
                s3_endpoint=s3.endpoint, s3_access_key=s3.access_key, s3_secret_key=s3.secret_key
            )
        )
        await objects.put("a", b"kept")
        engine.kill()
        with pytest.raises(TransientError):
            await objects.get("a", 10)
        engine.start()
        assert await objects.get("a", 10) == b"kept"
