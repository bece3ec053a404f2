"""Images by digest: `make image-pins` writes what the registry says, and a missing digest is named."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from arbsite.environment import BASE_DIR

DIGEST = "sha256:" + "0123456789abcdef" * 4
FILES = ("docker-compose.yml", "Dockerfile")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of a checkout, as if nothing were pinned yet, and an empty place for programs."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(BASE_DIR / "deploy" / "image_pins.py", tmp_path / "deploy")
    for name in FILES:
        text = (BASE_DIR / name).read_text()
        (tmp_path / name).write_text(re.sub("@sha256:[0-9a-f]{64}", "", text))
    return tmp_path


def _docker(checkout: Path, script: str) -> None:
    program = checkout / "bin" / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def _pins(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(checkout / "deploy" / "image_pins.py"), *arguments],
        env={"PATH": f"{checkout / 'bin'}:/nowhere"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _lines(checkout: Path) -> list[str]:
    lines = [line.strip() for name in FILES for line in (checkout / name).read_text().splitlines()]
    return [line for line in lines if line.startswith(("image:", "FROM "))]


def test_every_image_is_pinned_and_the_check_is_silent_then(checkout: Path) -> None:
    unpinned = _pins(checkout, "--check")
    assert (unpinned.returncode, "timescale/timescaledb" in unpinned.stderr) == (1, True)
    _docker(checkout, f'echo "{DIGEST}"')
    done = _pins(checkout)
    assert done.returncode == 0, done.stderr
    fetched = [line for line in _lines(checkout) if line != "image: arbdesk"]
    assert len(fetched) == 8
    assert [line for line in fetched if f"@{DIGEST}" not in line] == []
    assert "FROM node:24-slim@" + DIGEST + " AS javascript" in fetched
    assert _pins(checkout, "--check").returncode == 0


def test_what_is_shipped_is_pinned() -> None:
    check = [sys.executable, str(BASE_DIR / "deploy" / "image_pins.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pinning_again_takes_the_new_digest(checkout: Path) -> None:
    for digest in (DIGEST, "sha256:" + "fedcba9876543210" * 4):
        _docker(checkout, f'echo "{digest}"')
        assert _pins(checkout).returncode == 0
        assert sum(digest in line for line in _lines(checkout)) == 8


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('echo "no route to host" >&2; exit 1', "no route to host"),
        ("echo sha256:short", "is no digest"),
        ('case "$4" in redis*) exit 1;; *) echo ' + DIGEST + ";; esac", "redis:8-alpine"),
    ],
)
def test_without_an_answer_nothing_is_written(checkout: Path, script: str, words: str) -> None:
    before = _lines(checkout)
    _docker(checkout, script)
    done = _pins(checkout)
    assert done.returncode == 1
    assert words in done.stderr
    assert _lines(checkout) == before


def test_without_docker_it_says_so(checkout: Path) -> None:
    done = _pins(checkout)
    assert (done.returncode, "there is no `docker`" in done.stderr) == (1, True)
    assert os.linesep + "Traceback" not in done.stderr
