"""Committed generated files are what the code gives today."""

import pytest

from flyball_local import generate

REFERENCES = ("settings", "specification", "events", "subjects", "cli", "http")


@pytest.fixture(scope="module")
def generated() -> dict[str, tuple[bool, str]]:
    """By name: whether the committed file is the same, and the text it should have."""
    return {
        str(path.relative_to(generate.ROOT)): (path.exists() and path.read_text() == text, text)
        for path, text in generate.generated()
    }


def test_every_generated_file_is_committed_as_generated(
    generated: dict[str, tuple[bool, str]],
) -> None:
    stale = [name for name, (same, _) in generated.items() if not same]
    assert stale == [], "run `make generate` and commit the result"


def test_all_kinds_of_files_are_among_them(generated: dict[str, tuple[bool, str]]) -> None:
    assert {
        "proto/flyball_proto/data_plane_pb2.py",
        "proto/flyball_proto/data_plane_pb2.pyi",
        *(f"docs/reference/{page}.md" for page in REFERENCES),
        *(f"services/{name}/asyncapi.json" for name in generate.services()),
    } == set(generated)


def test_the_references_name_what_there_is(generated: dict[str, tuple[bool, str]]) -> None:
    settings = generated["docs/reference/settings.md"][1]
    assert "| `FLYBALL_NATS_URL` | `nats://127.0.0.1:4222` |" in settings
    assert "FLYBALL_RISK_RETAIN_MIB" in settings
    specification = generated["docs/reference/specification.md"][1]
    assert "| `spec.risk.boundaries[].when` | **required** |" in specification
    assert "| `spec.decisions[].cooldown` | `1min` |" in specification


def test_what_is_generated_does_not_depend_on_chance() -> None:
    assert [generate.asyncapi("gateway") for _ in range(5)] == [generate.asyncapi("gateway")] * 5
