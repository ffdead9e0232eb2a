"""Whether a file may be given to a parser: a few bytes of protobuf can ask for a lot of memory.

The file is walked by the wire format and onnx's own description of its messages, and nothing of it
is built. Numbers and text cannot take much more room than their bytes; messages can, so they are
counted. Pure.
"""

import re
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from onnx import ModelProto

from flyball_registry.admission.claims import Unfit

MAX_DEPTH: Final = 16
"""A message in a message ...; a tensor in an attribute of a node is the fifth."""
MAX_MESSAGES: Final = 50_000
MAX_STEPS: Final = 200_000
"""Runs of the same field that the walk takes before it gives up."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TYPE_MESSAGE: Final = 11
_NUMBER: Final = re.compile(rb"[\x80-\xff]{0,9}+[\x00-\x7f]")
_SHORT: Final = b"|".join(re.escape(bytes([n])) + b".{%d}" % n for n in range(128))


class _Message(NamedTuple):
    """A message that is still to be walked."""

    start: int
    end: int
    kind: Any
    depth: int


def refused(data: bytes) -> Unfit | None:
    """The first thing that is wrong with a file; under 0.1 s for 8 MB of numbers."""
    return _Walk(data).first()


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = [_Message(0, len(data), ModelProto.DESCRIPTOR, 1)]
        self._messages = self._steps = 0

    def first(self) -> Unfit | None:
        while self._left:
            message = self._left.pop()
            self._messages += 1
            if message.depth > MAX_DEPTH:
                found = f"{message.depth} messages inside each other"
                return _unfit(found, f"at most {MAX_DEPTH}")
            if (wrong := self._walk(message)) is not None:
                return wrong
        return None

    def _walk(self, message: _Message) -> Unfit | None:
        position, kinds = message.start, _fields(message.kind)
        while position < message.end:
            self._steps += 1
            if self._steps > MAX_STEPS:
                return _unfit("more changes of field", f"at most {MAX_STEPS} in a file")
            if (tag := _NUMBER.match(self._data, position, message.end)) is None:
                return _broken(position)
            number, wire = divmod(_value(tag[0]), 8)
            if number not in kinds:
                where = f"unknown field {number} of {message.kind.name}"
                return _unfit(where, f"fields of ONNX's {message.kind.name}")
            span = self._span(tag.end(), wire, message.end)
            if span is None or (kinds[number] is not None and wire != _BYTES):
                return _broken(position)
            if kinds[number] is not None:
                self._left.append(_Message(*span, kinds[number], message.depth + 1))
                if self._messages + len(self._left) > MAX_MESSAGES:
                    return _unfit("more messages", f"at most {MAX_MESSAGES} in a file")
            run = _run(tag[0], wire) if kinds[number] is None else None
            same = run.match(self._data, position, message.end) if run else None
            position = same.end() if same else span[1]
        return None

    def _span(self, position: int, wire: int, end: int) -> tuple[int, int] | None:
        """Where a value begins and ends; None = there is none."""
        start = position
        if wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        elif wire in (_VARINT, _BYTES) and (found := _NUMBER.match(self._data, position, end)):
            start = position = found.end()
            position += _value(found[0]) if wire == _BYTES else 0
        else:
            return None
        return (start, position) if position <= end else None


@cache
def _fields(kind: Any) -> dict[int, Any]:
    """By number, what kind of message a field holds; None = numbers or text."""
    return {
        number: field.message_type if field.type == _TYPE_MESSAGE else None
        for number, field in kind.fields_by_number.items()
    }


@cache
def _run(tag: bytes, wire: int) -> re.Pattern[bytes] | None:
    """Many values of one field in a row; None = they can only be taken one by one."""
    values = {_VARINT: rb"[\x80-\xff]{0,9}+[\x00-\x7f]", _FIXED32: b".{4}", _FIXED64: b".{8}"}
    value = b"(?>" + _SHORT + b")" if wire == _BYTES else values.get(wire)
    if value is None or len(tag) > 2:  # what is cached is bounded
        return None
    return re.compile(b"(?>" + re.escape(tag) + value + b")++", re.DOTALL)


@lru_cache(4_096)
def _value(varint: bytes) -> int:
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(varint))


def _unfit(found: str, limit: str) -> Unfit:
    return Unfit("structure", found, limit)


def _broken(position: int) -> Unfit:
    return _unfit(f"no field at byte {position}", "an ONNX file")
