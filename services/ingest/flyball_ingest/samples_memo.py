"""What a fold of samples must not forget and no look-back tells it. Pure."""

from dataclasses import astuple, dataclass
from typing import Final

from typing_extensions import override

from flyball_kit.errors import PermanentError

NEVER_MS: Final = -(1 << 62)


class DamagedMemoError(PermanentError):
    """The memo of the last output cannot be read."""

    kind = "damaged-memo"


@dataclass(frozen=True, slots=True)
class Memo:
    """State as of the last VERDICTS message that an output stands behind; a line of eight numbers.

    Attributes:
        message: That message. It and earlier ones only rebuild the state.
        clock_ms: The partition's clock.
        halvings, stretch, counted: See `evidence.Share`.
        floor_message, floor_row: Rows up to this place were given up for want of room.
        stored: Samples of later messages that went out already, in parts.
    """

    message: int = 0
    clock_ms: int = NEVER_MS
    halvings: int = 0
    stretch: int = 0
    counted: int = 0
    floor_message: int = 0
    floor_row: int = 0
    stored: int = 0

    @override
    def __str__(self) -> str:
        return " ".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str | None) -> "Memo":
        """Read a memo; None = there is none yet.

        Raises:
            DamagedMemoError: It is not eight numbers.
        """
        words = str(cls()).split() if text is None else text.split()
        try:
            message, clock_ms, halvings, stretch, counted, *rest = map(int, words)
            floor_message, floor_row, stored = rest
        except ValueError as error:
            raise DamagedMemoError(
                f"memo {text!r}: eight numbers expected; was it written by another version?"
            ) from error
        return cls(message, clock_ms, halvings, stretch, counted, floor_message, floor_row, stored)
