"""Specifications as YAML text: a checked catalogue, or every mistake with its line and field.

The `flyball` command reads files so, and the gateway what is sent to it.
"""

from collections.abc import Sequence
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean
from ruamel.yaml.scalarfloat import ScalarFloat

from flyball_proto.spec import Catalogue, Mistake, SpecError, parse_documents

MAX_BYTES: Final = 1 << 20
MAX_NODES: Final = 100_000
"""A text whose aliases unfold to more values than this is refused."""


def load_text(text: str, name: str, known: Catalogue | None = None) -> Catalogue:
    """Read and check a text of one or more documents; `name` stands for it in messages.

    Args:
        text: YAML; JSON is YAML too.
        name: What stands before the line in messages.
        known: What is already applied, for pipelines that name a source of there.

    Raises:
        SpecError: With one line a mistake: `name:line: field: found X; valid: Y; next step`, of a
            mistake inside an expression `name:line:column: ...`.
    """
    documents = _read(text, name)
    try:
        return parse_documents([_plain(d, [MAX_NODES], name) for d in documents], known)
    except SpecError as error:
        if not error.mistakes:
            raise
        places = [(_place(text, documents, m), m.sentence) for m in error.mistakes]
        lines = [
            f"{':'.join((name, *map(str, place)))}: {sentence}"
            for place, sentence in sorted(places)
        ]
        raise SpecError(error.mistakes, lines) from error


def yaml_of_flyball() -> YAML:
    """The dialect: each key once, two spaces."""
    yaml = YAML(typ="rt", pure=True)
    yaml.allow_duplicate_keys = False
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _read(text: str, name: str) -> list[Any]:
    try:
        return [d for d in yaml_of_flyball().load_all(text) if d is not None]
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


def _place(text: str, documents: Sequence[Any], mistake: Mistake) -> tuple[int, ...]:
    """Line, and inside an expression the column, both from 1."""
    if not documents:
        return (1,)
    document = documents[mistake.document]
    if mistake.at is not None:
        value, start = document, None
        for step in mistake.path:
            if isinstance(value, CommentedMap) and step in value:
                start = value.lc.value(step)
            value = value[step]
        within = _within(text.split("\n"), start, str(value), mistake.at) if start else None
        if within is not None:
            return within
    return (_line(document, mistake.path),)


def _within(
    lines: Sequence[str], start: tuple[int, int], value: str, at: int
) -> tuple[int, int] | None:
    """Where character `at` of a scalar that begins at `start` was written; None = unclear.

    Quotes, folded lines and escapes are passed by: of each character the next like it is taken.
    """
    line, column = start
    if lines[line][column : column + 1] in ("|", ">"):
        line, column = line + 1, 0
    elif lines[line][column : column + 1] in ("'", '"'):
        column += 1
    for character in value[: at + 1]:
        if character.isspace():
            continue
        while (found := lines[line].find(character, column)) < 0:
            line, column = line + 1, 0
            if line == len(lines):
                return None
        column = found + 1
    is_end = at >= len(value) or value[at].isspace()
    return line + 1, column + is_end


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
