"""Records what a service did in AUDIT: who asked for what, why, and what came of it."""

from collections.abc import Callable
from typing import Literal

from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_proto import subjects
from flyball_proto.acts import Act

TIMEOUT_S = 5.0


class Acts:
    """The acts of one service. `client` gives the connection at each call."""

    def __init__(self, client: Callable[[], Client], service: str) -> None:
        self._client, self._service = client, service

    async def record(
        self,
        verb: str,
        of: str,
        *,
        by: str,
        why: str = "",
        outcome: Literal["done", "refused", "failed"] = "done",
        detail: str = "",
    ) -> None:
        """Store one act.

        Raises:
            TransientError: The broker did not say that it is stored.
        """
        act = Act(
            service=self._service,
            at=clock.utc_now(),
            verb=verb,
            object=of,
            by=by,
            why=why,
            outcome=outcome,
            detail=detail,
        )
        subject = subjects.audit(self._service)
        try:
            await (
                self._client()
                .jetstream()
                .publish(subject, act.model_dump_json().encode(), timeout=TIMEOUT_S)
            )
        except (NatsError, OSError) as error:
            raise TransientError(f"{subject} is not stored: {error!r}") from error
