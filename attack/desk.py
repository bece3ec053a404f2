"""A fresh simulated desk to attack, in a home of its own, gone afterwards."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from arbsite.desk.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
RUNNING = "The arbitrage desk is running"
START_S = 150.0
COMMAND_S = 60.0
# Opened to the desk, for what attackers listen on where private targets are allowed.
OPENED = "127.0.0.9"


class Desk:
    """A run of `manage.py up`."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="arbdesk-attack-"))
        self.place.chmod(0o711)  # as root PostgreSQL's own user passes through
        self.home = self.place / "home"
        self.port = free_port()
        self.output = self.place / "output"
        # What must never be seen where it does not belong.
        self.planted = {
            name: secrets.token_urlsafe(32)
            for name in ("EXCHANGE_KEYS_OKX", "METRICS_TOKEN", "AWS_SECRET_ACCESS_KEY")
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        }

    @property
    def url(self) -> str:
        """Address at which it is served."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            RuntimeError: it did not, with what it printed.
        """
        keys = self.planted["EXCHANGE_KEYS_OKX"]
        given = {
            **self._environment, **self.planted, "EXCHANGE_KEYS_OKX": f"key:{keys}:phrase",
            "ENV_FILE": os.devnull, "ARB_HOME": str(self.home), "FEED": "sim", "PORT": str(self.port),
            "MFA": "required", "PRIVATE_TARGETS": OPENED,
        }  # fmt: skip
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT, env=given, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while RUNNING not in self.output.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the desk did not start:\n{self.output.read_text(errors='replace')}")
            time.sleep(0.1)
        self._environment |= self._shared() | {"ENV_FILE": os.devnull}

    def _shared(self) -> dict[str, str]:
        """File that the desk leaves for a second terminal."""
        lines = (ROOT / "var" / "stack.env").read_text().splitlines()
        found = {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}
        if found["ARB_HOME"] != str(self.home):
            raise RuntimeError("another desk was started from this checkout: stop it first")
        return found

    def stop(self) -> None:
        """Stop it, and whatever of it resists."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(25)
        for process in self.processes():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
                process.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    # --- an administrator's keyboard -----------------------------------------------------------------

    async def manage(
        self, *arguments: str, seconds: float = COMMAND_S, extra: dict[str, str] | None = None
    ) -> "Ended":
        """`manage.py …` beside the running desk, with `extra` in its environment."""
        with tempfile.TemporaryFile(dir=self.place) as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "manage.py", *arguments, cwd=ROOT,
                env={**self._environment, **(extra or {})}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output,
            )  # fmt: skip
            try:
                await asyncio.wait_for(process.wait(), seconds)
                status = process.returncode
            except TimeoutError:
                status = None
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
            output.seek(0)
            return Ended(status, output.read().decode(errors="replace"))

    async def shell(self, code: str) -> str:
        """Output of a piece of Python in the desk's own shell.

        Raises:
            RuntimeError: it failed.
        """
        ended = await self.manage("shell", "-v", "0", "-c", code)
        if ended.status != 0:
            raise RuntimeError(ended.text[-2000:])
        return ended.text.strip()

    # --- its processes -------------------------------------------------------------------------------

    def processes(self) -> Iterator[psutil.Process]:
        """All of them: each names its home."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if process.pid != os.getpid() and any(str(self.place) in word for word in words):
                    yield process

    def part(self, *words: str) -> psutil.Process | None:
        """The oldest process whose command line has these words."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if set(words) <= set(process.cmdline()):
                    found.append(process)
        return min(found, key=lambda process: process.pid, default=None)

    def postgres(self) -> list[psutil.Process]:
        """The server's own process and its children, which write over what would name their home."""
        servers = [process for process in self.processes() if process.name() == "postgres"]
        children = [child for server in servers for child in server.children(recursive=True)]
        return list(dict.fromkeys(servers + children))

    def log(self, part: str) -> str:
        """Log of a part."""
        file = self.home / "logs" / f"{part}.log"
        return file.read_text(errors="replace") if file.exists() else ""


class Ended:
    """A command that ended; `status` is None where it had to be stopped."""

    def __init__(self, status: int | None, text: str) -> None:
        self.status = status
        self.text = text
