"""A pytest plugin that starts the real PostgreSQL and Redis the suite runs against.

It is loaded with `-p` (see pyproject.toml) because pytest-django imports the settings, and with
them DATABASE_URL, before any conftest.py is read.
"""

import atexit
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from arbsite.desk import embedded
from tests.support import warm_python

DOCUMENTED = Path(__file__).parent.parent.parent / ".env.example"
MEMORY, MEMORY_BYTES = "/dev/shm", 6 * 2**30
WHERE_THE_BROWSER_IS = {"CHROME_BIN", "REQUIRE_BROWSER"}


def _leave(_number: int, _frame: object) -> None:
    """Stop the servers: a suite that is asked to stop must not leave them behind."""
    sys.exit(143)


def _place() -> str | None:
    """Memory, where there is plenty: the lake of a test waits for the disk 50 times. Else the usual place."""
    try:
        memory = os.statvfs(MEMORY)
    except OSError:
        return None
    roomy = memory.f_bavail * memory.f_frsize >= MEMORY_BYTES
    return MEMORY if roomy and not memory.f_flag & os.ST_NOEXEC else None


def _start() -> None:
    servers = ExitStack()
    atexit.register(servers.close)
    signal.signal(signal.SIGTERM, _leave)
    home = Path(tempfile.mkdtemp(prefix="arbdesk-test-", dir=_place()))
    servers.callback(shutil.rmtree, home, ignore_errors=True)
    if os.geteuid() == 0:
        home.chmod(0o711)  # PostgreSQL then runs as a user of its own
    (home / "tmp").mkdir()
    tempfile.tempdir = str(home / "tmp")
    for name in re.findall(r"^([A-Z_]+)=", DOCUMENTED.read_text(), re.MULTILINE):
        if name not in WHERE_THE_BROWSER_IS:
            os.environ.pop(name, None)  # the suite depends on nothing that is set or runs here
    # A third of what a process of the product costs to start would be compiling its own source each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.pop("PYTHONUNBUFFERED", None)  # what is started without it would be no fork (`warm_python`)
    sys.dont_write_bytecode = False
    environment = {
        "ENV_FILE": os.devnull,
        "ARB_HOME": str(home),
        "TMPDIR": tempfile.tempdir,
        "NODE_COMPILE_CACHE": str(home / "tmp" / "node"),  # Playwright starts Node for each browser
        "FEED": "live",
        "HTTPS": "false",
        "PRIVATE_TARGETS": "127.0.0.0/8,::1,192.0.2.0/24",  # what tests stand up, and what leads nowhere
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DATABASE_URL": servers.enter_context(
            embedded.running(embedded.postgres(home, durable=False), home / "postgres.log")
        ),
        "REDIS_URL": servers.enter_context(embedded.running(embedded.redis(home), home / "redis.log")),
    }
    os.environ.update(environment)
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:  # what is measured starts by itself, to count every line
        warm_python.install()


_start()
