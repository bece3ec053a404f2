"""From rows to the configuration collectors run: constraints, the revision, and what a filter selects."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidConfig
from core.redis_client import redis_client
from markets.config import REST_SCHEMES, WS_SCHEMES, FilterConfig, MarketConfig, Shard, base_url_problem, diff
from markets.follow.runtime import REVISION_CHANNEL, RevisionNudge
from markets.models import (
    ConfigRevision,
    Exchange,
    ExchangePair,
    Instrument,
    OpportunityFilter,
    Symbol,
)
from markets.seed import seed
from markets.selection import matcher, patterns
from markets.selectors import current_revision, load_config


@pytest.fixture
def desk(db: None) -> None:
    seed()


def ids(config: MarketConfig) -> set[str]:
    return {opportunity.id for opportunity in config.opportunities}


def collected(config: MarketConfig) -> set[tuple[str, str]]:
    return {(row.exchange, row.symbol) for row in config.instruments}


# --- the database refuses what nobody may store ---


def sql(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


PAIR = "INSERT INTO markets_exchangepair (exchange1_id, exchange2_id, tolerance_ms, enabled) "
KEYS = "(SELECT id FROM markets_exchange WHERE key='%s')"
BINANCE, BYBIT = KEYS % "binance", KEYS % "bybit"


@pytest.mark.parametrize(
    ("constraint", "statement"),
    [
        ("pair_unordered_unique", f"{PAIR} VALUES ({BYBIT}, {BINANCE}, 1000, true)"),
        ("pair_unordered_unique", f"{PAIR} VALUES ({BINANCE}, {BYBIT}, 1000, true)"),
        ("pair_distinct_exchanges", f"{PAIR} VALUES ({BYBIT}, {BYBIT}, 1000, true)"),
        ("pair_tolerance_positive", "UPDATE markets_exchangepair SET tolerance_ms = 0"),
        ("exchange_min_volume_lte_max", "UPDATE markets_exchange SET min_volume = 2, max_volume = 1"),
        ("exchange_volume_not_negative", "UPDATE markets_exchange SET min_volume = -1"),
        ("exchange_taker_fee_sane", "UPDATE markets_exchange SET taker_fee_bps = -51"),
        ("exchange_maker_fee_sane", "UPDATE markets_exchange SET maker_fee_bps = 201"),
        ("filter_min_volume_lte_max", "UPDATE markets_opportunityfilter SET min_volume = 2, max_volume = 1"),
        ("filter_volume_not_negative", "UPDATE markets_opportunityfilter SET max_volume = -1"),
        ("filter_min_spread_not_negative", "UPDATE markets_opportunityfilter SET min_spread_pct = -1"),
        ("symbol_base_not_quote", "UPDATE markets_symbol SET base = quote"),
        ("symbol_kind_known", "UPDATE markets_symbol SET kind = 'dream'"),
        ("instrument_unique_native_id", "UPDATE markets_instrument SET native_id = 'X'"),
        ("instrument_native_id_given", "UPDATE markets_instrument SET native_id = '' WHERE id = "
         "(SELECT min(id) FROM markets_instrument)"),
        ("instrument_one_active_per_symbol", "UPDATE markets_instrument SET symbol_id = "
         "(SELECT min(id) FROM markets_symbol)"),
        ("instrument_delisted_is_inactive", "UPDATE markets_instrument SET delisted_at = now()"),
        ("one_config_revision", "INSERT INTO markets_configrevision (id, number, changed_at) "
         "VALUES (2, 1, now())"),
    ],
)  # fmt: skip
def test_the_database_itself_refuses(desk: None, constraint: str, statement: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        sql(statement)


def test_open_bounds_and_an_open_tolerance_are_allowed(desk: None) -> None:
    Exchange.objects.update(min_volume=None, max_volume=1)
    ExchangePair.objects.update(tolerance_ms=None)

    assert {opportunity.tolerance_ms for opportunity in load_config().opportunities} == {None}


# --- the revision ---

CHANGES: dict[str, Callable[[], Any]] = {
    "save": lambda: Exchange.objects.get(key="okx").save(),
    "create": lambda: Symbol.objects.create(name="NEW/USDT", base="NEW", quote="USDT"),
    "update": lambda: Symbol.objects.filter(name="BTC/USDT").update(enabled=False),
    "bulk_create": lambda: Symbol.objects.bulk_create([Symbol(name="N/USDT", base="N", quote="USDT")]),
    "bulk_update": lambda: ExchangePair.objects.bulk_update(ExchangePair.objects.all()[:2], ["enabled"]),
    "delete": lambda: ExchangePair.objects.latest("pk").delete(),
    "delete many": lambda: Instrument.objects.filter(exchange__key="okx").delete(),
    "add a pair": lambda: OpportunityFilter.objects.get(name="Majors").pairs.add(
        ExchangePair.objects.latest("pk")
    ),
    "remove pairs": lambda: OpportunityFilter.objects.get(name="Majors").pairs.clear(),  # noqa: PLW0108
    "set pairs": lambda: OpportunityFilter.objects.get(name="Majors").pairs.set(
        ExchangePair.objects.all()[:5]
    ),
}


@pytest.mark.parametrize("how", CHANGES)
def test_every_change_moves_the_revision(desk: None, how: str) -> None:
    before = current_revision()

    CHANGES[how]()

    assert current_revision() > before


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_that_is_rolled_back_leaves_the_revision(desk: None, how: str) -> None:
    before = current_revision()

    with transaction.atomic():
        CHANGES[how]()
        transaction.set_rollback(True)

    assert current_revision() == before


@pytest.mark.django_db(transaction=True)
def test_writers_on_two_connections_queue_and_lose_no_revision() -> None:
    exchanges = [
        Exchange.objects.create(key=key, name=key, taker_fee_bps=1, maker_fee_bps=1) for key in ("a", "b")
    ]
    before = current_revision()

    def save_both_ways(order: list[Exchange]) -> None:
        try:
            for _ in range(20):
                with transaction.atomic():
                    for row in order:
                        Exchange.objects.filter(pk=row.pk).update(name="renamed")
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:  # opposite orders: would deadlock without one lock for all
        list(threads.map(save_both_ways, [exchanges, exchanges[::-1]]))

    assert current_revision() == before + 80


def test_reading_leaves_the_revision(desk: None) -> None:
    before = current_revision()

    load_config()
    list(Exchange.objects.filter(enabled=True))

    assert current_revision() == before


@pytest.mark.django_db(transaction=True)
def test_collectors_are_nudged_after_the_commit_and_not_before() -> None:
    with redis_client().pubsub() as subscriber:  # type: ignore[no-untyped-call]
        subscriber.subscribe(REVISION_CHANNEL)
        assert subscriber.get_message(timeout=2.0)["type"] == "subscribe"
        with transaction.atomic():
            Exchange.objects.create(key="x", name="X", taker_fee_bps=1, maker_fee_bps=1)
            assert subscriber.get_message(timeout=0.05) is None
        assert subscriber.get_message(timeout=2.0)["data"] == str(current_revision()).encode()


def test_a_redis_that_is_down_is_logged_once_and_once_when_it_is_back(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    good = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    redis_client.cache_clear()
    nudge = RevisionNudge()
    try:
        nudge.publish(7)
        nudge.publish(8)
    finally:
        settings.REDIS_URL = good
        redis_client.cache_clear()
    nudge.publish(9)
    nudge.publish(10)

    down, back = [rec.getMessage() for rec in caplog.records if rec.name == "markets.follow.runtime"]
    assert down.startswith("revision 7 saved, not in Redis")
    assert back.startswith("Redis gets revisions again (after ")


@pytest.mark.django_db(transaction=True)
def test_the_revision_row_is_made_when_it_is_missing() -> None:
    ConfigRevision.objects.all().delete()
    assert current_revision() == 0

    Symbol.objects.create(name="A/B", base="A", quote="B")

    assert current_revision() == 1


# --- what the rows mean ---


def test_the_configuration_is_read_in_sixteen_queries_however_many_rows(
    desk: None, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(16):
        load_config()
    for number in range(10):
        row = OpportunityFilter.objects.create(name=f"Filter {number}", symbols="BTC/*")
        row.pairs.set(ExchangePair.objects.all()[:number])
    with django_assert_num_queries(16):
        load_config()


def test_the_same_rows_make_equal_configurations(desk: None) -> None:
    assert load_config() == load_config()
    assert not diff(load_config().instruments, load_config().instruments).start


def test_a_disabled_exchange_is_not_collected_but_its_charts_stay(desk: None) -> None:
    before = load_config()
    Exchange.objects.filter(key="okx").update(enabled=False)

    config = load_config()

    assert {exchange for exchange, _symbol in collected(config)} == {
        row.key for row in config.exchanges if row.enabled
    }
    assert "okx" not in {exchange for exchange, _symbol in collected(config)}
    assert ids(config) == ids(before)


def test_a_disabled_symbol_is_neither_collected_nor_charted(desk: None) -> None:
    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)

    config = load_config()

    assert "BTC/USDT" not in {symbol for _exchange, symbol in collected(config)}
    assert len(config.opportunities) == 16


def test_a_disabled_instrument_is_not_collected_on_its_exchange_only(desk: None) -> None:
    Instrument.objects.filter(exchange__key="okx", symbol__name="BTC/USDT").update(enabled=False)

    config = load_config()

    assert ("okx", "BTC/USDT") not in collected(config)
    assert ("binance", "BTC/USDT") in collected(config)
    assert "BTC/USDT|kucoin|okx" not in ids(config)


def test_a_disabled_pair_has_no_charts_but_is_collected(desk: None) -> None:
    ExchangePair.objects.filter(exchange1__key="kucoin", exchange2__key="okx").update(enabled=False)

    config = load_config()

    assert len(config.opportunities) == 15
    assert ("okx", "BTC/USDT") in collected(config)


def test_a_disabled_filter_selects_nothing_and_is_not_listed(desk: None) -> None:
    OpportunityFilter.objects.update(enabled=False)

    config = load_config()

    assert (config.opportunities, config.filters) == ((), ())


def test_filters_that_overlap_share_a_chart(desk: None) -> None:
    first = OpportunityFilter.objects.get(name="Majors")
    second = OpportunityFilter.objects.create(name="All bitcoin", symbols="btc/*")

    config = load_config()

    by_id = {opportunity.id: opportunity.filters for opportunity in config.opportunities}
    assert len(by_id) == len(config.opportunities) == 20 + 28 - 4
    assert by_id["BTC/USDT|binance|bybit"] == (first.pk, second.pk)
    assert by_id["ETH/USDT|binance|bybit"] == (first.pk,)
    assert by_id["BTC/USDT|binance|okx"] == (second.pk,)


def test_a_pair_is_charted_in_the_order_it_was_entered(desk: None) -> None:
    pair = ExchangePair.objects.get(exchange1__key="binance", exchange2__key="bybit")
    pair.exchange1, pair.exchange2 = pair.exchange2, pair.exchange1
    pair.save()

    assert "BTC/USDT|bybit|binance" in ids(load_config())


def volume(exchange: str, amount: int | None) -> None:
    Instrument.objects.filter(exchange__key=exchange, symbol__name="BTC/USDT").update(quote_volume_24h=amount)


@pytest.mark.parametrize(
    ("one", "two", "bounds", "selected"),
    [
        (100, 100, {"min_volume": 100, "max_volume": 100}, True),
        (100, 99, {"min_volume": 100}, False),
        (99, 100, {"min_volume": 100}, False),
        (100, 101, {"max_volume": 100}, False),
        (None, 100, {"min_volume": 1}, False),  # unknown counts as 0
        (None, None, {"max_volume": 100}, True),
    ],
)
def test_a_filters_volume_bounds_hold_for_both_legs(
    desk: None, one: int | None, two: int | None, bounds: dict[str, int], selected: bool
) -> None:
    volume("binance", one)
    volume("bybit", two)
    OpportunityFilter.objects.update(**bounds)

    assert ("BTC/USDT|binance|bybit" in ids(load_config())) is selected


def test_an_exchanges_volume_bounds_decide_what_is_collected_there(desk: None) -> None:
    volume("binance", 50)
    volume("bybit", 50)
    Exchange.objects.filter(key="binance").update(min_volume=51)

    config = load_config()

    assert ("binance", "BTC/USDT") not in collected(config)
    assert ("bybit", "BTC/USDT") in collected(config)
    assert "BTC/USDT|binance|bybit" not in ids(config)


def test_a_filter_takes_one_quote_currency_only(desk: None) -> None:
    OpportunityFilter.objects.update(quote="USDC")

    assert load_config().opportunities == ()


def test_live_criteria_come_with_the_filter_and_deselect_nothing(desk: None) -> None:
    OpportunityFilter.objects.filter(name="Majors").update(min_spread_pct="0.25", min_edge_bps="-3")
    row = OpportunityFilter.objects.get(name="Majors")

    config = load_config()

    majors = config.filters[0]
    assert (majors.id, majors.min_spread_pct, majors.min_edge_bps) == (row.pk, 0.25, -3.0)
    assert len(config.opportunities) == 20


@pytest.mark.parametrize(
    ("spread", "edge", "shown"),
    [(0.25, -3.0, True), (-0.25, 5.0, True), (0.24, 5.0, False), (1.0, -3.1, False)],
)
def test_a_chart_is_shown_while_spread_and_edge_are_large_enough(
    spread: float, edge: float, shown: bool
) -> None:
    assert FilterConfig(1, "x", min_spread_pct=0.25, min_edge_bps=-3.0).passes(spread, edge) is shown
    assert FilterConfig(1, "x").passes(spread, edge)


# --- what makes no configuration ---


def test_rubbish_put_into_an_address_by_sql_names_row_field_and_remedy(desk: None) -> None:
    sql("UPDATE markets_exchange SET ws_url = 'ftp://x' WHERE key = 'gate'")

    with pytest.raises(
        InvalidConfig, match=r"Exchange “gate”, WebSocket base URL: 'ftp://x' must start with"
    ):
        load_config()


def test_a_filter_over_the_limit_names_itself_and_the_remedy(desk: None, settings: Any) -> None:
    settings.MAX_OPPORTUNITIES_PER_FILTER = 19

    with pytest.raises(InvalidConfig, match=r"“Majors”: it selects 20 opportunities, the limit is 19. Name"):
        load_config()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9000/binance", ""),
        ("https://simulator", ""),
        ("http://[::1]:9000", ""),
        ("ws://127.0.0.1", "must start with http:// or https://"),
        ("127.0.0.1:9000", "must start with http:// or https://"),
        ("http://", "name a host"),
        ("http://a b", "name a host"),
        ("http://a:b", "is no URL"),
        ("http://a:99999", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://a/?x=1", "must end before ? and #"),
        ("http://a/b@c", ""),
        ("http://user:secret@a/b", "must hold no user name or password"),
        ("user:secret@a/b", "must hold no user name or password"),
    ],
)
def test_base_urls(url: str, words: str) -> None:
    problem = base_url_problem(url, REST_SCHEMES)

    assert (words in problem) if words else problem == ""


@given(st.text())
def test_any_text_is_judged_as_an_address_without_a_failure(text: str) -> None:
    problem = base_url_problem(text, WS_SCHEMES)

    assert problem or text.startswith(WS_SCHEMES)


# --- names and globs ---


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("", {"BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/USDT:USDT"}),
        ("*", {"BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/USDT:USDT"}),
        ("btc/usdt", {"BTC/USDT"}),
        ("BTC/USDT, ETH/USDT", {"BTC/USDT", "ETH/USDT"}),
        ("BTC/USDT\nETH/USDT\r\n", {"BTC/USDT", "ETH/USDT"}),
        ("BTC/USDT ETH/USDT;", {"BTC/USDT", "ETH/USDT"}),
        ("ETH/*", {"ETH/USDT", "ETH/BTC"}),
        ("*/USDT", {"BTC/USDT", "ETH/USDT"}),
        ("[BE]T?/USDT", {"BTC/USDT", "ETH/USDT"}),
        ("BTC", set()),
        ("[", set()),
    ],
)
def test_symbols_are_named_or_globbed(text: str, matching: set[str]) -> None:
    names = ("BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/USDT:USDT")

    assert {name for name in names if matcher(text).match(name)} == matching


@given(st.text())
def test_any_text_is_a_list_of_patterns(text: str) -> None:
    matcher(text)

    assert all(word == word.strip() and word for word in patterns(text))


# --- what collectors compare and split ---


@given(st.frozensets(st.integers()), st.frozensets(st.integers()))
def test_a_diff_starts_stops_and_keeps_each_thing_once(
    running: frozenset[int], wanted: frozenset[int]
) -> None:
    change = diff(running, wanted)

    assert (running - change.stop) | change.start == wanted
    assert change.keep == running & wanted
    assert not change.start & running
    assert change.stop <= running


@given(st.text(), st.integers(1, 12))
def test_every_symbol_belongs_to_exactly_one_shard(symbol: str, count: int) -> None:
    assert sum(Shard(index, count).owns(symbol) for index in range(1, count + 1)) == 1


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_two_shards_overlap_exactly_where_both_own_a_symbol(
    one: int, other: int, data: st.DataObject
) -> None:
    shards = [Shard(data.draw(st.integers(1, count)), count) for count in (one, other)]
    owned = [{crc for crc in range(one * other) if crc % s.count == s.index - 1} for s in shards]
    assert shards[0].overlaps(shards[1]) is bool(owned[0] & owned[1])


@pytest.mark.parametrize(("text", "index", "count"), [("1/1", 1, 1), ("1/4", 1, 4), ("4/4", 4, 4)])
def test_a_shard_is_read_as_it_is_written(text: str, index: int, count: int) -> None:
    assert Shard.parse(text) == Shard(index, count)
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_makes_no_sense_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="--shard takes i/n with 1 <= i <= n"):
        Shard.parse(text)
