"""Logs as one JSON object a line, with the ids that let a reader follow one stream, node or session.

`bind(node=…)` adds fields to every line of the process, `logger.info("…", extra={"stream": …})` to one line.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

FIELDS: Final = (
    "node",
    "region",
    "director",
    "stream",
    "session",
    "parent",
    "peer",
    "reason",
    "subject",
    "kind",
    "link",
)
LEVELS: Final = ("debug", "info", "warning", "error")


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, logger, message, then the ids that the record has."""

    def __init__(self) -> None:
        super().__init__()
        self.bound: dict[str, str] = {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.bound,
        }
        line |= {name: vars(record)[name] for name in FIELDS if vars(record).get(name) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


_formatter = JsonFormatter()


def setup(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs of the process to `stream` (standard error) at `level`, one of LEVELS."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def bind(**fields: str) -> None:
    """Put these fields on every later line of the process."""
    _formatter.bound |= fields
