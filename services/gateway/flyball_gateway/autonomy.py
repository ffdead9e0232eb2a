"""A person accepts more autonomy for a pipeline: its specification is applied with one word changed."""

from collections.abc import Awaitable, Callable

from flyball_gateway.store import Specs
from flyball_kit.kv import Kv
from flyball_proto.autonomy import AcceptAutonomy, AutonomyRecord, AutonomyReply
from flyball_proto.commands import Apply, ApplyReply, Failure
from flyball_proto.spec import as_document


class Autonomies:
    """`apply` keeps every outcome on record, with who and why."""

    def __init__(
        self,
        records: Kv[AutonomyRecord],
        specs: Specs,
        apply: Callable[[Apply], Awaitable[ApplyReply]],
    ) -> None:
        self._records, self._specs, self._apply = records, specs, apply

    async def all(self) -> tuple[AutonomyRecord, ...]:
        """The newest proposal of every pipeline that ever had one, by name."""
        found = await self._records.items()
        return tuple(record for _, (record, _) in sorted(found.items()))

    async def accept(self, command: AcceptAutonomy) -> AutonomyReply:
        """Apply what is proposed; nothing changes unless that is still proposed and still fits."""
        name = command.pipeline
        record, _ = await self._records.load(name)
        if record is None or record.state != "proposed":
            return _refused(
                "not-found", f"nothing is proposed for {name}; see flyball autonomy list"
            )
        pipeline = (await self._specs.known()).catalogue.pipelines.get(name)
        if pipeline is None or pipeline.spec.risk.autonomy != record.now:
            found = "it is not applied" if pipeline is None else pipeline.spec.risk.autonomy
            message = (
                f"{name}: the proposal is from {record.now}, found {found}; nothing was changed"
            )
            return _refused("conflict", message)
        risk = pipeline.spec.risk.model_copy(update={"autonomy": record.proposed})
        spec = pipeline.spec.model_copy(update={"risk": risk})
        document = as_document(pipeline.model_copy(update={"spec": spec}))
        reply = await self._apply(Apply(objects=(document,), by=command.by, why=command.why))
        return AutonomyReply(ok=reply.ok, error=reply.error, proposal=record if reply.ok else None)


def _refused(kind: str, message: str) -> AutonomyReply:
    return AutonomyReply(ok=False, error=Failure(kind=kind, message=message))
