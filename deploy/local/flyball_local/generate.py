"""Writes the files that are generated and committed: `python -m flyball_local.generate [--check]`.

* `services/<name>/asyncapi.json`: what each service hears and says, from its FastStream handlers;
* `docs/reference/settings.md` and `docs/reference/specification.md`, from the pydantic models;
* `docs/reference/events.md`, `subjects.md`, `cli.md` and `http.md`, from the contracts, the typer app and
  the gateway's OpenAPI document;
* `proto/flyball_proto/data_plane_pb2.py` and `.pyi`, from `data_plane.proto`.

`--check` writes nothing and exits with 1 when a committed file differs.
"""

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from flyball_kit.settings import KitSettings, variables
from flyball_local import cli
from flyball_local.exits import EXIT_PROBLEM
from flyball_local.reference.boundaries import boundary_lines
from flyball_local.reference.cli import cli_reference
from flyball_local.reference.events import events_reference
from flyball_local.reference.http import http_reference
from flyball_local.reference.markdown import DO_NOT_EDIT
from flyball_local.reference.subjects import subjects_reference
from flyball_proto.spec import Pipeline, Source, format_duration
from flyball_proto.spec.base import SpecModel

ROOT: Final = Path(__file__).parents[3]
NATS_URL: Final = "nats://127.0.0.1:4222"
PROTO: Final = "flyball_proto/data_plane"


def main() -> int:
    """Write what is generated, or with `--check` say what differs."""
    check = "--check" in sys.argv[1:]
    written = list(generated())
    different = [path for path, text in written if _differs(path, text)]
    for path, text in written:
        if path in different and not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in different:
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}", file=sys.stderr)
    if check and different:
        print("run `make generate` and commit the result", file=sys.stderr)
        return EXIT_PROBLEM
    return 0


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file and its text."""
    documents = {name: asyncapi(name) for name in services()}
    for name, text in documents.items():
        yield ROOT / "services" / name / "asyncapi.json", text
    reference = ROOT / "docs" / "reference"
    yield reference / "settings.md", settings_reference()
    yield reference / "specification.md", specification_reference()
    heard = {name: json.loads(text) for name, text in documents.items()}
    yield reference / "events.md", events_reference(ROOT / "services", heard)
    yield reference / "subjects.md", subjects_reference()
    yield reference / "cli.md", cli_reference(cli.app, cli.__doc__ or "")
    document = importlib.import_module("flyball_gateway.api.reference").document()
    yield reference / "http.md", http_reference(document)
    yield from protobuf()


def services() -> list[str]:
    """All services, by their folders."""
    folders = (ROOT / "services").iterdir()
    return sorted(f.name for f in folders if (f / f"flyball_{f.name}" / "app.py").exists())


def settings_of(service: str) -> type[KitSettings]:
    """A service's settings class."""
    found: type[KitSettings] = importlib.import_module(f"flyball_{service}.settings").Settings
    return found


def asyncapi(service: str) -> str:
    """A service's AsyncAPI document; the broker's address is that of the default settings."""
    app = importlib.import_module(f"flyball_{service}.app").build(
        settings_of(service)(nats_url=NATS_URL)
    )
    document = app.schema.to_specification().to_jsonable()
    # FastStream lists handlers in no particular order.
    return f"{json.dumps(document, indent=2, sort_keys=True)}\n"


def settings_reference() -> str:
    """All settings of all services."""
    lines = [
        "# Settings",
        "",
        DO_NOT_EDIT,
        "",
        "Read from the environment. A common setting may be set for one service alone:",
        "`FLYBALL_RISK_LOG_LEVEL` wins over `FLYBALL_LOG_LEVEL`. Standard `OTEL_*` variables say",
        "where traces and metrics go.",
        "",
        "## Common",
        "",
        *_settings_table(KitSettings, list(KitSettings.model_fields)),
    ]
    for service in services():
        cls = settings_of(service)
        own = [name for name in cls.model_fields if name not in KitSettings.model_fields]
        lines += ["", f"## {service}", ""]
        lines += _settings_table(cls, own) if own else ["None of its own."]
    return "\n".join([*lines, ""])


def specification_reference() -> str:
    """All fields of the two kinds of document."""
    lines = ["# Specification", "", DO_NOT_EDIT, ""]
    lines += ["What `flyball apply` takes. A duration is written as `30s`, `15min` or `6h`."]
    for kind in (Source, Pipeline):
        schema = kind.model_json_schema(by_alias=True)
        lines += ["", f"## kind: {kind.__name__}", ""]
        lines += ["| field | default | meaning |", "|---|---|---|"]
        lines += _fields(schema, schema["$defs"], "")
    lines += boundary_lines()
    return "\n".join([*lines, ""])


def protobuf() -> Iterator[tuple[Path, str]]:
    """The data plane's message classes, by protoc."""
    with tempfile.TemporaryDirectory() as folder:
        out = [f"--{kind}_out={folder}" for kind in ("python", "pyi")]
        protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *out, f"{PROTO}.proto"]
        subprocess.run(protoc, cwd=ROOT / "proto", check=True)
        for ending in ("_pb2.py", "_pb2.pyi"):
            made = Path(folder) / f"{PROTO}{ending}"
            yield ROOT / "proto" / f"{PROTO}{ending}", made.read_text()


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text() != text


def _settings_table(cls: type[KitSettings], names: list[str]) -> list[str]:
    rows = [
        f"| `{variables(cls, name)[-1]}` | {_default(field)} | {field.description or ''} |"
        for name, field in cls.model_fields.items()
        if name in names
    ]
    return ["| variable | default | meaning |", "|---|---|---|", *rows]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    return "unset" if value is None else f"`{value}`" if str(value) else "empty"


def _fields(schema: dict[str, Any], defs: dict[str, Any], prefix: str) -> Iterator[str]:
    """One line a field, parts and entries of lists included."""
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        required = name in schema.get("required", ())
        default = "**required**" if required else _spec_default(name, field.get("default"))
        part = _part_of(field, defs)
        if part is not None and not required:
            default = ""
        meaning = str(field.get("description", "")).replace("|", "\\|")
        yield f"| `{path}` | {default} | {meaning} |"
        if part is not None:
            is_list = field.get("type") == "array"
            yield from _fields(part, defs, f"{path}{'[]' if is_list else ''}.")


def _spec_default(name: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"`{format_duration(value)}`" if name in _DURATIONS else f"`{json.dumps(value)}`"


def _aliases(base: type[SpecModel]) -> Iterator[str]:
    """Fields `<name>_ms`, as they stand in a file."""
    for model in base.__subclasses__():
        fields = model.model_fields.items()
        yield from (f.alias for name, f in fields if name.endswith("_ms") and f.alias)
        yield from _aliases(model)


_DURATIONS: Final = frozenset(_aliases(SpecModel))


def _part_of(field: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any] | None:
    """The model that a field holds, or holds a list of."""
    reference = field.get("$ref") or field.get("items", {}).get("$ref")
    if reference is None:
        options = [o["$ref"] for o in field.get("anyOf", ()) if "$ref" in o]
        reference = options[0] if options else None
    return defs[reference.rsplit("/", 1)[1]] if reference else None


if __name__ == "__main__":
    sys.exit(main())
