"""The part of CEL that boundaries may use, as a tree with positions. Pure.

Numbers, texts, true and false, lists, facts like `element.labels.site`, calls, `! - * / % + -`,
comparisons, `in`, `&&`, `||`, `? :` and brackets, as in https://cel.dev. What CEL has beside
that (macros over lists, maps, bytes, durations, escapes by number) is refused with its position.
"""

from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from flyball_proto.spec.tokens import BoundaryError, Token, text_of, tokens

MAX_DEPTH: Final = 24
"""Brackets within brackets; evaluating needs stack for each."""

MAX_INT: Final = 2**31 - 1
MAX_DOUBLE: Final = 1e300

_INSTEAD: Final = {
    "and": "&&",
    "or": "||",
    "not": "!",
    "is": "==",
    "True": "true",
    "False": "false",
}
_COMPARE: Final = ("<", "<=", ">", ">=", "==", "!=", "in")
_WORDS: Final = ("in", "true", "false", "null")

Kind = Literal["bool", "int", "double", "text", "list", "fact", "call", "method", "operator"]


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression that begins at character `at`, counted from 0.

    `value` is the name of a call, method or operator, and of a literal its value. A fact is a
    path: `names` with where each begins.
    """

    kind: Kind
    at: int
    value: object = None
    parts: tuple["Node", ...] = ()
    names: tuple[tuple[str, int], ...] = ()
    by_key: bool = False
    """The last name of a fact stands in brackets: `labels["site"]`."""


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        BoundaryError: It is not of the part of CEL that boundaries may use.
    """
    reader = _Reader(tokens(text))
    found = reader.expression()
    if reader.next.kind != "end":
        reader.refuse("an operator like &&, or the end")
    return found


def conjuncts(text: str) -> list[str]:
    """Expressions that are joined by && at the top of a readable one; itself if there is no such."""
    node = parse(text)
    if node.kind != "operator" or node.value != "&&":
        return [text]
    depth, parts, begin = 0, [], 0
    for token in tokens(text):
        if token.kind != "sign":
            continue
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if token.text == "&&" and not depth:
            parts.append(text[begin : token.at])
            begin = token.at + 2
    return [*parts, text[begin:]]


class _Reader:
    """Recursive descent over the tokens, one method a level of the grammar."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens, self._place, self._depth = found, 0, 0

    @property
    def next(self) -> Token:
        """What was not taken yet."""
        return self._tokens[self._place]

    def refuse(self, valid: str) -> NoReturn:
        """Something else should stand here."""
        token = self.next
        found = repr(token.text) if token.text else "the end of the expression"
        if (instead := _INSTEAD.get(token.text)) is not None:
            raise BoundaryError(token.at, found, instead, f"write {instead}")
        raise BoundaryError(token.at, found, valid)

    def expression(self) -> Node:
        """The longest expression from here."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            found, valid = "brackets too deep", f"at most {MAX_DEPTH} within each other"
            raise BoundaryError(self.next.at, found, valid, "write several boundaries")
        node = self._either()
        if self._takes("?"):
            then = self._either()
            self._needs(":")
            node = Node("operator", node.at, "?:", (node, then, self.expression()))
        self._depth -= 1
        return node

    def _either(self) -> Node:
        node = self._both()
        while self._takes("||"):
            node = Node("operator", node.at, "||", (node, self._both()))
        return node

    def _both(self) -> Node:
        node = self._relation()
        while self._takes("&&"):
            node = Node("operator", node.at, "&&", (node, self._relation()))
        return node

    def _relation(self) -> Node:
        node = self._sum()
        while self.next.text in _COMPARE and self.next.kind in ("sign", "word"):
            sign = self._take().text
            node = Node("operator", node.at, sign, (node, self._sum()))
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self.next.kind == "sign" and self.next.text in ("+", "-"):
            sign = self._take().text
            node = Node("operator", node.at, sign, (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._unary()
        while self.next.kind == "sign" and self.next.text in ("*", "/", "%"):
            sign = self._take().text
            node = Node("operator", node.at, sign, (node, self._unary()))
        return node

    def _unary(self) -> Node:
        first = self.next
        if first.kind != "sign" or first.text not in ("!", "-"):
            return self._member()
        signs = [self._take()]
        while self.next.kind == "sign" and self.next.text == first.text:
            signs.append(self._take())
        node = self._member()
        for sign in reversed(signs):
            node = Node("operator", sign.at, f"unary {sign.text}", (node,))
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._takes("."):
                node = self._selected(node)
            elif self.next.text == "[" and self.next.kind == "sign":
                node = self._keyed(node)
            else:
                return node

    def _selected(self, node: Node) -> Node:
        if self.next.kind != "word" or self.next.text in _WORDS:
            self.refuse('a name; one that CEL keeps for itself is written ["in"]')
        token = self._take()
        if self._takes("("):
            return Node("method", token.at, token.text, (node, *self._listed(")")))
        if node.kind != "fact" or node.by_key:
            found, valid = f"{token.text!r} of something that has no parts", "a fact or a method"
            raise BoundaryError(token.at, found, valid)
        return Node("fact", node.at, names=(*node.names, (token.text, token.at)))

    def _keyed(self, node: Node) -> Node:
        bracket = self._take()
        token = self.next
        if node.kind != "fact" or node.by_key or token.kind not in ("text", "raw"):
            valid = 'the name of a label in quotes, as in element.labels["site"]'
            raise BoundaryError(bracket.at, "'['", valid)
        self._take()
        self._needs("]")
        names = (*node.names, (text_of(token), token.at))
        return Node("fact", node.at, names=names, by_key=True)

    def _primary(self) -> Node:
        token = self.next
        if (literal := self._literal()) is not None:
            return literal
        if token.kind == "word" and token.text not in (*_WORDS, *_INSTEAD):
            self._take()
            if self._takes("("):
                return Node("call", token.at, token.text, tuple(self._listed(")")))
            return Node("fact", token.at, names=((token.text, token.at),))
        if self._takes("["):
            return Node("list", token.at, parts=tuple(self._listed("]")))
        if not self._takes("("):
            self.refuse("a fact like decision.score, a number, a text in quotes, true or false")
        node = self.expression()
        self._needs(")")
        return node

    def _literal(self) -> Node | None:
        token = self.next
        if token.kind in ("int", "double"):
            return self._number()
        if token.kind in ("text", "raw"):
            return Node("text", self._take().at, text_of(token))
        if token.kind == "word" and token.text in ("true", "false"):
            return Node("bool", self._take().at, token.text == "true")
        return None

    def _number(self) -> Node:
        token = self._take()
        value = int(token.text) if token.kind == "int" else float(token.text)
        most = MAX_INT if token.kind == "int" else MAX_DOUBLE
        if value > most:
            raise BoundaryError(token.at, token.text[:20], f"numbers up to {most:g}")
        return Node("int" if token.kind == "int" else "double", token.at, value)

    def _listed(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self._takes(end):
            if found:
                self._needs(",")
            found.append(self.expression())
        return found

    def _take(self) -> Token:
        token = self.next
        self._place += 1
        return token

    def _takes(self, sign: str) -> bool:
        is_there = self.next.kind == "sign" and self.next.text == sign
        self._place += is_there
        return is_there

    def _needs(self, sign: str) -> None:
        if not self._takes(sign):
            self.refuse(f"{sign!r} here")
