"""Makefile, image and Compose file, as far as they can be checked without a Docker engine."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command, get_commands
from redis import Redis

from arbsite.environment import BASE_DIR
from arbsite.management.commands import healthcheck
from tests.support.rooms import PACKAGES

COMPOSE = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
OURS = [name for name, service in SERVICES.items() if service.get("image") == "arbdesk"]
SERVICE_KEYS = {
    "build", "image", "restart", "init", "read_only", "tmpfs", "security_opt", "cap_drop", "environment",
    "depends_on", "logging", "volumes", "shm_size", "healthcheck", "command", "ports", "stop_grace_period",
    "stop_signal", "profiles", "pids_limit", "networks", "cap_add", "user", "mem_limit",
}  # fmt: skip


def _make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_alone_explains_every_target() -> None:
    text = _make()
    for target in ("run", "test", "lint", "help", "install", "pins"):
        assert re.search(rf"^  {target} +\S", text, re.MULTILINE), f"{target} is not explained"


def test_make_says_which_python_it_needs() -> None:
    done = subprocess.run(
        ["make", "PYTHON=python-that-is-not-there", "VENV=/nonexistent/.venv", "install"],
        cwd=BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Install Python 3.11 or newer" in done.stdout


def test_compose_has_every_part_each_with_a_healthcheck() -> None:
    assert set(SERVICES) == {
        "postgres", "redis", "migrate", "web", "collector-1", "collector-2", "ingest", "worker", "beat",
        "monitor", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert set(service) <= SERVICE_KEYS, name


def _mb(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1, "g": 1024}[unit]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_of_compose_takes_the_hosts_memory(name: str) -> None:
    service = SERVICES[name]
    for mount in service.get("tmpfs", []):
        options = dict(option.partition("=")[::2] for option in mount.partition(":")[2].split(","))
        assert _mb(options["size"]) <= _mb(service["mem_limit"]) / 4, "a full /tmp leaves room"
    assert _mb(service["mem_limit"]) <= 2048


def test_the_memory_that_redis_may_fill_fits_into_its_container() -> None:
    command = SERVICES["redis"]["command"]
    assert _mb(command[command.index("--maxmemory") + 1]) <= 0.75 * _mb(SERVICES["redis"]["mem_limit"])


def test_compose_refers_only_to_what_it_defines() -> None:
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            assert condition["condition"] in {"service_healthy", "service_completed_successfully"}
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (BASE_DIR / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
            assert known, f"{name}: {source}"


def test_compose_asks_for_secrets_and_holds_none() -> None:
    text = (BASE_DIR / "docker-compose.yml").read_text()
    assert "${SECRET_KEY:?" in text
    assert "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?" in text
    variables = set(re.findall(r"\$\{([A-Z_]+)", text))
    documented = set(re.findall(r"^([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    assert variables - documented == set()


def test_the_two_collectors_share_all_symbols() -> None:
    shards = [SERVICES[f"collector-{n}"]["command"][-1] for n in (1, 2)]
    assert shards == ["1/2", "2/2"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_of_a_service_exists(name: str) -> None:
    service = SERVICES[name]
    words = [" ".join(service["command"]), " ".join(service["healthcheck"]["test"])]
    for command in re.findall(r"manage\.py (\w+)", " ".join(words)):
        assert command in get_commands()
    assert service["command"][0] in {"python", "celery", "sh"}


def test_the_image_runs_as_an_ordinary_user_and_gets_every_package_and_no_secret() -> None:
    assert re.search(r"^USER desk$", DOCKERFILE, re.MULTILINE)
    for package in (*PACKAGES, "templates", "static"):
        assert f"COPY {package} {package}" in DOCKERFILE
    ignored = (BASE_DIR / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = re.findall(r"^COPY ((?!--from)[^\n]+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {f"!{name}" for names in copied for name in names.split()} - set(ignored) == set()
    assert "!.env" not in ignored


def test_a_collector_that_does_not_report_is_unhealthy() -> None:
    with pytest.raises(CommandError, match="collector: shard 7/9 does not report"):
        call_command("healthcheck", "collector", "--shard", "7/9")


def test_beat_is_well_while_its_schedule_is_young(tmp_path: Path) -> None:
    schedule = tmp_path / "celerybeat-schedule"
    assert healthcheck.beat_problem(schedule) is not None
    (tmp_path / "celerybeat-schedule.db").touch()
    assert healthcheck.beat_problem(schedule) is None


def test_a_web_process_that_does_not_answer_is_unhealthy() -> None:
    assert "does not answer" in str(healthcheck.web_problem("http://127.0.0.1:1/healthz"))


def test_a_monitor_without_a_heartbeat_is_unhealthy(empty_redis: Redis) -> None:
    with pytest.raises(CommandError, match=r"monitor: no monitor on .* has written a heartbeat for 8 s"):
        call_command("healthcheck", "monitor")
