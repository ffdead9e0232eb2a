"""All sources and pipelines of a file, or of a running system, checked against each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from flyball_proto.spec.base import API_VERSION
from flyball_proto.spec.crosscheck import crosscheck
from flyball_proto.spec.mistakes import Mistake, Path, SpecError, mistakes_of, shown
from flyball_proto.spec.names import listed, nearest
from flyball_proto.spec.pipeline import Pipeline
from flyball_proto.spec.source import Source

KINDS: Mapping[str, type[Source] | type[Pipeline]] = {"Source": Source, "Pipeline": Pipeline}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Sources and pipelines by name; every pipeline fits its source."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)

    def source_of(self, pipeline: Pipeline) -> Source:
        """The source that a pipeline of this catalogue reads."""
        return self.sources[pipeline.spec.source]

    @property
    def objects(self) -> tuple[Source | Pipeline, ...]:
        """Sources, then pipelines: the order in which they can be applied."""
        return (*self.sources.values(), *self.pipelines.values())


@dataclass(frozen=True, slots=True)
class _Raw:
    """One object as it was written; an inline source stands at `prefix` of its document."""

    document: int
    prefix: Path
    kind: str
    name: str
    value: Mapping[str, object]


def as_document(found: Source | Pipeline) -> dict[str, object]:
    """An object as it stands in a file, with defaults; `parse_documents` reads it back."""
    return found.model_dump(mode="json", exclude_none=True)


def parse_documents(documents: Sequence[object], known: Catalogue | None = None) -> Catalogue:
    """Validate documents, as read from YAML or JSON, wholly.

    Args:
        documents: What the file holds, in order; plain mappings, lists and scalars.
        known: What is already applied: pipelines may name its sources, and its pipelines must
            still fit when one of their sources is replaced.

    Raises:
        SpecError: With every mistake that was found.
    """
    mistakes: list[Mistake] = []
    known = known or Catalogue()
    raws = [raw for i, value in enumerate(documents) for raw in _lift(i, value, mistakes)]
    if not documents:
        mistakes.append(
            Mistake(0, (), "no document", "at least one Source or Pipeline", "write one")
        )
    parsed = [(raw, _parse(raw, mistakes)) for raw in _unique(raws, mistakes)]
    sources = {s.name: s for _, s in parsed if isinstance(s, Source)}
    pipelines = [(raw, p) for raw, p in parsed if isinstance(p, Pipeline)]
    broken = {raw.name for raw, found in parsed if raw.kind == "Source" and found is None}
    reachable = {**known.sources, **sources}
    for raw, pipeline in pipelines:
        mistakes.extend(_fit(raw, pipeline, reachable, broken))
    named = {p.name for _, p in pipelines}
    for raw, source in parsed:
        if isinstance(source, Source):
            mistakes.extend(_still_fit(raw, source, known, named))
    if mistakes:
        raise SpecError(sorted(mistakes, key=lambda m: m.document))
    return Catalogue(sources, {p.name: p for _, p in pipelines})


def _lift(i: int, value: object, mistakes: list[Mistake]) -> Iterator[_Raw]:
    """The objects of one document: itself, and its inline source before it."""
    if not isinstance(value, Mapping):
        mistakes.append(
            Mistake(i, (), shown(value), "a mapping with apiVersion, kind, metadata, spec")
        )
        return
    kind = value.get("kind")
    if kind not in KINDS:
        close = nearest(str(kind), KINDS)
        step = f"did you mean {close[0]}?" if close else "write kind: Pipeline or kind: Source"
        mistakes.append(Mistake(i, ("kind",), shown(kind), listed(KINDS), step))
        return
    metadata, spec = value.get("metadata"), value.get("spec")
    name = str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
    inline = spec.get("source") if isinstance(spec, Mapping) else None
    if kind == "Pipeline" and isinstance(inline, Mapping) and isinstance(spec, Mapping):
        lifted = {"apiVersion": API_VERSION, "kind": "Source", "metadata": {"name": name}}
        yield _Raw(i, ("spec", "source"), "Source", name, {**lifted, "spec": inline})
        value = {**value, "spec": {**spec, "source": name}}
    yield _Raw(i, (), str(kind), name, value)


def _unique(raws: list[_Raw], mistakes: list[Mistake]) -> Iterator[_Raw]:
    first: dict[tuple[str, str], _Raw] = {}
    for raw in raws:
        before = first.setdefault((raw.kind, raw.name), raw)
        if before is raw or not raw.name:
            yield raw
            continue
        mistakes.append(
            Mistake(
                raw.document,
                raw.prefix or ("metadata", "name"),
                f"a second {raw.kind} {raw.name!r}, first in document {before.document + 1}",
                f"one {raw.kind} of a name",
                "rename or remove one of them",
            )
        )


def _parse(raw: _Raw, mistakes: list[Mistake]) -> Source | Pipeline | None:
    model = KINDS[raw.kind]
    try:
        return model.model_validate(raw.value)
    except ValidationError as error:
        found = mistakes_of(error, model, raw.document, raw.prefix)
    if raw.prefix:  # an inline source stands under spec.source, its own `spec` step is not written
        own = len(raw.prefix)
        found = [
            Mistake(m.document, (*raw.prefix, *m.path[own + 1 :]), m.found, m.valid, m.next_step)
            for m in found
            if m.path[own : own + 1] == ("spec",)
        ]
    mistakes.extend(found)
    return None


def _fit(
    raw: _Raw, pipeline: Pipeline, sources: Mapping[str, Source], broken: set[str]
) -> list[Mistake]:
    name = pipeline.spec.source
    if name in broken:
        return []  # its own mistakes are listed; what follows from them would only hide them
    if name not in sources:
        close = nearest(name, sources)
        step = f"did you mean {close[0]}?" if close else f"add a kind: Source named {name}"
        path = ("spec", "source")
        return [Mistake(raw.document, path, f"unknown source {name!r}", listed(sources), step)]
    return crosscheck(pipeline, sources[name], raw.document)


def _still_fit(raw: _Raw, source: Source, known: Catalogue, replaced: set[str]) -> list[Mistake]:
    """Mistakes of applied pipelines that a changed source would break."""
    return [
        Mistake(
            raw.document,
            ("metadata", "name"),
            f"a change that breaks pipeline {pipeline.name}: {broken.field}: {broken.found}",
            broken.valid,
            f"change pipeline {pipeline.name} in the same file",
        )
        for pipeline in known.pipelines.values()
        if pipeline.spec.source == source.name and pipeline.name not in replaced
        for broken in crosscheck(pipeline, source)
    ]
