import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from flyball_kit import log
from flyball_kit.settings import KitSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)


def test_a_line_is_json_with_the_ids_of_the_span_under_way() -> None:
    out = io.StringIO()
    log.set_up(KitSettings(), "risk", out)
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("work") as span:
        logging.getLogger("flyball.risk").info("said %s", "it", extra={"subject": "a.b"})
    line = json.loads(out.getvalue())
    context = span.get_span_context()
    assert line["trace_id"] == f"{context.trace_id:032x}"
    assert line["span_id"] == f"{context.span_id:016x}"
    assert (line["message"], line["service"], line["level"], line["subject"]) == (
        "said it",
        "risk",
        "INFO",
        "a.b",
    )
    assert line["time"].endswith("+00:00")


def test_without_a_span_there_are_no_ids() -> None:
    out = io.StringIO()
    log.set_up(KitSettings(), "risk", out)
    logging.getLogger("flyball.risk").info("alone")
    assert "trace_id" not in json.loads(out.getvalue())


def test_a_traceback_stays_inside_its_line() -> None:
    out = io.StringIO()
    log.set_up(KitSettings(), "risk", out)
    try:
        raise ValueError("inner")
    except ValueError:
        logging.getLogger("flyball.risk").exception("it failed")
    (line,) = out.getvalue().splitlines()
    assert "ValueError: inner" in json.loads(line)["exception"]


def test_people_at_a_terminal_get_text() -> None:
    out = Terminal()
    log.set_up(KitSettings(), "risk", out)
    logging.getLogger("flyball.risk").warning("careful")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} WARNING flyball\.risk  careful\n", out.getvalue())


def test_json_can_be_had_at_a_terminal_too() -> None:
    out = Terminal()
    log.set_up(KitSettings(log_format="json"), "risk", out)
    logging.getLogger("flyball.risk").warning("careful")
    assert json.loads(out.getvalue())["message"] == "careful"


def test_the_level_bounds_what_is_written() -> None:
    out = io.StringIO()
    log.set_up(KitSettings(log_level="ERROR"), "risk", out)
    logging.getLogger("flyball.risk").warning("careful")
    assert out.getvalue() == ""
