"""Which elements are known, and what their last labels were. Pure.

An element takes a slot with its first accepted row and gives it back once all that is remembered of
it is forgotten; so `max_elements` bounds those that reported lately, not all that ever did.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from flyball_ingest.features import NEVER, Flags

NO_LABELS = "{}"


@dataclass(slots=True)
class Elements:
    """Elements by stored subject; columns by slot."""

    max_elements: int
    slot_of: dict[str, int] = field(default_factory=dict)
    subjects: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    label_sequences: list[int] = field(default_factory=list)
    label_offsets: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether no further element may come."""
        return len(self.slot_of) >= self.max_elements

    def admit(self, subject: str, name: str) -> tuple[int, bool]:
        """The new element's slot, and whether it was never used before."""
        if self.free:
            slot, is_new = self.free.pop(), False
            self.subjects[slot], self.names[slot] = subject, name
        else:
            slot, is_new = len(self.names), True
            self.subjects.append(subject)
            self.names.append(name)
            self.labels.append(NO_LABELS)
            self.label_sequences.append(0)
            self.label_offsets.append(NEVER)
        self.slot_of[subject] = slot
        return slot, is_new

    def label(self, slot: int, labels: str, sequence: int, offset: int) -> bool:
        """Remember an element's labels; whether they differ from those before."""
        differ = labels != self.labels[slot]
        self.labels[slot] = labels
        self.label_sequences[slot], self.label_offsets[slot] = sequence, offset
        return differ

    def forget_labels(self, horizon: int) -> list[int]:
        """Drop labels read at or before this offset; the slots that lost theirs."""
        return [slot for slot in range(len(self.labels)) if self.forget_label(slot, horizon)]

    def forget_label(self, slot: int, horizon: int) -> bool:
        """Drop one element's labels if they were read at or before this offset."""
        if not NEVER < self.label_offsets[slot] <= horizon:
            return False
        self.labels[slot], self.label_offsets[slot] = NO_LABELS, NEVER
        return True

    def release(self, holds_rows: Flags, waiting: set[int]) -> None:
        """Take back the slots of elements of which nothing is remembered."""
        for subject, slot in list(self.slot_of.items()):
            if not holds_rows[slot] and self.label_offsets[slot] == NEVER and slot not in waiting:
                del self.slot_of[subject]
                self.free.append(slot)

    def oldest_label(self) -> int | None:
        """The oldest METRICS sequence that remembered labels came with."""
        held = zip(self.label_sequences, self.label_offsets, strict=True)
        return min((sequence for sequence, at in held if at != NEVER), default=None)

    def dump(self) -> dict[str, Any]:
        """The state as plain values."""
        return asdict(self)

    def load(self, state: dict[str, Any]) -> None:
        """Become what `dump` gave."""
        for name, value in state.items():
            if name != "max_elements":
                setattr(self, name, value)
