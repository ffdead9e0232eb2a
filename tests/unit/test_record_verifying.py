"""Whoever changes, removes, moves or cuts the record is found out, offline; each way is a test."""

import base64
import json
import shutil
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nkeys
import pyarrow.parquet as pq
import pytest
from tests.unit.risk_rows import Row, judged

from flyball_gateway.archiving.tables import parquet
from flyball_kit.segments import Entry, Name, name_of, write
from flyball_kit.signing import sign
from flyball_local.invalid import InvalidInputError
from flyball_local.record.findings import Findings, lines
from flyball_local.record.folders import ABOUT, Export, chains, keys_of, verify_folder
from flyball_proto.acts import Act
from flyball_proto.chains import Checkpoint, Gap, Head, Place, beginning
from flyball_proto.columns import encode_verdicts
from flyball_proto.headers import CHAIN

AUDIT, VERDICTS = "audit.risk", "verdicts.congestion.0"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Record:
    """Writes a record as the services and the archive do."""

    def __init__(self, folder: Path, *, whole: bool = True) -> None:
        self.folder, self.seeds = folder / "record", folder
        self.acts: list[Entry] = []
        self.outputs: list[Entry] = []
        self.act_place, self.place = beginning(AUDIT), beginning(VERDICTS)
        self.minute = 0
        self.folder.mkdir()
        if whole:
            (self.folder / ABOUT).write_text(Export(at=NOON.isoformat()).model_dump_json())

    def act(self, verb: str = "stop", **more: Any) -> None:
        act = Act(
            service="risk",
            at=self.now(),
            verb=verb,
            object="pipeline a",
            by="ann",
            outcome="done",
            **more,
        ).behind(self.act_place)
        assert act.link is not None
        self.act_place = act.link.place
        data = act.model_dump_json().encode()
        self.acts.append(Entry(len(self.acts) * 3 + 1, self.now(), {}, data))

    def output(self) -> None:
        rows = [Row(f"cell-{i}", self.minute * 60_000, 0.9) for i in range(3)]
        data = encode_verdicts(judged(rows))
        self.place = self.place.then(data)
        headers = {CHAIN: self.place.text}
        self.outputs.append(Entry(len(self.outputs) * 2 + 1, self.now(), headers, data))

    def checkpoint(self, who: str | None = "risk") -> None:
        heads = (
            head("AUDIT", AUDIT, self.act_place, self.acts),
            head("VERDICTS", VERDICTS, self.place, self.outputs),
        )
        made = Checkpoint(at=self.now(), heads=heads)
        if who is not None:
            made = made.model_copy(update={"signature": sign(self.seed(who), made.signed())})
        self.act("checkpoint", checkpoint=made)

    def seed(self, who: str) -> Path:
        path = self.seeds / f"{who}.nk"
        if not path.exists():
            raw = who.encode().ljust(32, b"x")
            path.write_bytes(nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER))
        return path

    def key(self, who: str = "risk") -> str:
        return nkeys.from_seed(bytearray(self.seed(who).read_bytes())).public_key.decode()

    def now(self) -> datetime:
        self.minute += 1
        return NOON + timedelta(minutes=self.minute)

    def save(self, split: int = 4) -> None:
        for stream, subject, entries in (
            ("AUDIT", AUDIT, self.acts),
            ("VERDICTS", VERDICTS, self.outputs),
        ):
            for first in range(0, len(entries), split):
                part = entries[first : first + split]
                name = name_of(stream, subject, part)
                path = self.folder / name.path()
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(write(stream, subject, part))
                (self.folder / name.path("parquet")).write_bytes(parquet(stream, part))

    def verify(self) -> Findings:
        return verify_folder(self.folder, {"risk": [self.key()]})

    def files(self, stream: str) -> list[Path]:
        return sorted((self.folder / stream).glob("*/*.jsonl"))


def head(stream: str, subject: str, place: Place, entries: list[Entry]) -> Head:
    return Head(
        stream=stream,
        subject=subject,
        number=place.number,
        sequence=entries[-1].sequence,
        hash=place.hash,
    )


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Ten outputs and five acts in files of four; the third and the last act are checkpoints."""
    made = Record(tmp_path)
    for _ in range(5):
        made.output()
    made.act()
    made.act("resume")
    made.checkpoint()
    for _ in range(5):
        made.output()
    made.act("apply")
    made.checkpoint()
    made.save()
    return made


def edit(path: Path, line: int, change: Any) -> None:
    """Change one line of a file and leave the others as they are."""
    every = path.read_bytes().split(b"\n")
    found = json.loads(every[line])
    change(found)
    every[line] = json.dumps(found).encode()
    path.write_bytes(b"\n".join(every))


def one(findings: Findings) -> str:
    assert len(findings.problems) == 1, findings.problems
    return findings.problems[0]


def test_an_untouched_record_holds_and_is_signed_to_its_end(record: Record) -> None:
    found = record.verify()
    assert found.problems == []
    assert [(c.subject, c.first, c.last, c.vouched, c.is_signed) for c in found.chains] == [
        (AUDIT, 1, 5, 4, True),
        (VERDICTS, 1, 10, 10, True),
    ]
    assert list(lines(found))[-1] == "the record holds"


def test_a_chain_that_was_removed_from_an_export_is_named(record: Record) -> None:
    named = Export(at=NOON.isoformat(), chains=chains(record.folder))
    (record.folder / ABOUT).write_text(named.model_dump_json())
    assert record.verify().problems == []
    shutil.rmtree(record.folder / "AUDIT" / AUDIT)
    words = one(record.verify())
    assert f"export.json: found no segment of AUDIT {AUDIT}; expected it up to sequence 13" in words
    record.files("VERDICTS")[-1].unlink()
    assert any("found its end at sequence 15" in p for p in record.verify().problems)


def test_a_flipped_bit_in_an_act_is_named(record: Record) -> None:
    def change(line: dict[str, Any]) -> None:
        line["text"] = line["text"].replace('"by":"ann"', '"by":"anm"')

    path = record.files("AUDIT")[0]
    edit(path, 2, change)
    for table in record.folder.glob("AUDIT/*/*.parquet"):
        table.unlink()
    words = one(record.verify())
    assert words.startswith(f"{path}, sequence 4: found an act that gives hash ")
    assert "as it says itself" in words


def test_a_flipped_bit_in_a_verdict_is_named(record: Record) -> None:
    def change(line: dict[str, Any]) -> None:
        data = bytearray(zlib.decompress(base64.b64decode(line["data"])))
        data[-1] ^= 1
        line["data"] = base64.b64encode(zlib.compress(data)).decode()

    path = record.files("VERDICTS")[1]
    edit(path, 2, change)
    for table in record.folder.glob("VERDICTS/*/*.parquet"):
        table.unlink()
    words = one(record.verify())
    assert words.startswith(f"{path}, sequence 11: found a payload that gives hash ")
    assert "at number 6, as its header says" in words


def test_a_flipped_byte_of_a_file_is_named_with_its_line(record: Record) -> None:
    path = record.files("VERDICTS")[0]
    data = bytearray(path.read_bytes())
    data[data.index(b'"data"') + 14] = ord("!")
    path.write_bytes(data)
    assert any(p.startswith(f"{path} line 2, sequence 1: found") for p in record.verify().problems)


def test_a_removed_entry_is_named(record: Record) -> None:
    path = record.files("VERDICTS")[0]
    every = path.read_bytes().split(b"\n")
    head_line = json.loads(every[0])
    head_line["entries"] -= 1  # by somebody who knows the format
    path.write_bytes(b"\n".join([json.dumps(head_line).encode(), every[1], *every[3:]]))
    path.with_suffix(".parquet").unlink()
    words = one(record.verify())
    assert words.startswith(f"{path}, sequence 5: found number 3 behind 1; expected number 2")


def test_entries_in_another_order_are_named(record: Record) -> None:
    path = record.files("VERDICTS")[0]
    every = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([every[0], every[1], every[3], every[2], *every[4:]]))
    problems = record.verify().problems
    assert any(f"{path}, sequence 3: found number 2 behind 3" in words for words in problems)


def test_a_place_in_the_stream_that_was_changed_is_named(record: Record) -> None:
    """No link covers it, and a batch without rows has none in its table either."""
    path = record.files("VERDICTS")[0]
    edit(path, 2, lambda line: line.update(sequence=9003))
    path.with_suffix(".parquet").unlink()
    assert one(record.verify()) == f"{path}: found sequence 5 behind 9003; expected a later one"


def test_a_cut_end_contradicts_the_checkpoint(record: Record) -> None:
    last = record.files("VERDICTS")[-1]
    last.unlink()
    words = one(record.verify())
    assert f"found the end of {VERDICTS} at number 8; expected at least number 10" in words
    assert str(record.files("AUDIT")[-1]) in words


def test_a_file_cut_in_the_middle_is_named(record: Record) -> None:
    path = record.files("VERDICTS")[-1]
    path.write_bytes(path.read_bytes()[:-200])
    problems = record.verify().problems
    assert any(words.startswith(str(path)) for words in problems)


def test_a_removed_file_is_named_by_the_next_ones_link(record: Record) -> None:
    record.files("VERDICTS")[1].unlink()
    words = one(record.verify())
    after = record.files("VERDICTS")[1]
    assert words.startswith(f"{after}, sequence 17: found number 9 behind 4; expected number 5")
    assert "5 to 8" in words


def test_a_chain_that_was_made_anew_contradicts_the_checkpoint(tmp_path: Path) -> None:
    """Whoever owns the store may hash everything again, but cannot sign it."""
    honest = Record(tmp_path)
    for _ in range(3):
        honest.output()
    honest.act()
    honest.checkpoint()
    honest.outputs, honest.place = [], beginning(VERDICTS)
    honest.minute += 7
    for _ in range(3):
        honest.output()
    honest.save()
    words = one(honest.verify())
    assert "at number 3; expected" in words
    assert "vouches" in words


def test_a_foreign_signature_is_named(tmp_path: Path) -> None:
    forged = Record(tmp_path)
    forged.output()
    forged.act()
    forged.checkpoint(who="mallory")
    forged.save()
    words = one(forged.verify())
    assert f"found a checkpoint signed by {forged.key('mallory')}" in words
    assert f"expected {forged.key()}, risk" in words


def test_keys_that_were_changed_are_named_together(tmp_path: Path) -> None:
    made = Record(tmp_path)
    made.output()
    made.act()
    made.checkpoint(who="before")
    made.act()
    made.checkpoint()
    made.save()
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"risk": [made.key("before"), made.key()]}))
    assert verify_folder(made.folder, keys_of(path)).holds
    path.write_text(json.dumps({"risk": made.key()}))
    assert "signed by" in one(verify_folder(made.folder, keys_of(path)))


def test_a_signature_over_something_else_is_named(tmp_path: Path) -> None:
    forged = Record(tmp_path)
    forged.output()
    forged.act()
    signature = sign(forged.seed("risk"), b"something else")
    heads = (head("VERDICTS", VERDICTS, forged.place, forged.outputs),)
    made = Checkpoint(at=forged.now(), heads=heads, signature=signature)
    forged.act("checkpoint", checkpoint=made)
    forged.save()
    assert "does not fit the content" in one(forged.verify())


@pytest.mark.parametrize("said", [True, False])
def test_a_gap_is_a_problem_unless_the_archive_said_so(tmp_path: Path, said: bool) -> None:
    made = Record(tmp_path)
    for _ in range(6):
        made.output()
    if said:
        gap = Gap(stream="VERDICTS", subject=VERDICTS, first=3, last=4)
        made.act("give-way", gap=gap)
    made.act()
    made.checkpoint()
    del made.outputs[2:4]
    made.save()
    found = made.verify()
    assert found.holds is said
    assert [c.gaps for c in found.chains] == [0, 2 if said else 0]


def test_an_unsigned_checkpoint_is_said_and_acts_from_before_are_counted(tmp_path: Path) -> None:
    made = Record(tmp_path)
    made.output()
    made.acts.append(Entry(0, NOON, {}, b'{"service":"risk","verb":"stop"}'))
    made.act()
    made.checkpoint(who=None)
    made.save()
    found = made.verify()
    assert found.holds
    assert found.chains[0].before == 1
    assert any("1 checkpoints are unsigned" in note for note in found.notes)


def test_a_copy_of_the_archive_may_lag_behind_its_checkpoints_but_not_far(tmp_path: Path) -> None:
    made = Record(tmp_path, whole=False)
    made.output()
    made.act()
    made.output()
    made.checkpoint()
    made.outputs.pop()
    made.save()
    found = made.verify()
    assert found.holds
    assert any("may not have been archived yet" in note for note in found.notes)
    made.minute += 60
    made.act("resume")
    for path in made.files("AUDIT"):
        path.unlink()
    made.save()
    assert "it was cut" in one(made.verify())


def test_other_rows_than_the_entries_give_are_named(record: Record) -> None:
    path = record.files("VERDICTS")[0].with_suffix(".parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert f"{path}, sequences 1 to 7: found other rows" in one(record.verify())


def test_a_folder_without_segments_and_keys_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="found no segment"):
        verify_folder(tmp_path, {})
    path = tmp_path / "keys.json"
    path.write_text("[]")
    with pytest.raises(InvalidInputError, match="found no keys"):
        keys_of(path)


def test_a_segments_name_survives_its_path() -> None:
    name = Name("VERDICTS", VERDICTS, 7, 900)
    assert Name.parse(name.path()) == name
    assert Name.parse("VERDICTS/x/7-9.jsonl") is None
