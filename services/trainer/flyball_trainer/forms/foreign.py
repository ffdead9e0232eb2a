"""A model that came as an ONNX file, from somebody else's code."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from onnx import ModelProto, TensorProto, ValueInfoProto

from flyball_trainer.forms.forest import UnconvertibleError

MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """An ONNX file with input `features` f32 (n, width) and output `score` f32 (n, outputs)."""

    width: int
    outputs: int
    onnx: bytes


def foreign(onnx: object, width: int, outputs: int) -> Foreign:
    """The file, if it says that it takes and gives the right arrays; nothing is run.

    Raises:
        UnconvertibleError: no bytes, more than `MAX_BYTES`, or other arrays.
        google.protobuf.message.DecodeError: no ONNX file.
    """
    if not isinstance(onnx, bytes) or not 0 < len(onnx) <= MAX_BYTES:
        found = f"{len(onnx)} bytes" if isinstance(onnx, bytes) else type(onnx).__name__
        raise UnconvertibleError(f"found {found}; 1 to {MAX_BYTES} bytes of ONNX are right")
    graph = ModelProto.FromString(onnx).graph
    constants = {tensor.name for tensor in graph.initializer}
    taken = _described(value for value in graph.input if value.name not in constants)
    given = _described(graph.output)
    right = f"features f32 (n, {width})", f"score f32 (n, {outputs})"
    if (taken, given) != right:
        raise UnconvertibleError(
            f"found an ONNX file that takes {taken or 'nothing'} and gives {given or 'nothing'}; "
            f"{right[0]} and {right[1]} are right, n a name"
        )
    return Foreign(width, outputs, onnx)


def _described(values: Iterable[ValueInfoProto]) -> str:
    return "; ".join(map(_description, values))


def _description(value: ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    sizes = [str(d.dim_value) if d.HasField("dim_value") else "?" for d in tensor.shape.dim]
    if sizes[:1] == ["?"]:
        sizes[0] = "n"
    kind = "f32" if tensor.elem_type == TensorProto.FLOAT else f"type {tensor.elem_type}"
    return f"{value.name} {kind} ({', '.join(sizes)})"
