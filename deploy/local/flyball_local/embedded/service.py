"""A Flyball service as a part of the stack."""

import http.client
import sys
from collections.abc import Callable
from pathlib import Path

from typing_extensions import override

from flyball_local.embedded import ports
from flyball_local.embedded.parts import Part


class Service(Part):
    """`python -m flyball_<name>`; ready when /readyz says so."""

    def __init__(
        self, name: str, log: Path, metrics_port: int, variables: Callable[[], dict[str, str]]
    ) -> None:
        super().__init__(name, log)
        self.metrics_port = metrics_port
        self._variables = variables

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-m", f"flyball_{self.name}"]

    @override
    def variables(self) -> dict[str, str]:
        return self._variables()

    @override
    def answers(self) -> bool:
        if self.pid is None or not ports.listens(self.pid, self.metrics_port):
            return False
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.metrics_port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
