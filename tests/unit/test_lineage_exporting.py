"""A trail as OpenLineage events, and how they are sent."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from openlineage.client.serde import Serde

from flyball_local.invalid import InvalidInputError
from flyball_local.lineage import Trail
from flyball_local.lineage.exporting import events
from flyball_local.lineage.sending import send
from flyball_proto.deployments import CanaryMoved, DeploymentActivated
from flyball_proto.events import Manifest, ModelTrained

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST, DATASET = "a" * 64, "d" * 64
TRAINED = ModelTrained(
    pipeline="p",
    at=NOW,
    digest=DIGEST,
    manifest_digest="b" * 64,
    trainer="recent",
    feature_digest="f" * 64,
    size_bytes=10,
    kind="lightgbm",
    trained_through={"0": 4711, "1": 4712},
    because="drift",
)
MANIFEST = Manifest(
    digest=DIGEST,
    pipeline="p",
    trainer="recent",
    kind="lightgbm",
    feature_digest="f" * 64,
    features=("load.last",),
    task="binary",
    parameters={"num_leaves": 15},
    trained_through_ms=1_767_225_600_000,
    first_ms=1_767_222_000_000,
    first_sequence=12,
    dataset_digest=DATASET,
)
ACTIVATED = DeploymentActivated(
    pipeline="p",
    at=NOW,
    digest=DIGEST,
    trainer="recent",
    epoch=3,
    reason="won",
    change="promotion",
    judgement=7,
    by="ada",
)
MOVED = CanaryMoved(
    pipeline="p", at=NOW, digest=DIGEST, trainer="recent", epoch=2, percent=5, reason="won"
)
TRAIL = Trail("p", DIGEST, placements=(MOVED, ACTIVATED), trained=TRAINED, manifest=MANIFEST)


def plain(trail: Trail) -> list[dict[str, Any]]:
    return [json.loads(Serde.to_json(event)) for event in events(trail)]


def test_a_training_leads_from_samples_and_the_data_set_to_the_model() -> None:
    training, _ = plain(TRAIL)
    assert training["job"]["name"] == "p.train.recent"
    assert [found["name"] for found in training["inputs"]] == [
        "samples.p.ffffffff.0",
        "samples.p.ffffffff.1",
        f"datasets/{DATASET}.parquet",
    ]
    version = training["inputs"][0]["facets"]["version"]["datasetVersion"]
    assert version == "METRICS 12 to 4711"
    assert training["outputs"][0]["name"] == f"models/{DIGEST}/model.onnx"
    told = training["run"]["facets"]["executionParameters"]["parameters"]
    assert {"key": "num_leaves", "value": "15"}.items() <= told[0].items()


def test_an_activation_names_who_and_why() -> None:
    _, activation = plain(TRAIL)
    assert activation["job"]["name"] == "p.deploy"
    words = activation["job"]["facets"]["documentation"]["description"]
    assert words == "promotion by ada, judgement 7: won"
    assert activation["outputs"][0]["facets"]["version"]["datasetVersion"] == "epoch 3"


def test_the_same_trail_gives_the_same_runs() -> None:
    assert [e["run"]["runId"] for e in plain(TRAIL)] == [e["run"]["runId"] for e in plain(TRAIL)]


def test_of_what_is_not_known_nothing_is_said() -> None:
    assert plain(Trail("p", DIGEST)) == []


class Catalogue(HTTPServer):
    """Takes events, as a catalogue would; keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[tuple[str, Any]] = []


class Taking(BaseHTTPRequestHandler):
    server: Catalogue

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, json.loads(body)))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    server = Catalogue()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_are_sent_to_a_catalogue(catalogue: Catalogue) -> None:
    assert send(events(TRAIL), f"http://127.0.0.1:{catalogue.server_port}") == 2
    assert [path for path, _ in catalogue.taken] == ["/api/v1/lineage"] * 2
    assert [event["job"]["name"] for _, event in catalogue.taken] == ["p.train.recent", "p.deploy"]


def test_a_catalogue_that_is_not_there_is_named(catalogue: Catalogue) -> None:
    catalogue.server_close()
    with pytest.raises(InvalidInputError, match="takes OpenLineage events"):
        send(events(TRAIL), f"http://127.0.0.1:{catalogue.server_port}")
