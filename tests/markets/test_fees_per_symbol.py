"""Fees by symbol: which rule holds for a market, and that everything reckons with the same one."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone
from msgspec import structs

from core.names.symbols import base_of, quote_of
from engine.charts.batch import Terms
from engine.charts.points import POINT_COLUMNS
from engine.charts.spread import SpreadEngine
from engine.gates import checks as gates
from engine.scan.scanner import Scanner
from history.replay.engine import Replay
from markets.config import (
    ExchangeConfig,
    FeeRule,
    InstrumentConfig,
    ListingConfig,
    MarketConfig,
    Opportunity,
)
from markets.events import Quote
from markets.fees.book import Fees, MarketFee
from markets.fees.midnight import follow
from markets.models import ConfigRevision, Exchange, FeeSchedule, Instrument, Symbol
from markets.seed import seed
from markets.selectors import current_revision, load_config
from markets.sync.symbols import sync_all
from realtime.scanner.explain import explain
from realtime.scanner.table import ScanTable
from tests.support.exchanges.exchange_rest import gate as gate_answers
from tests.support.exchanges.exchange_rest import pair, serving

TODAY = datetime.now(UTC).date()
DAY = timedelta(days=1)


@pytest.fixture
def gate(db: None) -> Exchange:
    seed()
    return Exchange.objects.get(key="gate")


def schedule(exchange: Exchange, symbols: str, taker: str, **more: Any) -> FeeSchedule:
    fields: dict[str, Any] = {"maker_fee_bps": "0", "valid_from": TODAY, "tier": "", **more}
    return FeeSchedule.objects.create(exchange=exchange, symbols=symbols, taker_fee_bps=taker, **fields)


def fee(symbol: str, exchange: str = "gate") -> MarketFee:
    return Fees(load_config()).of(exchange, symbol)


# --- which rule holds ----------------------------------------------------------------------------


def test_without_rules_every_symbol_costs_what_the_exchange_does(gate: Exchange) -> None:
    assert fee("BTC/USDT") == MarketFee(10, 10, True, "as entered for the exchange")


def test_the_closest_pattern_holds(gate: Exchange) -> None:
    schedule(gate, "*", "9")
    schedule(gate, "*/USDT", "8")
    schedule(gate, "BTC/*", "7", valid_from=TODAY - DAY)
    schedule(gate, "btc/usdt, ETH/USDT", "0")
    schedule(gate, "D*/USDT !DOT/USDT", "3")

    assert [fee(name).taker_bps for name in ("BTC/USDT", "ETH/USDT", "BTC/USDC", "SOL/USDT", "SOL/EUR")] == [
        0, 0, 7, 8, 9,
    ]  # fmt: skip
    assert [fee(name).taker_bps for name in ("DOGE/USDT", "DOT/USDT")] == [3, 8]
    assert fee("BTC/USDT").source == f"schedule of btc/usdt, ETH/USDT, valid since {TODAY}"
    assert fee("BTC/USDT", "okx").taker_bps == 10


def test_an_exact_name_in_quotes_means_only_that(gate: Exchange) -> None:
    schedule(gate, '"omni/USDT"', "1")

    assert [fee(name).taker_bps for name in ("omni/USDT", "OMNI/USDT")] == [1, 10]


def test_a_name_that_a_symbol_has_exactly_means_only_that_one(gate: Exchange) -> None:
    for name in ("omni/USDT", "OMNI/USDT", "OMNI/USDC"):
        Symbol.objects.create(name=name, base=base_of(name), quote=quote_of(name))
    schedule(gate, "omni/USDT, btc/usdt", "1")

    assert [fee(name).taker_bps for name in ("omni/USDT", "OMNI/USDT", "BTC/USDT")] == [1, 10, 1]
    for text in ("Omni/Usdt", "OMNIUSDT", "*/USDC Omni/usdt"):
        row = FeeSchedule(exchange=gate, symbols=text, taker_fee_bps=1, maker_fee_bps=1, valid_from=TODAY)
        with pytest.raises(ValidationError, match="write it exactly"):
            row.clean()


def test_the_form_says_what_names_nothing(gate: Exchange, operator_client: Client) -> None:
    form = {
        "exchange": gate.pk, "tier": "", "taker_fee_bps": "1", "maker_fee_bps": "1", "valid_from": TODAY,
        "symbols": "BTC/USTD “ETH/USDT” SOL",
    }  # fmt: skip
    page = operator_client.post("/admin/markets/feeschedule/add/", form, follow=True).content.decode()
    assert "“BTC/USTD”: there is no such symbol." in page
    assert "“ETH/USDT”” : there is no such symbol.".replace("” :", "”:") in page
    assert "“SOL”: a symbol has two parts" in page


def test_exclusions_alone_are_all_but(gate: Exchange) -> None:
    schedule(gate, "!BTC/USDT", "4")

    assert [fee(name).taker_bps for name in ("ETH/USDT", "BTC/USDT")] == [4, 10]


def test_the_tier_decides_between_two_equally_close_and_a_foreign_tier_not_at_all(gate: Exchange) -> None:
    Exchange.objects.filter(pk=gate.pk).update(account_tier="VIP 1")
    schedule(gate, "", "6", tier="VIP 1")
    schedule(gate, "BTC/USDT", "5")
    schedule(gate, "BTC/USDT", "4", tier="VIP 1")
    schedule(gate, "BTC/USDT", "1", tier="VIP 2")
    schedule(gate, "ETH/USDT", "1", tier="VIP 2")

    assert [fee(name).taker_bps for name in ("BTC/USDT", "ETH/USDT")] == [4, 6]
    assert fee("ETH/USDT").source == f"tier VIP 1, valid since {TODAY}"


@pytest.mark.parametrize(
    ("start", "end", "holds"), [(0, 0, True), (-5, None, True), (1, None, False), (-5, -1, False)]
)
def test_a_promotion_holds_on_its_days(gate: Exchange, start: int, end: int | None, holds: bool) -> None:
    until = None if end is None else TODAY + end * DAY
    schedule(gate, "BTC/USDT", "0", valid_from=TODAY + start * DAY, valid_until=until)

    assert fee("BTC/USDT").taker_bps == (0 if holds else 10)


def test_a_promotion_begins_and_ends_at_midnight_without_an_edit(gate: Exchange) -> None:
    begins, last = date(2026, 6, 1), date(2026, 6, 3)
    schedule(gate, "BTC/USDT", "0", valid_from=begins, valid_until=last)

    for midnight in (begins, last + DAY):
        ConfigRevision.objects.update(changed_at=datetime.combine(midnight - DAY, time(23, 59), UTC))
        before = current_revision()
        assert follow(datetime.combine(midnight - DAY, time(23, 59, 59), UTC)) is None
        assert follow(datetime.combine(midnight, time(0, 0, 1), UTC)) == before + 1


def past_takers(symbol: str = "BTC/USDT") -> list[tuple[int, int, float]]:
    """Gate's taker fee on days that are over where it was another than today: from, to (days ago), bps."""
    terms = Terms.of(load_config(), symbol, "gate", "okx")
    midnight = round(datetime.combine(TODAY, time.min, UTC).timestamp())

    def ago(us: int) -> int:
        return (midnight - us // 1_000_000) // 86_400 if us else 9999

    return [(ago(start), ago(end), round(fee1 * 10_000, 6)) for start, end, fee1, _fee2 in terms.past_fees]


def test_days_that_are_over_keep_the_fees_of_then(gate: Exchange) -> None:
    assert past_takers() == []
    schedule(gate, "BTC/USDT", "0", valid_from=TODAY - 5 * DAY, valid_until=TODAY - 3 * DAY)
    schedule(gate, "*/USDT", "4", valid_from=TODAY - 4 * DAY, valid_until=TODAY - 1 * DAY)
    schedule(gate, "BTC/USDT", "3", valid_from=TODAY + DAY)

    assert fee("BTC/USDT").taker_bps == 10
    assert past_takers() == [(5, 4, 0), (4, 2, 0), (2, 0, 4)]
    assert past_takers("ETH/USDT") == [(4, 2, 4), (2, 0, 4)]
    assert past_takers("ETH/BTC") == []


def test_days_before_a_tiers_first_schedule_count_as_its_first(gate: Exchange) -> None:
    Exchange.objects.filter(pk=gate.pk).update(account_tier="VIP 1")
    schedule(gate, "", "7", tier="VIP 1", valid_from=TODAY - 3 * DAY, valid_until=TODAY - DAY)
    schedule(gate, "", "5", tier="VIP 1")
    schedule(gate, "", "1", tier="VIP 9", valid_from=TODAY - 9 * DAY)

    assert fee("BTC/USDT").taker_bps == 5
    assert past_takers() == [(9999, 9, 7), (9, 3, 7), (3, 0, 7)]


def test_a_schedule_names_a_tier_or_symbols_and_not_the_same_days_twice(gate: Exchange) -> None:
    fields: dict[str, Any] = {"exchange": gate, "taker_fee_bps": 1, "maker_fee_bps": 1, "valid_from": TODAY}
    with pytest.raises(ValidationError, match="Name the tier, the symbols or both"):
        FeeSchedule(**fields).full_clean()
    schedule(gate, "BTC/USDT", "0", valid_until=TODAY + DAY)
    with pytest.raises(ValidationError, match="choose other days"):
        FeeSchedule(
            **fields | {"valid_from": TODAY + DAY}, symbols="BTC/USDT", valid_until=TODAY + 2 * DAY
        ).clean()
    FeeSchedule(**fields, symbols="ETH/USDT", valid_until=TODAY + DAY).full_clean()


# --- what exchanges say --------------------------------------------------------------------------


def synced(gate: Exchange, *rows: Any) -> None:
    with serving(gate_answers(list(rows))) as url:
        Exchange.objects.filter(pk=gate.pk).update(rest_url=url)
        gate.refresh_from_db()
        [report] = sync_all([gate])
    assert (report.error, report.problems) == ("", [])


BASES = ("BTC", "ETH", "SOL", "XRP")


def test_a_market_whose_fee_is_not_the_usual_one_costs_what_its_exchange_says(gate: Exchange) -> None:
    rows = [pair(f"{base}_USDT") for base in BASES]
    synced(
        gate,
        *rows[:2],
        pair("SOL_USDT", fee="0"),
        pair("XRP_USDT", fee="0.05", maker_fee_rate="0.01"),
        *rows[:0],
    )

    assert fee("BTC/USDT").source == "as entered for the exchange"  # the list's usual fee is of no account
    assert fee("SOL/USDT") == MarketFee(0, 0, True, f"as the exchange says since {TODAY}")
    assert (fee("XRP/USDT").taker_bps, fee("XRP/USDT").maker_bps) == (5, 1)
    schedule(gate, "SOL/*", "2")
    assert fee("SOL/USDT").taker_bps == 2  # the operator's word goes first

    synced(gate, *rows)
    assert fee("XRP/USDT").taker_bps == 10
    assert Instrument.objects.get(exchange=gate, native_id="XRP_USDT").own_taker_fee is None


def test_a_fee_of_zero_is_never_the_usual_one(gate: Exchange) -> None:
    promoted = [pair(f"{base}_USDT", fee="0") for base in BASES[1:]]
    synced(gate, pair("BTC_USDT"), *promoted)
    assert [fee(f"{base}/USDT").taker_bps for base in BASES] == [10, 0, 0, 0]

    synced(gate, pair("BTC_USDT", fee="0"), *promoted)
    assert [fee(f"{base}/USDT").taker_bps for base in BASES] == [10, 10, 10, 10], "nobody trades for nothing"


def test_what_an_exchange_said_too_long_ago_is_a_guess(gate: Exchange) -> None:
    synced(gate, *(pair(f"{base}_USDT") for base in BASES[:3]), pair("XRP_USDT", fee="0"))
    Instrument.objects.filter(exchange=gate).update(synced_at=timezone.now() - 4 * DAY)

    assert (fee("XRP/USDT").taker_bps, fee("XRP/USDT").known) == (0, False)
    assert "last on" in fee("XRP/USDT").source


def test_since_when_it_is_said_stays_while_it_is_the_same(gate: Exchange) -> None:
    rows = [*(pair(f"{base}_USDT") for base in BASES[:3]), pair("XRP_USDT", fee="0")]
    synced(gate, *rows)
    long_ago = timezone.now() - 30 * DAY
    Instrument.objects.filter(exchange=gate).update(own_fee_since=long_ago)
    revision = current_revision()

    synced(gate, *rows)

    assert Instrument.objects.get(exchange=gate, native_id="XRP_USDT").own_fee_since == long_ago
    assert current_revision() == revision + 1  # moving the address alone


def kucoin_symbol(base: str, category: int, times: str) -> dict[str, Any]:
    return {
        "symbol": f"{base}-USDT", "name": f"{base}-USDT", "baseCurrency": base, "quoteCurrency": "USDT",
        "feeCurrency": "USDT", "market": "USDS", "baseMinSize": "0.001", "quoteMinSize": "0.1",
        "baseMaxSize": "10000", "quoteMaxSize": "99999", "baseIncrement": "0.001", "quoteIncrement": "0.01",
        "priceIncrement": "0.01", "minFunds": "0.1", "isMarginEnabled": False, "enableTrading": True,
        "feeCategory": category, "makerFeeCoefficient": times, "takerFeeCoefficient": times,
    }  # fmt: skip


def test_kucoins_classes_multiply_the_accounts_own_fee(gate: Exchange) -> None:
    kucoin = Exchange.objects.get(key="kucoin")
    rows = [kucoin_symbol("BTC", 1, "1.00"), kucoin_symbol("ETH", 2, "2.00"), kucoin_symbol("SOL", 3, "3.00")]
    answers = {
        "/api/v2/symbols": {"code": "200000", "data": rows},
        "/api/v1/market/allTickers": {"code": "200000", "data": {"time": 1, "ticker": []}},
    }
    with serving(answers) as url:
        Exchange.objects.filter(pk=kucoin.pk).update(rest_url=url, taker_fee_bps=8)
        kucoin.refresh_from_db()
        [report] = sync_all([kucoin])
    assert report.error == ""

    taken = [fee(f"{base}/USDT", "kucoin").taker_bps for base in ("BTC", "ETH", "SOL")]
    assert taken == [8, 16, 24]
    assert fee("ETH/USDT", "kucoin").source == "2 times 8 bps, as entered for the exchange"


def test_the_admin_shows_a_markets_own_fee_and_takes_schedules_by_symbol(
    gate: Exchange, operator_client: Client
) -> None:
    synced(gate, *(pair(f"{base}_USDT") for base in BASES[:3]), pair("XRP_USDT", fee="0.05"))
    schedule(gate, "*3L/*", "30")

    assert "5 / 5 bps" in operator_client.get("/admin/markets/instrument/?q=XRP_USDT").content.decode()
    assert "*3L/*" in operator_client.get("/admin/markets/feeschedule/").content.decode()
    assert "*3L/*" in operator_client.get(f"/admin/markets/exchange/{gate.pk}/change/").content.decode()


# --- one answer everywhere -----------------------------------------------------------------------


def ruled(gate: Exchange) -> MarketConfig:
    """BTC/USDT costs 1 bps on Gate, and on Gate 1000PEPE/USDT, which counts as PEPE/USDT, 2 bps."""
    thousand = Symbol.objects.create(name="1000PEPE/USDT", base="1000PEPE", quote="USDT")
    Instrument.objects.filter(exchange=gate, symbol__name="PEPE/USDT").update(
        symbol=thousand, counts_as=Symbol.objects.get(name="PEPE/USDT"), multiplier=1000
    )
    schedule(gate, "BTC/USDT", "1")
    schedule(gate, "1000PEPE/USDT", "2")
    return load_config()


@pytest.mark.parametrize(("symbol", "taker"), [("BTC/USDT", 1), ("PEPE/USDT", 2), ("ETH/USDT", 10)])
def test_scanner_table_gates_history_and_replay_reckon_alike(gate: Exchange, symbol: str, taker: int) -> None:
    config = ruled(gate)
    other = 10 if "okx" else 0
    sell, buy = (1 - taker / 1e4), (1 + other / 1e4)

    terms = Terms.of(config, symbol, "gate", "okx")
    assert (terms.fee1, terms.fee2) == (taker / 1e4, other / 1e4)
    scanner = Scanner()
    scanner.configure(config, symbol.__eq__, 0, 0)
    [way] = [
        each for each in scanner.directions if (each.sell.exchange, each.buy.exchange) == ("gate", "okx")
    ]
    assert way.factor == pytest.approx(sell / buy * 10_000)
    table = ScanTable(config)
    row = next(row for id, row in table.row.items() if id in (f"{symbol}|gate|okx", f"{symbol}|okx|gate"))
    facts = explain(table, row, 0)
    [verdict] = [each for each in facts.directions[0].gates if each.name == "fees"]
    assert f"gate {taker} bps" in verdict.value
    lane = Replay(config, frozenset({symbol}))._lanes[symbol]
    assert lane._fees.taker("gate", symbol) == taker / 1e4
    listing = (
        table.pairs[row].listing1
        if table.pairs[row].listing1.exchange == "gate"
        else table.pairs[row].listing2
    )
    assert gates.Facts(config).fees(listing).value == f"gate {taker} bps"


def test_an_engines_edges_follow_the_fees_of_the_symbol() -> None:
    keys = ("gate", "okx")
    plain = MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10, 10) for key in keys),
        instruments=frozenset(InstrumentConfig(key, "BTC/USDT", "B") for key in keys),
        opportunities=(Opportunity("BTC/USDT", *keys, 1000),),
        listings=tuple(ListingConfig(key, "BTC/USDT", "B", "BTC", "USDT", "BTC/USDT") for key in keys),
    )
    promoted = structs.replace(plain, fee_rules=(FeeRule("gate", "BTC/*", 0, 0, "promotion"),))
    engine, edges = SpreadEngine(), []

    for moment, config in enumerate((plain, promoted), start=1):
        engine.configure(config)
        for key in keys:
            engine.on_quote(Quote(key, "BTC/USDT", 100, 1, 100, 1, None, moment * 1000, moment * 1_000_000))
        [delta] = engine.collect()
        edges.append(delta.points[-1][POINT_COLUMNS.index("edge12")])

    assert edges == pytest.approx([(0.999 / 1.001 - 1) * 10_000, (1 / 1.001 - 1) * 10_000])


def test_an_exchange_the_configuration_lacks_has_no_fees(gate: Exchange) -> None:
    with pytest.raises(KeyError):
        fee("BTC/USDT", "nope")
