"""Specification files: YAML with line numbers in, a checked catalogue or every mistake out.

The `flyball` command, replay and the demo read their specifications here.
"""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from flyball_kit.specyaml import MAX_BYTES, load_text, yaml_of_flyball
from flyball_proto.spec import Catalogue, Pipeline, Source, SpecError, complete
from flyball_proto.spec.base import SpecModel


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
    if len(data) > MAX_BYTES:
        why = f"{path}: found {len(data)} bytes; valid: at most {MAX_BYTES}"
        raise SpecError((), [f"{why}; split the file"])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        why = f"{path}:{line}: found bytes that are no UTF-8; valid: UTF-8 text"
        raise SpecError((), [f"{why}; save the file as UTF-8"]) from error
    return load_text(text, str(path), known)


def explain(catalogue: Catalogue) -> str:
    """The catalogue as YAML with every default filled in and marked as such."""
    yaml, out = yaml_of_flyball(), StringIO()
    for i, written in enumerate(catalogue.objects):
        shown = written
        if isinstance(written, Pipeline):
            shown = complete(written, catalogue.source_of(written))
        out.write("---\n" if i else "")
        yaml.dump(_explained(shown, written), out)
    return out.getvalue()


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
