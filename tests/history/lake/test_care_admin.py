"""The lake's pages in the admin: what operators see and may ask for."""

import datetime
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis import Redis

from history import tasks
from history.lake.tables import Lake
from history.models import Kind, MaintenanceRun, RetentionPolicy, State
from history.services import look_after
from tests.support.lakes.lake_data import write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

TABLES = reverse("admin:history_retentionpolicy_changelist")
RUNS = reverse("admin:history_maintenancerun_changelist")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(settings, "LAKE_URL", str(tmp_path / "lake"))
    return Lake.from_settings()


@pytest.fixture
def pages(lake: Lake, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def visitor(lake: Lake) -> Client:
    """Somebody of the staff who may look at the lake's pages and no more."""
    user = User.objects.create_user("visitor", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=("view_retentionpolicy", "view_maintenancerun"))
    )
    client = Client()
    client.force_login(user)
    return client


def record(lake: Lake, days_ago: int = 1, rows: int = 1234) -> None:
    moment = int((timezone.now() - datetime.timedelta(days=days_ago)).timestamp() * 1e6)
    columns: dict[str, list[Any]] = {
        "exchange": ["okx"] * rows, "symbol": ["BTC/USDT"] * rows, "price": [1.0] * rows,
        "size": [2.0] * rows, "received_ts_us": [moment] * rows,
    }  # fmt: skip
    write(lake, "trades", columns)


def text(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return response.content.decode()


def act(client: Client, action: str, *tables: str) -> str:
    keys = [str(key) for key in RetentionPolicy.objects.filter(table__in=tables).values_list("pk", flat=True)]
    return client.post(TABLES, {"action": action, "_selected_action": keys}, follow=True).content.decode()


def queued(redis: Redis) -> list[tuple[str, list[str]]]:
    """Tasks that wait in Redis for a worker, the oldest first."""
    messages = [json.loads(message) for message in reversed(redis.lrange("celery", 0, -1))]
    return [(each["headers"]["task"], json.loads(b64decode(each["body"]))[0]) for each in messages]


def test_each_table_shows_its_size_age_growth_and_last_maintenance(pages: Client, lake: Lake) -> None:
    record(lake)
    record(lake)
    look_after(Kind.COMPACT, lake, "trades")

    page = text(pages, TABLES)

    for table in ("quotes", "trades", "funding", "marks", "stream_states", "spreads", "opportunities"):
        assert f">{table}</a>" in page
    assert '<td class="field-rows">2,468</td>' in page
    assert '<td class="field-files">1</td>' in page
    assert "● done" in page
    assert "never" in page
    assert page.count("–") >= 4  # tables nobody wrote to have no age


def test_a_lake_that_cannot_be_read_says_so_instead_of_failing(pages: Client, lake: Lake) -> None:
    log = Path(lake.uri("trades"), "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{nonsense")
    row = RetentionPolicy.objects.get(table="trades")

    page = text(pages, TABLES)

    print(page[page.index("messagelist") :][:900] if "messagelist" in page else "none")
    assert f"trades cannot be read at {lake.url}" in page
    assert "The lake cannot be read" in text(
        pages, reverse("admin:history_retentionpolicy_change", args=[row.pk])
    )


def test_the_list_asks_no_query_per_table(pages: Client, lake: Lake) -> None:
    with CaptureQueriesContext(connection) as queries:
        text(pages, TABLES)

    assert len(queries) <= 13


def test_the_days_kept_are_edited_in_place_and_refused_when_they_cannot_be(pages: Client) -> None:
    rows = list(RetentionPolicy.objects.all())
    form = {"form-TOTAL_FORMS": len(rows), "form-INITIAL_FORMS": len(rows), "_save": "Save"}
    for number, row in enumerate(rows):
        form |= {f"form-{number}-id": row.pk, f"form-{number}-days": 7}

    pages.post(TABLES, form)
    assert set(RetentionPolicy.objects.values_list("days", flat=True)) == {7}

    page = pages.post(TABLES, form | {"form-0-days": 0}).content.decode()
    assert "greater than or equal to 1" in page
    pages.post(TABLES, form | {"form-0-days": ""})
    assert RetentionPolicy.objects.get(pk=rows[0].pk).days is None


def test_a_tables_page_shows_each_day_and_the_last_runs(pages: Client, lake: Lake) -> None:
    record(lake, days_ago=1, rows=1000)
    record(lake, days_ago=2, rows=2000)
    look_after(Kind.COMPACT, lake, "trades")
    row = RetentionPolicy.objects.get(table="trades")

    page = text(pages, reverse("admin:history_retentionpolicy_change", args=[row.pk]))

    assert (timezone.now() - datetime.timedelta(days=2)).date().isoformat() in page
    assert "<td>2,000</td>" in page
    assert "● done" in page


@pytest.mark.parametrize(
    ("action", "task"),
    [("compact_now", "compact"), ("retain_now", "retain"), ("clean_now", "clean")],
)
def test_maintenance_can_be_asked_for_now(pages: Client, empty_redis: Redis, action: str, task: str) -> None:
    page = act(pages, action, "trades", "quotes")

    assert "Queued for a worker" in page
    assert queued(empty_redis) == [
        (f"history.tasks.{task}", ["quotes"]),
        (f"history.tasks.{task}", ["trades"]),
    ]
    assert LogEntry.objects.filter(change_message__startswith="Queued").count() == 2


def test_without_redis_asking_says_so(pages: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OperationalError("Connection refused")

    monkeypatch.setattr(tasks.compact, "apply_async", refused)

    assert "Not queued, Redis does not respond: Connection refused" in act(pages, "compact_now", "trades")


def test_who_may_only_look_cannot_ask_or_edit(visitor: Client, empty_redis: Redis) -> None:
    assert "compact_now" not in text(visitor, TABLES)
    act(visitor, "compact_now", "trades")
    assert queued(empty_redis) == []
    assert 'name="form-0-days"' not in text(visitor, TABLES)


def test_runs_are_shown_with_error_and_cannot_be_changed(pages: Client) -> None:
    now = timezone.now()
    run = MaintenanceRun.objects.create(
        kind=Kind.COMPACT, table="trades", state=State.FAILED, started=now, ended=now, rows=12345,
        files_before=360, bytes_before=4_000_000, error="OSError: no space left",
    )  # fmt: skip

    page = text(pages, RUNS)

    assert "■ failed" in page
    assert "OSError: no space left" in page
    assert "360, 3.8\xa0MB<br>→ –, –" in page
    assert "12,345" in page
    change = reverse("admin:history_maintenancerun_change", args=[run.pk])
    assert 'name="_save"' not in text(pages, change)
    assert pages.post(change, {"error": ""}).status_code == 403
    assert pages.get(reverse("admin:history_maintenancerun_add")).status_code == 403
    assert pages.post(reverse("admin:history_maintenancerun_delete", args=[run.pk])).status_code == 403
