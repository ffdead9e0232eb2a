"""From committed verdicts to the messages that elements receive. Pure."""

from collections.abc import Iterator

import numpy as np

from flyball_kit.fold import Dispatch, Input
from flyball_proto import subjects
from flyball_proto.columns import DISPATCHED, Category, Verdict, Verdicts, decode_verdicts
from flyball_proto.events import Action
from flyball_proto.headers import CONTENT_TYPE
from flyball_proto.report import JSON
from flyball_proto.spec import KEEP

HEADERS = {CONTENT_TYPE: JSON}


def route(message: Input) -> list[Dispatch]:
    """One `Action` for every row whose verdict lets its action reach the element."""
    if not message.data:  # a claim or a keepalive
        return []
    return list(_actions(message.sequence, decode_verdicts(message.data)))


def _actions(committed: int, batch: Verdicts) -> Iterator[Dispatch]:
    """Keys are places in VERDICTS: METRICS sequences may fall where rows wait for the watermark."""
    rows = batch.rows
    goes_out = np.isin(batch.verdict, DISPATCHED) & (batch.action_index > 0)
    for i in np.flatnonzero(goes_out).tolist():
        name = batch.action[int(batch.action_index[i]) - 1]
        if name == KEEP:
            continue
        element = rows.element[int(rows.element_index[i])]
        model = batch.model[int(batch.model_index[i])]
        action = Action(
            pipeline=batch.pipeline,
            element=element,
            action=name,
            decision=f"{batch.pipeline}.{rows.sequence[i]}.{rows.sample[i]}",
            time_ms=int(rows.time_ms[i]),
            verdict=Verdict(batch.verdict[i]).name.lower(),
            category=Category(batch.category[i]).name.lower(),
            risk=float(batch.risk[i]),
            score=float(batch.score[i]),
            model=model.digest,
            epoch=model.epoch,
        )
        subject = subjects.actions(batch.pipeline, element)
        yield Dispatch(subject, (committed, i), action.model_dump_json().encode(), HEADERS)
