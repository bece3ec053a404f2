"""The web process's heartbeat: begins once Daphne's loop turns, ends when Daphne stops.

Importing this module (arbsite.asgi does) is all that is needed, whoever starts Daphne.
"""

import os
import socket

from django.conf import settings
from twisted.internet import reactor

from arbsite import turns
from arbsite.daphne_doors import doors
from history.places import process_places
from markets.heartbeat import Report
from markets.vitals import Vitals
from realtime.hub import running_hub
from realtime.rights import process_rights
from realtime.scan_hub import process_scan_hub


def report() -> Report:
    """What this web process does for its sockets. Call it on the event loop."""
    hub = running_hub()
    counters = hub.stats() if hub else {}
    counters["connections"] = doors.open
    counters |= process_scan_hub().stats() | process_rights().stats()
    counters |= process_places().stats() | turns.stats()
    return Report(counters={name: float(value) for name, value in counters.items()})


_vitals = Vitals(
    "web",
    f"web {socket.gethostname()}:{os.getpid()}",
    settings.REDIS_URL,
    report,
    memory_limit_bytes=settings.MEMORY_LIMIT_BYTES,
)
# One turn later: when Twisted calls itself running, the loop does not turn yet.
reactor.callWhenRunning(reactor.callLater, 0, _vitals.start)
reactor.addSystemEventTrigger("after", "shutdown", _vitals.stop)  # type: ignore[arg-type]  # a stub without self
