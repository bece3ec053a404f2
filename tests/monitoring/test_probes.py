"""Probes of orchestrators: alive does not depend on anybody, ready does not lie."""

import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.migrations.executor import MigrationExecutor
from django.test import AsyncClient, Client, override_settings
from redis import Redis

from core.errors import InvalidConfig
from monitoring.health import probes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_readiness", probes.Readiness())


async def test_a_process_that_can_serve_is_ready(async_client: AsyncClient, empty_redis: Redis) -> None:
    answer = await async_client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert answer["Cache-Control"] == "no-store"


async def test_alive_asks_nobody(async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(_self: Any) -> list[str]:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(probes.Readiness, "_ask", asked)
    answer = await async_client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def gone(*_args: Any) -> Any:
    raise OperationalError("connection refused")


def unusable() -> Any:
    raise InvalidConfig("okx: no fee")


@pytest.mark.parametrize(
    ("broken", "by", "words"),
    [
        ("load_config", gone, "PostgreSQL: OperationalError"),
        ("load_config", unusable, "the saved configuration cannot be used; the admin says why"),
    ],
)
async def test_what_keeps_it_from_serving_is_said(
    async_client: AsyncClient,
    empty_redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    by: Any,
    words: str,
) -> None:
    monkeypatch.setattr(probes, broken, by)
    answer = await async_client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reasons": [words]})


async def test_tables_that_are_not_there_yet_are_a_reason(
    async_client: AsyncClient, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_args: ["0001_initial"])
    answer = await async_client.get("/readyz")
    assert answer.json()["reasons"] == ["migrations are not applied: manage.py migrate"]


async def test_many_clients_cost_one_check(
    async_client: AsyncClient, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    ask = probes.Readiness._ask

    async def counted(self: Any) -> list[str]:
        looks.append(1)
        return await ask(self)

    monkeypatch.setattr(probes, "FRESH_S", 60.0)
    monkeypatch.setattr(probes.Readiness, "_ask", counted)
    for _ in range(5):
        assert (await async_client.get("/readyz")).status_code == 200
    assert len(looks) == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health", "/api/health"])
@override_settings(SECURE_SSL_REDIRECT=True)
def test_probes_are_not_sent_to_https(path: str, empty_redis: Redis) -> None:
    assert Client().get(path).status_code in {200, 503}


@pytest.mark.parametrize("path", ["/health", "/api/health"])
def test_everybody_learns_a_word_and_the_time_and_no_more(
    path: str, empty_redis: Redis, operator: User, operator_client: Client
) -> None:
    assert set(Client().get(path).json()) == {"status", "version", "time"}
    assert {"findings", "processes", "exchanges", "missing"} <= set(operator_client.get(path).json())


def test_one_version_is_named_by_the_api_and_the_changelog(empty_redis: Redis) -> None:
    newest = re.search(r"^## \[([^]]+)\]", (settings.BASE_DIR / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert Client().get("/api/health").json()["version"] == settings.VERSION == newest[1]
