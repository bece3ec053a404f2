"""The web process's heartbeat: begins once Daphne's loop turns, ends when Daphne stops.

Importing this module (arbsite.asgi does) is all that is needed, however Daphne is started.
"""

import os
import socket

from django.conf import settings
from twisted.internet import reactor

from arbsite.daphne.doors import doors
from core.process.heartbeat import Report
from core.process.vitals import Vitals
from core.web.reports import web_report


def report() -> Report:
    """Report of this web process on its sockets. Call it on the event loop."""
    counters = web_report() | {"connections": doors.open}
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
