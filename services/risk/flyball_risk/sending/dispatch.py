"""From committed verdicts to the messages that elements receive. Pure."""

from collections.abc import Iterator

import numpy as np

from flyball_kit.fold import Dispatch, Input
from flyball_proto import subjects
from flyball_proto.columns import (
    DISPATCHED,
    Category,
    Outcome,
    Released,
    Verdict,
    Verdicts,
    decode_verdicts,
)
from flyball_proto.events import Action
from flyball_proto.headers import CONTENT_TYPE
from flyball_proto.report import JSON
from flyball_proto.spec import KEEP

HEADERS = {CONTENT_TYPE: JSON}
STOP = "stop"
"""The stop order among an output's revisions."""


def route(message: Input) -> list[Dispatch]:
    """One `Action` for every row whose verdict lets its action reach the element, and every approval.

    Keys are places in VERDICTS: METRICS sequences may fall where rows wait for the watermark, and
    an approval is about an older row. Inside a message a row's place counts the approvals before it.
    """
    if not message.data:  # a claim or a keepalive
        return []
    batch = decode_verdicts(message.data)
    approved = [end for end in batch.released if end.outcome is Outcome.APPROVED]
    found = [*_of_rows(batch, approved), *_of_people(batch, approved)]
    revision = batch.flow.revisions.get(STOP, 0)
    return [
        Dispatch(
            subjects.actions(batch.pipeline, action.element),
            (message.sequence, place),
            action.model_dump_json().encode(),
            HEADERS,
            revision,
        )
        for place, action in sorted(found, key=lambda pair: pair[0])
    ]


def decision_of(dispatch: Dispatch) -> str:
    """The decision that an action stands on."""
    return Action.model_validate_json(dispatch.data).decision


def _of_rows(batch: Verdicts, approved: list[Released]) -> Iterator[tuple[int, Action]]:
    rows = batch.rows
    before = np.array([end.before for end in approved], np.int64)
    goes_out = np.isin(batch.verdict, DISPATCHED) & (batch.action_index > 0)
    for i in np.flatnonzero(goes_out).tolist():
        name = batch.action[int(batch.action_index[i]) - 1]
        if name == KEEP:
            continue
        model = batch.model[int(batch.model_index[i])]
        place = i + int(np.searchsorted(before, i, side="right")) if approved else i
        yield (
            place,
            Action(
                pipeline=batch.pipeline,
                element=rows.element[int(rows.element_index[i])],
                action=name,
                decision=f"{batch.pipeline}.{rows.sequence[i]}.{rows.sample[i]}",
                time_ms=int(rows.time_ms[i]),
                verdict=Verdict(batch.verdict[i]).name.lower(),
                category=Category(batch.category[i]).name.lower(),
                risk=float(batch.risk[i]),
                score=float(batch.score[i]),
                model=model.digest,
                epoch=model.epoch,
            ),
        )


def _of_people(batch: Verdicts, approved: list[Released]) -> Iterator[tuple[int, Action]]:
    """The n-th approval stands behind `before` rows and n approvals."""
    for n, end in enumerate(approved):
        hold = end.hold
        yield (
            end.before + n,
            Action(
                pipeline=batch.pipeline,
                element=hold.element,
                action=hold.action,
                decision=hold.decision,
                time_ms=hold.time_ms,
                verdict=Outcome.APPROVED.name.lower(),
                category=Category(hold.category).name.lower(),
                risk=hold.risk,
                score=hold.score,
                model=hold.model.digest,
                epoch=hold.model.epoch,
            ),
        )
