"""Whatever CSV a newcomer brings: it gets a specification, and its replay closes its account."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.loop.own_data import ALL, DATA, QUICK, cut

from flyball_local import specfile
from flyball_local.playing.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.proposing.newspec import propose, write
from flyball_local.session import Session, open_session

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("own-data")]
PIECES, ROWS = 10, 24
FLYBALL = str(Path(sys.executable).with_name("flyball"))


def quiet(_: str) -> None:
    """Progress is of no interest here."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[Session]:
    async with open_session(None, quiet, LOCKSTEP) as found:
        yield found


def named(target: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", target.lower()).strip("-")


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not here")
@pytest.mark.parametrize(("file", "target"), QUICK, ids=[f"{f}-{t}" for f, t in QUICK])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_public_data_set_is_proposed_for_and_played(
    session: Session, tmp_path: Path, file: str, target: str
) -> None:
    csv = tmp_path / file.removesuffix(".gz")
    rows = cut(DATA / file, csv, PIECES, ROWS)
    name = f"{csv.stem[:20]}-{named(target)}"
    found = propose(csv, target, name=named(name))
    spec = tmp_path / "proposed.yaml"
    write(found, spec)
    played = await replay_on(session, specfile.load(spec), ReplayOptions(spec, csv, say=quiet))
    account = played.account
    assert account.closes, account.problems
    assert account.rows_in == rows
    assert account.quarantined == 0, played.refused
    assert account.decisions + account.doubles == rows


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not here")
@pytest.mark.parametrize(("file", "target"), ALL[len(QUICK) :])
def test_a_specification_is_proposed_for_a_whole_public_data_set(file: str, target: str) -> None:
    found = propose(DATA / file, target)
    assert found.checks[0].startswith("target: ")


def messy(path: Path) -> int:
    """Decimal commas, German dates, names with blanks, stacked elements, two rows to refuse."""
    lines = ["Zeit;Zelle;Last %;Nutzer;an;Rest"]
    for element in ("Süd 1", "Nord.2", "West"):
        for i in range(60):
            at = f"0{1 + i // 30}.02.2026 {i % 30 // 6:02}:{i % 6 * 10:02}"
            lines.append(f"{at};{element};{i % 7},5;{1000 + i};{'true' if i % 5 else 'false'};-")
    lines.append("02.02.2026 05:00;West;1,5")
    lines.append("gestern;West;1,5;1000;true;-")
    path.write_bytes("\n".join(lines).encode("cp1252"))
    return len(lines) - 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_messy_file_is_played_and_what_is_refused_is_told(
    session: Session, tmp_path: Path
) -> None:
    csv, spec = tmp_path / "messy.csv", tmp_path / "messy.yaml"
    rows = messy(csv)
    write(propose(csv, "Last %"), spec)
    played = await replay_on(session, specfile.load(spec), ReplayOptions(spec, csv, say=quiet))
    assert played.account.closes, played.account.problems
    assert played.account.rows_in == rows
    refused = {found.code: found for found in played.refused}
    assert refused.keys() == {"bad-shape", "bad-time"}
    assert refused["bad-time"].rows == 1
    assert "gestern" in refused["bad-time"].examples[0]
    assert played.as_json()["refused"][0].keys() == {"code", "rows", "examples"}
    assert played.account.quarantined == 2


@pytest.mark.asyncio(loop_scope="module")
async def test_values_out_of_range_are_counted_with_an_example(
    session: Session, tmp_path: Path
) -> None:
    csv, spec = tmp_path / "narrow.csv", tmp_path / "narrow.yaml"
    lines = [f"{1_767_225_600 + i},{i % 50}" for i in range(200)]
    csv.write_text("\n".join(["time,load", *lines]) + "\n")
    found = propose(csv, "load")
    spec.write_text(re.sub(r"range: \[0, \d+\]", "range: [0, 40]", found.text))
    played = await replay_on(session, specfile.load(spec), ReplayOptions(spec, csv, say=quiet))
    (refused,) = played.refused
    assert (refused.code, refused.rows) == ("out-of-range:load", 36)
    assert '"load":41' in refused.examples[0]
    assert played.account.closes
    assert played.account.quarantined == 36


def test_a_replay_without_a_specification_writes_one_plays_it_and_says_what_it_was_worth(
    tmp_path: Path,
) -> None:
    lines = [f"{1_767_225_600 + i},{(i * i) % 97},{i % 2}" for i in range(400)]
    (tmp_path / "plant.csv").write_text("\n".join(["time,load,fault", *lines]) + "\n")
    words = [FLYBALL, "replay", "--csv", "plant.csv", "--target", "load"]
    found = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "wrote plant-load.yaml; playing it now" in found.stderr
    assert "target: " in found.stderr
    assert re.search(r"^worth +mean absolute error", found.stdout, re.MULTILINE)
    assert "flyball replay --csv plant.csv --spec plant-load.yaml" in found.stdout
    assert "the account closes" in found.stdout
    assert specfile.load(tmp_path / "plant-load.yaml").pipelines.keys() == {"plant-load"}


def test_a_replay_without_a_target_lists_the_columns_and_the_command(tmp_path: Path) -> None:
    lines = [f"{1_767_225_600 + i},c{i % 3},{i},{i % 2}" for i in range(90)]
    (tmp_path / "plant.csv").write_text("\n".join(["time,cell,load,fault", *lines]) + "\n")
    words = [FLYBALL, "replay", "--csv", "plant.csv"]
    found = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 2
    assert re.search(r"^cell +element: 3 of them$", found.stdout, re.MULTILINE)
    assert re.search(r"^load +number, 0 to 89$", found.stdout, re.MULTILINE)
    assert re.search(r"^fault +0 and 1 \(50.0% ones\)", found.stdout, re.MULTILINE)
    assert "flyball replay --csv plant.csv --target fault" in found.stderr
    assert "Traceback" not in found.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "plant.csv"]
