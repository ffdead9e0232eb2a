"""Log lines: JSON with trace ids for machines, short ones for people at a terminal."""

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

from opentelemetry import trace
from typing_extensions import override

from flyball_kit.settings import KitSettings

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CHATTY: Final = ("faststream", "nats", "urllib3", "asyncio", "opentelemetry")
"""Libraries of which only warnings are of interest."""


class Json(logging.Formatter):
    """One JSON object a line; fields given as `extra` are kept as they are."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **trace_ids(),
        }
        fields |= {k: v for k, v in vars(record).items() if k not in _STANDARD and k not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


class Text(logging.Formatter):
    """Time, level, who and what."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S"
        )


def trace_ids() -> dict[str, str]:
    """Ids of the span under way, as hexadecimal digits; empty when there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def set_up(settings: KitSettings, service: str, stream: TextIO | None = None) -> None:
    """Write all log lines of this process to `stream`, standard error by default.

    Replaces earlier handlers of the root logger.
    """
    stream = stream or sys.stderr
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Text() if text else Json(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    sys.excepthook = _crash
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _crash(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """The last words of a process."""
    said = kind.__name__, error
    logging.getLogger("flyball").critical("%s: %s", *said, exc_info=(kind, error, where))
