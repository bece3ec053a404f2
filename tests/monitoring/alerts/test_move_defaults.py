"""Cool-down and “resolved” of opportunity rules: as entered, previewed, after an upgrade, after a crash."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone
from redis import Redis

from monitoring.alerts.evaluator import look_at_opportunities
from monitoring.models import Alert, AlertRule, Delivery, What
from opportunities.services import save_episodes
from tests.monitoring.alerts.test_admin import page
from tests.monitoring.alerts.test_delivery import db
from tests.monitoring.alerts.test_delivery_process import killed_monitor
from tests.monitoring.alerts.test_moves import later, routes
from tests.monitoring.alerts.test_rules_at_work import NOON, channel, rule, sent
from tests.opportunities.test_episodes import closed

FORM = {
    "name": "moves", "enabled": "on", "what": "opportunity", "severity": "info", "for_s": "0",
    "clear_after_s": "0", "cool_down_s": "", "tell_resolved": "", "digest_minutes": "0",
    "remind_minutes": "0", "quiet_zone": "UTC", "funding_unit": "8h",
}  # fmt: skip


@pytest.fixture
def pages(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


# --- the form ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cool_down", "resolved", "lasts_s", "sends_resolved"),
    [("", "", 300, False), ("0", "", 0, False), ("60", "True", 60, True), ("", "False", 300, False)],
)
def test_what_is_left_empty_is_as_usual_for_opportunities(
    pages: Client, cool_down: str, resolved: str, lasts_s: int, sends_resolved: bool
) -> None:
    fields = FORM | {"cool_down_s": cool_down, "tell_resolved": resolved}
    pages.post(page("alertrule_add"), fields)
    made = AlertRule.objects.get(name="moves")
    assert (made.cools_down_s, made.tells_resolved) == (lasts_s, sends_resolved)
    pages.post(page("alertrule_change", made.pk), fields)
    made.refresh_from_db()
    assert (made.cool_down_s is None, made.tell_resolved is None) == (cool_down == "", resolved == "")


def test_what_is_left_empty_is_as_usual_for_health(pages: Client) -> None:
    pages.post(page("alertrule_add"), FORM | {"what": "exchange_silent"})
    made = AlertRule.objects.get(name="moves")
    assert (made.cools_down_s, made.tells_resolved) == (0, True)


@pytest.mark.parametrize("wrong", ["-1", "1.5", "soon", str(8 * 24 * 3600)])
def test_a_cool_down_that_is_none_is_refused(pages: Client, wrong: str) -> None:
    answer = pages.post(page("alertrule_add"), FORM | {"cool_down_s": wrong})
    assert answer.status_code == 200
    assert "cool_down_s" in answer.context["adminform"].form.errors
    assert not AlertRule.objects.filter(name="moves").exists()


# --- the preview -----------------------------------------------------------------------------------------


def preview(pages: Client, **fields: str) -> str:
    return pages.post(page("alertrule_preview"), FORM | fields).content.decode()


def test_the_form_says_moves_each_by_its_best_route(pages: Client) -> None:
    save_episodes(routes())
    assert preview(pages) == "BTC/USDT bingx → binance (+6 routes)"
    assert preview(pages, min_edge_bps="17") == "BTC/USDT bingx → binance (+1 route)"
    assert preview(pages, min_edge_bps="19") == "Nothing."
    save_episodes(routes(50, 2, "ETH/USDT"))
    assert preview(pages) == "BTC/USDT bingx → binance (+6 routes), ETH/USDT bingx → binance (+6 routes)"


def test_a_move_of_which_one_route_is_open_is_that_route(pages: Client) -> None:
    stories = routes()
    save_episodes(stories)
    save_episodes([closed(each, after_ms=900) for each in stories[1:]])
    assert preview(pages) == "BTC/USDT bitget → binance"


# --- an upgrade ------------------------------------------------------------------------------------------


@pytest.fixture
def before_moves(transactional_db: None) -> Iterator[Any]:
    """The tables as they were before there were moves; afterwards as they are."""
    executor = MigrationExecutor(connection)
    executor.migrate([("monitoring", "0004_clock_jump")])
    yield executor.loader.project_state([("monitoring", "0004_clock_jump")]).apps
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_old_rules_of_opportunities_get_the_default_and_others_keep_what_they_had(before_moves: Any) -> None:
    old = before_moves.get_model("monitoring", "AlertRule").objects
    for name, what, cool_down_s in (
        ("never entered", "opportunity", 0), ("entered", "opportunity", 45), ("health", "exchange_silent", 0),
        ("slow health", "memory", 600),
    ):  # fmt: skip
        old.create(name=name, what=what, cool_down_s=cool_down_s)
    incidents = before_moves.get_model("monitoring", "Alert").objects
    now = timezone.now()
    incidents.create(
        rule_id=old.get(name="entered").pk, rule_name="entered", key="opportunity:x", subject="x",
        severity="info", episode="0" * 32, since=now, fired_at=now, title="x", words="x", told="firing",
    )  # fmt: skip
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    rules = {
        row.name: (row.cool_down_s, row.cools_down_s, row.tells_resolved) for row in AlertRule.objects.all()
    }
    assert rules == {
        "never entered": (None, 300, False), "entered": (45, 45, False),
        "health": (0, 0, True), "slow health": (600, 600, True),
    }  # fmt: skip
    look_at_opportunities(timezone.now())  # what fired before goes on to its end
    assert Alert.objects.get().state == Alert.State.RESOLVED


# --- a crash ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("transactional_db")
async def test_a_monitor_killed_in_mid_cool_down_does_not_report_the_coin_again(empty_redis: Redis) -> None:
    def begin() -> None:
        rule("moves", what=What.OPPORTUNITY, channels=(channel("traders"),))
        AlertRule.objects.update(changed_at=NOON)
        save_episodes(routes())

    def again() -> None:
        """The coin trembles on, and another one moves: the sign that the new monitor looks."""
        save_episodes([closed(each, after_ms=900) for each in routes()])
        save_episodes([*routes(50, 2), *routes(90, 3, "ETH/USDT")])

    def sent_titles() -> list[str]:
        return [title[:3] for _, title in sent()]

    async def until_sent(*coins: str) -> None:
        async with asyncio.timeout(60):
            while True:
                if await db(sent_titles) == list(coins):
                    return
                await asyncio.sleep(0.1)

    await db(begin)
    with killed_monitor():
        await until_sent("BTC")
    await db(again)
    with killed_monitor():
        await until_sent("BTC", "ETH")
    await db(look_at_opportunities, later(301))  # what is still open when the cool-down is over fires then
    assert await db(sent_titles) == ["BTC", "ETH", "BTC"]
    assert await db(Delivery.objects.filter(kind="resolved").count) == 0
