"""The log: one line per change, on whose behalf, and never a secret."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from arbsite import environment
from arbsite.log_context import REQUEST_ID, TASK_ID
from arbsite.logs import CountingHandler, JsonFormatter, TerminalFormatter
from core.secrets.redaction import HIDDEN, keep_secret, redacted
from monitoring.alerts.secrets import seal, unseal


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own, and what it writes as JSON."""
    written = io.StringIO()
    handler = CountingHandler(written)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("desk")
    logger.addHandler(handler)
    yield logger, written
    handler._repeats.flush()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_the_same_line_over_and_over_is_counted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    for _ in range(40):
        logger.warning("okx-1: down: %s", "reset")
    logger.warning("okx-1: down: %s", "refused")
    assert [line["message"] for line in lines(written)] == ["okx-1: down: reset"] * 3 + [
        "okx-1: down: refused"
    ]
    logger.handlers[0]._repeats.flush()  # type: ignore[attr-defined]
    assert lines(written)[-1]["message"] == "okx-1: down: reset … 37 times more in the last minute"


def test_a_stream_that_was_closed_is_written_to_no_more(
    log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    """A minute that ends after its stream made a traceback on standard error."""
    logger, written = log
    for _ in range(40):
        logger.warning("okx-1: down: %s", "reset")
    written.close()
    logger.warning("okx-1: down: %s", "refused")
    logger.handlers[0]._repeats.flush()  # type: ignore[attr-defined]
    assert capsys.readouterr().err == ""


def test_one_traceback_of_a_kind_is_enough(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    for _ in range(5):
        try:
            raise OSError("no such host")
        except OSError:
            logger.exception("Unexpected exception in receive task")
    (line,) = lines(written)
    assert "OSError: no such host" in line["traceback"]


def test_a_line_says_for_which_request_or_task_it_is(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    request, task = REQUEST_ID.set("r-1"), TASK_ID.set("t-1")
    try:
        logger.info("saved")
        terminal = TerminalFormatter().format(logging.makeLogRecord({"msg": "saved", "name": "desk"}))
    finally:
        REQUEST_ID.reset(request)
        TASK_ID.reset(task)
    logger.info("later")
    first, second = lines(written)
    assert (first["request_id"], first["task_id"]) == ("r-1", "t-1")
    assert "request_id" not in second
    assert terminal.endswith("desk: saved [request r-1] [task t-1]")


def test_an_answer_names_the_request_and_takes_over_what_a_proxy_named_it() -> None:
    assert Client().get("/healthz", headers={"X-Request-ID": "edge-4711"})["X-Request-ID"] == "edge-4711"
    forged = Client().get("/healthz", headers={"X-Request-ID": 'x"} {"level": "ERROR'})["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", forged)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://desk:hunter22@db/desk refused", f"postgres://desk:{HIDDEN}@db/desk refused"),
        ("Authorization: Bearer eyJhbGciOi.abc-def", f"Authorization: Bearer {HIDDEN}"),
        ("POST https://api.telegram.org/bot123456:ABCdefGhIJKlmNoPQRsTUVwxyZ/sendMessage",
         f"POST https://api.telegram.org/bot{HIDDEN}/sendMessage"),
        ("https://hooks.slack.com/services/T0/B0/xyz 404", f"https://hooks.slack.com/{HIDDEN} 404"),
        ("GET /v5?apikey=abc123def&signature=00ff&symbol=BTC",
         f"GET /v5?apikey={HIDDEN}&signature={HIDDEN}&symbol=BTC"),
        ("{'password': 'correct horse', 'user': 1}", None),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str | None) -> None:
    if shown is None:
        assert "correct" not in redacted(text)
    else:
        assert redacted(text) == shown


def test_ordinary_lines_stay_as_they_are() -> None:
    for text in ("okx-1: up, 20 symbols", "no more tokens left", "at 2026-11-21T12:00:00+00:00: revision 7"):
        assert redacted(text) == text


def test_secrets_of_the_environment_and_of_alert_channels_are_hidden_wherever_they_turn_up(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, written = log
    values = {
        "DATABASE_URL": "postgres://desk:sesame%2F1234@db/desk",
        "METRICS_TOKEN": "metrics-token-1",
        "EXCHANGE_KEYS_OKX": "keykeykey:sharedsecret:phrasephrase",
    }
    keep_secret(*environment.secrets(values))
    unseal(seal("channel secret of nobody's business"))
    logger.warning("sesame/1234 sesame%2F1234 metrics-token-1 sharedsecret phrasephrase")
    try:
        raise ValueError("channel secret of nobody's business")
    except ValueError:
        logger.exception("not sent")
    text = written.getvalue()
    for secret in ("sesame", "metrics-token-1", "sharedsecret", "phrasephrase", "nobody's business"):
        assert secret not in text
    assert text.count(HIDDEN) >= 6


def test_the_log_of_a_process_in_trouble_holds_no_secret(tmp_path: Path) -> None:
    key, database, redis = token_urlsafe(50), "hunter2hunter2", "swordfish9"
    process = subprocess.Popen(
        [sys.executable, "manage.py", "collect"],
        cwd=Path(settings.BASE_DIR),
        env={
            "PATH": os.environ["PATH"],
            "ENV_FILE": os.devnull,
            "ARB_HOME": str(tmp_path),
            "SECRET_KEY": key,
            "DATABASE_URL": f"postgres://desk:{database}@127.0.0.1:1/desk",
            "REDIS_URL": f"redis://:{redis}@127.0.0.1:1/0",
            "LOG_LEVEL": "DEBUG",
        },
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    text = ""
    with process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        for line in process.stderr:
            text += line
            if "does not answer" in text and "PostgreSQL does not say whether it is free" in text:
                process.terminate()
                break
        text += process.stderr.read()
        watchdog.cancel()
    assert process.returncode == 0
    assert "Redis of REDIS_URL does not answer" in text
    for secret in (key, database, redis):
        assert secret not in text
