"""Answers `cmd.registry.compare`: fetches two models and scores the newest labelled rows with both."""

import asyncio
from collections.abc import Callable

from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_proto.columns import Column
from flyball_proto.commands import CompareModels, CompareReply, ModelComparison
from flyball_proto.events import ModelRecord
from flyball_registry.comparing.sides import IncomparableError, Side, compared
from flyball_registry.contract import Contract
from flyball_registry.judging.evaluating import Evaluation
from flyball_registry.scoring.candidates import unseen
from flyball_registry.scoring.models import Loaded, Models, scores
from flyball_registry.scoring.rows import Sampled
from flyball_registry.scoring.scoring import by_class


class UnknownError(IncomparableError):
    """A pipeline or a model that is not there."""

    kind = "not-found"


class Comparing:
    """One comparison at a time; two models are in memory while it lasts."""

    def __init__(
        self,
        evaluation: Callable[[str], Evaluation | None],
        records: Kv[ModelRecord],
        objects: Objects,
    ) -> None:
        self._evaluation, self._records, self._objects = evaluation, records, objects
        self._turn = asyncio.Lock()

    async def compare(self, asked: CompareModels) -> CompareReply:
        """Put two models side by side.

        Raises:
            IncomparableError: what was found instead of two models and enough rows.
            TransientError: the broker or S3 does not answer.
        """
        async with self._turn:
            return CompareReply(ok=True, comparison=await self._compare(asked))

    async def _compare(self, asked: CompareModels) -> ModelComparison:
        evaluation = self._evaluation(asked.pipeline)
        if evaluation is None:
            raise UnknownError(
                f"pipeline {asked.pipeline!r} is not evaluated here; see flyball status"
            )
        if asked.digest == asked.other:
            raise IncomparableError(
                f"model {asked.digest[:12]} was given twice; give two different ones"
            )
        contract = evaluation.contract
        found = [await self._record(digest, contract) for digest in (asked.digest, asked.other)]
        models = Models(self._objects, contract.max_bundle_bytes, len(found))
        loaded = [_usable(record, await models.load(record)) for record in found]
        rows = evaluation.recent()
        if rows is None:
            raise IncomparableError("no labelled row has come yet; wait for the first labels")
        for record, model in zip(found, loaded, strict=True):
            rows = rows.take(unseen(rows, record, model.manifest))
        return await asyncio.to_thread(_on, rows, found, loaded, contract)

    async def _record(self, digest: str, contract: Contract) -> ModelRecord:
        record, _ = await self._records.load(f"{contract.pipeline}.{digest}")
        if record is None:
            raise UnknownError(
                f"model {digest[:12]} of {contract.pipeline} is not on record; see flyball models list"
            )
        if record.stage == "refused":
            raise IncomparableError(
                f"model {digest[:12]} was refused admission; only admitted models are run"
            )
        if record.feature_digest != contract.feature_digest:
            raise IncomparableError(
                f"model {digest[:12]} was made for features {record.feature_digest[:8]}, the rows "
                f"have {contract.feature_digest[:8]}; compare models of the features in force"
            )
        return record


def _usable(record: ModelRecord, loaded: Loaded | None) -> Loaded:
    if loaded is None:
        raise IncomparableError(
            f"model {record.digest[:12]} cannot be loaded, its bundle is not what its record says; "
            "the registry's log says why"
        )
    return loaded


def _on(
    rows: Sampled, found: list[ModelRecord], loaded: list[Loaded], contract: Contract
) -> ModelComparison:
    one, other = (
        Side(record.digest, _said(model, rows, contract.classes))
        for record, model in zip(found, loaded, strict=True)
    )
    return compared(rows, one, other, contract)


def _said(model: Loaded, rows: Sampled, classes: int) -> Column:
    said = scores(model, rows.feature)
    return by_class(said, classes) if classes else said
