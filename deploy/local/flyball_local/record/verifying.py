"""Follows the chains of the record and says where they contradict themselves. Pure.

Feed AUDIT first (`acts`), then every other subject (`outputs`), then ask for what was found. It
holds a few hundred bytes an act, and nothing an output.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from flyball_kit.segments import Entry
from flyball_kit.signing import ForeignSignatureError, verify
from flyball_local.record.findings import Chain, Findings
from flyball_proto.chains import LINK, Checkpoint, Gap, Head, Place, act_hash, beginning, canonical
from flyball_proto.headers import CHAIN

LATE: Final = timedelta(minutes=25)
"""Two archives that were written in turn may be so far apart."""

Keys = Mapping[str, Collection[str]]
"""Public NKeys by service."""

Located = tuple[str, Entry]
"""An entry and where it lies, in words."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """Numbers that did not come, and where that was seen."""

    subject: str
    first: int
    last: int
    where: str
    sequence: int


@dataclass(frozen=True, slots=True)
class _Vouched:
    """A head of a checkpoint, and who says it where."""

    head: Head
    where: str
    sequence: int
    at: datetime
    is_signed: bool


class Verifier:
    """One verification.

    `trusted` are public NKeys by service, several where keys were changed; without them each
    service's first counts. `is_whole`: nothing is missing at the end because it was not archived yet.
    """

    def __init__(self, trusted: Keys | None = None, *, is_whole: bool = True) -> None:
        self._trusted = {service: tuple(keys) for service, keys in (trusted or {}).items()}
        self._is_whole = is_whole
        self._knows_keys = bool(trusted)
        self._findings = Findings()
        self._places: dict[tuple[str, int], str] = {}  # hashes of acts
        self._vouched: list[_Vouched] = []
        self._wanted: dict[tuple[str, int], list[_Vouched]] = {}
        self._gaps: list[Gap] = []
        self._missing: list[_Missing] = []
        self._newest: datetime | None = None
        self._unsigned = 0

    def acts(self, subject: str, entries: Iterable[Located]) -> None:
        """Follow the acts of one service."""
        chain, place = self._begin(subject), None
        for where, entry in entries:
            chain.entries += 1
            act = _act(entry.data)
            link = act.get(LINK) if act else None
            if not isinstance(link, dict):
                self._unchained(chain, place, where, entry)
                continue
            claimed = Place(_int(link.get("number")), str(link.get("hash")))
            self._follow(chain, place, claimed, where, entry.sequence)
            before = beginning(subject) if claimed.number == 1 else place
            self._check_act(act, claimed, before, where, entry.sequence)
            place = claimed
            self._places[subject, claimed.number] = claimed.hash
            self._newest = max(self._newest or entry.at, entry.at)
            self._take(act, where, entry.sequence)
        self._end(chain, place)

    def outputs(self, subject: str, entries: Iterable[Located]) -> None:
        """Follow the outputs of one subject."""
        chain, place = self._begin(subject), None
        for where, entry in entries:
            chain.entries += 1
            try:
                claimed = Place.parse(entry.headers[CHAIN])
            except KeyError:
                self._unchained(chain, place, where, entry)
                continue
            except ValueError as error:
                self._findings.wrong(where, entry.sequence, str(error), "its place in the chain")
                continue
            self._follow(chain, place, claimed, where, entry.sequence)
            before = beginning(subject) if claimed.number == 1 else place
            if before is not None and before.number + 1 == claimed.number:
                made = before.then(entry.data)
                if made != claimed:
                    found = f"a payload that gives hash {made.hash}"
                    expected = f"{claimed.hash} at number {claimed.number}, as its header says"
                    self._findings.wrong(where, entry.sequence, found, expected)
            place = claimed
            self._compare(chain, claimed, where, entry.sequence)
        self._end(chain, place)

    def unreadable(self, words: str) -> None:
        """A file could not be read; the words name it, what was found and what was expected."""
        self._findings.problems.append(words)

    def findings(self) -> Findings:
        """What was found, once everything was fed."""
        self._settle_missing()
        self._settle_vouched()
        if self._unsigned:
            self._findings.notes.append(
                f"{self._unsigned} checkpoints are unsigned: their service ran without a seed file"
            )
        if self._vouched and not self._knows_keys and self._unsigned < len(self._vouched):
            self._findings.notes.append(
                "whose keys signed is not known here: give --keys, or --home of the stack"
            )
        return self._findings

    def _begin(self, subject: str) -> Chain:
        chain = Chain(subject)
        self._findings.chains.append(chain)
        return chain

    def _end(self, chain: Chain, place: Place | None) -> None:
        chain.last = place.number if place else 0
        if chain.first > 1:
            self._findings.notes.append(
                f"{chain.subject} begins at number {chain.first}: older entries are not here"
            )

    def _unchained(self, chain: Chain, place: Place | None, where: str, entry: Entry) -> None:
        if place is None:
            chain.before += 1
            return
        found, expected = "an entry without a place in the chain", f"number {place.number + 1}"
        self._findings.wrong(where, entry.sequence, found, expected)

    def _follow(
        self, chain: Chain, place: Place | None, claimed: Place, where: str, sequence: int
    ) -> None:
        if place is None:
            chain.first = claimed.number
        elif claimed.number > place.number + 1:
            self._missing.append(
                _Missing(chain.subject, place.number + 1, claimed.number - 1, where, sequence)
            )
        elif claimed.number <= place.number:
            found = f"number {claimed.number} behind {place.number}"
            self._findings.wrong(where, sequence, found, f"number {place.number + 1}")

    def _check_act(
        self,
        act: dict[str, Any],
        claimed: Place,
        before: Place | None,
        where: str,
        sequence: int,
    ) -> None:
        if (made := act_hash(act)) != claimed.hash:
            found, expected = f"an act that gives hash {made}", f"{claimed.hash}, as it says itself"
            self._findings.wrong(where, sequence, found, expected)
        told = act[LINK].get("previous")
        follows = before is not None and before.number + 1 == claimed.number
        if follows and before is not None and told != before.hash:
            expected = f"{before.hash}, the hash of number {before.number}"
            self._findings.wrong(where, sequence, f"previous {told}", expected)

    def _take(self, act: dict[str, Any], where: str, sequence: int) -> None:
        try:
            if act.get("gap"):
                self._gaps.append(Gap.model_validate(act["gap"]))
            if not act.get("checkpoint"):
                return
            checkpoint = Checkpoint.model_validate(act["checkpoint"])
        except ValidationError as error:
            found = error.errors(include_url=False)[0]["msg"]
            self._findings.wrong(where, sequence, found, "what this version of Flyball reads")
            return
        is_signed = self._is_signed(act, checkpoint, where, sequence)
        for head in checkpoint.heads:
            vouched = _Vouched(head, where, sequence, checkpoint.at, is_signed)
            self._vouched.append(vouched)
            self._wanted.setdefault((head.subject, head.number), []).append(vouched)

    def _is_signed(
        self, act: dict[str, Any], checkpoint: Checkpoint, where: str, sequence: int
    ) -> bool:
        signature = checkpoint.signature
        if signature is None:
            self._unsigned += 1
            return False
        service = str(act.get("service"))
        expected = self._trusted.setdefault(service, (signature.key,))
        signed = {k: v for k, v in act["checkpoint"].items() if k != "signature"}
        if signature.key not in expected:
            found, known = f"a checkpoint signed by {signature.key}", " or ".join(expected)
            self._findings.wrong(where, sequence, found, f"{known}, {service}")
            return False
        try:
            verify(canonical(signed), signature, expected)
        except ForeignSignatureError as error:
            self._findings.wrong(where, sequence, str(error), f"a signature by {service}")
            return False
        return True

    def _compare(self, chain: Chain, place: Place, where: str, sequence: int) -> None:
        for vouched in self._wanted.pop((chain.subject, place.number), ()):
            if vouched.head.hash != place.hash:
                found = f"hash {place.hash} at number {place.number}"
                expected = f"{vouched.head.hash}, as {vouched.where} vouches"
                self._findings.wrong(where, sequence, found, expected)
            else:
                chain.vouched, chain.is_signed = place.number, vouched.is_signed

    def _settle_missing(self) -> None:
        chains = {chain.subject: chain for chain in self._findings.chains}
        for gone in self._missing:
            if _covers((g for g in self._gaps if g.subject == gone.subject), gone):
                chains[gone.subject].gaps += gone.last - gone.first + 1
                continue
            which = f"{gone.first}" if gone.first == gone.last else f"{gone.first} to {gone.last}"
            found = f"number {gone.last + 1} behind {gone.first - 1}"
            expected = f"number {gone.first}: {which} of {gone.subject} is gone"
            self._findings.wrong(gone.where, gone.sequence, found, expected)

    def _settle_vouched(self) -> None:
        chains = {chain.subject: chain for chain in self._findings.chains}
        for (subject, number), every in sorted(self._wanted.items()):
            chain = chains.get(subject)
            if chain is None or number > chain.last:
                self._cut(subject, chain, every[0])
            elif (found := self._places.get((subject, number))) is not None:
                for vouched in every:
                    self._compare_act(chain, vouched, found)

    def _compare_act(self, chain: Chain, vouched: _Vouched, found: str) -> None:
        if vouched.head.hash == found:
            if vouched.head.number > chain.vouched:
                chain.vouched, chain.is_signed = vouched.head.number, vouched.is_signed
            return
        said = f"{vouched.head.hash}, as its checkpoint says"
        at = f"hash {found} at number {vouched.head.number} of {chain.subject}"
        self._findings.wrong(vouched.where, vouched.sequence, at, said)

    def _cut(self, subject: str, chain: Chain | None, vouched: _Vouched) -> None:
        end = f"number {chain.last}" if chain else "nothing"
        is_recent = self._newest is not None and vouched.at > self._newest - LATE
        if not self._is_whole and is_recent:
            self._findings.notes.append(
                f"{subject} ends at {end}; {vouched.where} vouches for number "
                f"{vouched.head.number}, which may not have been archived yet"
            )
            return
        expected = f"at least number {vouched.head.number}, sequence {vouched.head.sequence}"
        self._findings.wrong(
            vouched.where,
            vouched.sequence,
            f"the end of {subject} at {end}",
            f"{expected}: it was cut",
        )


def _covers(gaps: Iterable[Gap], gone: _Missing) -> bool:
    """Whether everything that is gone was said to be missing."""
    reached = gone.first
    for gap in sorted(gaps, key=lambda g: g.first):
        if gap.first <= reached:
            reached = max(reached, gap.last + 1)
    return reached > gone.last


def _act(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0
