from typing import Any

import pytest
from tests.unit.test_deployer_rollout import NOW

from flyball_deployer import fleet
from flyball_deployer.fleet import Runtimes
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.runtimes import RuntimeState


async def test_before_the_runtimes_are_known_nothing_new_is_placed_but_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere() -> Any:
        raise AssertionError

    monkeypatch.setattr(fleet, "READ_S", 0.01)
    runtimes = Runtimes(Kv(nowhere, streams.RUNTIMES, RuntimeState))
    with pytest.raises(TransientError, match="bucket runtimes cannot be read"):
        await runtimes.of("p", NOW)
