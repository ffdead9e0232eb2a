"""Mistakes in a specification, each with what was found, what is valid and the next step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flyball_proto.spec.names import PATTERNS, listed, nearest

Path = tuple[str | int, ...]
_WORDS: Final = {
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "string_type": "a text",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. `document` counts from 0, `path` leads to the field within it.

    `at` is where in the field's text it is, counted from 0; None = the whole field is meant.
    """

    document: int
    path: Path
    found: str
    valid: str
    next_step: str = "correct it"
    at: int | None = None

    @property
    def field(self) -> str:
        """The path as people write it: `spec.metrics.0.name`."""
        return ".".join(str(step) for step in self.path) or "document"

    @property
    def sentence(self) -> str:
        """All four parts for people."""
        return f"{self.field}: found {self.found}; valid: {self.valid}; {self.next_step}"


class SpecError(ValueError):
    """A specification is refused; `mistakes` lists every one, `lines` says each in a sentence."""

    def __init__(self, mistakes: Sequence[Mistake], lines: Sequence[str] | None = None) -> None:
        self.mistakes = tuple(mistakes)
        self.lines = tuple(
            lines
            if lines is not None
            else [f"document {m.document + 1}: {m.sentence}" for m in mistakes]
        )
        super().__init__("\n".join(self.lines))


def mistakes_of(
    error: ValidationError, model: type[BaseModel], document: int, prefix: Path = ()
) -> list[Mistake]:
    """What pydantic found, in words; the first `len(prefix)` steps are where `model` stands."""
    errors = error.errors()
    # An entry that is wrong is not counted, so its list is called too short as well: noise.
    inside = {e["loc"][:n] for e in errors for n in range(len(e["loc"]))}
    told = [e for e in errors if e["type"] != "too_short" or e["loc"] not in inside]
    return [_mistake(details, model, document, prefix) for details in told]


def shown(value: object) -> str:
    """A found value, short; containers by their kind, so that no payload ends in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(str, list(value)[:6])) or 'nothing'}"[:80]
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 64 else f"{text[:61]}..."


def _mistake(details: ErrorDetails, model: type[BaseModel], document: int, prefix: Path) -> Mistake:
    path, kind = tuple(details["loc"]), details["type"]
    ctx = details.get("ctx", {})
    here = prefix + path
    if kind == "extra_forbidden":
        fields = _fields(model, path[:-1])
        close = nearest(str(path[-1]), fields)
        step = f"did you mean {close[0]}?" if close else "remove it"
        return Mistake(
            document, here, f"unknown field {path[-1]!r}", listed(fields, str(path[-1])), step
        )
    if kind == "missing":
        words = _description(model, path)
        return Mistake(document, here, "nothing", words, f"add `{path[-1]}:`")
    if kind == "spec":
        found = ctx.get("found") or shown(details["input"])
        return Mistake(document, here, found, ctx["valid"], ctx.get("next_step") or "correct it")
    if kind == "literal_error":
        return _choice(document, here, ctx["expected"], details["input"])
    return Mistake(document, here, shown(details["input"]), _valid(kind, details["msg"], ctx))


def _choice(document: int, path: Path, expected: str, found: object) -> Mistake:
    names = [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]
    close = nearest(str(found), names)
    step = f"did you mean {close[0]}?" if close else "choose one of them"
    return Mistake(document, path, shown(found), listed(names), step)


def _valid(kind: str, message: str, ctx: Mapping[str, Any]) -> str:
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(ctx["pattern"], f"a text like {ctx['pattern']}")
    if kind in ("too_short", "too_long"):
        bound = ctx.get("min_length") if kind == "too_short" else ctx.get("max_length")
        return f"at {'least' if kind == 'too_short' else 'most'} {bound} entries"
    words = message.removeprefix("Input should be ").removeprefix("a valid ")
    return _WORDS.get(kind, words[:1].lower() + words[1:])


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    found = _model_at(model, path)
    return [f.alias or name for name, f in found.model_fields.items()] if found else []


def _description(model: type[BaseModel], path: Path) -> str:
    parent = _model_at(model, path[:-1])
    for name, field in parent.model_fields.items() if parent else ():
        if (field.alias or name) == path[-1]:
            return (field.description or "a value").rstrip(".")
    return "a value"


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model that the fields below `path` belong to."""
    found: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int) or found is None:
            continue
        annotations = {f.alias or name: f.annotation for name, f in found.model_fields.items()}
        found = next(iter(_models_in(annotations.get(step))), None)
    return found


def _models_in(annotation: object) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
