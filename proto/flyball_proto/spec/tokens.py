"""The smallest parts of an expression in CEL: names, numbers, texts and signs. Pure."""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}

_TOKEN: Final = re.compile(
    r"""(?P<space>(?:[ \t\r\n\f]|//[^\n]*)+)
    |(?P<double>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>\d+)
    |(?P<raw>[rR](?:"[^"\\\r\n]*(?:\\[^"\r\n][^"\\\r\n]*)*"|'[^'\\\r\n]*(?:\\[^'\r\n][^'\\\r\n]*)*'))
    |(?P<text>"(?:[^"\\\r\n]|\\[^\r\n])*"|'(?:[^'\\\r\n]|\\[^\r\n])*')
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||[<>=!]=|[-!<>+*/%?:.,()\[\]])""",
    re.VERBOSE | re.ASCII,
)
_MEANT: Final = {
    "=": "==",
    "&": "&&",
    "|": "||",
    "{": "a list or a comparison",
    "`": '"text" in quotes',
}


class BoundaryError(ValueError):
    """An expression cannot be used; `at` counts its characters from 0."""

    def __init__(self, at: int, found: str, valid: str, step: str = "correct it") -> None:
        super().__init__(f"{found}; valid: {valid}; {step}")
        self.at, self.found, self.valid, self.step = at, found, valid, step


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is int, double, text, raw, word, sign or end; `at` counts characters from 0."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> list[Token]:
    """All of an expression, in order, and one of kind `end`.

    Raises:
        BoundaryError: A character belongs to none.
    """
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _refuse_character(text, at)
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match.group(), at))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def _refuse_character(text: str, at: int) -> NoReturn:
    character = text[at]
    if character in "\"'":
        raise BoundaryError(
            at, "a text that does not end", f"a text between {character}", "close the quote"
        )
    valid = _MEANT.get(character, "operators like &&, ==, <, in; names; numbers; texts in quotes")
    step = f"write {valid}" if character in "=&|" else "remove it"
    raise BoundaryError(at, repr(character), valid, step)


def text_of(token: Token) -> str:
    """What a text in quotes says.

    Raises:
        BoundaryError: It escapes what need not be.
    """
    if token.kind == "raw":
        return token.text[2:-1]
    found, characters = [], iter(enumerate(token.text[1:-1], token.at + 1))
    for at, character in characters:
        if character != "\\":
            found.append(character)
            continue
        _, escaped = next(characters)
        if escaped not in ESCAPES:
            valid = 'one of \\n \\t \\r \\\\ \\" \\\'; r"..." takes every character as it is'
            raise BoundaryError(at, f"'\\{escaped}'", valid)
        found.append(ESCAPES[escaped])
    return "".join(found)
