"""The programs of `make run` and the supervisord configuration that keeps them up."""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arbsite.desk.embedded import Server
from arbsite.environment import BASE_DIR, is_secret

# Which secrets go to which process, and why: docs/security.md; held by test_process_secrets.py.
STORES = ("DATABASE_URL", "REDIS_URL")
LAKE = ("AWS_", "LAKE_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
EXCHANGES = ("SEALING_KEY_PROXIES", "OUTBOUND_PROXY")
SIGNING = ("SECRET_KEY",)  # SECRET_KEY_FALLBACKS, too
PREPARES = (*STORES, *SIGNING)

STOP_S = 5  # seconds until supervisord kills what does not stop by itself

HEADER = """\
; Written by `manage.py up` at every start; changes here are lost.
[supervisord]
nodaemon=true
silent=true
directory={directory}
logfile={logs}/supervisord.log
logfile_maxbytes=2MB
logfile_backups=1
pidfile={run}/supervisord.pid
umask=077
{user}

[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

; Stopped in reverse order: everything that uses the servers goes first.
[group:servers]
programs={servers}
priority=10

[group:desk]
programs={desk}
priority=20
"""

# startretries: supervisord waits a second longer before each try, so 60 tries last half an hour.
PROGRAM = """
[program:{name}]
command={command}
autostart={autostart}
autorestart=true
startsecs=2
startretries=60
stopsignal={stop_signal}
stopwaitsecs={stop_s}
killasgroup=true
redirect_stderr=true
{environment}
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
{user}
"""


@dataclass(frozen=True)
class Program:
    """A supervised program. `autostart` programs start with supervisord, the others on demand.

    `secrets` are those variables of the run, or beginnings of their names, that it has a use for; it is given
    no others that hold a secret.
    """

    name: str
    command: tuple[str, ...]
    stop_signal: str = "TERM"
    user: str | None = None
    autostart: bool = False
    metrics_port: int | None = None
    secrets: tuple[str, ...] = ()

    def withheld(self, environment: Mapping[str, str]) -> list[str]:
        """The variables it must not be given."""
        return sorted(
            name
            for name, value in environment.items()
            if is_secret(name, value) and not (self.secrets and name.startswith(self.secrets))
        )


def server_program(server: Server) -> Program:
    """An embedded server as a supervised program."""
    name = server.name.lower()
    signal_name = server.stop_signal.name.removeprefix("SIG")
    return Program(name, server.command, stop_signal=signal_name, user=server.user, autostart=True)


def desk_programs(address: str, port: int, simulator_port: int | None) -> list[Program]:
    """Programs of the desk: web, collector, worker, beat, monitor, and a simulator where one is wanted."""
    listen = ("-b", address, "-p", str(port))
    programs = [
        Program(
            "web", _python("arbsite.web", *listen, "--no-server-name", "arbsite.asgi:application"),
            secrets=(*STORES, *LAKE, *SIGNING, "METRICS_TOKEN"),
        ),
        Program("collector", _manage("collect"), secrets=(*STORES, *LAKE, *EXCHANGES)),
        # QUIT gives tasks a few seconds to finish; TERM would wait for them without a limit.
        Program(
            "worker", _celery("worker"), stop_signal="QUIT",
            secrets=(*STORES, *LAKE, *EXCHANGES, "EXCHANGE_KEYS_"),
        ),
        Program("beat", _celery("beat", "--pidfile="), secrets=("REDIS_URL",)),
        Program("monitor", _manage("monitor"), secrets=(*STORES, *LAKE, "SEALING_KEY_CHANNELS")),
    ]  # fmt: skip
    if simulator_port is not None:
        programs.append(
            Program(
                "simulator",
                _manage("simulate", "--port", str(simulator_port), "--traps"),
                autostart=True,
                secrets=("REDIS_URL",),
            )
        )
    return programs


def metrics_targets(desk: list[Program]) -> str:
    """Addresses of these programs' metrics for Prometheus, as its file_sd_configs read it."""
    return json.dumps(
        [
            {"targets": [f"127.0.0.1:{program.metrics_port}"], "labels": {"part": program.name}}
            for program in desk
            if program.metrics_port
        ],
        indent=2,
    )


def supervisor_config(
    servers: list[Program],
    desk: list[Program],
    environment: Mapping[str, str],
    *,
    logs: Path,
    run: Path,
    as_root: bool,
) -> str:
    """The text of a supervisord.conf; log files go to `logs`, sockets and pid files to `run`.

    supervisord gets the whole `environment` and hands it on; what a program must not have is taken out by
    name, so that no secret stands in the file or on a command line.
    """
    places = {"logs": _escaped(str(logs)), "run": _escaped(str(run))}
    header = HEADER.format(
        **places,
        directory=_escaped(str(BASE_DIR)),
        user="user=root" if as_root else "",
        servers=",".join(program.name for program in servers),
        desk=",".join(program.name for program in desk),
    )
    if not servers:
        header = header.replace("[group:servers]\nprograms=\npriority=10\n", "")
    return header + "".join(_section(program, places, environment) for program in (*servers, *desk))


def _section(program: Program, places: Mapping[str, str], environment: Mapping[str, str]) -> str:
    without = [part for name in program.withheld(environment) for part in ("-u", name)]
    command = ("env", *without, *program.command) if without else program.command
    return PROGRAM.format(
        **places,
        name=program.name,
        command=_escaped(shlex.join(command)),
        autostart=str(program.autostart).lower(),
        stop_signal=program.stop_signal,
        stop_s=STOP_S,
        user=f"user={program.user}" if program.user else "",
        environment=f'environment=METRICS_PORT="{program.metrics_port}"' if program.metrics_port else "",
    )


def _escaped(text: str) -> str:
    """supervisord expands %(name)s in every value."""
    return text.replace("%", "%%")


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _celery(*arguments: str) -> tuple[str, ...]:
    return _python("celery", "-A", "arbsite", *arguments, "--loglevel", "INFO")


def _manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(BASE_DIR / "manage.py"), *arguments)
