"""Form of the log: readable on a terminal, one JSON object per line for everything else.

Every line is free of secrets (core.secrets.redaction) and of what a terminal would obey
(core.names.plain_names), says on whose behalf it is, and the same line over and over is counted instead of
repeated.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from arbsite.log_context import REQUEST_ID, TASK_ID
from core.names.plain_names import escaped
from core.secrets.redaction import keep_secret, redacted

WINDOW_S: Final = 60.0
SAME_LINES: Final = 3
"""The same line so often within a minute, then only their number. Of tracebacks one is enough."""

OF_A_KIND: Final = 100
"""Different lines of one kind within a minute, then only their number: invented names, addresses or
faults from outside do not fill the log. A kind is the place in the program that says it."""

TRACEBACKS_OF_A_KIND: Final = 5

LONGEST: Final = 4_000
"""Characters of a message; what comes from outside may be longer than anybody reads."""

Key = tuple[object, ...]


class JsonFormatter(logging.Formatter):
    """One line per record: time (UTC), level, logger, message, process, ids, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object on one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "pid": record.process,
        }
        line |= _ids()
        if record.exc_info:
            line["traceback"] = escaped(redacted(self.formatException(record.exc_info)))
        return msgspec.json.encode(line).decode()


class TerminalFormatter(logging.Formatter):
    """Time, level, logger and message; the ids behind it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record as people read it."""
        ids = "".join(f" [{name.removesuffix('_id')} {value}]" for name, value in _ids().items())
        line, newline, rest = super().format(record).partition("\n")
        line = line[:LONGEST]
        return escaped(redacted(f"{line}{ids}{newline}{rest}"))


def without_blame(record: logging.LogRecord) -> bool:
    """Log what a client did wrong as a warning, and without the traceback of the refusal: nothing broke."""
    of_client = record.name == "django.request" and record.levelno < logging.ERROR
    if of_client or record.name.startswith("django.security"):
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = record.exc_text = None
    return True


class CountingHandler(logging.StreamHandler):  # type: ignore[type-arg]  # no generic at run time
    """Writes to a stream; of what is said over and over it says how often."""

    def __init__(self, stream: Any = None) -> None:
        super().__init__(stream)
        self.addFilter(without_blame)
        self._repeats = Repeats(self._sum_up)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it."""
        if self._repeats.is_news(record):
            self._write(record)

    def _sum_up(self, record: logging.LogRecord, count: int, same: bool) -> None:
        more = "times more" if same else "more of this kind"
        text = f"{_message(record)} … {count} {more} in the last minute"
        again = logging.LogRecord(
            record.name, record.levelno, record.pathname, record.lineno, text, None, None
        )
        with self.lock or threading.RLock():
            self._write(again)

    def _write(self, record: logging.LogRecord) -> None:
        if not getattr(self.stream, "closed", False):  # threads and timers may outlive it
            super().emit(record)


class Repeats:
    """Lines that were logged often enough. `sum_up` gets the rest when their minute is over."""

    def __init__(self, sum_up: Callable[[logging.LogRecord, int, bool], None]) -> None:
        self._sum_up = sum_up
        self._said: dict[Key, list[float]] = {}
        self._kinds: dict[Key, list[float]] = {}
        self._counted: dict[Key, tuple[logging.LogRecord, int]] = {}
        self._timer: threading.Timer | None = None

    def is_news(self, record: logging.LogRecord) -> bool:
        """Whether to write it; else it is counted."""
        key: Key = (record.name, record.levelno, record.getMessage()[:LONGEST])
        now = time.monotonic()
        said = [at for at in self._said.get(key, ()) if now - at < WINDOW_S]
        if len(said) < (1 if record.exc_info else SAME_LINES):
            kind = _kind(record)
            alike = [at for at in self._kinds.get(kind, ()) if now - at < WINDOW_S]
            if len(alike) < (TRACEBACKS_OF_A_KIND if record.exc_info else OF_A_KIND):
                self._said[key], self._kinds[kind] = [*said, now], [*alike, now]
                self._forget(now)
                return True
            key = kind
        first, count = self._counted.get(key, (record, 0))
        self._counted[key] = first, count + 1
        if self._timer is None:
            self._timer = threading.Timer(WINDOW_S, self.flush)
            self._timer.daemon = True
            self._timer.start()
        return False

    def flush(self) -> None:
        """Sum up everything that was counted."""
        self._timer = None
        counted, self._counted = self._counted, {}
        for key, (record, count) in counted.items():
            self._sum_up(record, count, key != _kind(record))

    def _forget(self, now: float) -> None:
        if len(self._said) > 1000:
            self._said = {key: said for key, said in self._said.items() if now - said[-1] < WINDOW_S}
            self._kinds = {key: said for key, said in self._kinds.items() if now - said[-1] < WINDOW_S}


def _kind(record: logging.LogRecord) -> Key:
    """The place that says it, and of a fault what it is and where it happened."""
    of_fault: Key = ()
    if record.exc_info and record.exc_info[0] is not None:
        frame = record.exc_info[2]
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        of_fault = (record.exc_info[0], frame and (frame.tb_frame.f_code.co_filename, frame.tb_lineno))
    return record.name, record.levelno, record.pathname, record.lineno, *of_fault


def _message(record: logging.LogRecord) -> str:
    text = escaped(redacted(record.getMessage()[: 2 * LONGEST]))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _ids() -> dict[str, str]:
    ids = {"request_id": REQUEST_ID.get(), "task_id": TASK_ID.get()}
    return {name: value for name, value in ids.items() if value}


def logging_config(level: str, secrets: Iterable[str]) -> dict[str, Any]:
    """Django's LOGGING: everything to stderr, without `secrets`; containers and supervisors keep it."""
    keep_secret(*secrets)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "terminal": {"()": "arbsite.logs.TerminalFormatter"},
            "json": {"()": "arbsite.logs.JsonFormatter"},
        },
        "handlers": {
            "stderr": {
                "class": "arbsite.logs.CountingHandler",
                "formatter": "terminal" if sys.stderr.isatty() else "json",
            },
        },
        "root": {"handlers": ["stderr"], "level": level},
        # Django's own handlers would print every server error a second time, in another shape.
        "loggers": {
            "django": {"handlers": [], "propagate": True, "level": "INFO"},
            "axes": {"level": "CRITICAL"},  # accounts.sign_in.signing_in logs the same in fewer words
        },
    }
