"""Every hostile bundle is refused by its own check, in a process that may die over it."""

import asyncio
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit import hostile_models
from tests.unit.hostile_models import CLASSES, Bundle, Maker

from flyball_registry.admission.claims import Expected, Signers, outside
from flyball_registry.admission.frames import HEADER, Limits, Order, Outcome, refused
from flyball_registry.admission.isolation import Examiner

FEATURES = ("load.last", "load.mean", "users.last")
DIGEST = "d" * 64
MAKE = hostile_models.maker("p", DIGEST, FEATURES)
CLASSY = hostile_models.maker("p", DIGEST, FEATURES, task="multiclass", classes=CLASSES)
HOSTILE = list(hostile_models.hostile(MAKE))
LIMITS = Limits(cpu_s=2, wall_s=60, memory_bytes=700_000_000)


def expected(make: Maker) -> Expected:
    draft = make.draft
    return Expected(DIGEST, FEATURES, draft.task, 8_000_000, classes=draft.classes)


class Room:
    """An examiner and a loop to ask it in."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.runner = asyncio.Runner()
        self.examiner = Examiner(limits, Signers())

    def outcome(self, bundle: Bundle, make: Maker = MAKE) -> Outcome:
        return self.runner.run(self.asked(bundle, make))

    async def asked(self, bundle: Bundle, make: Maker = MAKE) -> Outcome:
        found = bundle.found()
        refusal = outside(bundle.told, found, expected(make), ())
        if refusal is not None:
            return refused(refusal)
        return await self.examiner.examine(Order(bundle.told, found, expected(make)))

    def close(self) -> None:
        self.runner.run(self.examiner.stop())
        self.runner.close()


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.close()


@pytest.mark.parametrize("bundle", HOSTILE, ids=lambda bundle: bundle.name)
def test_a_hostile_bundle_is_refused_by_the_check_that_it_is_made_for(
    room: Room, bundle: Bundle
) -> None:
    outcome = room.outcome(bundle)
    assert outcome.check == bundle.check, outcome
    assert outcome.found
    assert outcome.limit


def test_no_two_hostile_bundles_are_the_same() -> None:
    assert len(HOSTILE) > 60
    assert len({bundle.name for bundle in HOSTILE}) == len(HOSTILE)


def test_after_all_of_them_an_honest_model_is_admitted_by_the_same_process(room: Room) -> None:
    before = room.examiner.pid
    outcome = room.outcome(MAKE.bundle("good", ""))
    assert outcome.refusal is None, outcome
    assert 0 < outcome.latency_p99_ms < 2
    assert 0 < outcome.memory_bytes < 8_000_000
    assert room.examiner.pid == before


def test_an_honest_model_of_several_classes_is_admitted(room: Room) -> None:
    assert room.outcome(CLASSY.bundle("classes", ""), CLASSY).refusal is None


def test_an_honest_model_with_smaller_forms_is_admitted(room: Room) -> None:
    form = MAKE.model("smaller", shift=0.001)
    bundle = MAKE.bundle("variants", "", forms={"float16": form, "int8": form})
    assert room.outcome(bundle).refusal is None


@pytest.mark.parametrize(
    ("name", "check", "change"),
    [
        ("odds that are no probabilities", "scores", "Identity"),
        ("probabilities that do not sum to 1", "scores", "Sigmoid"),
    ],
)
def test_scores_of_several_classes_are_probabilities_that_sum_to_one(
    room: Room, name: str, check: str, change: str
) -> None:
    bundle = CLASSY.bundle(name, check, change=lambda m: hostile_models.odds(m, change))
    assert room.outcome(bundle, CLASSY).check == check


def test_classes_in_another_order_are_refused(room: Room) -> None:
    bundle = CLASSY.bundle("permuted", "manifest", classes=CLASSES[::-1])
    outcome = room.outcome(bundle, CLASSY)
    assert outcome.check == "manifest"
    assert "high, middle, low" in outcome.found


def test_an_examiner_is_as_small_after_many_models_as_after_one(room: Room) -> None:
    bundle = MAKE.bundle("again", "")
    assert room.outcome(bundle).refusal is None
    assert room.examiner.pid is not None
    before_bytes = resident_bytes(room.examiner.pid)
    for _ in range(40):
        assert room.outcome(bundle).refusal is None
    assert resident_bytes(room.examiner.pid) < before_bytes + 1_000_000


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forks(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("dies", ["the fork", "the examiner", "the examiner, twice"])
def test_a_model_that_kills_its_examination_is_refused_or_examined_again(dies: str) -> None:
    room = Room(Limits(cpu_s=30, wall_s=60, memory_bytes=700_000_000))
    bundle = MAKE.bundle("slow", "", change=lambda m: hostile_models.products(m, 400))

    async def killed() -> Outcome:
        asking = asyncio.create_task(room.asked(bundle))
        gone: set[int] = set()
        for _ in range(2 if dies.endswith("twice") else 1):
            pid = await examining(room.examiner, gone)
            gone.add(pid)
            of = forks(pid)[0] if dies == "the fork" else pid
            os.kill(of, signal.SIGSEGV)
        if dies == "the examiner":
            pid = await examining(room.examiner, gone)
            os.kill(forks(pid)[0], signal.SIGTERM)
        return await asking

    outcome = room.runner.run(killed())
    words = {"the fork": "SIGSEGV", "the examiner": "SIGTERM"}.get(dies, "died over it 2 times")
    assert (outcome.check, words in outcome.found) == ("examination", True), outcome
    assert room.outcome(MAKE.bundle("good", "")).refusal is None
    room.close()


async def examining(examiner: Examiner, gone: set[int]) -> int:
    """The examiner's process, once it examines."""
    async with asyncio.timeout(60):
        while True:
            pid = examiner.pid
            if pid is not None and pid not in gone and forks(pid):
                return pid
            await asyncio.sleep(0.005)


def test_when_the_registry_is_gone_so_are_its_examiner_and_what_that_examines() -> None:
    command = [sys.executable, "-I", "-m", "flyball_registry.admission.examiner"]
    limits = map(str, Limits(cpu_s=60, wall_s=120, memory_bytes=700_000_000))
    bundle = MAKE.bundle("slow", "", change=lambda m: hostile_models.products(m, 400))
    order = pickle.dumps(Order(bundle.told, bundle.found(), expected(MAKE)))
    with subprocess.Popen(
        [*command, *limits], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(HEADER.size) == HEADER.pack(0)
        process.stdin.write(HEADER.pack(len(order)) + order)
        process.stdin.flush()
        while not (found := forks(process.pid)):
            select.select([], [], [], 0.005)
        handle = os.pidfd_open(found[0])
        process.stdin.close()
        assert process.wait(60) == 0
        assert select.select([handle], [], [], 60)[0] == [handle]  # readable once it has ended
        os.close(handle)
