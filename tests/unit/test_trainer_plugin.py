import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from tests.unit.training_rows import NAMES, class_rows, features, order, training_rows

from flyball_proto.bundles import content_digest
from flyball_proto.spec.learning import Search, Trainer
from flyball_trainer.kinds.catalogue import FitError, fit
from flyball_trainer.kinds.plugin import GROUP
from flyball_trainer.training.fitting import NotTrained, Trained, train
from flyball_trainer.training.parity import compare
from flyball_trainer.training.platform import platform_key

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "naive-bayes"
BAYES = "plugin:naive_bayes"
SOUND = """
from types import SimpleNamespace as Learnt
from flyball_naive_bayes import fit as bayes
def fit(**given):
    found = bayes(**given)
"""


def installed(folder: Path, name: str, entry_points: dict[str, str]) -> None:
    """What an installer writes beside a distribution's code."""
    told = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{point} = {target}" for point, target in entry_points.items()]
    (told / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for plug-ins in which the example is installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    installed(tmp_path, project["name"], project["entry-points"][GROUP])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLE)
    platform_key.cache_clear()
    return tmp_path


def plugin(place: Path, code: str) -> str:
    """The kind of a plug-in of this code."""
    name = f"odd_{abs(hash(code)):x}"
    (place / f"{name}.py").write_text(code)
    installed(place, name.replace("_", "-"), {name: f"{name}:fit"})
    return f"plugin:{name}"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("task", "classes"), [("binary", 0), ("multiclass", 3), ("multiclass", 5)])
def test_the_example_learns_and_its_file_answers_as_it_does(task: str, classes: int) -> None:
    rows = class_rows(2_000, 3) if classes else training_rows(2_000)
    later = class_rows(1_000, 3, seed=77) if classes else training_rows(1_000, seed=77)
    found = fit(BAYES, rows, task, {}, 0, classes=classes)
    said = found.scores(later.feature)
    assert said.shape == (1_000, classes or 1)
    guess = said.argmax(axis=1) if classes else said[:, 0] > 0.5
    usual = np.bincount(later.label.astype(int)).max() / 1_000
    assert (guess == later.label).mean() > usual + 0.05
    assert found.importance.argmax() == 0
    onnx = found.form.onnx  # type: ignore[union-attr]
    parity = compare(found, onnx, features(300, seed=5), task=task, names=NAMES)
    assert parity.holds, parity.sentence  # type: ignore[union-attr]


@pytest.mark.usefixtures("place")
def test_a_plug_in_gives_a_bundle_like_any_other_kind() -> None:
    first, second = (train(order(BAYES)) for _ in range(2))
    assert isinstance(first, Trained)
    assert isinstance(second, Trained)
    assert (first.onnx, first.manifest) == (second.onnx, second.manifest)
    said = {prop.key: prop.value for prop in ModelProto.FromString(first.onnx).metadata_props}
    assert said["flyball.manifest"] == content_digest(first.manifest)
    assert "flyball-naive-bayes=0.1.0" in first.manifest.platform


@pytest.mark.usefixtures("place")
def test_rows_weigh_in_a_plug_in_too() -> None:
    rows = training_rows()
    light = fit(BAYES, rows, "binary", {}, 0).scores(features(50)).mean()
    heavy = rows.part(np.append(np.arange(600), np.repeat(np.flatnonzero(rows.label == 1), 9)))
    assert fit(BAYES, heavy, "binary", {}, 0).scores(features(50)).mean() > light + 0.05


@pytest.mark.usefixtures("place")
def test_a_search_tries_settings_of_a_plug_in() -> None:
    drawn = Search(trials=2, parameters={"smoothing": (0.5, 5.0)})
    found = train(order(BAYES, search=drawn))
    assert isinstance(found, Trained)
    tried = found.report["trials"]
    assert [t["parameters"].get("smoothing") in (None, 0.5, 5.0) for t in tried] == [True, True]
    assert all(t["loss"] is not None for t in tried)


def test_a_worker_finds_what_is_installed_beside_it(place: Path) -> None:
    script = (
        "from tests.unit.training_rows import order\n"
        "from flyball_trainer.training.fitting import train\n"
        f"print(train(order({BAYES!r})).manifest.platform)"
    )
    paths = f"{ROOT}:{place}:{EXAMPLE}"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": paths},
        check=False,
    )
    assert "flyball-naive-bayes=0.1.0" in ran.stdout, ran.stderr


@pytest.mark.usefixtures("place")
def test_what_is_not_installed_is_answered_with_what_is() -> None:
    with pytest.raises(FitError, match=r"no plug-in 'bayes'.*valid: naive_bayes; install"):
        fit("plugin:bayes", training_rows(), "binary", {}, 0)
    found = train(order("plugin:bayes"))
    assert isinstance(found, NotTrained)
    assert found.cause == "fit"


def test_two_plug_ins_of_one_name_are_both_named(place: Path) -> None:
    installed(place, "another", {"naive_bayes": "flyball_naive_bayes:fit"})
    with pytest.raises(FitError, match=r"another=0.1.0, flyball-naive-bayes=0.1.0"):
        fit(BAYES, training_rows(), "binary", {}, 0)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("task", "parameters", "words"),
    [
        ("regression", {}, "naive_bayes of flyball-naive-bayes=0.1.0: ValueError: .*classes"),
        ("binary", {"smooth": 1}, "unknown parameter 'smooth'"),
    ],
)
def test_a_plug_in_refuses_what_it_does_not_know(
    task: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(FitError, match=words):
        fit(BAYES, training_rows(task=task), task, parameters, 0)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def fit(**given): raise KeyError('gone')", "KeyError: 'gone'"),
        ("class Own(Exception): pass\ndef fit(**given): raise Own", "Own: "),
        ("def fit(**given): raise SystemExit(3)", "SystemExit: 3"),
        ("def fit(rows): pass", "TypeError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("learn = 1", "AttributeError"),
        ("def fit(**given): return None", "AttributeError.*'onnx'"),
        ("def fit(*, feature, **given): feature[:] = 0", "ValueError: .*read-only"),
        (f"{SOUND}    return Learnt(onnx=b'', scores=found.scores, importance=None)", "0 bytes"),
        (
            f"{SOUND}    return Learnt(onnx=b'x', scores=found.scores, importance=None)",
            "DecodeError",
        ),
        (f"{SOUND}    return Learnt(onnx=found.onnx, scores=1, importance=None)", "is int"),
        (
            f"{SOUND}    return Learnt(onnx=found.onnx, scores=lambda x: x[:, 0], importance=None)",
            r"shape \(65,\); \(65, 1\) is right",
        ),
        (
            f"{SOUND}    return Learnt(onnx=found.onnx, scores=found.scores, importance=[-1] * 5)",
            "5 finite numbers",
        ),
        (
            f"{SOUND}    given |= dict(task='multiclass', classes=2)\n    return bayes(**given)",
            r"gives score f32 \(n, 2\); .* score f32 \(n, 1\)",
        ),
    ],
)
def test_what_a_plug_in_does_wrong_is_said_with_its_name(
    place: Path, code: str, words: str
) -> None:
    kind = plugin(place, code)
    with pytest.raises(FitError, match=words) as raised:
        fit(kind, training_rows(), "binary", {}, 0)
    assert str(raised.value).startswith(f"plug-in {kind.removeprefix('plugin:')} of odd-")


def test_a_plug_in_whose_file_answers_otherwise_gives_no_model(place: Path) -> None:
    code = f"{SOUND}    return Learnt(onnx=found.onnx, scores=lambda x: found.scores(x) * 0.99, importance=None)"
    found = train(order(plugin(place, code)))
    assert isinstance(found, NotTrained)
    assert found.cause == "parity"


def test_scores_that_fail_later_are_said_not_thrown(place: Path) -> None:
    code = (
        f"{SOUND}    def scores(x):\n        if len(x) > 65: raise MemoryError('too many')\n"
        "        return found.scores(x)\n"
        "    return Learnt(onnx=found.onnx, scores=scores, importance=None)"
    )
    found = train(order(plugin(place, code)))
    assert isinstance(found, NotTrained)
    assert "too many" in found.found


def test_a_specification_may_name_a_plug_in_that_is_not_installed_here() -> None:
    said = Trainer.model_validate(
        {"name": "bayes", "kind": BAYES, "parameters": {"smoothing": 0.01}}
    )
    assert said.kind == BAYES
