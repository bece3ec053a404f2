"""`manage.py healthcheck PART`: whether a container's process is healthy, by exit status 0 or 1."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from arbsite.celery import app
from core.clock.moments import age_s
from core.process.heartbeat import MISSING_AFTER_S
from core.process.vitals import heartbeats
from markets.follow.runtime import CollectorRole, collector_statuses

ANSWER_S = 5.0
# Beat writes its schedule at the latest every three minutes and one loop; older means that it hangs.
BEAT_AGE_S = 300


class Command(BaseCommand):
    """Ask one part of the desk for its sign of life."""

    help = "Exit with 0 if a part of the desk is healthy, else with 1 and the reason. Made for containers."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the part, and which one of several."""
        parser.add_argument("part", choices=["web", "collector", "ingest", "worker", "beat", "monitor"])
        parser.add_argument("--shard", default="1/1", help="the shard, as given to the command")
        parser.add_argument(
            "--url", default=f"http://127.0.0.1:{settings.PORT}/healthz",
            help="the web process's sign of life (default: %(default)s, by the setting PORT)",
        )  # fmt: skip

    def handle(self, *args: Any, part: str, shard: str, url: str, **options: Any) -> None:
        """Say that the part is healthy, or fail with the reason."""
        checks: dict[str, Callable[[], str | None]] = {
            "web": lambda: web_problem(url),
            "collector": lambda: collector_problem(shard),
            "ingest": lambda: collector_problem(shard, "ingest"),
            "worker": worker_problem,
            "beat": lambda: beat_problem(Path(settings.CELERY_BEAT_SCHEDULE_FILENAME)),
            "monitor": monitor_problem,
        }
        if reason := checks[part]():
            raise CommandError(f"{part}: {reason}")
        self.stdout.write(f"{part}: healthy")


def web_problem(url: str) -> str | None:
    """Why the web process is not alive: its event loop does not answer."""
    if not url.startswith(("http://", "https://")):
        return f"--url: {url!r} is no address of a web process: it begins with http:// or https://"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S):  # noqa: S310  # given by the operator  # nosec B310 # the operator's own
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"{url} answers {error.code}"
    except OSError as error:
        return f"{url} does not answer: {error}"
    except (ValueError, HTTPException) as error:
        return f"--url: {url!r} is no address that can be asked: {error}"


def collector_problem(shard: str, role: CollectorRole = "collector") -> str | None:
    """Why the collector of a shard is unhealthy: its status in Redis is missing (it expires in seconds), or
    is there for no other reason than that the clock was set back.
    """
    statuses = {status.shard: status for status in collector_statuses(role)}
    if (status := statuses.get(shard)) is not None:
        if age_s(time.time() - status.reported_ts_us / 1e6) is None:
            return f"shard {shard} has not reported since the clock was set back"
        return None
    reporting = list(statuses)
    return f"shard {shard} does not report (reporting: {', '.join(reporting) or 'none'})"


def worker_problem() -> str | None:
    """Why this host's worker is unhealthy: it does not answer a ping."""
    name = f"celery@{socket.gethostname()}"
    if app.control.ping(destination=[name], timeout=ANSWER_S):
        return None
    return f"{name} does not answer"


def beat_problem(schedule: Path) -> str | None:
    """Why beat is unhealthy: its schedule file is missing or old (some dbm kinds add an ending)."""
    files = list(schedule.parent.glob(f"{schedule.name}*"))
    written_s = max((file.stat().st_mtime for file in files), default=0)
    return _too_old(time.time() - written_s, BEAT_AGE_S, f"{schedule} has not been written")


def monitor_problem() -> str | None:
    """Why this host's monitor is unhealthy: it has written no heartbeat lately."""
    host, now_s = socket.gethostname(), time.time()
    beats = [beat for beat in heartbeats() if beat.role == "monitor" and beat.host == host]
    what = f"no monitor on {host} has written a heartbeat"
    found = [_too_old(now_s - beat.reported_ts_us / 1e6, MISSING_AFTER_S, what) for beat in beats]
    return None if None in found else next(iter(found), f"{what} for {MISSING_AFTER_S:g} s")


def _too_old(ago_s: float, most_s: float, what: str) -> str | None:
    """Why a sign of life is none. One from ahead of now would hide a hang until its time has come: a process
    that lives gives another, by the clock as it is now.
    """
    if (old_s := age_s(ago_s)) is None:
        return f"{what} since the clock was set back"
    return None if old_s < most_s else f"{what} for {most_s:g} s"
