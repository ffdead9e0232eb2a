"""Trainer and registry while S3 is away."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from nats.aio.client import Client
from pydantic import SecretStr
from tests.broker import chain
from tests.conftest import BUCKET
from typing_extensions import override

from flyball_gateway.app import build as build_gateway
from flyball_gateway.settings import Settings as GatewaySettings
from flyball_local.embedded.engines import S3Engine
from flyball_proto.events import ModelAdmitted, ModelTrained
from flyball_registry.app import build as build_registry
from flyball_registry.settings import Settings as RegistrySettings
from flyball_trainer.app import build as build_trainer
from flyball_trainer.settings import Settings as TrainerSettings

pytestmark = pytest.mark.broker


class Retries(logging.Handler):
    """Hears that a message will come back."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if "retried" in record.getMessage() and "does not answer" in record.getMessage():
            self.heard.set()


@pytest.mark.parametrize("service", ["trainer", "registry"])
async def test_while_s3_is_away_the_chain_waits_and_then_goes_on(
    provisioned: Client, tmp_path: Path, common: dict[str, Any], unique: str, service: str
) -> None:
    s3, retries = S3Engine(tmp_path / "s3"), Retries()
    await asyncio.to_thread(s3.start)
    keys = {"access_key": s3.access_key, "secret_key": s3.secret_key}
    Minio(s3.endpoint, **keys, secure=False, region="us-east-1").make_bucket(BUCKET)
    own = {
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.access_key,
        "s3_secret_key": SecretStr(s3.secret_key),
    }
    builds = {
        "trainer": lambda: build_trainer(TrainerSettings(**common | own)),
        "registry": lambda: build_registry(RegistrySettings(**common | own)),
    }
    log = logging.getLogger(f"flyball.{service}.settle")
    log.addHandler(retries)
    try:
        async with chain.running(build_gateway(GatewaySettings(**common))):
            await chain.apply(provisioned, chain.documents(unique))
        if service == "registry":
            async with chain.running(builds["trainer"]()):
                await chain.event(provisioned, ModelTrained, unique)
        await asyncio.to_thread(s3.stop)
        async with chain.running(builds[service]()):
            async with asyncio.timeout(chain.WAIT_S):
                await retries.heard.wait()
            await asyncio.to_thread(s3.start)
            kind = ModelTrained if service == "trainer" else ModelAdmitted
            await chain.event(provisioned, kind, unique)
    finally:
        log.removeHandler(retries)
        await asyncio.to_thread(s3.stop)
