"""Every service tells how it is, whichever services there are."""

import asyncio
import importlib
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain

from flyball_local.generate import services, settings_of
from flyball_proto import subjects
from flyball_proto.progress import Pulse

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("service", services())
async def test_a_service_pulses_once_it_runs_and_says_that_it_is_ready(
    service: str, provisioned: Client, common: dict[str, Any]
) -> None:
    sub = await provisioned.subscribe(subjects.pulse(service))
    await provisioned.flush()
    app = importlib.import_module(f"flyball_{service}.app").build(settings_of(service)(**common))
    async with chain.running(app), asyncio.timeout(chain.WAIT_S):
        while True:
            pulse = Pulse.model_validate_json((await sub.next_msg(chain.WAIT_S)).data)
            assert (pulse.service, pulse.live) == (service, True)
            if pulse.ready:
                break
