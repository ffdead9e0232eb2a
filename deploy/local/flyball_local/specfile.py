"""Specification files: YAML with line numbers in, a checked catalogue or every mistake out.

The `flyball` command, replay and the demo read their specifications here.
"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean
from ruamel.yaml.scalarfloat import ScalarFloat

from flyball_proto.spec import Catalogue, Pipeline, Source, SpecError, complete, parse_documents
from flyball_proto.spec.base import SpecModel

MAX_FILE_BYTES: Final = 1 << 20
MAX_NODES: Final = 100_000
"""A file whose aliases unfold to more values than this is refused."""


def load(path: Path, known: Catalogue | None = None) -> Catalogue:
    """Read and check a file of one or more documents.

    Args:
        path: The file.
        known: What is already applied, for pipelines that name a source of there.

    Raises:
        SpecError: With one line a mistake: `file:line: field: found X; valid: Y; next step`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        why = f"{path}: found no readable file ({error.strerror}); valid: a YAML file"
        raise SpecError((), [f"{why}; check the path, or write one: flyball new spec"]) from error
    if len(data) > MAX_FILE_BYTES:
        why = f"{path}: found {len(data)} bytes; valid: at most {MAX_FILE_BYTES}"
        raise SpecError((), [f"{why}; split the file"])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        why = f"{path}:{line}: found bytes that are no UTF-8; valid: UTF-8 text"
        raise SpecError((), [f"{why}; save the file as UTF-8"]) from error
    return load_text(text, str(path), known)


def load_text(text: str, name: str, known: Catalogue | None = None) -> Catalogue:
    """As `load`; `name` stands for the file in messages."""
    documents = _read(text, name)
    try:
        return parse_documents([_plain(d, [MAX_NODES], name) for d in documents], known)
    except SpecError as error:
        if not error.mistakes:
            raise
        places = [
            (_line(documents[m.document], m.path) if documents else 1, m.sentence)
            for m in error.mistakes
        ]
        lines = [f"{name}:{line}: {sentence}" for line, sentence in sorted(places)]
        raise SpecError(error.mistakes, lines) from error


def explain(catalogue: Catalogue) -> str:
    """The catalogue as YAML with every default filled in and marked as such."""
    yaml, out = _yaml(), StringIO()
    for i, written in enumerate(catalogue.objects):
        shown = written
        if isinstance(written, Pipeline):
            shown = complete(written, catalogue.source_of(written))
        out.write("---\n" if i else "")
        yaml.dump(_explained(shown, written), out)
    return out.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.allow_duplicate_keys = False
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _read(text: str, name: str) -> list[Any]:
    try:
        return [d for d in _yaml().load_all(text) if d is not None]
    except MarkedYAMLError as error:
        problem = " ".join(str(error.problem or error.context).split())
        marks = [m for m in (error.problem_mark, error.context_mark) if m is not None]
        # What is never closed is noticed at the end of the file; where it opens is what helps.
        mark = marks[-1 if "stream" in problem else 0] if marks else None
        line = mark.line + 1 if mark else 1
        step = "remove one of them" if "duplicate key" in problem else "correct the syntax there"
        why = f"{name}:{line}: document: found {problem}; valid: YAML with each key once; {step}"
        raise SpecError((), [why]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:160]
        why = f"{name}:1: document: found {problem}; valid: YAML"
        raise SpecError((), [f"{why}; correct the syntax"]) from error


def _plain(value: Any, left: list[int], name: str) -> object:
    """Plain Python for what ruamel.yaml read; unknown kinds of scalar become their text."""
    left[0] -= 1
    if left[0] < 0:
        why = f"{name}:1: document: found more than {MAX_NODES} values; valid: fewer"
        raise SpecError((), [f"{why}; use no aliases that refer to each other"])
    if isinstance(value, CommentedMap):
        return {str(k): _plain(v, left, name) for k, v in value.items()}
    if isinstance(value, CommentedSeq):
        return [_plain(v, left, name) for v in value]
    if isinstance(value, bool | ScalarBoolean):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | ScalarFloat):
        return float(value)
    return None if value is None else str(value)


def _line(document: Any, path: Sequence[str | int]) -> int:
    """The line of a field, or of the nearest thing around it that was written; from 1."""
    here, line = document, getattr(getattr(document, "lc", None), "line", None) or 0
    for step in path:
        if isinstance(here, CommentedMap) and step in here:
            line = here.lc.key(step)[0]
        elif isinstance(here, CommentedSeq) and isinstance(step, int) and step < len(here):
            line = here.lc.item(step)[0]
        else:
            break
        here = here[step]
    return int(line) + 1


def _explained(shown: Any, written: Any) -> Any:
    """`shown` as YAML nodes; what `written` leaves to its default gets a comment."""
    if isinstance(shown, SpecModel):
        node = CommentedMap()
        dumped = shown.model_dump(mode="json", by_alias=False)
        for name, field in type(shown).model_fields.items():
            value = getattr(shown, name)
            if value is None:
                continue
            key = field.alias or name
            before = getattr(written, name) if isinstance(written, SpecModel) else value
            nested = isinstance(value, SpecModel) or (
                isinstance(value, tuple) and any(isinstance(v, SpecModel) for v in value)
            )
            node[key] = _explained(value, before) if nested else _flow(dumped[name])
            if isinstance(written, SpecModel) and name not in written.model_fields_set:
                node.yaml_add_eol_comment("default", key)
        return node
    return CommentedSeq(
        _explained(value, before) for value, before in zip(shown, written, strict=True)
    )


def _flow(value: Any) -> Any:
    if isinstance(value, list):
        found = CommentedSeq(value)
        found.fa.set_flow_style()
        return found
    if isinstance(value, dict):
        mapping = CommentedMap(value)
        mapping.fa.set_flow_style()
        return mapping
    return value


__all__ = ["Catalogue", "Pipeline", "Source", "SpecError", "explain", "load", "load_text"]
