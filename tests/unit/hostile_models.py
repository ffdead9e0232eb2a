"""Bundles that an attacker, or a careless trainer, might deliver, and the check that must refuse each.

Everything is made here by code; nothing foreign is stored. A bundle is written as it would lie in
S3, with every digest right unless a wrong one is the point.
"""

import hashlib
import io
import itertools
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from onnx import (
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    helper,
    numpy_helper,
)

from flyball_proto.bundles import MAX_MANIFEST_BYTES, Expected, encode_expected, encode_manifest
from flyball_proto.columns import F32, F64, Column
from flyball_proto.events import Manifest, ModelTrained, Variant
from flyball_proto.novelty import Novelty, encode_novelty
from flyball_registry.admission.claims import Found

THROUGH = {"0": 9}
CLASSES = ("low", "middle", "high")
ROWS = 40

Change = Callable[[ModelProto], object]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """What lies in S3, by name, what is told of it, and which check must refuse it ("" = none)."""

    name: str
    check: str
    told: ModelTrained
    files: dict[str, bytes]

    @property
    def folder(self) -> str:
        """Where it lies: under the name that it is told by, or its ONNX file's where that is none."""
        told = self.told.digest
        return told if len(told) == 64 else sha(self.files["model.onnx"])

    def found(self, **more: bytes) -> Found:
        files = self.files | more
        onnx = files.get("model.onnx")
        manifest = files.get("manifest.json", b"")
        return Found(
            None if onnx is None else len(onnx),
            onnx,
            manifest if 0 < len(manifest) <= MAX_MANIFEST_BYTES else None,
            files.get("signature.json"),
            files.get("model.sig"),
            files.get("expected.bin"),
            {
                p: files[f"model.{p}.onnx"]
                for p in ("float16", "int8")
                if f"model.{p}.onnx" in files
            },
            files.get("novelty.bin"),
        )

    def with_file(self, name: str, data: bytes | None) -> "Bundle":
        files = {n: d for n, d in self.files.items() if n != name}
        return replace(self, files=files if data is None else files | {name: data})


@dataclass(frozen=True)
class Maker:
    """Makes bundles for one pipeline; `draft` is a manifest without digests."""

    draft: Manifest

    @property
    def outputs(self) -> int:
        return len(self.draft.classes) or 1

    def bundle(
        self,
        name: str,
        check: str,
        onnx: bytes | None = None,
        *,
        change: Change | None = None,
        expected: Expected | None = None,
        likeness: bytes | None = None,
        forms: dict[str, bytes] | None = None,
        told: dict[str, Any] | None = None,
        written: bytes | None = None,
        **manifest: Any,
    ) -> Bundle:
        """An honest bundle but for what is given."""
        onnx = self.model(name, change) if onnx is None else onnx
        rows = encode_expected(expected if expected is not None else self.said())
        likeness = encode_novelty(self.likeness()) if likeness is None else likeness
        changes = {
            "digest": sha(onnx),
            "expected_digest": sha(rows),
            "novelty_digest": sha(likeness),
        } | manifest
        if forms and "variants" not in manifest:
            changes["variants"] = tuple(variant(p, form) for p, form in forms.items())
        made = (
            encode_manifest(self.draft.model_copy(update=changes)) if written is None else written
        )
        files = {"model.onnx": onnx, "manifest.json": made, "expected.bin": rows}
        files["novelty.bin"] = likeness
        files |= {f"model.{p}.onnx": form for p, form in (forms or {}).items()}
        return Bundle(name, check, self.told(onnx, made, **(told or {})), files)

    def told(self, onnx: bytes, manifest: bytes, **changes: Any) -> ModelTrained:
        facts: dict[str, Any] = {
            "pipeline": self.draft.pipeline,
            "at": datetime.now(UTC),
            "digest": sha(onnx),
            "manifest_digest": sha(manifest),
            "trainer": self.draft.trainer,
            "kind": self.draft.kind,
            "feature_digest": self.draft.feature_digest,
            "size_bytes": len(onnx),
            "trained_through": THROUGH,
            "trained_through_ms": self.draft.trained_through_ms,
            "rows": 100,
            "warnings": ("made by hand",),
        }
        return ModelTrained(**facts | changes)

    def said(self, shift: float = 0.0) -> Expected:
        rows = self.rows()
        return Expected(rows, self.native(rows, shift))

    def likeness(self, width: int = 0, **changes: Any) -> Novelty:
        n = width or len(self.draft.features)
        ones = np.ones(n, F64)
        statistics = Novelty(ones, ones, np.eye(1, n), np.ones(1, F64), 1.0, np.arange(20.0))
        return replace(statistics, **changes)

    def rows(self) -> Column:
        rng = np.random.default_rng(7)
        rows = rng.normal(size=(ROWS, len(self.draft.features))).astype(F32)
        rows[1] = np.nan
        rows[2, 0] = np.inf
        return rows

    def weights(self) -> tuple[Column, Column]:
        rng = np.random.default_rng(3)
        shape = len(self.draft.features), self.outputs
        return rng.normal(size=shape).astype(F32), rng.normal(size=self.outputs).astype(F32)

    def native(self, rows: Column, shift: float = 0.0) -> Column:
        """What the fitted model would say, in double precision."""
        weight, bias = self.weights()
        value = np.clip(np.where(np.isnan(rows), 0, rows), -10, 10).astype(F64)
        logit = value @ weight.astype(F64) + bias + shift
        if self.outputs == 1:
            return 1 / (1 + np.exp(-logit))
        odds = np.exp(logit - logit.max(axis=1, keepdims=True))
        scores: Column = odds / odds.sum(axis=1, keepdims=True)
        return scores

    def model(self, name: str, change: Change | None = None, shift: float = 0.0) -> bytes:
        """An honest model: missing counts as 0, then a line, then probabilities."""
        weight, bias = self.weights()
        constants = {
            "zero": np.zeros(1, F32),
            "least": np.array(-10, F32),
            "most": np.array(10, F32),
            "weight": weight,
            "bias": bias + F32.type(shift),
        }
        odds = "Sigmoid" if self.outputs == 1 else "Softmax"
        nodes = [
            helper.make_node("IsNaN", ["features"], ["missing"]),
            helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
            helper.make_node("Clip", ["filled", "least", "most"], ["value"]),
            helper.make_node("MatMul", ["value", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logit"]),
            helper.make_node(odds, ["logit"], ["score"]),
        ]
        graph = helper.make_graph(
            nodes,
            "line",
            [value("features", ["n", len(self.draft.features)])],
            [value("score", ["n", self.outputs])],
            [numpy_helper.from_array(array, key) for key, array in constants.items()],
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, ir_version=8, opset_imports=opsets)
        helper.set_model_props(model, {"name": name})
        if change is not None:
            change(model)
        return model.SerializeToString(deterministic=True)


def maker(pipeline: str, feature_digest: str, features: tuple[str, ...], **more: Any) -> Maker:
    return Maker(
        Manifest(
            **{
                "digest": "",
                "pipeline": pipeline,
                "trainer": "recent",
                "kind": "logistic",
                "feature_digest": feature_digest,
                "features": features,
                "task": "binary",
                "trained_through": THROUGH,
                "trained_through_ms": 900,
                "holdout_from_ms": 800,
                "fitted_until_ms": 800,
                "rows": 100,
            }
            | more
        )
    )


def variant(precision: str, form: bytes, tolerance: float = 0.01) -> Variant:
    return Variant(
        precision=precision,  # type: ignore[arg-type]
        digest=sha(form),
        size_bytes=len(form),
        difference=0.0,
        tolerance=tolerance,
    )


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def hostile(make: Maker) -> Iterator[Bundle]:
    """All of them; each has a digest of its own."""
    yield from of_bytes(make)
    yield from of_graphs(make)
    yield from of_shapes(make)
    yield from of_answers(make)
    yield from of_manifests(make)
    yield from of_novelty(make)
    yield from of_variants(make)


def of_bytes(make: Maker) -> Iterator[Bundle]:
    good = make.model("bytes")
    nested = nesting(500)
    junk = np.random.default_rng(5).bytes(20_000)
    yield make.bundle("truncated", "structure", good[:-9])
    yield make.bundle("an archive", "structure", archive())
    yield make.bundle("random bytes", "structure", junk)
    yield make.bundle("empty nodes without end", "structure", field(0x3A, b"\x0a\x00" * 3_000_000))
    yield make.bundle("graphs in graphs", "structure", nested)
    yield make.bundle("a field that nobody knows", "structure", good + b"\xfa\x3f\x03abc")
    for name, check in (
        ("model.onnx", "digest"),
        ("manifest.json", "manifest-digest"),
        ("expected.bin", "expected"),
        ("novelty.bin", "novelty"),
    ):
        bundle = make.bundle(f"a flipped byte in {name}", check)
        yield bundle.with_file(name, flipped(bundle.files[name]))
    yield make.bundle("no file", "presence").with_file("model.onnx", None)
    yield make.bundle("no manifest", "presence").with_file("manifest.json", None)
    yield make.bundle("large", "size", good + b"\x12" + varint(9_000_000) + bytes(9_000_000))


def of_graphs(make: Maker) -> Iterator[Bundle]:
    for name, change in {
        "external data in an initializer": lambda m: external(m.graph.initializer[0]),
        "external data in an attribute": external_attribute,
        "external data in a subgraph": external_subgraph,
        "external data in a sparse tensor": external_sparse,
    }.items():
        yield make.bundle(name, "external-data", change=change)
    yield make.bundle("a sparse tensor that grows", "tensors", change=sparse)
    yield make.bundle("a tensor without its data", "tensors", change=hollow)
    yield make.bundle(
        "a foreign domain", "domain", change=lambda m: m.opset_import.add(domain="x", version=1)
    )
    yield make.bundle(
        "a custom operator",
        "domain",
        change=lambda m: setattr(m.graph.node[0], "domain", "com.evil"),
    )
    yield make.bundle("newer operators", "opset", change=newer)
    yield make.bundle("functions", "operators", change=lambda m: m.functions.add(name="f"))
    yield make.bundle("a tensor of any size", "operators", change=grown)
    yield make.bundle("a loop that does not end", "operators", change=loop)
    yield make.bundle("dice", "operators", change=dice)
    yield make.bundle(
        "an operator that does not exist",
        "onnx",
        change=lambda m: setattr(m.graph.node[0], "op_type", "NoSuchOperator"),
    )
    yield make.bundle("a cycle", "onnx", change=cycle)
    yield make.bundle("doubling without end", "examination", change=doubling)
    yield make.bundle("products without end", "examination", change=lambda m: products(m, 400))
    yield make.bundle("slow", "latency", change=lambda m: products(m, 0, wide=1_024))


def of_shapes(make: Maker) -> Iterator[Bundle]:
    rows, width, outputs = "n", len(make.draft.features), make.outputs

    def put(side: str, *values: Any) -> Change:
        def change(model: ModelProto) -> None:
            getattr(model.graph, side).clear()
            getattr(model.graph, side).extend(values)

        return change

    for name, side, values in (
        ("another width", "input", [value("features", [rows, width + 1])]),
        ("rows of a fixed number", "input", [value("features", [1, width])]),
        ("double precision in", "input", [value("features", [rows, width], TensorProto.DOUBLE)]),
        (
            "two outputs",
            "output",
            [value("score", [rows, outputs]), value("logit", ["n", outputs])],
        ),
        ("another output", "output", [value("logit", [rows, outputs])]),
    ):
        check = "onnx" if name in ("another width", "double precision in") else side
        yield make.bundle(name, check, change=put(side, *values))
    yield make.bundle("whole numbers out", "output", change=whole)


def of_answers(make: Maker) -> Iterator[Bundle]:
    yield make.bundle("no number where a feature is missing", "scores", change=unfilled)
    yield make.bundle("no probability", "scores", change=lambda m: odds(m, "Identity"))
    yield make.bundle("infinity at one value", "parity", change=pole)
    yield make.bundle("another model's answers", "parity", expected=make.said(shift=0.01))
    other = Expected(make.rows()[:, :-1], make.said().score)
    yield make.bundle("answers of other features", "expected", expected=other)
    yield make.bundle("no answers", "expected").with_file("expected.bin", None)
    junk = make.bundle("junk as answers", "expected", expected_digest=sha(b"\xff" * 40))
    yield junk.with_file("expected.bin", b"\xff" * 40)


def of_manifests(make: Maker) -> Iterator[Bundle]:
    for name, check, changes in (
        ("of another pipeline", "manifest", {"pipeline": "another"}),
        ("of another trainer", "manifest", {"trainer": "another"}),
        ("classes in another order", "manifest", {"classes": CLASSES[::-1]}),
        ("features in another order", "features", {"features": make.draft.features[::-1]}),
        ("fitted to its holdout", "holdout", {"fitted_until_ms": 801}),
        ("nothing held out", "holdout", {"holdout_from_ms": 0, "fitted_until_ms": 0}),
        ("a path as digest", "manifest", {"expected_digest": "../../../etc/passwd"}),
        ("a path as data set", "manifest", {"dataset_digest": "../models/x"}),
        ("much junk", "manifest", {"parameters": {f"x{i}": "y" * 900 for i in range(1_000)}}),
    ):
        yield make.bundle(name, check, **changes)
    yield make.bundle("too much junk", "presence", platform="x" * (1 << 20))
    yield make.bundle("lists in lists", "manifest", written=b"[" * 60_000)
    yield make.bundle("fields that nobody knows", "manifest", written=b'{"sudo": true}')
    boosted = {"kind": "lightgbm", "told": {"kind": "lightgbm"}}
    for name, parameters in (
        ("random forest", {"boosting": "rf"}),
        ("linear leaves", {"linear_tree": True}),
        ("zero is missing", {"zero_as_missing": True}),
    ):
        yield make.bundle(name, "parameters", parameters=parameters, **boosted)
    yield make.bundle("ridge for classes", "parameters", kind="ridge", told={"kind": "ridge"})
    yield make.bundle("an unknown kind", "manifest", kind="oracle", told={"kind": "oracle"})
    path = {"trainer": "../../etc"}
    yield make.bundle("a path as trainer", "manifest", told=path, **path)
    yield make.bundle("other features", "features", told={"feature_digest": "0" * 64})
    yield make.bundle("a path as name", "digest", told={"digest": "../../../etc/passwd"})


def of_novelty(make: Maker) -> Iterator[Bundle]:
    wide = make.likeness(len(make.draft.features) + 1)
    yield make.bundle("no statistics", "novelty").with_file("novelty.bin", None)
    for name, likeness in (
        ("statistics of other features", encode_novelty(wide)),
        ("statistics that are junk", b"\xff" * 40),
        ("statistics that claim billions of components", b"\x02\0\0\0" + b"\xff" * 8),
        ("statistics of nothing", b""),
        ("statistics that are no numbers", encode_novelty(make.likeness(rest=np.nan))),
        ("statistics to which nothing is novel", encode_novelty(make.likeness(rest=np.inf))),
        ("distances below nothing", encode_novelty(make.likeness(calibration=-np.ones(3)))),
    ):
        yield make.bundle(name, "novelty", likeness=likeness)
    yield make.bundle("a path as statistics", "manifest", novelty_digest="../x")


def of_variants(make: Maker) -> Iterator[Bundle]:
    good, far = make.model("small"), make.model("far", shift=0.5)
    yield make.bundle("another small model", "variants", forms={"int8": far})
    lost = make.bundle("a small model that is not there", "variants", forms={"int8": good})
    yield lost.with_file("model.int8.onnx", None)
    flip = make.bundle("a flipped byte in a small model", "variants", forms={"float16": good})
    yield flip.with_file("model.float16.onnx", flipped(good))
    bomb = make.model("small", doubling)
    hidden = make.model("small", external_attribute)
    yield make.bundle("a small model with external data", "variants", forms={"int8": hidden})
    yield make.bundle("a small model without end", "examination", forms={"int8": bomb})
    loose = (variant("int8", far, tolerance=1.0),)
    yield make.bundle("any answer will do", "variants", forms={"int8": far}, variants=loose)
    twice = (variant("int8", good), variant("int8", good))
    yield make.bundle("the same twice", "manifest", forms={"int8": good}, variants=twice)
    path = (variant("int8", good).model_copy(update={"digest": "../x"}),)
    yield make.bundle("a path as variant", "manifest", forms={"int8": good}, variants=path)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def field(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + varint(len(data)) + data


def nesting(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph ..."""
    graph = b""
    for _ in range(depth):
        graph = field(0x0A, field(0x2A, field(0x32, graph)))
    return field(0x3A, graph)


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.onnx", bytes(20_000_000))
    return target.getvalue()


def external(tensor: TensorProto) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def outside() -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(1, F32), "outside")
    external(tensor)
    return tensor


def external_attribute(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=outside()))


def external_subgraph(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [value("outside", [1])], [outside()])
    deep = helper.make_node("If", ["missing"], ["x"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([deep], "outer", [], [value("x", [1])])
    model.graph.node.append(
        helper.make_node("If", ["missing"], ["unused"], then_branch=graph, else_branch=graph)
    )


def external_sparse(model: ModelProto) -> None:
    tensor = SparseTensorProto(values=outside(), dims=[10])
    tensor.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    model.graph.sparse_initializer.append(tensor)


def sparse(model: ModelProto) -> None:
    """A hundred bytes that ask for a terabyte."""
    tensor = SparseTensorProto(dims=[1 << 20, 1 << 18])
    tensor.values.CopyFrom(numpy_helper.from_array(np.ones(1, F32), "wide"))
    tensor.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    model.graph.sparse_initializer.append(tensor)


def hollow(model: ModelProto) -> None:
    model.graph.initializer.add(name="hollow", data_type=1, dims=[1 << 30, 1 << 10])


def newer(model: ModelProto) -> None:
    model.opset_import[0].version = 99


def append(model: ModelProto, *nodes: NodeProto) -> None:
    model.graph.node.extend(nodes)


def grown(model: ModelProto) -> None:
    shape = numpy_helper.from_array(np.array([1 << 40]), "shape")
    model.graph.initializer.append(shape)
    append(model, helper.make_node("ConstantOfShape", ["shape"], ["unused"]))


def loop(model: ModelProto) -> None:
    on = value("on", [], TensorProto.BOOL)
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["again"])],
        "body",
        [value("turn", [], TensorProto.INT64), on],
        [value("again", [], TensorProto.BOOL)],
    )
    append(model, helper.make_node("Loop", ["", ""], [], body=body))


def dice(model: ModelProto) -> None:
    append(model, helper.make_node("RandomUniformLike", ["logit"], ["unused"]))


def cycle(model: ModelProto) -> None:
    model.graph.node[1].input[2] = "logit"


def doubling(model: ModelProto) -> None:
    """Nodes that make each row billions of times as wide; the score needs the last one."""
    names = ["value", *(f"double{i}" for i in range(34))]
    for before, after in itertools.pairwise(names):
        append(model, helper.make_node("Concat", [before, before], [after], axis=1))
    through(model, names[-1])


def through(model: ModelProto, wide: str) -> None:
    """Let the score depend on something without changing it."""
    axes = numpy_helper.from_array(np.array([1]), "axes")
    never = numpy_helper.from_array(np.array(0, F32), "never")
    model.graph.initializer.extend([axes, never])
    last = model.graph.node[5]
    last.output[0] = "probability"
    append(
        model,
        helper.make_node("ReduceMean", [wide], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "never"], ["nothing"]),
        helper.make_node("Add", ["probability", "nothing"], ["score"]),
    )


def products(model: ModelProto, squares: int, wide: int = 512) -> None:
    """Each row through matrix products; with `squares` also so many that no row needs."""
    width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    fan = np.full((width, wide), 0.5, F32)
    square = np.full((wide, wide), 1 / wide, F32)
    tensors = (numpy_helper.from_array(a, n) for n, a in (("fan", fan), ("square", square)))
    model.graph.initializer.extend(tensors)
    append(model, helper.make_node("MatMul", ["value", "fan"], ["p0"]))
    for i in range(6):
        append(model, helper.make_node("MatMul", [f"p{i}", "square"], [f"p{i + 1}"]))
    last = "p6"
    if squares:
        tall = helper.make_node("MatMul", ["square", "square"], ["s0"])
        more = [
            helper.make_node("MatMul", [f"s{i}", "square"], [f"s{i + 1}"]) for i in range(squares)
        ]
        append(model, tall, *more, helper.make_node("MatMul", ["p6", f"s{squares}"], ["last"]))
        last = "last"
    through(model, last)


def whole(model: ModelProto) -> None:
    model.graph.node[5].output[0] = "probability"
    append(model, helper.make_node("Cast", ["probability"], ["score"], to=TensorProto.INT64))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64


def unfilled(model: ModelProto) -> None:
    model.graph.node[2].input[0] = "features"


def odds(model: ModelProto, operator: str) -> None:
    model.graph.node[5].op_type = operator


def pole(model: ModelProto) -> None:
    """Not a number where the first feature is just what one of the expected rows has."""
    rng = np.random.default_rng(7)
    width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    at = rng.normal(size=(ROWS, width)).astype(F32)[10]
    model.graph.initializer.extend([numpy_helper.from_array(at, "at")])
    append(
        model,
        helper.make_node("Sub", ["value", "at"], ["apart"]),
        helper.make_node("Div", ["apart", "apart"], ["one"]),
    )
    through(model, "one")
