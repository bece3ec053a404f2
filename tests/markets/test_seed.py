"""`manage.py seed`: a fresh desk that shows charts at once."""

from collections import Counter
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from core.names.symbols import base_of
from markets.config import pair_kind
from markets.defaults import BASES, FINDER_NAME
from markets.fees.schedules import ENTERED, fee_terms
from markets.models import Exchange, ExchangePair, OpportunityFilter, PairKind, Symbol
from markets.selection import scan_pairs
from markets.selectors import current_revision, load_config
from simulator.catalogue import TRAPS
from tests.support.swaps import swap

pytestmark = pytest.mark.django_db


def test_a_fresh_desk_has_twenty_opportunities_over_all_eight_exchanges() -> None:
    call_command("seed")

    config = load_config()
    counts = [model.objects.count() for model in (Exchange, Symbol, ExchangePair, OpportunityFilter)]
    assert counts == [8, 20, 28, 2]
    assert len(config.opportunities) == 20
    legs = {o.exchange1 for o in config.opportunities} | {o.exchange2 for o in config.opportunities}
    assert legs == {exchange.key for exchange in config.exchanges}
    assert len(config.instruments) == 160
    scanned = scan_pairs(config)
    assert len(scanned) == 20 * 28
    assert {tuple(row.name for row in pair.filters) for pair in scanned} == {("Everything",)}


def test_seeding_again_changes_nothing_not_even_what_the_operator_deleted() -> None:
    call_command("seed")
    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)
    ExchangePair.objects.filter(exchange1__key="okx").delete()
    before = load_config()

    call_command("seed")

    assert load_config() == before


def test_exchanges_follow_the_simulator_when_its_port_changes() -> None:
    call_command("seed", simulator="http://127.0.0.1:9000")
    call_command("seed", simulator="http://127.0.0.1:9001/")
    moved_at = current_revision()
    call_command("seed", simulator="http://127.0.0.1:9001")

    okx = Exchange.objects.get(key="okx")
    assert (okx.rest_url, okx.ws_url) == ("http://127.0.0.1:9001/okx", "ws://127.0.0.1:9001/okx")
    assert current_revision() == moved_at


def test_the_traps_of_the_simulator_are_listed_as_it_lists_them() -> None:
    call_command("seed", traps=True)

    seeded = {(row.exchange, row.symbol) for row in load_config().instruments}
    traps = {(key, row.symbol) for key, rows in TRAPS.items() for row in rows}
    assert traps == {(key, symbol) for key, symbol in seeded if base_of(symbol) not in BASES}
    pairs = {pair.id: pair for pair in scan_pairs(load_config())}
    assert pairs["CAT/USDT|binance|bybit"].listing1.multiplier == 1000
    assert pairs["CAT/USDT|binance|bybit"].listing1.native_id == "1000CATUSDT"
    assert "BEAM/USDT|binance|kucoin" in pairs


def test_a_simulator_address_that_is_no_url_is_refused_in_words() -> None:
    with pytest.raises(CommandError, match="--simulator: 'localhost:9000' must start with http://"):
        call_command("seed", simulator="localhost:9000")
    assert not Exchange.objects.exists()


def test_swaps_are_seeded_where_they_are_asked_for() -> None:
    call_command("seed", swaps=True)

    pairs = Counter(row.kind.value for row in ExchangePair.objects.select_related("exchange1", "exchange2"))
    assert pairs == {"spot-spot": 28, "swap-swap": 28, "spot-swap": 56, "basis": 8}
    assert Symbol.objects.filter(kind="swap", enabled=True).count() == 20
    assert [row.name for row in load_config().filters] == ["Majors", "Everything", "Swaps"]
    fees = {row.key: (row.swap_taker_fee_bps, row.swap_maker_fee_bps) for row in Exchange.objects.all()}
    assert fees["bybit"] == (Decimal("5.5"), Decimal(2))
    assert None not in {fee for both in fees.values() for fee in both}
    rows = {row.key: row for row in Exchange.objects.all()}
    source = {key: fee_terms(row, {}, "swap").source for key, row in rows.items()}
    unsourced = "as a fresh desk begins, assumed without a source: enter those of your account"
    assert {key for key, words in source.items() if words == unsourced} == {"bybit", "gate", "bitget"}
    assert source["okx"] == "as a fresh desk begins, by ccxt 4.5.90: enter those of your account"
    rows["okx"].swap_taker_fee_bps = Decimal("4.5")
    assert fee_terms(rows["okx"], {}, "swap").source == fee_terms(rows["okx"], {}).source == ENTERED
    assert len(load_config().opportunities) == 20  # no swap is listed before its contract size is read
    for key in ("binance", "okx", "bybit", "gate"):
        swap(key)
    charts = {chart.id for chart in load_config().opportunities if "swap" in chart.id}
    assert charts == {
        "BTC/USDT|binance|binance:swap", "BTC/USDT|okx|okx:swap", "BTC/USDT|binance:swap|bybit:swap",
        "BTC/USDT|gate:swap|okx:swap",
    }  # fmt: skip
    majors = OpportunityFilter.objects.get(name="Majors").pk
    assert sum(majors in chart.filters for chart in load_config().opportunities) == 20


def test_a_simulator_takes_the_swaps_too_where_they_are_asked_for() -> None:
    call_command("seed", simulator="http://127.0.0.1:9000")
    okx = Exchange.objects.get(key="okx")
    assert (okx.swap_rest_url, okx.markets) == ("", ("spot",))

    call_command("seed", simulator="http://127.0.0.1:9000", swaps=True)

    okx = Exchange.objects.get(key="okx")
    assert (okx.swap_rest_url, okx.swap_ws_url) == (
        "http://127.0.0.1:9000/okx-swap", "ws://127.0.0.1:9000/okx-swap",
    )  # fmt: skip
    assert okx.markets == ("spot", "swap")


def test_of_a_desk_with_swaps_opportunities_are_found_on_every_kind_of_pair() -> None:
    call_command("seed", swaps=True)
    for exchange in ("gate", "okx"):
        swap(exchange)
    found = {
        pair_kind(pair.pair.exchange1, pair.pair.exchange2)
        for pair in scan_pairs(load_config())
        if FINDER_NAME in {row.name for row in pair.filters}
    }
    assert found == {kind.value for kind in PairKind}
