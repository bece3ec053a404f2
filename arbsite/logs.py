"""What the log looks like: readable on a terminal, one JSON object per line for everything else."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec


class JsonFormatter(logging.Formatter):
    """One line per record: time (UTC), level, logger, message, process, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object on one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def logging_config(level: str) -> dict[str, Any]:
    """Django's LOGGING: everything to stderr; containers and supervisors keep it from there."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "terminal": {
                "format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s",
                "datefmt": "%H:%M:%S",
            },
            "json": {"()": "arbsite.logs.JsonFormatter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "terminal" if sys.stderr.isatty() else "json",
            },
        },
        "root": {"handlers": ["stderr"], "level": level},
        # Django's own handlers would print every server error a second time, in another shape.
        "loggers": {"django": {"handlers": [], "propagate": True, "level": "INFO"}},
    }
