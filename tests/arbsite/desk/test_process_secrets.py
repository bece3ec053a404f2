"""Each process of `make run` has the secrets it uses, and no others, as the kernel has it."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.arbsite.desk.test_up import Desk, desk

__all__ = ["desk"]

# Which process may have which variable; docs/security.md has the same table. Prefixes end with _.
STORES = {"DATABASE_URL", "REDIS_URL"}
MAY_HAVE = {
    "web": {*STORES, "AWS_", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "METRICS_TOKEN"},
    "collector": {*STORES, "AWS_", "SEALING_KEY_PROXIES", "OUTBOUND_PROXY"},
    "worker": {*STORES, "AWS_", "SEALING_KEY_PROXIES", "OUTBOUND_PROXY", "EXCHANGE_KEYS_"},
    "beat": {"REDIS_URL"},
    "monitor": {*STORES, "AWS_", "SEALING_KEY_CHANNELS"},
    "simulator": {"REDIS_URL"},
    "postgresql": set(),
    "redis": set(),
}
WORDS = {
    "web": ("arbsite.web",),
    "collector": ("collect",),
    "worker": ("celery", "worker"),
    "beat": ("celery", "beat"),
    "monitor": ("monitor",),
    "simulator": ("simulate",),
}
# Given in the environment, and in a file: `.env` is read by every process that is not kept from it.
GIVEN = (
    "SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "EXCHANGE_KEYS_OKX", "METRICS_TOKEN",
    "POSTGRES_PASSWORD", "GITHUB_TOKEN", "OUTBOUND_PROXY", "MY_SERVICE", "KEYSTORE_PASSPHRASE",
)  # fmt: skip
IN_FILE = ("SECRET_KEY_FALLBACKS", "EXCHANGE_KEYS_BINANCE", "GRAFANA_PASSWORD", "AWS_ACCESS_KEY_ID")


def _value(name: str, secret: str) -> str:
    if name in ("OUTBOUND_PROXY", "MY_SERVICE"):
        return f"http://user:{secret}@127.0.0.1:1"
    return f"key:{secret}:more" if name.startswith("EXCHANGE_KEYS_") else secret


def _environ(process: psutil.Process) -> bytes:
    """A process' environment, as the kernel has it; of one that has just ended there is none."""
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        if process.is_running():
            raise
        return b""


def _lines() -> Iterator[tuple[psutil.Process, str, str]]:
    """Every process of this machine with its name and command line; what is ending has none."""
    for process in psutil.process_iter(["name", "cmdline"]):
        yield process, process.info["name"] or "", " ".join(process.info["cmdline"] or ())


def _of_part(desk: Desk, words: tuple[str, ...]) -> Iterator[psutil.Process]:
    """The part's process and what it forked."""
    pid = desk.pid_of(*words)
    assert pid is not None, words
    process = psutil.Process(pid)
    yield process
    yield from process.children(recursive=True)


def _servers(desk: Desk) -> dict[str, list[psutil.Process]]:
    """PostgreSQL and Redis, by what they are called."""
    found: dict[str, list[psutil.Process]] = {"postgresql": [], "redis": []}
    for process, name, line in _lines():
        if name == "postgres" and str(desk.home) in line:
            found["postgresql"] += [process, *process.children(recursive=True)]
        if name == "redis-server" and str(desk.home) in line:
            found["redis"].append(process)
    assert all(found.values()), found
    return found


@pytest.mark.timeout(180)
def test_no_process_has_a_secret_that_it_does_not_use(desk: Desk, tmp_path: Path) -> None:
    secret = {name: secrets.token_urlsafe(40) for name in (*GIVEN, *IN_FILE)}
    file = tmp_path / "desk.env"
    file.write_text("".join(f"{name}={_value(name, secret[name])}\n" for name in IN_FILE))
    given = {name: _value(name, secret[name]) for name in GIVEN}
    desk.start(**given, ENV_FILE=str(file), OUTBOUND_NO_PROXY="127.0.0.1")

    processes = {part: list(_of_part(desk, words)) for part, words in WORDS.items()} | _servers(desk)
    for part, found in processes.items():
        for process in found:
            text = _environ(process)
            has = {name for name, value in secret.items() if value.encode() in text}
            allowed = {name for name in has if _may_have(part, name)}
            assert has == allowed, f"{part} ({process.pid}) has {sorted(has - allowed)}"
            named = {line.partition(b"=")[0].decode() for line in text.split(b"\0") if b"=" in line}
            for name in (*STORES, "SEALING_KEY_PROXIES", "SEALING_KEY_CHANNELS"):
                assert name not in named or _may_have(part, name), f"{part} ({process.pid}) has {name}"
        # … and what it does use it was given.
        text = b"\0".join(map(_environ, found))
        for name, value in secret.items():
            if _may_have(part, name):
                assert value.encode() in text, f"{part} lacks {name}"

    # Nor are they where anybody can read them, or written where they were not.
    for _process, _name, line in _lines():
        assert not [name for name, value in secret.items() if value in line]
    written = (desk.home / "supervisord.conf").read_text()
    assert not [name for name, value in secret.items() if value in written]


def _may_have(part: str, name: str) -> bool:
    allowed = MAY_HAVE[part]
    return name in allowed or any(each.endswith("_") and name.startswith(each) for each in allowed)
