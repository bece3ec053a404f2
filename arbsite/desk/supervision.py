"""supervisord as `make run` uses it: start it, ask it, stop it, and clear what a killed run left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy  # nosec B411 # our own supervisord answers, over a closed socket

import psutil
from supervisor.xmlrpc import SupervisorTransport

from arbsite.environment import MARKER

STOP_S = 9.0
KILL_S = 3.0
# The order of `up` is fixed, so a name is enough for what failed for good.
FAILED_STATES = ("FATAL", "UNKNOWN")


@dataclass(frozen=True)
class ProgramState:
    """State of one program by supervisord; `pid` is 0 while it does not run."""

    name: str
    state: str
    pid: int
    log: Path


class Supervisor:
    """A supervisord child in a session of its own: Ctrl-C reaches only us, and we stop it in order."""

    def __init__(self, config: Path, run: Path, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # nosec B603 # our own program, no shell
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._socket = run / "supervisor.sock"

    @property
    def alive(self) -> bool:
        """Whether supervisord itself runs."""
        return self._process.poll() is None

    def start(self, group: str) -> None:
        """Start the programs of a group that do not run yet, without waiting for them."""
        for program in self.states():
            with suppress(Fault):  # it runs already
                self._call("startProcess", f"{group}:{program.name}", False)

    def states(self) -> list[ProgramState]:
        """Every program's state; empty while supervisord does not answer."""
        try:
            answer = self._call("getAllProcessInfo")
        except OSError:
            return []
        return [
            ProgramState(entry["name"], entry["statename"], entry["pid"], Path(entry["stdout_logfile"]))
            for entry in answer
        ]

    def failed(self) -> list[ProgramState]:
        """The programs supervisord has given up on."""
        return [program for program in self.states() if program.state in FAILED_STATES]

    def stop(self) -> None:
        """Stop every program in order, then supervisord; whatever resists is killed with its children."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)

    def _call(self, method: str, *arguments: Any) -> Any:
        # The host is never used: the transport speaks over the Unix socket.
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        with ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def clear_leftovers(home: Path, run: Path) -> int:
    """Stop every process of a run in `home`; returns how many there were.

    supervisord goes first, so that it does not start again what we stop.
    """
    found = list(_of_run(home, run))
    supervisors = [process for process in found if _is_supervisor(process)]
    _end(supervisors, STOP_S)
    _end(list(_of_run(home, run)), KILL_S)
    return len(found)


def _of_run(home: Path, run: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and (_is_marked(process, home) or _is_redis(process, run)):
                yield process


def _is_marked(process: psutil.Process, home: Path) -> bool:
    return bool(process.environ().get(MARKER) == str(home))


def _is_redis(process: psutil.Process, run: Path) -> bool:
    """Redis writes its title over its environment, mark and all; its socket is in the title."""
    named = process.name() in {"redis-server", "valkey-server"}
    return named and str(run / "redis.sock") in " ".join(process.cmdline())


def _is_supervisor(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "supervisor.supervisord" in process.cmdline()
    return False


def _end(processes: list[psutil.Process], patience_s: float) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            # PostgreSQL takes TERM for "wait until every client has left" and INT for "now".
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, patience_s)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, KILL_S)
