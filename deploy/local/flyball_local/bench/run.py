"""Runs the loads one after another on a stack of its own and gathers the figures."""

import asyncio
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from flyball_kit.clock import monotonic_s, new_id, sleep
from flyball_kit.errors import PermanentError
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_local import specfile
from flyball_local.audit import Auditor, Beginning
from flyball_local.bench import measure, plan
from flyball_local.bench.limits import onnx_rows_per_s
from flyball_local.bench.load import SOURCE, Load
from flyball_local.bench.plan import Run
from flyball_local.bench.usage import Usage, spent, usage
from flyball_local.control import apply
from flyball_local.embedded.home import Home
from flyball_local.embedded.stack import BUCKET, REGION, Options, Stack
from flyball_proto import bundles, subjects
from flyball_proto.deployments import ActiveModel
from flyball_proto.streams import DEPLOYMENTS, MAX_PAYLOAD_BYTES

PIPELINE: Final = SOURCE
RETAIN_MIB: Final = 2048
"""Room for the longest run whole, so that its account can be closed afterwards."""
SETTLE_S: Final = 20.0
POLL_S: Final = 0.05
SPEC: Final = Path(__file__).with_name("bench.yaml")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One load's figures. Times in milliseconds, rates in rows a second."""

    name: str
    mode: str
    samples: int
    offered_per_s: float
    rows: int
    rows_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    closes: bool
    lost: int
    duplicated: int
    refused: int
    receive_limit_per_s: float
    cpu_s: dict[str, float]
    pss_mib: dict[str, float]
    share_of_peak: float | None = None


@dataclass(slots=True)
class Report:
    """Everything `flyball bench` found."""

    machine: dict[str, Any]
    onnx_rows_per_s: float = 0.0
    results: list[Result] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return dataclasses.asdict(self) | {"aims": aims(self.results)}


def aims(results: list[Result]) -> list[dict[str, Any]]:
    """Each aim beside what was measured; loads that were not run are left out."""
    found = {result.name: result for result in results}
    rows = []
    for aim in plan.AIMS:
        if aim.run not in found:
            continue
        value = getattr(found[aim.run], aim.figure)
        met = value <= aim.at_most if aim.at_most is not None else value >= (aim.at_least or 0)
        limit = aim.at_most if aim.at_most is not None else aim.at_least
        rows.append({"aim": aim.what, "limit": limit, "measured": round(value, 3), "met": met})
    return rows


async def run_bench(*, quick: bool, say: Say) -> Report:
    """Every load on a fresh stack in a folder that is removed; about four minutes, quick one.

    Raises:
        PermanentError: An account did not close: the figures would be worthless.
    """
    seconds = 4.0 if quick else 10.0
    report = Report(machine())
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        async with Stack(
            Home(Path(folder)), Options(retain_mib=RETAIN_MIB, say=say, http=False)
        ) as stack:
            bench = Bench(stack, say)
            await bench.prepare()
            report.onnx_rows_per_s = await bench.onnx()
            await bench.run(plan.WARM_UP)
            for load in plan.fixed(seconds):
                report.results.append(await bench.run(load))
            report.results.append(await bench.run(Run("acked limit", "acked", 0, seconds)))
            for samples in (1, 20):
                report.results += await bench.climb(seconds, samples)
            peak = next(r for r in report.results if r.name == "core limit").rows_per_s
            overload = await bench.run(Run("core 2x overload", "core", 2 * peak, seconds))
            share = overload.rows_per_s / peak
            report.results.append(dataclasses.replace(overload, share_of_peak=round(share, 3)))
            await bench.close()
    return report


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": psutil.cpu_count(),
        "memory_mib": psutil.virtual_memory().total >> 20,
        "python": sys.version.split()[0],
    }


class Bench:
    """Connections to the stack, and how many rounds each element has already reported."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack, self._say = stack, say
        self._rounds = 0

    async def prepare(self) -> None:
        """Apply the specification and wait until a model holds the seat."""
        self._auditor = await self._stack.connect("auditor")
        self._operator = await self._stack.connect("operator")
        catalogue = specfile.load(SPEC)
        await apply(self._operator, catalogue.objects, by="bench")
        self._seat = await seat(self._operator)

    async def close(self) -> None:
        """Close the connections."""
        await self._auditor.close()
        await self._operator.close()

    async def onnx(self) -> float:
        """What ONNX Runtime alone does with the active model."""
        access, secret = self._stack.credentials.s3_keys
        settings = KitSettings(
            s3_endpoint=self._stack.s3_endpoint,
            s3_access_key=access,
            s3_secret_key=SecretStr(secret),
            s3_bucket=BUCKET,
            s3_region=REGION,
        )
        model = await Objects(settings).get(bundles.onnx_key(self._seat.digest), MAX_PAYLOAD_BYTES)
        return await asyncio.to_thread(onnx_rows_per_s, model)

    async def climb(self, seconds: float, samples: int) -> list[Result]:
        """Rising rates until the loop falls behind; the best one again under the limit's name."""
        found: list[Result] = []
        for load in plan.climb(seconds, samples):
            found.append(await self.run(load))
            if found[-1].rows_per_s < plan.KEPT_UP_RATIO * load.rate:
                break
        best = max(found, key=lambda r: r.rows_per_s)
        name = "core limit" if samples == 1 else "reports of 20 limit"
        return [*found, dataclasses.replace(best, name=name)]

    async def run(self, load: Run) -> Result:
        """One load, measured and audited."""
        self._say(f"{load.name}: {load.seconds:.0f} s")
        beginning = await Beginning.now(self._auditor)
        before = usage(self._stack.pids)
        sent = await self._send(load)
        await self._drained()
        after = usage(self._stack.pids)
        account = await Auditor(self._auditor, PIPELINE, SOURCE, beginning).settle(SETTLE_S)
        self._rounds += sent["rounds"] * load.samples
        if not account.closes:
            raise PermanentError(
                f"bench, {load.name}: the account does not close: lost {account.lost}, duplicated "
                f"{account.duplicated}, {'; '.join(account.problems[:3])}"
            )
        window, received_s = await self._measure(beginning)
        return Result(
            load.name,
            load.mode,
            load.samples,
            round(sent["rows"] / sent["wall_s"]),
            window.rows,
            round(window.rows_per_s),
            round(window.p50_ms, 2),
            round(window.p99_ms, 2),
            round(window.max_ms, 1),
            account.closes,
            account.lost,
            account.duplicated,
            sent["refused"],
            round(sent["rows"] / received_s),
            spent(before, after) | {"generator": round(sent["cpu_s"], 2)},
            _memory(after),
        )

    async def _send(self, load: Run) -> dict[str, Any]:
        request = Load(
            url=self._stack.nats_url,
            seed_file=str(self._stack.credentials.seed_file("adapter")),
            mode=load.mode,
            rate=load.rate,
            seconds=load.seconds,
            run=new_id()[:8],
            first_round=self._rounds,
            samples=load.samples,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "flyball_local.bench.generator",
            msgspec.json.encode(request).decode(),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise PermanentError(f"bench, {load.name}: the generator ended with an error")
        found: dict[str, Any] = json.loads(output)
        return found

    async def _drained(self) -> None:
        """Wait until VERDICTS covers the last report, or is at rest, without reading rows.

        The auditor reads only after that: it would take the loop's processor time.
        """
        js = self._auditor.jetstream()
        last = (await js.stream_info("METRICS")).state.last_seq
        covered, moved_s = 0, monotonic_s()
        while covered < last and monotonic_s() - moved_s < SETTLE_S:
            newest = await js.get_last_msg("VERDICTS", subjects.verdicts(PIPELINE, 0))
            found = measure.covered(newest.headers or {})
            for sequence in range((newest.seq or 0) - 1, (newest.seq or 0) - 4, -1):
                if found or sequence < 1:  # a tick covers nothing: look behind it
                    break
                behind = await js.get_msg("VERDICTS", seq=sequence)
                found = measure.covered(behind.headers or {})
            if found > covered:
                covered, moved_s = found, monotonic_s()
            await sleep(POLL_S)

    async def _measure(self, beginning: Beginning) -> tuple[measure.Window, float]:
        js = self._auditor.jetstream()
        ends = [(await js.stream_info(name)).state.last_seq for name in ("METRICS", "VERDICTS")]
        metrics, took_s = await measure.metrics_times(self._auditor, beginning.metrics + 1, ends[0])
        sequence, verdict_ns = await measure.verdict_times(
            self._auditor, subjects.verdicts(PIPELINE, 0), beginning.verdicts + 1, ends[1]
        )
        return measure.window(metrics, sequence, verdict_ns), took_s


async def seat(operator: Client) -> ActiveModel:
    """The active model, once there is one.

    Raises:
        PermanentError: None within half a minute.
    """
    js, subject = operator.jetstream(), f"$KV.{DEPLOYMENTS.name}.{PIPELINE}"
    for _ in range(300):
        with suppress(NotFoundError):
            found = await js.get_last_msg(f"KV_{DEPLOYMENTS.name}", subject)
            return ActiveModel.model_validate_json(found.data or b"")
        await asyncio.sleep(0.1)
    raise PermanentError("bench: no model took the seat within 30 s; see the logs of the services")


def _memory(found: dict[str, Usage]) -> dict[str, float]:
    return {name: round(part.pss_mib, 1) for name, part in found.items()}
