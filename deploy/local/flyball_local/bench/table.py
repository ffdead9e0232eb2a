"""The figures for people."""

from rich.console import Console
from rich.table import Table

from flyball_local.bench.run import Report, Result, aims


def show(report: Report, console: Console) -> None:
    """Print the loads, the limits beside them, and the aims."""
    console.print(f"machine: {report.machine}")
    console.print(
        f"ONNX Runtime alone, same model, one thread: {report.onnx_rows_per_s:,.0f} rows/s"
    )
    table = Table(title="publish acknowledged -> verdict acknowledged, by the server's clock")
    for heading in ("load", "offered/s", "verdicts/s", "p50 ms", "p99 ms", "of nats-py's limit"):
        table.add_column(heading, justify="left" if heading == "load" else "right")
    table.add_column("cpu s: generator nats ingest inference risk", justify="right")
    for result in report.results:
        table.add_row(*_row(result))
    console.print(table)
    for aim in aims(report.results):
        mark = "met" if aim["met"] else "missed"
        console.print(f"{mark:>7}  {aim['aim']}: {aim['measured']:,} (aim {aim['limit']:,})")
    if report.results:
        parts = report.results[-1].pss_mib
        console.print(f"memory after the last load: {sum(parts.values()):,.0f} MiB  {parts}")


def _row(result: Result) -> list[str]:
    parts = ("generator", "nats", "ingest", "inference", "risk")
    return [
        result.name,
        f"{result.offered_per_s:,.0f}",
        f"{result.rows_per_s:,.0f}",
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        f"{result.rows_per_s / result.receive_limit_per_s:.0%}",
        " ".join(f"{result.cpu_s.get(part, 0):.1f}" for part in parts),
    ]
