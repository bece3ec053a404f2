"""A pytest plugin that starts the real PostgreSQL and Redis the suite runs against.

It is loaded with `-p` (see pyproject.toml) because pytest-django imports the settings, and with
them DATABASE_URL, before any conftest.py is read.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path


def _start() -> None:
    from arbsite import embedded

    home = Path(tempfile.mkdtemp(prefix="arbdesk-test-"))
    os.environ["ARB_HOME"] = str(home)
    os.environ["FEED"] = "live"
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    home.chmod(0o755)  # the embedded PostgreSQL may run as a user of its own
    postgres = embedded.start_postgres(home)
    redis = embedded.start_redis(home)
    os.environ["DATABASE_URL"] = postgres.url
    os.environ["REDIS_URL"] = redis.url

    def stop() -> None:
        redis.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)


_start()
