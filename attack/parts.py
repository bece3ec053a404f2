"""Items 14 and 16: processes that are killed, doubled or fed rubbish, and what they were given."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psutil

from attack.scene import Broken, Scene, attack, insist, loaded

STRANGER: Final = 65534
# What PostgreSQL's own user passes through, and where Prometheus finds ports.
MEANT_FOR_OTHERS: Final = ("run", "postgres", "metrics-targets.json")
AGAIN_S: Final = 40.0
MAY_KNOW: Final = {"EXCHANGE_KEYS_OKX": {"worker"}, "METRICS_TOKEN": {"web"}}
PARTS: Final = {
    "web": ("arbsite.web",), "collector": ("collect",), "worker": ("celery", "worker"),
    "beat": ("celery", "beat"), "monitor": ("monitor",), "simulator": ("simulate",),
}  # fmt: skip

DELETE_ALL: Final = """
from django.core.management import call_command
from markets.models import Exchange
Exchange.objects.all().delete()
call_command("prepare")
print(Exchange.objects.filter(enabled=True).count())
"""


async def _until(condition: Callable[[], object], seconds: float, why: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Broken(why)
        await asyncio.sleep(0.5)


@attack(16, "a process that has a secret it does not use", "as a stranger")
async def handed_out(scene: Scene) -> None:
    """Secrets handed out, as the kernel has them, in every process of the desk."""
    for part, words in PARTS.items():
        process = scene.desk.part(*words)
        insist(process is not None, f"{part} does not run")
        if process is None:
            return
        environment = process.environ()
        for name, secret in scene.desk.planted.items():
            has = any(secret in value for value in environment.values())
            insist(not has or part in MAY_KNOW.get(name, PARTS), f"{part} has {name}")
        if part not in ("web", "supervisord"):
            insist("SECRET_KEY" not in environment, f"{part} has SECRET_KEY")


@attack(16, "another user of the machine", "as a stranger")
async def neighbours(scene: Scene) -> None:
    """Neither files nor sockets of the desk open to them, and no command line shows a secret."""
    for process in scene.desk.processes():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            insist(
                not [each for each in scene.desk.planted.values() if each in line],
                "a command line shows a secret",
            )
    for file in ("secret-key", "operator-password", "supervisord.conf"):
        mode = (scene.desk.home / file).stat().st_mode & 0o077
        insist(not mode, f"{file} is open to others")
    if os.geteuid() != 0:
        return  # only root can try it as somebody else
    tries = (
        "import os, sys; print([p for p in sys.argv[1:] if os.access(p, os.R_OK) or os.access(p, os.W_OK)])"
    )
    home = scene.desk.home
    paths = [
        str(path)
        for path in (*home.iterdir(), *(home / "run").iterdir())
        if path.name not in MEANT_FOR_OTHERS
    ]
    said = await asyncio.to_thread(_as_stranger, tries, paths)
    insist(said == "[]", f"open to another user: {said[-300:]}")


def _as_stranger(code: str, arguments: list[str]) -> str:
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code, *arguments],
        user=STRANGER, group=STRANGER, extra_groups=[], cwd="/", env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr


@attack(16, "a production process with DEBUG or a key that can be guessed", "as a stranger")
async def unsafe_starts(scene: Scene) -> None:
    """Unsafe starts are refused, in words."""
    for extra in (
        {"DEBUG": "true"},
        {"SECRET_KEY": "changeme"},
        {"SECRET_KEY": "x" * 60},
        {"SECRET_KEY": "abcdefghij" * 6},
    ):
        ended = await scene.desk.manage("migrate", "--check", extra=extra)
        insist(ended.status not in (0, None), f"starts with {extra}")
        insist("Traceback" not in ended.text, f"a traceback with {extra}")


@attack(14, "two collectors of one shard, and the first one killed", "as a stranger")
async def twins(scene: Scene) -> None:
    """The second stands by or ends, and says so; what a dead one held keeps nobody out."""
    ended = await scene.desk.manage("collect", seconds=20)
    words = ("another", "stand", "lease", "already", "second")
    insist("Traceback" not in ended.text, "a traceback")
    says = any(word in ended.text.lower() for word in words)
    insist(says, f"the second collects as well: …{ended.text[-160:]!r}")
    first = scene.desk.part("collect")
    if first is None:
        raise Broken("the first is gone")
    first.kill()
    until = time.monotonic() + AGAIN_S
    await asyncio.sleep(3)
    while (await scene.desk.manage("healthcheck", "collector")).status != 0:
        insist(time.monotonic() < until, f"none collects {AGAIN_S:.0f} s after the first was killed")


@attack(14, "beat's schedule is damaged", "as a stranger")
async def damaged_schedule(scene: Scene) -> None:
    """Maintenance goes on without a person."""
    beat = scene.desk.part("celery", "beat")
    insist(beat is not None, "no beat runs")
    if beat is None:
        return
    files = list(scene.desk.home.glob("celerybeat-schedule*"))
    beat.send_signal(signal.SIGKILL)
    for file in files or [scene.desk.home / "celerybeat-schedule"]:
        file.write_bytes(b"\0rubbish" * 512)
    await _until(lambda: _is_steady(scene, beat.pid), AGAIN_S, "beat does not come again and stay")


def _is_steady(scene: Scene, before: int) -> bool:
    """A new beat that has run for eight seconds."""
    beat = scene.desk.part("celery", "beat")
    return beat is not None and beat.pid != before and time.time() - beat.create_time() > 8


@attack(14, "all exchanges are deleted", "last")
async def nothing_left(scene: Scene) -> None:
    """The installation prepares itself again, and health does not report a healthy desk."""
    # One start of Python for all: on a busy machine each takes ten seconds.
    ended = await scene.desk.manage("shell", "-v", "0", "-c", DELETE_ALL)
    insist(ended.status == 0, f"`prepare` ends with {ended.status}: {ended.text[-200:]!r}")
    kept = int(ended.text.split()[-1])
    await asyncio.sleep(8)
    word = loaded((await scene["root"].get("/api/health")).text)["status"]
    insist(word != "ok" or kept > 0, "health says ok, and nothing is collected")
