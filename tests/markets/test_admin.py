"""The configuration pages: they render, stay cheap, log who did what and say whether collectors follow."""

import pytest
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core.redis_client import redis_client
from markets.follow.runtime import CollectorStatus, report_status
from markets.models import CatalogueSync, Exchange, ExchangePair, Instrument, OpportunityFilter, Symbol
from markets.seed import seed
from markets.selectors import current_revision, load_config

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

MODELS = ("exchange", "symbol", "instrument", "exchangepair", "opportunityfilter")


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("operator")  # no password: hashing one is slow


@pytest.fixture
def pages(operator: User, client: Client) -> Client:
    seed()
    client.force_login(operator)
    return client


def changelist(model: str) -> str:
    return reverse(f"admin:markets_{model}_changelist")


def text(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return response.content.decode()


def act(client: Client, model: str, action: str, *keys: int) -> str:
    data = {"action": action, "_selected_action": [str(key) for key in keys]}
    return client.post(changelist(model), data, follow=True).content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_every_list_form_history_and_search_renders(pages: Client, model: str) -> None:
    from django.apps import apps

    row = apps.get_model("markets", model)._default_manager.first()
    assert row is not None
    text(pages, changelist(model) + "?q=b")
    text(pages, reverse(f"admin:markets_{model}_change", args=[row.pk]))
    text(pages, reverse(f"admin:markets_{model}_history", args=[row.pk]))
    if model != "instrument":
        text(pages, reverse(f"admin:markets_{model}_add"))
        text(pages, reverse(f"admin:markets_{model}_delete", args=[row.pk]))


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("exchange", "enabled__exact=1"),
        ("symbol", "instruments__exchange__id__exact={exchange}"),
        ("instrument", "exchange__id__exact={exchange}&active__exact=1&delisted_at__isempty=1"),
        ("exchangepair", "exchange1__id__exact={exchange}"),
        ("opportunityfilter", "enabled__exact=1"),
    ],
)
def test_lists_filter(pages: Client, model: str, query: str) -> None:
    exchange = Exchange.objects.get(key="binance")

    assert "paginator" in text(pages, f"{changelist(model)}?{query.format(exchange=exchange.pk)}")


def grow() -> None:
    """Twice as much of everything."""
    exchanges = [
        Exchange.objects.create(key=f"exchange{i}", name=f"Exchange {i}", taker_fee_bps=10, maker_fee_bps=10)
        for i in range(8)
    ]
    for i, exchange in enumerate(exchanges):
        CatalogueSync.objects.create(exchange=exchange, tried_at="2026-01-01T00:00Z", error="no answer")
        symbol = Symbol.objects.create(name=f"X{i}/USDT", base=f"X{i}", quote="USDT", enabled=True)
        Instrument.objects.create(exchange=exchange, symbol=symbol, native_id=f"X{i}USDT")
        pair = ExchangePair.objects.create(exchange1=Exchange.objects.get(key="okx"), exchange2=exchange)
        OpportunityFilter.objects.create(name=f"Filter {i}", symbols="X*").pairs.add(pair)


@pytest.mark.parametrize("model", MODELS)
def test_lists_ask_as_many_queries_for_many_rows_as_for_few(pages: Client, model: str) -> None:
    text(pages, changelist(model))
    with CaptureQueriesContext(
        connection,
    ) as few:
        text(pages, changelist(model))
    grow()
    with CaptureQueriesContext(connection) as many:
        text(pages, changelist(model))

    assert len(many) == len(few) <= 22


def test_the_filter_form_asks_no_query_per_pair(pages: Client) -> None:
    url = reverse(
        "admin:markets_opportunityfilter_change", args=[OpportunityFilter.objects.get(name="Majors").pk]
    )
    text(pages, url)
    with CaptureQueriesContext(connection) as few:
        text(pages, url)
    grow()
    with CaptureQueriesContext(connection) as many:
        text(pages, url)

    assert len(many) == len(few)


@pytest.mark.parametrize("model", MODELS)
def test_actions_switch_rows_log_who_and_move_the_revision_once(
    pages: Client, operator: User, model: str
) -> None:
    from django.apps import apps

    rows = list(apps.get_model("markets", model)._default_manager.all()[:3])
    keys = [row.pk for row in rows]
    before = current_revision()

    page = act(pages, model, "disable", *keys)

    assert f"{len(keys)} disabled." in page
    assert not any(row.enabled for row in type(rows[0])._default_manager.filter(pk__in=keys))
    assert current_revision() == before + 1
    entries = LogEntry.objects.filter(user=operator, action_flag=CHANGE, change_message="Disabled.")
    assert {entry.object_id for entry in entries} == {str(key) for key in keys}
    assert entries.count() == len(keys)

    act(pages, model, "disable", *keys)
    assert (current_revision(), entries.count()) == (before + 1, len(keys))  # nothing left to change
    act(pages, model, "enable", *keys)
    assert all(row.enabled for row in type(rows[0])._default_manager.filter(pk__in=keys))


def test_deleting_selected_rows_is_logged_and_moves_the_revision(pages: Client, operator: User) -> None:
    pair = ExchangePair.objects.get(exchange1__key="binance", exchange2__key="bybit")
    before = current_revision()

    pages.post(
        changelist("exchangepair"),
        {"action": "delete_selected", "_selected_action": [str(pair.pk)], "post": "yes"},
    )

    assert not ExchangePair.objects.filter(pk=pair.pk).exists()
    assert current_revision() > before
    assert LogEntry.objects.filter(user=operator, object_id=str(pair.pk), action_flag=3).exists()


def test_a_symbol_that_is_listed_somewhere_cannot_be_deleted(pages: Client) -> None:
    symbol = Symbol.objects.get(name="BTC/USDT")

    page = text(pages, reverse("admin:markets_symbol_delete", args=[symbol.pk]))

    assert "Cannot delete symbol" in page


def test_an_exchange_can_be_deleted_with_its_instruments_and_pairs(pages: Client) -> None:
    row = Exchange.objects.get(key="bingx")
    url = reverse("admin:markets_exchange_delete", args=[row.pk])
    assert "Are you sure" in text(pages, url)

    pages.post(url, {"post": "yes"})

    assert "bingx" not in {exchange.key for exchange in load_config().exchanges}
    assert not Instrument.objects.filter(exchange_id=row.pk).exists()


def exchange_form(**changes: str) -> dict[str, str]:
    fields = {"name": "Binance", "enabled": "on", "taker_fee_bps": "7.5", "maker_fee_bps": "7.5",
              "rest_url": "", "ws_url": "", "min_volume": "", "max_volume": "", "account_tier": "",
              "fee_schedules-TOTAL_FORMS": "0", "fee_schedules-INITIAL_FORMS": "0"}  # fmt: skip
    return fields | changes


def test_a_changed_fee_reaches_the_configuration_and_the_log(pages: Client, operator: User) -> None:
    row = Exchange.objects.get(key="binance")

    pages.post(reverse("admin:markets_exchange_change", args=[row.pk]), exchange_form())

    [binance] = [exchange for exchange in load_config().exchanges if exchange.key == "binance"]
    assert binance.taker_fee_bps == 7.5
    entry = LogEntry.objects.get(user=operator, object_id=str(row.pk))
    assert entry.get_change_message() == "Changed Taker fee, bps and Maker fee, bps."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ws_url": "http://x"}, "must start with ws:// or wss:// and name a host"),
        ({"rest_url": "localhost:9000"}, "must start with http:// or https:// and name a host"),
        ({"rest_url": "http://host:port"}, "is no URL; write it like http://host:port"),
        ({"taker_fee_bps": "300"}, "less than or equal to 200"),
        ({"min_volume": "10", "max_volume": "9"}, "The maximum (9) is below the minimum (10): raise it"),
        ({"min_volume": "-1"}, "A volume cannot be negative"),
    ],
)
def test_wrong_values_of_an_exchange_are_refused_in_words(
    pages: Client, changes: dict[str, str], words: str
) -> None:
    row = Exchange.objects.get(key="binance")
    before = current_revision()

    page = pages.post(reverse("admin:markets_exchange_change", args=[row.pk]), exchange_form(**changes))

    assert words in page.content.decode()
    assert current_revision() == before


@pytest.mark.parametrize(
    ("name", "base", "quote", "words"),
    [
        ("BTC/BTC", "BTC", "BTC", "Quote and base are the same coin"),
        ("newusdt", "NEW", "USDT", "The name of this base and quote is NEW/USDT: enter that."),
    ],
)
def test_wrong_symbols_are_refused_in_words(
    pages: Client, name: str, base: str, quote: str, words: str
) -> None:
    fields = {"name": name, "base": base, "quote": quote, "kind": "spot"}

    page = pages.post(reverse("admin:markets_symbol_add"), fields)

    assert words in page.content.decode()
    assert not Symbol.objects.filter(name=name).exists()


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ("okx", "okx", "Exchange 2 is the same as exchange 1: choose a different one."),
        ("bybit", "binance", "This pair exists already, maybe the other way round: edit that one instead."),
    ],
)
def test_wrong_pairs_are_refused_in_words(pages: Client, one: str, two: str, words: str) -> None:
    keys = dict(Exchange.objects.values_list("key", "pk"))

    page = pages.post(
        reverse("admin:markets_exchangepair_add"),
        {"exchange1": keys[one], "exchange2": keys[two], "tolerance_ms": "1000", "enabled": "on"},
    )

    assert words in page.content.decode()


def test_filters_say_how_many_opportunities_they_select_now(pages: Client) -> None:
    row = OpportunityFilter.objects.get(name="Majors")
    form = reverse("admin:markets_opportunityfilter_change", args=[row.pk])
    assert "Selects 20 opportunities now." in text(pages, form)
    assert '<td class="field-selects">20</td>' in text(pages, changelist("opportunityfilter"))

    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)

    assert "Selects 16 opportunities now." in text(pages, form)
    assert '<td class="field-selects">16</td>' in text(pages, changelist("opportunityfilter"))


def filter_form(**changes: str) -> dict[str, str]:
    fields = {"name": "New", "enabled": "on", "symbols": "btc/usdt, eth/*", "quote": "usdt",
              "min_volume": "", "max_volume": "", "min_spread_pct": "", "min_edge_bps": "",
              "min_duration_ms": "0", "charted": "on"}  # fmt: skip
    return fields | changes


def test_a_saved_filter_says_what_it_selects(pages: Client) -> None:
    page = pages.post(reverse("admin:markets_opportunityfilter_add"), filter_form(), follow=True)

    assert "Selects 56 opportunities now." in page.content.decode()
    page = pages.post(
        reverse("admin:markets_opportunityfilter_add"),
        filter_form(name="Typo", symbols="BTCUSDT"),
        follow=True,
    )
    assert "Selects no opportunity now: no enabled symbol it names" in page.content.decode()


COUNT = "/admin/markets/opportunityfilter/count/"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbols": "btc/usdt"}, "Selects 28 opportunities now."),
        ({"symbols": "btc/usdt", "name": "Majors"}, "Selects 28 opportunities now."),  # a name that is taken
        ({"symbols": "*"}, "Selects 560 opportunities now."),
        ({"symbols": "nothing"}, "Selects no opportunity now: no enabled symbol it names"),
        ({"min_volume": "much"}, "Correct the fields below to see the count."),
    ],
)
def test_a_filter_is_counted_while_it_is_edited_and_nothing_is_stored(
    pages: Client, changes: dict[str, str], words: str
) -> None:
    before = current_revision()

    assert words in pages.post(COUNT, filter_form(**changes)).content.decode()
    assert current_revision() == before


def test_a_filter_is_counted_with_the_pairs_that_are_chosen(pages: Client) -> None:
    pairs = [pair.pk for pair in ExchangePair.objects.all()[:3]]

    answer = pages.post(COUNT, filter_form() | {"pairs": pairs})

    assert "Selects 6 opportunities now." in answer.content.decode()


def test_counting_is_for_those_who_may_see_filters(client: Client) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))

    assert client.post(COUNT, filter_form()).status_code == 403
    assert client.get(COUNT).status_code == 405


def test_a_filter_that_selects_too_much_is_refused_with_the_numbers(pages: Client) -> None:
    page = pages.post(reverse("admin:markets_opportunityfilter_add"), filter_form(symbols="*"))

    assert "This selects 560 opportunities and the limit is 500" in page.content.decode()
    assert not OpportunityFilter.objects.filter(name="New").exists()


def test_a_change_elsewhere_that_breaks_the_whole_is_said(pages: Client) -> None:
    symbols = Symbol.objects.exclude(name="BTC/USDT")
    symbols.update(enabled=False)
    OpportunityFilter.objects.create(name="All", symbols="*")

    page = act(pages, "symbol", "enable", *symbols.values_list("pk", flat=True))

    assert "Saved, but collectors keep the last good configuration" in page
    assert "Opportunity filter “All”: it selects 560 opportunities, the limit is 500" in page


async def _report(*statuses: CollectorStatus) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(settings.REDIS_URL) as redis:
        for status in statuses:
            await report_status(redis, status)


def report(*statuses: CollectorStatus) -> None:
    import asyncio

    asyncio.run(_report(*statuses))


def test_pages_say_that_no_collector_is_running(pages: Client) -> None:
    saved = current_revision()

    assert f"Saved revision {saved}; no collector is running." in text(pages, changelist("symbol"))


def test_pages_say_that_all_collectors_follow(pages: Client) -> None:
    saved = current_revision()
    report(CollectorStatus("1/2", revision=saved), CollectorStatus("2/2", revision=saved))

    assert f"All 2 collectors run revision {saved}." in text(pages, changelist("exchange"))


def test_pages_name_the_collector_that_lags_and_why(pages: Client) -> None:
    saved = current_revision()
    report(
        CollectorStatus("1/2", host="alpha", revision=saved - 1, error="Exchange “okx”: rubbish"),
        CollectorStatus("2/2", revision=saved),
    )

    page = text(pages, reverse("admin:markets_exchange_add"))
    assert f"Saved revision {saved}, running {saved - 1} on shard 1/2." in page
    assert "Shard 1/2 on alpha: Exchange “okx”: rubbish" in page


def test_pages_name_a_shard_nobody_runs(pages: Client) -> None:
    report(CollectorStatus("1/2", revision=current_revision()))

    assert "Shard 2/2: no collector is running it." in text(pages, changelist("exchange"))


def test_pages_and_saving_work_without_redis(
    pages: Client, settings: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    redis_client.cache_clear()
    try:
        row = Exchange.objects.get(key="binance")
        assert "is unknown: Redis does not respond" in text(pages, changelist("exchange"))
        page = pages.post(
            reverse("admin:markets_exchange_change", args=[row.pk]), exchange_form(), follow=True
        )
        assert page.status_code == 200
    finally:
        redis_client.cache_clear()
    row.refresh_from_db()
    assert row.taker_fee_bps == 7.5


def test_exchanges_show_their_last_sync_and_its_error(pages: Client) -> None:
    CatalogueSync.objects.create(
        exchange=Exchange.objects.get(key="gate"), tried_at="2026-01-02T00:00Z",
        synced_at="2026-01-01T03:04Z", error="it does not answer",
    )  # fmt: skip

    page = text(pages, changelist("exchange"))
    assert "2026-01-01 03:04 UTC" in page
    assert "it does not answer" in page
    assert "never" in page


def test_instruments_show_steps_and_volume_as_people_write_them(pages: Client) -> None:
    row = Instrument.objects.get(exchange__key="okx", symbol__name="PEPE/USDT")
    Instrument.objects.filter(pk=row.pk).update(
        tick_size="0.000000010000000000", lot_size="1000", quote_volume_24h="70000000.5"
    )

    page = text(pages, changelist("instrument") + "?q=PEPE-USDT")
    for shown in ("0.00000001<", "1000<", "70,000,000 USDT<"):
        assert shown in page


def test_everything_about_an_instrument_but_switch_and_alias_is_read_only(pages: Client) -> None:
    row = Instrument.objects.get(exchange__key="okx", symbol__name="BTC/USDT")

    pages.post(
        reverse("admin:markets_instrument_change", args=[row.pk]),
        {"native_id": "X", "status": "mine", "multiplier": "1"},
    )

    row.refresh_from_db()
    assert (row.enabled, row.native_id, row.status) == (False, "BTC-USDT", "")


@pytest.mark.parametrize(
    "name", ["Bybit", "bybit", "BYBIT", "By bit", "Ｂｙｂｉｔ", "By.bit", "Binance", "binance"]
)
def test_no_exchange_is_given_the_name_of_another(operator_client: Client, name: str) -> None:
    """Else its prices would be read as the other's, and the API's exchange=bybit would mean either."""
    seed()
    row = Exchange.objects.get(key="okx")
    Exchange.objects.filter(key="binance").update(name="Another name")
    fields = {"enabled": "on", "taker_fee_bps": "10", "maker_fee_bps": "8", "fee_schedules-TOTAL_FORMS": "0",
              "fee_schedules-INITIAL_FORMS": "0"}  # fmt: skip
    address = f"/admin/markets/exchange/{row.pk}/change/"
    page = operator_client.post(address, {**fields, "name": name})
    assert "already has this name" in str(page.context["adminform"].form.errors["name"])
    assert operator_client.post(address, {**fields, "name": "OKX"}).status_code == 302
    assert operator_client.post(address, {**fields, "name": "OKX spot"}).status_code == 302
