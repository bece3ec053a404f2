"""`manage.py up`: the whole desk on one machine, from nothing to a serving page and back to nothing."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from arbsite.desk import embedded, home, privileges, probe, programs, supervision
from arbsite.desk.embedded import Server
from arbsite.desk.ports import free_port
from arbsite.desk.supervision import ProgramState, Supervisor
from arbsite.environment import BASE_DIR, MARKER, Settings
from arbsite.management.commands import sealing_keys
from arbsite.middleware.prefix import prefix_of

SERVE_S = 60.0
WATCH_S = 1.0
RESET = ".venv/bin/python manage.py changepassword operator"

SECOND_FACTOR = {
    True: "an authenticator app, which the first sign-in sets up (MFA=optional: none)",
    False: "not asked for on this desk (MFA=required asks)",
}

Say = Callable[[str], None]


class StackError(Exception):
    """The desk cannot run; the message says why and what to do."""


def choose_feed(
    wanted: str, ws_urls: list[str], say: Say, proxy: str = "", no_proxy: Iterable[str] = ()
) -> str:
    """`live` or `sim` for FEED=auto|live|sim.

    Raises:
        StackError: FEED is none of the three.
    """
    if wanted not in {"auto", "live", "sim"}:
        raise StackError(f"FEED is {wanted!r}; use auto, live or sim.")
    if wanted != "auto":
        return wanted
    say("Looking for the exchanges …")
    if asyncio.run(probe.any_answers(ws_urls, proxy=proxy, no_proxy=no_proxy)):
        return "live"
    say("No exchange answered: there is no way to them from this machine.")
    say("Starting the built-in SIMULATED exchanges instead (FEED=live insists on real ones).")
    return "sim"


def run(environment: Mapping[str, str], ws_urls: list[str], say: Say) -> None:
    """Run the desk until a signal asks us to stop.

    Raises:
        StackError: it cannot run, or a part it needs failed.
    """
    with _signals_interrupt():
        feed = choose_feed(
            environment.get("FEED", "auto"), ws_urls, say, environment.get("OUTBOUND_PROXY", ""),
            environment.get("OUTBOUND_NO_PROXY", "").split(","),
        )  # fmt: skip
        path = Path(environment.get("ARB_HOME") or BASE_DIR / "var" / feed)
        try:
            if said := privileges.give_up_root(path, environment, sys.executable):
                say(said)
                environment = {**environment, **privileges.own_home(path)}
            place = home.Home(path)
            os.umask(0o077)  # from here on everything is ours alone
            with place.locked():
                for each in place.closed():
                    say(f"{each}.")
                Stack(place, feed, environment, say).run()
        except privileges.RootError as error:
            raise StackError(str(error)) from error
        except home.HomeInUseError as error:
            raise StackError(
                f"The desk already runs in {place.path} (process {error}). "
                f"Stop it with Ctrl-C in its terminal, or: kill {error}"
            ) from error
        except embedded.EmbeddedServerError as error:
            raise StackError(str(error)) from error


class Stack:
    """One run of the desk in one home."""

    def __init__(self, place: home.Home, feed: str, environment: Mapping[str, str], say: Say) -> None:
        self.home = place
        self.feed = feed
        self.say = say
        self.address = environment.get("ADDRESS", "127.0.0.1")
        self.port = _port(environment.get("PORT", "8000"))
        self.prefix = prefix_of(environment.get("URL_PREFIX", ""))
        self.environment = dict(environment)

    def run(self) -> None:
        """Start, inform the user, watch, stop."""
        if count := supervision.clear_leftovers(self.home.path, self.home.run):
            self.say(f"Stopped {count} processes that an earlier run left behind.")
        _check_port_free(self.address, self.port)
        self.home.clear_run()
        servers = self._servers()
        self._complete_environment(servers)
        simulator_port = free_port() if self.feed == "sim" else None
        supervisor = self._supervisor(servers, simulator_port)
        try:
            with home.announced(self.environment | _simulator(simulator_port)):
                self._start(supervisor, servers, simulator_port)
                self._watch(supervisor)
        except KeyboardInterrupt:
            self.say("Stopping …")
        finally:
            _ignore_signals()
            supervisor.stop()
            supervision.clear_leftovers(self.home.path, self.home.run)
        self.say("Stopped. Nothing is left running.")

    def _servers(self) -> list[Server]:
        """The embedded servers, for what the environment does not name."""
        servers = []
        if "DATABASE_URL" not in self.environment:
            self.say("Starting PostgreSQL …")
            servers.append(embedded.postgres(self.home.path))
            self.environment["DATABASE_URL"] = servers[-1].url
        if "REDIS_URL" not in self.environment:
            servers.append(embedded.redis(self.home.path))
            self.environment["REDIS_URL"] = servers[-1].url
        return servers

    def _complete_environment(self, servers: list[Server]) -> None:
        """Environment of every process of this run."""
        self.environment |= {
            "FEED": self.feed,
            "ARB_HOME": str(self.home.path),
            "PORT": str(self.port),
            "SECRET_KEY": self.environment.get("SECRET_KEY") or self.home.secret_key(),
            "HTTPS": self.environment.get("HTTPS", "false"),  # loopback has no certificate
            "MFA": self.environment.get("MFA") or ("optional" if self._plays_here() else "required"),
            "PYTHONUNBUFFERED": "1",
            "ENV_FILE": os.devnull,  # all of .env is in here, and no program reads more than it is given
            MARKER: str(self.home.path),
        }
        fallbacks = [key for key in self.environment.get("SECRET_KEY_FALLBACKS", "").split(",") if key]
        self.environment |= sealing_keys.derived(self.environment["SECRET_KEY"], fallbacks)

    def _plays_here(self) -> bool:
        """Whether prices are invented and nobody but this machine reaches the desk."""
        is_here = self.address in ("localhost", "::1") or self.address.startswith("127.")
        has_proxy = any(_is_true(self.environment.get(name, "")) for name in ("HTTPS", "BEHIND_PROXY"))
        return self.feed == "sim" and is_here and not has_proxy

    def _supervisor(self, servers: list[Server], simulator_port: int | None) -> Supervisor:
        desk = programs.desk_programs(self.address, self.port, simulator_port)
        if "METRICS_PORT" not in self.environment:  # one port cannot be for all of them
            desk = [replace(program, metrics_port=free_port()) for program in desk]
        targets = self.home.path / home.METRICS_TARGETS
        home.write_private(targets, programs.metrics_targets(desk))
        targets.chmod(0o644)  # Prometheus runs as a user of its own
        text = programs.supervisor_config(
            [programs.server_program(server) for server in servers],
            desk,
            self.environment,
            logs=self.home.logs,
            run=self.home.run,
            as_root=os.geteuid() == 0,
        )
        config = self.home.path / "supervisord.conf"
        home.write_private(config, text)
        return Supervisor(config, self.home.run, self.environment, self.home.logs / "supervisord.out")

    def _start(self, supervisor: Supervisor, servers: list[Server], simulator_port: int | None) -> None:
        for server in servers:
            server.wait_ready(lambda: supervisor.alive and not supervisor.failed())
        self._prepare(supervisor, simulator_port)
        self.say("Starting web, collector, worker, beat and monitor …")
        supervisor.start("desk")
        self._wait_until_served(supervisor)
        self.say(self._block(servers))

    def _prepare(self, supervisor: Supervisor, simulator_port: int | None) -> None:
        """Database tables, defaults, market catalogue, operator."""
        self.say("Preparing the database …")
        command = [sys.executable, str(BASE_DIR / "manage.py"), "prepare"]
        if simulator_port is not None:
            self._wait(supervisor, lambda: _connects("127.0.0.1", simulator_port), "The simulator")
            command += ["--simulator", _simulator(simulator_port)["SIMULATOR_URL"]]
        prepares = programs.Program("prepare", tuple(command), secrets=programs.PREPARES)
        withheld = prepares.withheld(self.environment)
        given = {name: value for name, value in self.environment.items() if name not in withheld}
        if subprocess.run(command, env=given, check=False).returncode:  # nosec B603 # our own command, no shell
            raise StackError("The database could not be prepared; the reason is above.")

    def _wait_until_served(self, supervisor: Supervisor) -> None:
        url = f"{self._local_url()}accounts/login/"
        self._wait(supervisor, lambda: _serves(url), "The web server")

    def _wait(self, supervisor: Supervisor, ready: Callable[[], bool], what: str) -> None:
        """Wait for `ready`; a program that supervisord gave up on, or `SERVE_S`, ends it."""
        deadline = time.monotonic() + SERVE_S
        while not ready():
            if not supervisor.alive or time.monotonic() > deadline:
                raise StackError(f"{what} did not start. {self._logs_hint(supervisor.states())}")
            if failed := supervisor.failed():
                raise StackError(f"{what} did not start. {self._logs_hint(failed)}")
            time.sleep(0.1)

    def _watch(self, supervisor: Supervisor) -> None:
        """Say when a program was restarted or given up on; return when supervisord is gone."""
        before: dict[str, ProgramState] = {}
        while supervisor.alive:
            for program in supervisor.states():
                if message := _change(before.get(program.name), program):
                    self.say(f"{time.strftime('%H:%M:%S')} {message}")
                before[program.name] = _remembered(before.get(program.name), program)
            time.sleep(WATCH_S)
        raise StackError(f"supervisord ended unexpectedly; see {self.home.logs}/supervisord.log")

    def _logs_hint(self, states: list[ProgramState]) -> str:
        failed = [program for program in states if program.state != "RUNNING"]
        tails = "\n".join(f"--- {program.log}\n{_tail(program.log)}" for program in failed)
        return f"Logs: {self.home.logs}\n{tails}"

    def _local_url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)  # noqa: S104  # nosec B104 # asks, binds nothing
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.prefix}/"

    def _block(self, servers: list[Server]) -> str:
        """Text for the user, shown once."""
        simulated = " — SIMULATED exchanges, invented prices" if self.feed == "sim" else ""
        data = [str(self.home.path)]
        data += [f"PostgreSQL in {s.data}" for s in servers if not s.data.is_relative_to(self.home.path)]
        file = self.home.password_file
        kept = home.read_private(file)
        password = f"{kept}   (kept in {file})" if kept else f"yours; new: {RESET}"
        rows = [
            ("Page", self._local_url()),
            ("User", "operator"),
            ("Password", password),
            ("2nd factor", SECOND_FACTOR[self.environment["MFA"] == "required"]),
            ("Data", "; ".join(data)),
            ("Logs", str(self.home.logs)),
            ("Stop", "Ctrl-C"),
        ]
        lines = "\n".join(f"  {name:<10} {value}" for name, value in rows)
        rule = "─" * 72
        return f"\n{rule}\n  The arbitrage desk is running{simulated}\n\n{lines}\n{rule}\n"


def _simulator(port: int | None) -> dict[str, str]:
    """Address of the simulated exchanges, for commands in a second terminal."""
    return {} if port is None else {"SIMULATOR_URL": f"http://127.0.0.1:{port}"}


def _change(before: ProgramState | None, now: ProgramState) -> str | None:
    """One line when something happened to a program, None otherwise."""
    if now.state in supervision.FAILED_STATES and (before is None or before.state != now.state):
        return f"{now.name} keeps failing and is not started again; see {now.log}"
    if before and before.pid and now.pid not in {0, before.pid}:
        return f"{now.name} ended and was started again; see {now.log}"
    return None


def _remembered(before: ProgramState | None, now: ProgramState) -> ProgramState:
    """The state to compare the next one with: between two lives the old process id is kept."""
    return replace(now, pid=before.pid) if before and not now.pid else now


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"PORT is {text!r}; use a number from 1 to 65535.")
    return int(text)


def _is_true(text: str) -> bool:
    return text.strip().lower() in Settings.BOOLEAN_TRUE_STRINGS


def _check_port_free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((address, port))
        except OSError as error:
            raise StackError(
                f"Cannot listen on {address} port {port}: {error.strerror}. "
                f"Choose another port, for example: make run PORT={port + 1}"
            ) from error


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _serves(url: str) -> bool:
    """Whether our web server answers; a refused host name (ALLOWED_HOSTS) is an answer, too."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # our own address  # nosec B310 # http:// of our own
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code < 500
    except OSError:
        return False


def _tail(log: Path, lines: int = 15) -> str:
    if not log.is_file():
        return "(empty)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """TERM and HUP (a closed terminal) end us the way Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    yield


def _ignore_signals() -> None:
    """A second Ctrl-C must not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
