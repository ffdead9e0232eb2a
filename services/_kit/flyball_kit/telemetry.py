"""Traces and metrics by OpenTelemetry, and the trace context that travels in NATS headers.

The standard OTEL_* variables say where to and how much (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, `OTEL_SDK_DISABLED`). Without an endpoint there are no spans at all and
nothing is paid for them. Spans are made per batch, never per row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flyball_kit import clock
from flyball_kit.fold.contract import Fold, Input, Output
from flyball_kit.fold.routes import Dispatch
from flyball_kit.latencies import Latencies
from flyball_kit.settings import KitSettings, open_telemetry

TRACEPARENT: Final = "traceparent"
MAX_LINKS: Final = 8
"""Sampled inputs that a batch's span names; further ones are not named."""

NS_A_MS: Final = 1_000_000

COMMIT_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)

Route = Callable[[Input], Sequence[Dispatch]]
"""What a `Dispatcher` makes of a committed message."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()


def inject(headers: Mapping[str, str] | None = None, span: Span | None = None) -> dict[str, str]:
    """The headers and the context of `span`, by default of the span under way."""
    carried = dict(headers or {})
    _PROPAGATOR.inject(carried, trace.set_span_in_context(span) if span else None)
    return carried


def extract(headers: Mapping[str, str] | None) -> Context:
    """The context that headers carry; an empty one when they carry none."""
    return _PROPAGATOR.extract(headers or {}, Context())


@dataclass(slots=True)
class Telemetry:
    """What `set_up` started; `shut_down` sends what is left."""

    closing: list[Callable[[], object]] = field(default_factory=list)

    def shut_down(self) -> None:
        """Flush and stop; waits as long as the OTEL_* variables allow."""
        for close in self.closing:
            close()


def set_up(settings: KitSettings, service: str) -> Telemetry:
    """Install the process-wide providers: metrics for Prometheus and OTLP, traces for OTLP.

    The SDK and the exporters are imported only when they are used: they cost 0.3 s and 20 MiB.
    """
    telemetry = Telemetry()
    exports = open_telemetry()
    if exports:
        telemetry.closing.append(_set_up_traces(service))
    if exports or settings.metrics_port:
        telemetry.closing.append(_set_up_metrics(settings, service, exports=exports))
    return telemetry


class FoldTelemetry:
    """A `FoldObserver` that counts: rows, commits, latency, retries, reopened readers, lag.

    What every commit changes is a plain number here, read when metrics are collected: an SDK counter
    costs 7 microseconds a call, which a commit of one row feels. A fold that ended stays with its
    last numbers; one of the same name goes on from them.
    """

    def __init__(self, fold: str) -> None:
        meter = _observe_folds()
        self._labels = {"fold": fold}
        self._retries = meter.create_counter(
            "flyball.fold.retries", description="Commits sent again: no answer, or a full stream."
        )
        self._reopened = meter.create_counter(
            "flyball.fold.reopened", description="Consumers that were lost and made anew."
        )
        self._seconds = meter.create_histogram(
            "flyball.fold.commit.duration",
            unit="s",
            description="From the first publish of an output to its acknowledgement.",
            explicit_bucket_boundaries_advisory=COMMIT_BUCKETS_S,
        )
        self._counts = _FOLDS.setdefault(fold, FoldCounts())

    def committed(self, output: Output, duration_s: float) -> None:
        """Count an output and its rows."""
        self._counts.commits += 1
        self._counts.rows += output.rows
        self._seconds.record(duration_s, self._labels)

    def answered(self, stored_ns: int) -> None:
        """Count how long a commit's oldest input took to it."""
        self._counts.latencies.add((clock.wall_ns() - stored_ns) / NS_A_MS)

    def retried(self) -> None:
        """Count a commit that was sent again."""
        self._retries.add(1, self._labels)

    def reopened(self) -> None:
        """Count a consumer made anew."""
        self._reopened.add(1, self._labels)

    def lagging(self, messages: int) -> None:
        """Remember the lag."""
        self._counts.lag = messages


@dataclass(slots=True)
class FoldCounts:
    """What one fold or dispatcher of this process has done so far."""

    rows: int = 0
    commits: int = 0
    lag: int = 0
    latencies: Latencies = field(default_factory=Latencies)


_FOLDS: Final[dict[str, FoldCounts]] = {}


def folds() -> Mapping[str, FoldCounts]:
    """Every fold and dispatcher that ever ran in this process, by name."""
    return _FOLDS


def turn() -> None:
    """A second passed: latencies of ten turns ago are forgotten."""
    for counts in _FOLDS.values():
        counts.latencies.turn()


@cache
def _observe_folds() -> Meter:
    """The meter, with the instruments that read the counts of every fold of this process."""

    def observing(what: str) -> Callable[[CallbackOptions], list[Observation]]:
        return lambda _: [
            Observation(getattr(counts, what), {"fold": fold}) for fold, counts in _FOLDS.items()
        ]

    meter = metrics.get_meter("flyball")
    meter.create_observable_counter(
        "flyball.fold.rows", [observing("rows")], description="Rows committed."
    )
    meter.create_observable_counter(
        "flyball.fold.commits", [observing("commits")], description="Outputs stored."
    )
    meter.create_observable_gauge(
        "flyball.fold.lag",
        [observing("lag")],
        unit="{message}",
        description="Stored, but not yet received.",
    )
    return meter


def traced(name: str, fold: Fold, *, root: bool = False, prefix: str = "") -> Fold:
    """The fold, with one span a batch when traces are exported; else the fold itself.

    The span continues the first sampled input and links the others; its context goes into the
    output's headers. `root` also starts a trace for batches of inputs that carry none, as the
    sampler wills: for the first fold of the chain. Inputs whose subject does not begin with `prefix` are
    none of the fold's: they neither start nor continue a trace.
    """
    if not _exports():
        return fold
    return TracedFold(name, fold, trace.get_tracer("flyball"), root=root, prefix=prefix)


def traced_route(name: str, route: Route) -> Route:
    """The route, with one span a message that dispatches come of; without an exporter itself.

    The span continues the message's trace, and its context goes into each dispatch's headers. A
    message that is read again after a restart makes its span again.
    """
    return tracing_route(name, route, trace.get_tracer("flyball")) if _exports() else route


def tracing_route(name: str, route: Route, tracer: Tracer) -> Route:
    """As `traced_route`, with a tracer of one's own."""

    def traced_one(message: Input) -> Sequence[Dispatch]:
        dispatches = route(message)
        if not dispatches or not message.headers or not _is_sampled(message.headers):
            return dispatches
        span = tracer.start_span(
            name,
            context=extract(message.headers),
            kind=SpanKind.CONSUMER,
            attributes={"flyball.rows": len(dispatches)},
        )
        span.end()
        return [replace(d, headers=inject(d.headers, span)) for d in dispatches]

    return traced_one


class TracedFold:
    """Wraps a fold; see `traced`. Keeps the headers of at most `MAX_LINKS` inputs."""

    def __init__(
        self, name: str, fold: Fold, tracer: Tracer, *, root: bool = False, prefix: str = ""
    ) -> None:
        self._name, self._fold, self._tracer, self._root = name, fold, tracer, root
        self._prefix = prefix
        self._sampled: list[Mapping[str, str]] = []
        self._has_untraced = False  # someone left it to us whether to sample
        self._began_ns = 0
        self.tick, self.since = fold.tick, fold.since
        self.dump, self.load = fold.dump, fold.load

    def step(self, message: Input) -> bool:
        """Fold one message and remember whose trace it belongs to."""
        if not message.subject.startswith(self._prefix):
            return self._fold.step(message)
        if not self._began_ns:
            self._began_ns = clock.wall_ns()
        headers = message.headers
        if headers is None or TRACEPARENT not in headers:
            self._has_untraced = True
        elif len(self._sampled) < MAX_LINKS and _is_sampled(headers):
            self._sampled.append(headers)
        return self._fold.step(message)

    def take(self) -> Output | None:
        """The output, carrying the context of the batch's span."""
        output = self._fold.take()
        if output is None:
            return None
        sampled, began_ns = self._sampled, self._began_ns
        starts = self._root and self._has_untraced  # a tick alone does not
        self._sampled, self._began_ns, self._has_untraced = [], 0, False
        if not sampled and not starts:
            return output
        return replace(output, headers=self._span(output, sampled, began_ns or None))

    def _span(
        self, output: Output, sampled: list[Mapping[str, str]], began_ns: int | None
    ) -> dict[str, str]:
        contexts = [trace.get_current_span(extract(h)).get_span_context() for h in sampled]
        span = self._tracer.start_span(
            self._name,
            context=extract(sampled[0]) if sampled else Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(c) for c in contexts[1:]],
            attributes={"flyball.rows": output.rows, "flyball.bytes": len(output.data)},
            start_time=began_ns,
        )
        span.end()
        return inject(output.headers, span)


def _exports() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _is_sampled(headers: Mapping[str, str]) -> bool:
    """The last hexadecimal digit of `traceparent` is odd (W3C Trace Context, 3.2.2.5)."""
    return headers.get(TRACEPARENT, "0")[-1:] in "13579bdf"


def _set_up_traces(service: str) -> Callable[[], object]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see set_up
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create(_resource(service)))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _set_up_metrics(settings: KitSettings, service: str, *, exports: bool) -> Callable[[], object]:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    readers: list[MetricReader] = []
    if settings.metrics_port:
        readers.append(PrometheusMetricReader(scope_info_enabled=False))
    if exports:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    provider = MeterProvider(readers, resource=Resource.create(_resource(service)))
    metrics.set_meter_provider(provider)
    return provider.shutdown


def _resource(service: str) -> dict[str, str]:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over it."""
    return {"service.namespace": "flyball", "service.name": f"flyball-{service}"}
