"""Servers that tests run against: real ones, on free ports, one set a worker.

`--engines=embedded` (the default) starts the binaries that the embedded stack uses;
`--engines=containers` starts NATS, Redis and an S3 server in containers. Without the binaries or
the Docker socket, tests are skipped on a laptop and fail where CI is set.
"""

import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import nats
import pytest
from hypothesis import HealthCheck, settings
from minio import Minio
from nats.aio.client import Client
from pydantic import SecretStr

from flyball_kit.settings import KitSettings
from flyball_local.embedded.engines import Engine, NatsEngine, RedisEngine, S3Engine
from flyball_local.embedded.processes import BinaryMissingError
from flyball_local.embedded.provision import provision_streams
from flyball_proto.streams import MAX_PAYLOAD_BYTES

BUCKET = "flyball"

# The same examples everywhere and no clocks: a property that fails, fails for everybody.
settings.register_profile(
    "flyball", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("flyball")


GZIPPED = b"\x1f\x8b\x08"


def pytest_make_parametrize_id(val: object) -> str | None:
    """Gzipped bytes carry the time of day; every worker must find the same names of tests."""
    return "gzip" if isinstance(val, bytes) and val.startswith(GZIPPED) else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-size",
        action="store_true",
        help="chaos tests at the size that the claims are made for",
    )
    parser.addoption("--engines", choices=["embedded", "containers"], default="embedded")


@pytest.fixture(scope="session")
def full_size(request: pytest.FixtureRequest) -> bool:
    """Whether --full-size was given."""
    return bool(request.config.getoption("--full-size"))


@pytest.fixture(scope="session")
def in_containers(request: pytest.FixtureRequest) -> bool:
    """Whether --engines=containers was given."""
    return bool(request.config.getoption("--engines") == "containers")


@dataclass(frozen=True)
class S3:
    """Where the tests' object store is; the bucket exists."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = BUCKET


@pytest.fixture(scope="session")
def nats_url(in_containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A NATS server with JetStream and without users. Its streams belong to one test at a time."""
    folder = tmp_path_factory.mktemp("nats")
    if in_containers:
        image = os.environ.get("FLYBALL_IMAGE_NATS", "nats:2.12-alpine")
        config = folder / "nats.conf"
        config.write_text(f"max_payload: {MAX_PAYLOAD_BYTES}\njetstream {{ store_dir: /tmp/js }}\n")
        with container(image, "-c", "/nats.conf", port=4222, file=config) as address:
            yield f"nats://{address}"
        return
    engine = NatsEngine(folder)
    with started(engine):
        yield engine.url


@pytest.fixture(scope="session")
def redis_url(in_containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server; use keys under a prefix of your own (`unique`)."""
    if in_containers:
        with container(
            os.environ.get("FLYBALL_IMAGE_REDIS", "redis:7-alpine"), port=6379
        ) as address:
            yield f"redis://{address}/0"
        return
    engine = RedisEngine(tmp_path_factory.mktemp("redis"))
    with started(engine):
        yield engine.url


@pytest.fixture(scope="session")
def s3(in_containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server with a bucket; use keys under a prefix of your own (`unique`)."""
    image = os.environ.get("FLYBALL_IMAGE_MINIO")
    with ExitStack() as stack:
        if in_containers and image:
            env = {"MINIO_ROOT_USER": "flyball-test", "MINIO_ROOT_PASSWORD": "flyball-test-key"}
            address = stack.enter_context(container(image, "server", "/data", port=9000, env=env))
            found = S3(address, "flyball-test", "flyball-test-key")
        else:
            engine = S3Engine(tmp_path_factory.mktemp("s3"))
            stack.enter_context(started(engine))
            found = S3(engine.endpoint, engine.access_key, engine.secret_key)
        make_bucket(found)
        yield found


@pytest.fixture
def unique() -> str:
    """A name that no other test has; a NATS token, a stream name, a key prefix."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def common(nats_url: str, redis_url: str, s3: S3, unique: str) -> dict[str, Any]:
    """Arguments for any service's settings: `Settings(**common)`."""
    return {
        "nats_url": nats_url,
        "redis_url": redis_url,
        "redis_prefix": f"{unique}:",
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.access_key,
        "s3_secret_key": SecretStr(s3.secret_key),
        "s3_bucket": s3.bucket,
    }


@pytest.fixture
def kit_settings(common: dict[str, Any]) -> KitSettings:
    """Settings of a process that runs against the tests' servers."""
    return KitSettings(**common)


@pytest.fixture
async def connection(nats_url: str) -> AsyncIterator[Client]:
    """A connection that may do everything."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def provisioned(connection: Client) -> AsyncIterator[Client]:
    """All of Flyball's streams and buckets, empty; returns a connection that may do everything."""
    await delete_streams(connection)
    await provision_streams(connection)
    yield connection
    await delete_streams(connection)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports of loopback that nothing listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


async def delete_streams(client: Client) -> None:
    js = client.jetstream()
    for info in await js.streams_info():
        await js.delete_stream(info.config.name or "")


@contextmanager
def started(engine: Engine) -> Iterator[None]:
    try:
        engine.start()
    except BinaryMissingError as error:
        absent(str(error))
    try:
        yield
    finally:
        engine.stop()


@contextmanager
def container(
    image: str,
    *command: str,
    port: int,
    env: dict[str, str] | None = None,
    file: Path | None = None,
) -> Iterator[str]:
    """Run an image and give `host:port` once the port answers; `file` appears in its root."""
    from docker.errors import DockerException  # noqa: PLC0415 - half a second
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - half a second
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - half a second

    testcontainers_config.ryuk_disabled = True  # it would need an image of its own
    try:
        made = DockerContainer(image).with_command(list(command)).with_exposed_ports(port)
        for name, value in (env or {}).items():
            made.with_env(name, value)
        if file is not None:
            made.with_volume_mapping(str(file), f"/{file.name}", "ro")
        made.start()
    except DockerException as error:
        absent(f"no Docker socket answers, or {image} is missing: {error}")
    try:
        host, mapped = made.get_container_host_ip(), int(made.get_exposed_port(port))
        wait_for_port(host, mapped)
        yield f"{host}:{mapped}"
    finally:
        made.stop()


def wait_for_port(host: str, port: int, timeout_s: float = 30.0) -> None:
    """Docker's proxy accepts before the server does, so this also waits for a byte or silence."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with socket.create_connection((host, port), timeout=1.0) as probe:
                probe.settimeout(0.3)
                try:
                    if probe.recv(1):
                        return  # NATS greets
                except TimeoutError:
                    return  # Redis and S3 wait for us to speak
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on {host}:{port}")
        time.sleep(0.05)


def make_bucket(s3: S3) -> None:
    client = Minio(
        s3.endpoint,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        region="us-east-1",
        secure=False,
    )
    if not client.bucket_exists(s3.bucket):
        client.make_bucket(s3.bucket)


def absent(reason: str) -> NoReturn:
    """A server is missing: no reason to bother a laptop, a failure where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
