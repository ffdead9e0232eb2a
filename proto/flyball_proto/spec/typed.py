"""Types of the parts of a boundary's expression, and what does not fit. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flyball_proto.spec.expressions import Node
from flyball_proto.spec.names import listed, nearest
from flyball_proto.spec.tokens import BoundaryError

LABELS: Final = "element.labels"

_WORDS: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "double": "a number",
    "text": "a text",
    "list": "a list",
    "labels": "all labels",
}
_NUMBERS: Final = ("int", "double")
_TEXT_METHODS: Final = ("startsWith", "endsWith", "contains", "matches")
_CALLS: Final = ("has", "size", "int", "double", "string")


@dataclass(frozen=True, slots=True)
class Type:
    """What a part of an expression gives; `texts` are all that it can be, if that is known."""

    name: str
    texts: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    items: tuple["Type", ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self.name]


BOOL, INT, DOUBLE, TEXT = Type("bool"), Type("int"), Type("double"), Type("text")


class Typing:
    """Types of nodes; the first that does not fit is raised."""

    def __init__(self, known: Mapping[str, Type]) -> None:
        self._known = known

    def of(self, node: Node) -> Type:
        """What a node gives.

        Raises:
            BoundaryError: Something in it does not fit.
        """
        if node.kind == "fact":
            return self._fact(node)
        if node.kind == "call":
            return self._call(node)
        if node.kind == "method":
            _check_method(node)
        parts = tuple(self.of(part) for part in node.parts)
        if node.kind == "list":
            return Type("list", items=parts)
        if node.kind == "method":
            return _method(node, parts)
        if node.kind == "operator":
            return _operator(node, parts)
        return Type(node.kind, texts=(str(node.value),) if node.kind == "text" else ())

    def _fact(self, node: Node) -> Type:
        path = ".".join(name for name, _ in node.names)
        found = self._known.get(path)
        if found is None:
            raise self._unknown(node, path)
        if node.by_key and not path.startswith(f"{LABELS}."):
            valid = path
            raise BoundaryError(node.at, "a fact with brackets", valid, f"write {valid}")
        return found

    def _unknown(self, node: Node, path: str) -> BoundaryError:
        """The first name that leads nowhere, with what could stand there."""
        names = [name for name, _ in node.names]
        depth = max((n for n in range(len(names)) if self._below(names[:n])), default=0)
        below = self._below(names) or self._below(names[:depth])
        own = [k for k in below if k.count(".") == below[0].count(".")]
        if self._below(names):
            found, step = f"{path}, which has parts", f"name one of them, e.g. {own[0]}"
            return BoundaryError(node.at, found, listed(own), step)
        at, close = node.names[depth][1], nearest(path, own if depth else self._known)
        step = f"did you mean {close[0]}?" if close else "choose one of them"
        found = f"unknown fact {path!r}"
        if path.startswith(f"{LABELS}."):
            found = f"label {names[-1]!r}, which the source does not declare"
            step = step if close else "add it to the labels of the source"
        elif path == "decision.class":
            step = "remove it: only a multiclass target has classes"
        return BoundaryError(at, found, listed(own), step)

    def _below(self, names: Sequence[str]) -> list[str]:
        prefix = "".join(f"{name}." for name in names)
        return [known for known in self._known if known.startswith(prefix)]

    def _call(self, node: Node) -> Type:
        name = str(node.value)
        if name not in _CALLS:
            close = nearest(name, (*_CALLS, *_TEXT_METHODS))
            step = f"did you mean {close[0]}?" if close else "use one of them"
            if name in _TEXT_METHODS:
                step = f"write it behind the text: element.name.{name}(...)"
            raise BoundaryError(node.at, f"unknown function {name!r}", known_calls(), step)
        if len(node.parts) != 1:
            raise BoundaryError(node.at, f"{name} of {len(node.parts)}", f"{name} of one thing")
        part = node.parts[0]
        if name == "has":
            return self._has(node, part)
        inner = self.of(part)
        takes = {"size": ("text", "list", "labels"), "string": ("text", *_NUMBERS)}
        if inner.name not in takes.get(name, _NUMBERS):
            valid = " or ".join(_WORDS[kind] for kind in takes.get(name, _NUMBERS))
            raise BoundaryError(part.at, f"{inner.words} in {name}()", valid)
        return {"size": INT, "int": INT, "double": DOUBLE, "string": TEXT}[name]

    def _has(self, node: Node, part: Node) -> Type:
        if part.kind != "fact" or part.by_key or len(part.names) < 2:
            valid = "has of a fact, as in has(element.labels.site)"
            raise BoundaryError(node.at, "has of something that is no fact", valid)
        self._fact(part)
        return BOOL


def _check_method(node: Node) -> None:
    name = str(node.value)
    if name not in (*_TEXT_METHODS, "size"):
        close = nearest(name, (*_TEXT_METHODS, "size"))
        step = f"did you mean {close[0]}?" if close else "use one of them"
        raise BoundaryError(node.at, f"unknown function {name!r}", known_calls(), step)


def _method(node: Node, parts: tuple[Type, ...]) -> Type:
    name, kinds = str(node.value), [part.name for part in parts]
    if name == "size" and kinds in (["text"], ["list"], ["labels"]):
        return INT
    if name == "size" or kinds != ["text", "text"]:
        found = " and ".join(part.words for part in parts)
        valid = "a text .size()" if name == "size" else f"a text .{name}(a text)"
        raise BoundaryError(node.at, f"{name} of {found}", valid)
    if name == "matches":
        _check_pattern(node.parts[1])
    return BOOL


def _check_pattern(node: Node) -> None:
    """Patterns are those of RE2; what Python's understand differently is refused."""
    pattern = str(node.value)
    plain = node.kind == "text" and not re.search(r"\(\?|\\[^\\dDwWsS.^$*+?()\[\]{}|/-]", pattern)
    try:
        if plain and not re.search(r"\[\[|\[:|--|&&|~~|\{,|[*+?}][+*?]|\{\d{4}", pattern):
            re.compile(pattern)
            return
    except re.error:
        pass
    found = f"the pattern {pattern[:40]!r}" if node.kind == "text" else "a pattern that is computed"
    valid = 'a regular expression in quotes without groups that look around, as in "^gnb-[0-9]+$"'
    raise BoundaryError(node.at, found, valid, "or use startsWith, endsWith or contains")


def _operator(node: Node, parts: tuple[Type, ...]) -> Type:
    sign = str(node.value)
    kinds = tuple(part.name for part in parts)
    if sign in ("&&", "||", "unary !"):
        for part, given in zip(node.parts, parts, strict=True):
            _needs_bool(part, given, sign.removeprefix("unary "))
        return BOOL
    if sign == "?:":
        return _choice(node, parts)
    if sign in ("==", "!=", "<", "<=", ">", ">="):
        return _comparison(node, parts, sign)
    if sign == "in":
        return _member(node, parts)
    fits = kinds in (("int",), ("double",), ("int", "int"), ("double", "double"))
    if (fits and not (sign == "%" and "double" in kinds)) or (sign, *kinds) == (
        "+",
        "text",
        "text",
    ):
        _check_divisor(node, sign, kinds)
        return Type(kinds[0])
    found = f"{sign.removeprefix('unary ')} with {' and '.join(part.words for part in parts)}"
    step = "write 2.0 for 2, or double(...)" if set(kinds) == set(_NUMBERS) else "correct it"
    raise BoundaryError(node.at, found, "numbers of one kind", step)


def _check_divisor(node: Node, sign: str, kinds: tuple[str, ...]) -> None:
    if sign not in ("/", "%") or kinds[0] != "int":
        return
    divisor = node.parts[1]
    if divisor.kind != "int" or not divisor.value:
        valid = "a whole number other than 0, written out"
        raise BoundaryError(divisor.at, "a divisor that can be 0", valid, "or use double(...)")


def _needs_bool(node: Node, found: Type, sign: str) -> None:
    if found.name != "bool":
        step = "compare it with something"
        raise BoundaryError(node.at, f"{found.words} beside {sign}", _WORDS["bool"], step)


def _choice(node: Node, parts: tuple[Type, ...]) -> Type:
    _needs_bool(node.parts[0], parts[0], "?")
    if parts[1].name != parts[2].name:
        found = f"{parts[1].words} or {parts[2].words}"
        raise BoundaryError(node.parts[2].at, found, "the same kind on both sides of :")
    texts = parts[1].texts + parts[2].texts if parts[1].texts and parts[2].texts else ()
    return replace(parts[1], texts=texts, least=None, most=None)


def _comparison(node: Node, parts: tuple[Type, ...], sign: str) -> Type:
    left, right = parts
    comparable = left.name == right.name or {left.name, right.name} == set(_NUMBERS)
    ordered = sign in ("==", "!=") or left.name in (*_NUMBERS, "text")
    if not comparable or not ordered or left.name in ("list", "labels"):
        found = f"{left.words} {sign} {right.words}"
        step = (
            "remove the quotes" if {left.name, right.name} == {"text", "double"} else "correct it"
        )
        valid = "two numbers, or two texts"
        if sign in ("==", "!="):
            valid += ", or two that are true or false"
        raise BoundaryError(node.at, found, valid, step)
    for fact, at in ((left, node.parts[1]), (right, node.parts[0])):
        _can_be(fact, at, exact=sign in ("==", "!="))
    return BOOL


def _can_be(fact: Type, node: Node, *, exact: bool) -> None:
    """Refuse to compare with a literal that a fact can never be."""
    if node.kind == "text" and fact.texts and exact and node.value not in fact.texts:
        close = nearest(str(node.value), fact.texts)
        step = f"did you mean {close[0]!r}?" if close else "choose one of them"
        raise BoundaryError(node.at, f"{str(node.value)[:40]!r}", listed(fact.texts), step)
    value, sign = node.value, 1
    if node.kind == "operator" and value == "unary -":
        value, sign = node.parts[0].value, -1
    if isinstance(value, int | float) and not isinstance(value, bool):
        least = -float("inf") if fact.least is None else fact.least
        most = float("inf") if fact.most is None else fact.most
        if not least <= sign * value <= most:
            bound = f"{least:g} to {most:g}" if fact.most is not None else f"{least:g} on"
            raise BoundaryError(node.at, f"{sign * value:g}", f"a number from {bound}")


def _member(node: Node, parts: tuple[Type, ...]) -> Type:
    left, right = parts
    if right.name == "labels" and left.name == "text":
        return BOOL
    if right.name != "list":
        valid = 'a list, as in decision.action in ["a", "b"], or element.labels'
        raise BoundaryError(node.parts[1].at, f"in {right.words}", valid)
    for item, found in zip(node.parts[1].parts, right.items, strict=True):
        if found.name != left.name and {found.name, left.name} != set(_NUMBERS):
            raise BoundaryError(item.at, found.words, f"{left.words}, as on the left of in")
        _can_be(left, item, exact=True)
    return BOOL


def known_calls() -> str:
    """Functions that expressions may use, for people."""
    return ", ".join([*(f"{name}()" for name in _CALLS), *(f".{n}()" for n in _TEXT_METHODS)])
