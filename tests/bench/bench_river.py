"""The loop beside learners that learn from every row: River's forests, trees and bags, and no-change.

    python tests/bench/bench_river.py --data FOLDER [NAME ...]

FOLDER holds the data sets that `pipelines/` has specifications for. Each is replayed in lockstep on
a stack of its own; then River's learners get the very rows that were decided and labelled there: the
same features, in the same order, each label no earlier than the loop had it. They predict a row and
learn it once its label is known (prequential; delayed labels as in Grzenda et al. 2019). Censored rows
do not occur: nothing acts. Prints a table for docs/benchmarks.md: figures over all rows behind the first
fifth, processor seconds of predicting and of learning apart. River runs in this process, the loop in
eleven; `inference` is the part of the loop that scores, `data plane` all that carries a row from METRICS
to VERDICTS, servers included.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from river import ensemble, forest, linear_model, optim, preprocessing, tree

from flyball_local import specfile
from flyball_local.playing.cputime import cpu_seconds, split
from flyball_local.playing.observed import connected
from flyball_local.playing.replay import LOCKSTEP, ReplayOptions, replay_on
from flyball_local.session import Session, open_session
from flyball_local.showing.tail import follow
from flyball_proto.columns import Column, Samples, decode_samples
from flyball_proto.spec import Catalogue, parse_documents
from flyball_proto.streams import SAMPLES

ROOT: Final = Path(__file__).parents[2]
FIRST_SHARE: Final = 0.2
NEWCOMERS_MS: Final = (1_672_617_600_000, 1_672_704_000_000)
"""2023-01-02, when 33 base stations report that nobody has seen before."""

RAW: Final = [{"metric": "*", "windows": [1], "aggregates": ["last"]}]
LAGS: Final = [*RAW, {"truth": [1, 2, 3, 48]}]
HOURS: Final = [*LAGS, {"metric": "nswprice", "windows": [2, 4], "aggregates": ["slope", "mean"]}]
DAY: Final = [*RAW, {"metric": "nswprice", "windows": [48], "aggregates": ["mean"]}]


@dataclass(frozen=True)
class Case:
    """One replay; `features` in place of the specification's."""

    name: str
    spec: str
    csv: str
    label_delay: int = 0
    features: Sequence[Mapping[str, Any]] | None = None
    learners: tuple[str, ...] = ("no-change", "Hoeffding tree", "ARF(10)", "leveraging bagging(10)")


REGRESSORS: Final = ("no-change", "Hoeffding tree", "ARF(10)")
CASES: Final = (
    Case("elec2, raw", "elec2", "elec2.csv.gz", features=RAW),
    Case("elec2, lagged labels", "elec2", "elec2.csv.gz", features=LAGS),
    Case("elec2, lagged labels, windows of 1 and 2 h", "elec2", "elec2.csv.gz", features=HOURS),
    Case("elec2, 24-hour mean (the label's definition)", "elec2", "elec2.csv.gz", features=DAY),
    Case("elec2, 48 rows late, raw", "elec2", "elec2.csv.gz", 48, RAW),
    Case("elec2, 48 rows late, lagged labels", "elec2", "elec2.csv.gz", 48, LAGS),
    Case("elec2, 48 rows late, windows of 1 and 2 h", "elec2", "elec2.csv.gz", 48, HOURS),
    Case("cicids2017", "cicids2017", "cicids2017_stream.csv.gz"),
    Case("itu5g", "itu5g_energy", "itu5g_energy.csv.gz", learners=REGRESSORS),
    Case("ucc5g", "ucc5g_sessions", "ucc5g_sessions.csv.gz", learners=REGRESSORS),
    Case("cisco_leaf7", "cisco_leaf7", "cisco_leaf7_3h.csv.gz", learners=REGRESSORS),
    Case("skab_valve1", "skab_valve1", "skab_valve1.csv.gz"),
)


@dataclass
class Rows:
    """Labelled decisions in order of event time, then METRICS sequence."""

    task: str
    element: list[str]
    time_ms: Column
    known_ms: Column
    feature: Column
    label: Column
    score: Column
    cpu_s: dict[str, float] = field(default_factory=dict)


def changed(case: Case) -> Catalogue:
    """The specification of a case, with its features."""
    found = specfile.load(ROOT / "pipelines" / f"{case.spec}.yaml")
    if case.features is None:
        return found
    documents = [value.model_dump(mode="json", by_alias=True) for value in found.objects]
    for document in documents:
        if document["kind"] == "Pipeline":
            document["spec"]["features"] = list(case.features)
    return parse_documents(documents)


async def played(case: Case, data: Path) -> Rows:
    """The rows that the loop decided, and what that cost."""
    catalogue = changed(case)
    spec = ROOT / "pipelines" / f"{case.spec}.yaml"
    options = ReplayOptions(spec, data / case.csv, say=say, label_delay_rows=case.label_delay)
    async with open_session(None, say, LOCKSTEP) as session:
        before = cpu_seconds(session.pids)
        found = (await replay_on(session, catalogue, options)).as_json()
        after = cpu_seconds(session.pids)
        say(f"{case.name}: {found['prequential']} {found['promotions']}")
        (pipeline,) = catalogue.pipelines.values()
        rows = gathered([s async for s in samples(session)], pipeline.spec.target.task)
    parts = split(before, after)
    rows.cpu_s = {
        "inference": after["inference"] - before["inference"],
        "data plane": parts["decisions"],
        "training": parts["training"],
        "judging": parts["judging"],
    }
    return rows


async def samples(session: Session) -> Any:
    """Everything in SAMPLES."""
    async with connected(session, "operator") as client:
        left = (await client.jetstream().stream_info(SAMPLES.name)).state.messages
        async with aclosing(follow(client, SAMPLES.name, "samples.>", 0)) as messages:
            async for message in messages:
                left -= 1
                if message.data:
                    yield decode_samples(message.data)
                if not left:
                    return


def gathered(parts: list[Samples], task: str) -> Rows:
    """All of them in order."""
    parts = [part for part in parts if len(part.rows)]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("known_ms", "feature", "label", "score")
    }
    time_ms = np.concatenate([part.rows.time_ms for part in parts])
    sequence = np.concatenate([part.rows.sequence for part in parts])
    element = [part.rows.element[i] for part in parts for i in part.rows.element_index.tolist()]
    order = np.lexsort((sequence, time_ms))
    columns = {name: column[order] for name, column in joined.items()}
    return Rows(task, [element[i] for i in order], time_ms=time_ms[order], **columns)


class NoChange:
    """The element's newest label that is known; before there is one 0.5, or the last of all."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.any = 0.5

    def say(self, x: Mapping[Any, float], element: str) -> float:
        """What was true last."""
        return self.last.get(element, self.any)

    def learn(self, x: Mapping[Any, float], element: str, label: float) -> None:
        """Remember."""
        self.last[element] = self.any = label


class River:
    """A learner of River's."""

    def __init__(self, model: Any, task: str) -> None:
        self.model, self.is_class = model, task == "binary"

    def say(self, x: Mapping[Any, float], element: str) -> float:
        """Probability of class 1, or the value."""
        if self.is_class:
            return float(self.model.predict_proba_one(x).get(1, 0.0))
        return float(self.model.predict_one(x) or 0.0)

    def learn(self, x: Mapping[Any, float], element: str, label: float) -> None:
        """One row."""
        self.model.learn_one(x, int(label) if self.is_class else label)


def learner(name: str, task: str) -> NoChange | River:
    """A fresh one."""
    if name == "no-change":
        return NoChange()
    binary: dict[str, Callable[[], Any]] = {
        "Hoeffding tree": tree.HoeffdingTreeClassifier,
        "ARF(10)": lambda: forest.ARFClassifier(n_models=10, seed=1),
        "leveraging bagging(10)": lambda: ensemble.LeveragingBaggingClassifier(
            tree.HoeffdingTreeClassifier(), n_models=10, seed=1
        ),
        "logistic": lambda: (
            preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.05))
        ),
    }
    regression: dict[str, Callable[[], Any]] = {
        "Hoeffding tree": tree.HoeffdingTreeRegressor,
        "ARF(10)": lambda: forest.ARFRegressor(n_models=10, seed=1),
    }
    return River((binary if task == "binary" else regression)[name](), task)


def prequential(name: str, rows: Rows) -> tuple[Column, float, float]:
    """Scores (n,), and processor seconds of predicting and of learning."""
    model = learner(name, rows.task)
    said = np.zeros(len(rows.label))
    order = np.argsort(rows.known_ms, kind="stable")
    facts = [{i: float(v) for i, v in enumerate(row) if v == v} for row in rows.feature]
    saying = learning = 0.0
    place = 0
    for i in range(len(facts)):
        began = time.process_time()
        while place < len(order) and _is_known(rows, int(order[place]), i):
            j = int(order[place])
            model.learn(facts[j], rows.element[j], float(rows.label[j]))
            place += 1
        learnt = time.process_time()
        said[i] = model.say(facts[i], rows.element[i])
        saying, learning = saying + time.process_time() - learnt, learning + learnt - began
    return said, saying, learning


def _is_known(rows: Rows, j: int, now: int) -> bool:
    """Whether the label of row j was there when row `now` was decided."""
    return bool(rows.known_ms[j] <= rows.time_ms[now] and rows.time_ms[j] < rows.time_ms[now])


def figures(rows: Rows, said: Column, chosen: Column) -> str:
    """Accuracy and Brier score, or the mean absolute error."""
    label, said = rows.label[chosen], said[chosen]
    if rows.task == "regression":
        return f"{np.abs(label - said).mean():.4g}"
    right = ((said > 0.5) == (label > 0.5)).mean()
    return f"{right:.4f} ({((label - said) ** 2).mean():.4f})"


def lines(case: Case, rows: Rows) -> Iterable[str]:
    """Rows of the table."""
    behind = np.arange(len(rows.label)) >= int(len(rows.label) * FIRST_SHARE)
    cost = ", ".join(f"{name} {seconds:.0f}" for name, seconds in rows.cpu_s.items())
    yield f"| {case.name} | {len(rows.label):,} | **the loop** | {figures(rows, rows.score, behind)} | {cost} |"
    for name in case.learners:
        said, saying, learning = prequential(name, rows)
        cost = f"predicting {saying:.0f}, learning {learning:.0f}"
        yield f"| | | {name} | {figures(rows, said, behind)} | {cost} |"
        if case.spec == "itu5g_energy":
            yield f"| | | {name}, newcomers | {figures(rows, said, newcomers(rows))} | |"
    if case.spec == "itu5g_energy":
        yield f"| | | the loop, newcomers | {figures(rows, rows.score, newcomers(rows))} | |"


def newcomers(rows: Rows) -> Column:
    """Flags (n,) of rows of stations that first report on the second day, that day."""
    first: dict[str, int] = {}
    for element, at in zip(rows.element, rows.time_ms.tolist(), strict=True):
        first.setdefault(element, at)
    new = np.array([first[element] >= NEWCOMERS_MS[0] for element in rows.element])
    found: Column = new & (rows.time_ms >= NEWCOMERS_MS[0]) & (rows.time_ms < NEWCOMERS_MS[1])
    return found


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Run all cases, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("name", nargs="*")
    asked = parser.parse_args()
    print("| data | rows | learner | accuracy (Brier), or mean absolute error | CPU seconds |")
    print("|---|---|---|---|---|")
    for case in CASES:
        if asked.name and not any(case.name.startswith(name) for name in asked.name):
            continue
        rows = asyncio.run(played(case, asked.data))
        for line in lines(case, rows):
            print(line, flush=True)


if __name__ == "__main__":
    main()
