"""What every service must do, whichever services there are."""

import importlib
import importlib.metadata
import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from faststream import FastStream
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flyball_kit.settings import KitSettings
from flyball_local.generate import ROOT, services, settings_of

SERVICES = services()

pytestmark = pytest.mark.xdist_group("services")  # they share what `started` found

TRAINING = {"lightgbm", "scikit-learn", "scipy", "pandas", "onnx", "skl2onnx", "onnxmltools"}
"""What only those who train and admit models may carry."""
MUST_NOT_CARRY = {
    "ingest": TRAINING | {"onnxruntime"},
    "inference": TRAINING,
    "risk": TRAINING | {"onnxruntime"},
    "deployer": TRAINING | {"onnxruntime"},
    "gateway": TRAINING | {"onnxruntime"},
    "registry": {"lightgbm", "scikit-learn", "scipy", "pandas"},
    "trainer": set[str](),
}
INSTALLED = {"registry": {"scipy"}}
"""River's, which the registry imports with the first block that it looks at for drift."""
MODULES = {"scikit-learn": "sklearn"}

WATCHED = """
import sys
forbidden = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.fork")
seen = []
def watch(event, args):
    if event == "socket.bind" and args[1][1] == 0:
        return  # urllib3 asks the system whether there is IPv6
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if event in forbidden or (writes and not str(args[0]).endswith((".pyc", "/dev/null"))):
        seen.append((event, str(args[0])))
sys.addaudithook(watch)
import threading
from flyball_{name}.app import build
from flyball_{name}.settings import Settings
import_alone = list(seen)
build(Settings())
import json
threads, modules = threading.active_count(), list(sys.modules)
print(json.dumps(dict(imported=import_alone, built=seen, threads=threads, modules=modules)))
"""


@cache
def started(service: str) -> dict[str, Any]:
    """What a fresh interpreter did while it imported the service and built it."""
    code = WATCHED.format(name=service)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_there_are_services() -> None:
    assert set(SERVICES) == set(MUST_NOT_CARRY), "say in MUST_NOT_CARRY what a new service lacks"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_builds_with_its_defaults(service: str) -> None:
    app = importlib.import_module(f"flyball_{service}.app").build(settings_of(service)())
    assert isinstance(app, FastStream)


@pytest.mark.parametrize("service", SERVICES)
def test_importing_and_building_does_no_io_and_starts_nothing(service: str) -> None:
    found = started(service)
    assert (found["imported"], found["built"], found["threads"]) == ([], [], 1)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_rooms(service: str) -> None:
    folder = ROOT / "services" / service
    assert (folder / f"flyball_{service}" / "py.typed").exists()
    lines = (folder / f"flyball_{service}" / "__main__.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith('"""')]
    assert code[-1] == f'run("{service}", build)'
    assert len(code) == 3


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_its_own_is_in_the_readme(service: str) -> None:
    cls = settings_of(service)
    readme = (ROOT / "services" / service / "README.md").read_text()
    own = [name for name in cls.model_fields if name not in KitSettings.model_fields]
    missing = [
        name
        for name in own
        if f"`{name.upper()}`" not in readme and _full(service, name) not in readme
    ]
    assert missing == []
    assert all(cls.model_fields[name].description for name in cls.model_fields)
    assert len(readme.splitlines()) <= 80, "a README is one screen"


def _full(service: str, name: str) -> str:
    return f"`FLYBALL_{service.upper()}_{name.upper()}`"


@pytest.mark.parametrize("service", SERVICES)
def test_its_settings_are_frozen_and_refuse_what_they_do_not_know(service: str) -> None:
    cls = settings_of(service)
    assert cls.model_config["frozen"]
    assert cls.model_config["extra"] == "forbid"
    assert cls.model_config["env_prefix"] == f"FLYBALL_{service.upper()}_"


def closure(distribution: str) -> set[str]:
    """Everything that installing a distribution brings along, by its requirements."""
    found: set[str] = set()
    todo = [Requirement(distribution)]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        key = f"{name}[{','.join(sorted(wanted.extras))}]"
        if key in found:
            continue
        found |= {name, key}
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            extras = wanted.extras or {""}
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            ):
                todo.append(requirement)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_an_isolated_install_lacks_what_the_service_must_not_carry(service: str) -> None:
    carried = closure(f"flyball-{service}")
    assert "flyball-kit" in carried
    assert "nats-py" in carried, "the closure follows extras"
    assert carried & MUST_NOT_CARRY[service] == INSTALLED.get(service, set())
    assert not any(name.startswith("flyball-local") for name in carried)


def test_the_closure_sees_what_the_edge_may_carry() -> None:
    assert {"onnxruntime", "numpy"} <= closure("flyball-inference")


@pytest.mark.parametrize("service", SERVICES)
def test_a_running_service_has_not_imported_what_it_must_not_carry(service: str) -> None:
    modules = {MODULES.get(name, name) for name in MUST_NOT_CARRY[service]}
    assert set(started(service)["modules"]) & modules == set()
    assert "nats" in started(service)["modules"]
