"""Shares that stick: the same name always falls on the same side, on every machine."""

import hashlib
from typing import Final

PARTS: Final = 1 << 32


def fraction(*words: str) -> float:
    """A number in [0, 1) that depends on the words alone and is spread evenly."""
    digest = hashlib.blake2b("\0".join(words).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") / PARTS


def answers_canary(element: str, digest: str, percent: int) -> bool:
    """Whether the canary `digest` answers for an element; who does at 5 % also does at 25 %."""
    return fraction("canary", digest, element) * 100 < percent


def is_evidence(element: str, share: float) -> bool:
    """Whether an element's rows are among the samples; shares are nested like canary steps."""
    return share >= 1.0 or fraction("evidence", element) < share
