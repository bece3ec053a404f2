"""A whole desk to break: `manage.py up` beside a webhook that takes notes and a store that can be slow."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from xmlrpc.client import ServerProxy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
import aiohttp
import django
from aiohttp import web
from supervisor.xmlrpc import SupervisorTransport

from arbsite.desk import embedded
from arbsite.desk.ports import free_port
from arbsite.desk.supervision import clear_leftovers

ROOT: Final = Path(__file__).resolve().parent.parent.parent
RUNNING: Final = "The arbitrage desk is running"
SERVED_S: Final = 90.0
GIVE_UP_S: Final = 60.0

AWAY_S: Final = 6.0
LAKE_FLUSH_S: Final = 3.0
SLOW_STORE_S: Final = 4.0
SMALL_MB: Final = 100

When = float | None


# --- the other ends ------------------------------------------------------------------------------


class Webhook:
    """Takes messages; keeps when each came, its title and its state."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, str, str]] = []

    async def take(self, request: web.Request) -> web.Response:
        """One message; several in one where they came faster than the channel takes them."""
        said = await request.json()
        for message in said["parts"] or [said["message"]]:
            self.taken.append((time.monotonic(), message["title"], message["state"]))
        return web.json_response({})


@asynccontextmanager
async def serving(webhook: Webhook) -> AsyncIterator[str]:
    """The address messages are to be sent to."""
    application = web.Application()
    application.router.add_post("/alerts", webhook.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/alerts"
    finally:
        await runner.cleanup()


class Store:
    """An object store on loopback, and the way to it, on which every request can be made to wait."""

    def __init__(self) -> None:
        self.slow_s = 0.0
        self._port = free_port()
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, str]]:
        """The environment of a desk whose lake lies in it."""
        server = _started("moto.server", "-H", "127.0.0.1", "-p", str(self._port))
        way = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{way.sockets[0].getsockname()[1]}"
        try:
            await self._make_bucket()
            yield {
                "LAKE_URL": "s3://bucket/desk", "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "desk", "AWS_SECRET_ACCESS_KEY": "none",
            }  # fmt: skip
        finally:
            way.close()
            server.terminate()
            server.wait(10)

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[None]:
        """Every request waits."""
        self.slow_s = SLOW_STORE_S
        try:
            yield
        finally:
            self.slow_s = 0.0

    async def _make_bucket(self) -> None:
        async with aiohttp.ClientSession() as http:
            for _ in range(100):
                with suppress(aiohttp.ClientError):
                    async with http.put(f"http://127.0.0.1:{self._port}/bucket") as answer:
                        answer.raise_for_status()
                        return
                await asyncio.sleep(0.2)
        raise TimeoutError("the object store did not start")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._pump(there, writer, delayed=False))
        self._tasks.add(back)
        back.add_done_callback(self._tasks.discard)
        await self._pump(reader, to, delayed=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 20):
                if delayed and self.slow_s:
                    await asyncio.sleep(self.slow_s)
                writer.write(data)
                await writer.drain()
        writer.close()


# --- the desk ------------------------------------------------------------------------------------


class Desk:
    """A run of `manage.py up`, and the hands that break it."""

    def __init__(self, home: Path, store: Store, environment: dict[str, str]) -> None:
        self.home = home
        self.store = store
        self.url = f"http://127.0.0.1:{free_port()}"
        self.output = home.parent / "output"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        port = self.url.rpartition(":")[2]
        self.environment = kept | environment | {
            "ENV_FILE": os.devnull, "ARB_HOME": str(home), "FEED": "sim", "PORT": port,
            "PRIVATE_TARGETS": "127.0.0.1",
        }  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the desk from nothing to serving, and back to nothing."""
        with self.output.open("wb") as output:
            up = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + SERVED_S
            while RUNNING not in self.output.read_text():
                if up.poll() is not None or time.monotonic() > deadline:
                    raise TimeoutError(f"the desk did not start:\n{self.output.read_text()}")
                time.sleep(0.1)
            yield
        finally:
            up.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                up.wait(30)
            up.kill()
            up.wait()
            clear_leftovers(self.home, embedded.run_dir(self.home))

    def join(self) -> None:
        """Let this process speak to the desk's stores as `manage.py` in a second terminal does."""
        os.environ |= self.environment | {
            "DJANGO_SETTINGS_MODULE": "arbsite.settings",
            "HTTPS": "false",
            "DATABASE_URL": embedded.postgres(self.home).url,
            "REDIS_URL": embedded.redis(self.home).url,
            "SECRET_KEY": (self.home / "secret-key").read_text(),
        }
        django.setup()

    @asynccontextmanager
    async def simulated(self, fault: str, seconds: float) -> AsyncIterator[None]:
        """A fault of the simulated exchanges that heals by itself after some seconds."""
        over = time.monotonic() + seconds
        port = re.search(r"simulate --port (\d+)", (self.home / "supervisord.conf").read_text())
        assert port is not None
        spec = {"faults": f"{fault}+{seconds}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://127.0.0.1:{port[1]}/control/faults", json=spec) as answer,
        ):
            answer.raise_for_status()
        yield
        await asyncio.sleep(over - time.monotonic())

    @asynccontextmanager
    async def killed(self, name: str) -> AsyncIterator[None]:
        """A process with all its children, as the kernel does it that has no memory left."""
        os.killpg(self._states()[name]["pid"], signal.SIGKILL)
        yield
        await until_true(lambda: self._states()[name]["statename"] == "RUNNING", time.monotonic())

    @asynccontextmanager
    async def stopped(self, name: str) -> AsyncIterator[None]:
        """A server that is away until the block ends, and for `AWAY_S` at least."""
        back = time.monotonic() + AWAY_S
        await asyncio.to_thread(self._supervisor, "stopProcess", f"servers:{name}")
        try:
            yield
            await asyncio.sleep(back - time.monotonic())
        finally:
            await asyncio.to_thread(self._supervisor, "startProcess", f"servers:{name}", False)

    @asynccontextmanager
    async def small_web(self) -> AsyncIterator[None]:
        """One more web process that may take less memory than it does."""
        more = _started(
            "daphne", "-p", str(free_port()), "arbsite.asgi:application", MEMORY_LIMIT_MB=str(SMALL_MB)
        )
        try:
            yield
        finally:
            more.terminate()
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(more.wait, 15)
            more.kill()

    def _states(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self._supervisor("getAllProcessInfo")}

    def _supervisor(self, method: str, *arguments: Any) -> Any:
        socket = embedded.run_dir(self.home) / "supervisor.sock"
        transport = SupervisorTransport(None, None, f"unix://{socket}")
        with ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def _started(module: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=os.environ | environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def ask_for_alerts(address: str) -> str:
    """Rules for every kind of finding that fire and clear at once; returns a token for the API."""
    from django.contrib.auth import get_user_model

    from accounts.tokens.tokens import make_token
    from core.health.findings import kinds
    from monitoring.health.limits import HealthLimits
    from monitoring.models import AlertChannel, AlertRule

    HealthLimits.objects.update_or_create(id=1, defaults={"lake_flush_s": LAKE_FLUSH_S})
    channel = AlertChannel(
        name="server", kind="webhook", settings={"url": address}, per_second=100, per_minute=6_000
    )
    channel.secret = "benchmark"
    channel.save()
    AlertRule.objects.all().delete()
    for kind in kinds:
        AlertRule.objects.create(name=kind, what=kind).channels.add(channel)
    return make_token(get_user_model()._default_manager.get(username="operator"), 1)


@contextmanager
def home() -> Iterator[Path]:
    """Directory where a desk can live; the database's own user passes through."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch) / "home"


async def until_true(condition: Callable[[], bool], since: float, patience_s: float = GIVE_UP_S) -> When:
    """Seconds since then when it came true; None when it did not in time."""
    while not condition():
        if time.monotonic() - since > patience_s:
            return None
        await asyncio.sleep(0.05)
    return time.monotonic() - since
