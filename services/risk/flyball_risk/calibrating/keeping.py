"""What a calibrator knows as bytes, so that a restart goes on where it stood. Pure."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, TypeAdapter

from flyball_proto.calibrations import Calibration, CutOff
from flyball_risk.calibrating.labelled import ROW, Names, Terms
from flyball_risk.calibrating.learning import Learning
from flyball_risk.calibrating.news import News
from flyball_risk.calibrating.watching import Watch

VERSION: Final = 1
_WATCH: Final = TypeAdapter(Watch)
_EVENTS: Final[TypeAdapter[list[News]]] = TypeAdapter(list[News])
_PLAIN: Final = ("mark", "since_fit", "must_fit", "first_ms")
_RECORDS: Final[Mapping[str, type[BaseModel]]] = {
    "calibration": Calibration,
    "told": CutOff,
}


def dump(learning: Learning) -> bytes:
    """The whole state; the same state gives the same bytes."""
    known: dict[str, Any] = {name: getattr(learning, name) for name in _PLAIN}
    for name in _RECORDS:
        record = getattr(learning, name)
        known[name] = record and record.model_dump(mode="json")
    known |= {
        "version": VERSION,
        "feature_digest": learning.terms.feature_digest,
        "read": {str(p): learning.read[p] for p in sorted(learning.read)},
        "actions": learning.names.actions,
        "trainers": learning.names.trainers,
        "watch": _WATCH.dump_python(learning.watch, mode="json"),
        "untold": _EVENTS.dump_python(learning.untold, mode="json"),
        "drawn": len(learning.drawn),
        "heard_ms": learning.heard_ms,
    }
    head = json.dumps(known, separators=(",", ":")).encode()
    rows = learning.drawn.tobytes() + learning.others.tobytes()
    return zlib.compress(b"\n".join((head, rows)), 1)


def load(data: bytes, terms: Terms) -> Learning:
    """What `dump` gave; of other features it begins anew.

    Raises:
        ValueError, KeyError, zlib.error: it is not what this version writes.
    """
    head, _, body = zlib.decompress(data).partition(b"\n")
    known: dict[str, Any] = json.loads(head)
    learning = Learning(terms)
    if known["version"] != VERSION:
        raise ValueError(f"version {known['version']} found, {VERSION} is read")
    if known["feature_digest"] != terms.feature_digest:
        return learning
    rows = np.frombuffer(body, ROW)
    learning.drawn, learning.others = rows[: known["drawn"]], rows[known["drawn"] :]
    learning.names = Names(known["actions"], known["trainers"])
    learning.read = {int(partition): read for partition, read in known["read"].items()}
    learning.watch = _WATCH.validate_python(known["watch"])
    learning.heard_ms = known.get("heard_ms", learning.watch.event_ms)
    learning.untold = _EVENTS.validate_python(known["untold"])
    for name in _PLAIN:
        setattr(learning, name, known[name])
    for name, kind in _RECORDS.items():
        setattr(learning, name, kind.model_validate(known[name]) if known[name] else None)
    return learning
