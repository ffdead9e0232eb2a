"""What an operator's tools see of the loop: one trace from metric to action, counters, probes."""

import asyncio
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from tests.loop.driving import own, write_spec

from flyball_kit.telemetry import TRACEPARENT
from flyball_local import specfile
from flyball_local.control import apply
from flyball_local.embedded.stack import SERVICES, Stack
from flyball_local.session import Session, open_session
from flyball_proto import subjects

pytestmark = [
    pytest.mark.loop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("trace"),
]
WAIT_S = 30.0
FOLDS = {
    "ingest": "ingest.traced.",
    "inference": "decisions.traced.",
    "risk": "verdicts.traced.",
}
"""How the fold that counts a service's rows is called."""


@dataclass(frozen=True)
class Seen:
    """One exported span."""

    service: str
    name: str
    trace: str
    span: str
    parent: str


@dataclass
class Collector:
    """Remembers every span that is exported to `url`; whoever asks can wait for more."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, body: bytes) -> None:
        with self.changed:
            self.spans.extend(spans_of(ExportTraceServiceRequest.FromString(body)))
            self.changed.notify_all()

    def wait_for(self, enough: Callable[[list[Seen]], bool]) -> list[Seen]:
        """All spans, once `enough` is true of them; whatever there is after a while."""
        with self.changed:
            self.changed.wait_for(lambda: enough(self.spans), WAIT_S)
            return list(self.spans)


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in request.resource_spans:
        known = {a.key: a.value.string_value for a in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                yield Seen(known["service.name"], span.name, *ids)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A receiver of OTLP over HTTP that listens."""
    collected = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                collected.receive(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    collected.url = f"http://127.0.0.1:{server.server_port}"
    yield collected
    server.shutdown()
    serving.join()
    server.server_close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(
    collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Session]:
    """A stack that exports to the collector, with the pipeline `traced` applied."""
    exporting = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    async with open_session(None, print, dict.fromkeys(SERVICES, exporting)) as found:
        operator = await found.connect("operator")
        spec = write_spec(tmp_path_factory.mktemp("trace"), "traced")
        spec.write_text(spec.read_text().replace("risk: {", "risk: {control_share: 0, "))
        await apply(operator, specfile.load(spec).objects, by="test")
        await operator.close()
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def adapter(session: Session) -> AsyncIterator[Client]:
    client = await session.connect("adapter")
    yield client
    await client.close()


async def report(adapter: Client, element: str, headers: dict[str, str] | None = None) -> Msg:
    """One metric of rows enough to act on; returns the action that comes of it."""
    acted = await adapter.subscribe(subjects.actions("traced", element))
    await adapter.flush()
    samples = [{"time_ms": 1000 * n, "values": {"load": 99, "users": 1}} for n in range(1, 5)]
    body = {"element": element, "labels": {"site": "s1"}, "samples": samples}
    subject = subjects.metrics("traced", element)
    await adapter.jetstream().publish(subject, msgspec.json.encode(body), headers=headers)
    action = await acted.next_msg(timeout=WAIT_S)
    await acted.unsubscribe()
    return action


def in_order(spans: list[Seen]) -> list[tuple[str, str]]:
    """Services and names from the root on, if each span is the parent of the next.

    Samples are made beside the dispatch of actions, from the same verdicts.
    """
    (sampled,) = [span for span in spans if span.name == SAMPLED]
    spans = [span for span in spans if span is not sampled]
    (judged,) = [span for span in spans if span.name == "risk.judge"]
    assert (sampled.service, sampled.parent) == ("flyball-ingest", judged.span)
    child_of = {span.parent: span for span in spans}
    (begin,) = {span.parent for span in spans} - {span.span for span in spans}
    found = []
    while (span := child_of.get(begin)) is not None:
        found.append((span.service, span.name))
        begin = span.span
    return found


CHAIN = [
    ("flyball-ingest", "ingest"),
    ("flyball-inference", "score"),
    ("flyball-risk", "risk.judge"),
    ("flyball-risk", "risk.dispatch"),
]


SAMPLED = "ingest.samples"


async def test_a_publisher_s_trace_goes_on_through_every_stage_to_its_action(
    adapter: Client, collector: Collector
) -> None:
    trace, publisher = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    sent = {TRACEPARENT: f"00-{trace}-{publisher}-01"}
    action = await report(adapter, "cell-traced", sent)
    spans = await exported(collector, trace)
    assert in_order(spans) == CHAIN
    assert len(spans) == len(CHAIN) + 1
    assert [s.name for s in spans if s.parent == publisher] == ["ingest"]
    (last,) = [s for s in spans if s.name == "risk.dispatch"]
    assert action.headers
    assert action.headers[TRACEPARENT] == f"00-{trace}-{last.span}-01"


async def test_a_metric_that_carries_no_trace_starts_one(
    adapter: Client, collector: Collector
) -> None:
    action = await report(adapter, "cell-plain")
    assert action.headers
    trace = action.headers[TRACEPARENT].split("-")[1]
    spans = await exported(collector, trace)
    assert in_order(spans) == CHAIN
    assert [s.name for s in spans if not s.parent] == ["ingest"]


async def test_nothing_is_traced_of_a_metric_whose_publisher_does_not_sample(
    adapter: Client, collector: Collector
) -> None:
    unsampled = "a" * 32
    action = await report(adapter, "cell-b", {TRACEPARENT: f"00-{unsampled}-{'b' * 16}-00"})
    assert TRACEPARENT not in (action.headers or {})
    last = await report(adapter, "cell-c")
    assert last.headers
    await exported(collector, last.headers[TRACEPARENT].split("-")[1])
    assert not [s for s in collector.spans if s.trace == unsampled]


async def exported(collector: Collector, trace: str) -> list[Seen]:
    """The spans of a trace, once there are as many as stages."""

    def enough(spans: list[Seen]) -> bool:
        return len([s for s in spans if s.trace == trace]) > len(CHAIN)

    spans = await asyncio.to_thread(collector.wait_for, enough)
    return [s for s in spans if s.trace == trace]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_says_that_it_lives_and_is_ready(session: Session, service: str) -> None:
    url = own(session).metrics_url(service)
    for path in ("/healthz", "/readyz"):
        status, body = await asyncio.to_thread(get, url + path)
        assert (status, msgspec.json.decode(body)["status"]) == (200, "ok")
    status, body = await asyncio.to_thread(get, f"{url}/metrics")
    assert status == 200
    assert "python_info" in {family.name for family in text_string_to_metric_families(body)}


async def test_every_stage_counts_the_rows_that_it_committed(
    session: Session, adapter: Client
) -> None:
    await report(adapter, "cell-first")
    before = await settled(own(session), lambda rows: len(set(rows)) == 1)
    assert before[0] > 0
    await report(adapter, "cell-second")
    # Of four rows the first three warm an element up: they are no rows of a batch.
    more = [rows + 1 for rows in before]
    assert await settled(own(session), lambda rows: rows == more) == more


async def settled(stack: Stack, enough: Callable[[list[float]], bool]) -> list[float]:
    """The rows that each stage has counted, once `enough`: it counts after it has stored."""
    async with asyncio.timeout(WAIT_S):
        while not enough(rows := [await counted(stack, service) for service in FOLDS]):
            await asyncio.sleep(0.1)
    return rows


async def counted(stack: Stack, service: str) -> float:
    """The rows counter of a stage's fold."""
    _, body = await asyncio.to_thread(get, f"{stack.metrics_url(service)}/metrics")
    samples = [s for f in text_string_to_metric_families(body) for s in f.samples]
    rows = [s for s in samples if s.name == "flyball_fold_rows_total"]
    return sum(s.value for s in rows if s.labels["fold"].startswith(FOLDS[service]))


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return answer.status, answer.read().decode()
