"""`manage.py up`, for real: one process from nothing to a serving desk, and back to nothing."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from arbsite.desk.ports import free_port
from arbsite.environment import BASE_DIR
from tests.support.live import promised

RUNNING = "The arbitrage desk is running"
PATIENCE_S = 180
"""Until a test gives up waiting for what has no time of its own."""


def _until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


class Desk:
    """A run of `manage.py up` on simulated exchanges in its own home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.output = home.parent / "output"
        self.process: subprocess.Popen[bytes] | None = None
        self.python, self.checkout = sys.executable, BASE_DIR

    def start(self, **extra: str) -> float:
        """Start, with `extra` in the environment, and wait for the block; returns the seconds that took."""
        began = time.monotonic()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ENV_FILE") if name in os.environ}
        environment = {**kept, "ARB_HOME": str(self.home), "FEED": "sim", "PORT": str(self.port), **extra}
        with self.output.open("wb") as output:
            process = self.process = subprocess.Popen(
                [self.python, "manage.py", "up"],
                cwd=self.checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        _until(lambda: RUNNING in self.text() or process.poll() is not None, PATIENCE_S, "the block")
        assert RUNNING in self.text(), self.text()
        return time.monotonic() - began

    def text(self) -> str:
        """Output so far."""
        return self.output.read_text()

    def stop(self, number: signal.Signals) -> float:
        """Send a signal and wait for the end; returns the seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(90)
        return time.monotonic() - began

    def processes(self) -> list[psutil.Process]:
        """Every process that has this home in its environment or on its command line."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.environ().values(), *process.cmdline()]
            except psutil.Error:
                continue
            if any(str(self.home) in word for word in words):
                found.append(process)
        return found

    def pid_of(self, *words: str) -> int | None:
        """The oldest process of this run whose command line has all these words."""
        pids = []
        for process in self.processes():
            with suppress(psutil.Error):  # it has just ended
                pids += [process.pid] if set(words) <= set(process.cmdline()) else []
        return min(pids, default=None)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A desk that is gone afterwards, whatever the test did to it."""
    place = Path(tempfile.mkdtemp(prefix="arbdesk-test-"))
    if os.geteuid() == 0:
        place.chmod(0o711)
    desk = Desk(place / "home")
    yield desk
    for process in desk.processes():
        process.kill()
    shutil.rmtree(place, ignore_errors=True)


def _is_healthy(desk: Desk) -> bool:
    """Health answers 200 once a collector reports, 503 before."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{desk.port}/api/health", timeout=5) as answer:
            return bool(json.load(answer)["status"])
    except OSError:  # 503, or it takes its time
        return False


@pytest.mark.timeout(900)
def test_up_serves_restarts_what_dies_survives_its_own_death_and_leaves_nothing_running(desk: Desk) -> None:
    desk.start()
    block = desk.text()
    assert f"http://127.0.0.1:{desk.port}/" in block
    assert "SIMULATED" in block
    password = (desk.home / "operator-password").read_text().strip()
    assert re.search(rf"Password +{re.escape(password)}", block)
    _until(lambda: _is_healthy(desk), PATIENCE_S, "good health")
    for secret in ("operator-password", "secret-key", "supervisord.conf"):
        assert (desk.home / secret).stat().st_mode & 0o077 == 0

    collector = desk.pid_of("collect")
    assert collector is not None
    os.kill(collector, signal.SIGKILL)
    _until(lambda: desk.pid_of("collect") not in {None, collector}, PATIENCE_S, "the restart")
    _until(lambda: "collector ended and was started again" in desk.text(), PATIENCE_S, "the message")

    _stops_and_starts_within_seconds(desk)
    assert password in desk.text()
    supervisor = desk.pid_of("supervisor.supervisord")
    assert supervisor is not None
    desk.stop(signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    assert desk.pid_of("collect") is not None  # nobody stopped the children …
    desk.start()  # … and the next run copes with them
    assert "an earlier run left behind" in desk.text()
    desk.stop(signal.SIGHUP)
    assert desk.processes() == []


def _stops_and_starts_within_seconds(desk: Desk) -> None:
    """A busy machine is slow for a while; a desk that waits for something is slow each time."""
    stops, starts = [], []
    for _ in range(3):
        stops.append(desk.stop(signal.SIGINT))
        assert desk.processes() == []
        shared = BASE_DIR / "var" / "stack.env"
        assert not shared.exists() or str(desk.home) not in shared.read_text()
        starts.append(desk.start())
        if min(stops) < 10 and min(starts) < 10:
            return
    assert min(stops) < promised(10)
    assert min(starts) < promised(10)


def _up(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=BASE_DIR,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _up(ARB_HOME=str(tmp_path), FEED="sim", PORT=str(port))
    assert done.returncode == 1
    assert f"make run PORT={port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FEED": "demo"}, "FEED is 'demo'; use auto, live or sim"),
        ({"FEED": "sim", "PORT": "http"}, "PORT is 'http'"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, environment: dict[str, str], message: str) -> None:
    done = _up(ARB_HOME=str(tmp_path), **environment)
    assert done.returncode == 1
    assert message in done.stderr
