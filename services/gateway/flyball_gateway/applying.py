"""What applying a specification changes, or why it may not. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flyball_proto.commands import Failure
from flyball_proto.spec import (
    Catalogue,
    Pipeline,
    Source,
    SpecError,
    feature_digest,
    parse_documents,
)

Key = str
"""`source.<name>` or `pipeline.<name>`, as in KV `pipelines`."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is applied, with the revision of each record."""

    catalogue: Catalogue
    revisions: Mapping[Key, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One object to bring into force; `revision` is that of its record, 0 = there is none."""

    value: Source | Pipeline
    revision: int
    changed: bool

    @property
    def key(self) -> Key:
        """Where its record is."""
        return key_of(self.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order to carry them out, and the pipelines whose contract is then in force.

    `announced` are the pipelines that were named, and those whose source changed.
    """

    steps: tuple[Step, ...]
    announced: tuple[Pipeline, ...]
    after: Catalogue


def plan(documents: Sequence[object], known: Known) -> Plan | Failure:
    """Validate wholly, then say what changes. Nothing has happened yet."""
    try:
        asked = parse_documents(documents, known.catalogue)
    except SpecError as error:
        return Failure(kind="invalid-spec", message=str(error))
    after = Catalogue(
        {**known.catalogue.sources, **asked.sources},
        {**known.catalogue.pipelines, **asked.pipelines},
    )
    if unfit := [reason for name in asked.pipelines for reason in _upstream(name, after)]:
        return Failure(kind="invalid-spec", message="\n".join(unfit))
    if conflicts := [
        reason
        for name, before in known.catalogue.pipelines.items()
        for reason in _conflicts(before, after.pipelines[name], known.catalogue, after)
    ]:
        return Failure(kind="conflict", message="\n".join(conflicts))
    steps = tuple(_step(value, known) for value in asked.objects)
    return Plan(steps, tuple(_announced(steps, after)), after)


def key_of(value: Source | Pipeline) -> Key:
    """Where an object's record is."""
    return f"{value.kind.lower()}.{value.name}"


def _upstream(name: str, after: Catalogue) -> Iterable[str]:
    """What a pipeline rests on is applied, and does not rest on it."""
    for other in after.pipelines[name].spec.upstream:
        if other not in after.pipelines:
            known = ", ".join(sorted(set(after.pipelines) - {name})) or "none is applied yet"
            yield (
                f"pipeline {name}: upstream names {other!r}, which is not applied; valid: {known}; "
                "apply it first, or in the same file"
            )
        elif path := _way(other, name, after):
            yield (
                f"pipeline {name}: upstream {' → '.join((name, *path))} comes back to itself; a "
                "pipeline cannot rest on its own decisions: take one of them out"
            )


def _way(start: str, end: str, after: Catalogue) -> tuple[str, ...]:
    """From one pipeline upstream to another, both included; empty = there is no way."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while ways:
        way = ways.pop()
        if way[-1] == end:
            return way
        found = after.pipelines.get(way[-1])
        for other in found.spec.upstream if found else ():
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()


def _conflicts(
    before: Pipeline, wanted: Pipeline, known: Catalogue, after: Catalogue
) -> Iterable[str]:
    """A running pipeline keeps what its models were made for; evidence compares like with like."""
    name = before.name
    step = "give the changed pipeline another name and let both run side by side"
    if wanted.spec.source != before.spec.source:
        yield (
            f"pipeline {name} runs on source {before.spec.source}, not {wanted.spec.source}; {step}"
        )
        return
    runs = feature_digest(before, known.source_of(before))
    asked = feature_digest(wanted, after.source_of(wanted))
    if asked != runs:
        yield f"pipeline {name} runs with features {runs[:8]}, not {asked[:8]}; {step}"
    if wanted.spec.target != before.spec.target:
        found, asked = _target(wanted), _target(before)
        yield f"pipeline {name} predicts {asked}, not {found}; {step}"


def _target(pipeline: Pipeline) -> str:
    stated = pipeline.spec.target.model_dump(mode="json", exclude_defaults=True)
    return ", ".join(f"{key} {value}" for key, value in stated.items())


def _step(value: Source | Pipeline, known: Known) -> Step:
    before = (
        known.catalogue.sources.get(value.name)
        if isinstance(value, Source)
        else known.catalogue.pipelines.get(value.name)
    )
    return Step(value, known.revisions.get(key_of(value), 0), changed=value != before)


def _announced(steps: Sequence[Step], after: Catalogue) -> Iterable[Pipeline]:
    named = {step.value.name for step in steps if isinstance(step.value, Pipeline)}
    moved = {s.value.name for s in steps if isinstance(s.value, Source) and s.changed}
    for pipeline in after.pipelines.values():
        if pipeline.name in named or pipeline.spec.source in moved:
            yield pipeline
