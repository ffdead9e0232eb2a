import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from flyball_kit.fold import Dispatch, Input, Output
from flyball_kit.telemetry import (
    MAX_LINKS,
    TRACEPARENT,
    TracedFold,
    extract,
    inject,
    traced,
    traced_route,
    tracing_route,
)


class Concatenation:
    """A fold without state but its batch."""

    def __init__(self) -> None:
        self._batch: list[bytes] = []

    def step(self, message: Input) -> bool:
        self._batch.append(message.data)
        return False

    def tick(self, now_ms: int) -> None: ...

    def take(self) -> Output | None:
        batch, self._batch = self._batch, []
        return Output(b"".join(batch), {"Kind": "test"}, rows=len(batch)) if batch else None

    def since(self) -> int | None:
        return None

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    made = TracerProvider(sampler=ParentBased(ALWAYS_ON))
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


def message(sequence: int, headers: dict[str, str] | None = None) -> Input:
    return Input(sequence, 0, "in.a", headers, b"x")


def fold_of(provider: TracerProvider, *, root: bool = False, prefix: str = "") -> TracedFold:
    tracer = provider.get_tracer("test")
    return TracedFold("ingest", Concatenation(), tracer, root=root, prefix=prefix)


def route(message: Input) -> list[Dispatch]:
    """Two dispatches of a message with data."""
    subjects = ("out.a", "out.b") if message.data else ()
    return [Dispatch(s, (message.sequence, 0), b"y", {"Kind": "test"}) for s in subjects]


def take(fold: TracedFold) -> Output:
    output = fold.take()
    assert output is not None
    return output


def parent_id(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def test_context_survives_headers(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("cause") as cause:
        headers = inject({"Kind": "test"})
    assert headers["Kind"] == "test"
    effect = tracer.start_span("effect", context=extract(headers))
    assert effect.get_span_context().trace_id == cause.get_span_context().trace_id


@pytest.mark.parametrize("headers", [None, {}, {TRACEPARENT: "rubbish"}])
def test_headers_without_context_begin_a_new_trace(
    provider: TracerProvider, headers: dict[str, str] | None
) -> None:
    span = provider.get_tracer("test").start_span("effect", context=extract(headers))
    assert isinstance(span, ReadableSpan)
    assert span.parent is None


def test_a_batch_continues_the_first_sampled_input_and_links_the_others(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    tracer, fold = provider.get_tracer("test"), fold_of(provider)
    causes = [tracer.start_span(f"cause {n}") for n in range(3)]
    for n, cause in enumerate(causes):
        fold.step(message(n + 1, inject({}, cause)))
    output = take(fold)
    (span,) = exporter.get_finished_spans()
    first, *others = (c.get_span_context().span_id for c in causes)
    assert parent_id(span) == first
    assert [link.context.span_id for link in span.links] == others
    assert span.attributes is not None
    assert span.attributes["flyball.rows"] == 3
    assert f"{span.context.span_id:016x}" in output.headers[TRACEPARENT]
    assert output.headers["Kind"] == "test"


def test_a_trace_goes_through_two_folds(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    first, second = fold_of(provider, root=True), fold_of(provider)
    first.step(message(1))
    second.step(message(1, dict(take(first).headers)))
    take(second)
    root, child = exporter.get_finished_spans()
    assert child.context.trace_id == root.context.trace_id
    assert parent_id(child) == root.context.span_id


def test_a_span_names_a_bounded_number_of_inputs(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    tracer, fold = provider.get_tracer("test"), fold_of(provider)
    for n in range(50):
        fold.step(message(n + 1, inject({}, tracer.start_span("cause"))))
    take(fold)
    assert len(exporter.get_finished_spans()[0].links) == MAX_LINKS - 1


def test_nothing_is_made_for_inputs_that_nobody_sampled(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test").start_span("cause")
    headers = inject({}, unsampled)
    assert not unsampled.get_span_context().trace_flags.sampled
    fold, first = fold_of(provider), fold_of(provider, root=True)
    fold.step(message(1))
    fold.step(message(2, headers))
    first.step(message(1, headers))
    assert take(fold).headers == take(first).headers == {"Kind": "test"}
    assert exporter.get_finished_spans() == ()


def test_an_empty_take_keeps_the_causes_for_the_next_output(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    class Slow(Concatenation):
        def take(self) -> Output | None:
            return super().take() if len(self._batch) > 1 else None

    fold = TracedFold("slow", Slow(), provider.get_tracer("test"))
    cause = provider.get_tracer("test").start_span("cause")
    fold.step(message(1, inject({}, cause)))
    assert fold.take() is None
    fold.step(message(2))
    take(fold)
    assert parent_id(exporter.get_finished_spans()[0]) == cause.get_span_context().span_id


def test_a_message_of_another_source_neither_starts_nor_continues_a_trace(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cause = provider.get_tracer("test").start_span("cause")
    fold = fold_of(provider, root=True, prefix="metrics.ran.")
    fold.step(message(1, inject({}, cause)))  # in.a
    assert take(fold).headers == {"Kind": "test"}
    assert exporter.get_finished_spans() == ()


def test_an_output_of_ticks_alone_starts_no_trace(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    class Clockwork(Concatenation):
        def take(self) -> Output | None:
            return Output(b"tick")

    fold = TracedFold("ingest", Clockwork(), provider.get_tracer("test"), root=True)
    fold.tick(1_000)
    assert take(fold).headers == {}
    assert exporter.get_finished_spans() == ()


def test_every_dispatch_of_a_sampled_message_carries_its_trace(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    tracer = provider.get_tracer("test")
    cause = tracer.start_span("cause")
    sent = tracing_route("dispatch", route, tracer)(message(1, inject({}, cause)))
    (span,) = exporter.get_finished_spans()
    assert parent_id(span) == cause.get_span_context().span_id
    assert [d.subject for d in sent] == ["out.a", "out.b"]
    assert all(f"{span.context.span_id:016x}" in d.headers[TRACEPARENT] for d in sent)
    assert all(d.headers["Kind"] == "test" for d in sent)


def test_no_span_is_made_of_a_message_that_is_unsampled_or_dispatches_nothing(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    tracer = provider.get_tracer("test")
    dispatch = tracing_route("dispatch", route, tracer)
    assert [dict(d.headers) for d in dispatch(message(1))] == [{"Kind": "test"}] * 2
    headers = inject({}, tracer.start_span("cause"))
    assert dispatch(Input(2, 0, "in.a", headers, b"")) == []
    assert exporter.get_finished_spans() == ()


def test_without_an_exporter_nothing_is_wrapped() -> None:
    fold = Concatenation()
    assert traced("ingest", fold, root=True) is fold
    assert traced_route("dispatch", route) is route
