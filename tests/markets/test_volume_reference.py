"""24 h volumes mean the same money whatever a symbol is priced in."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from markets.models import Exchange, Instrument, OpportunityFilter, Symbol
from markets.seed import seed
from markets.selection import scan_pairs
from markets.selectors import count_selected, filter_row, load_config
from markets.sync.catalogue import fetch
from markets.sync.symbols import store
from markets.worth.worths import Worths
from tests.support.exchanges.exchange_rest import gate, pair, serving, ticker

pytestmark = pytest.mark.django_db

VOLUMES = {"ETH_BTC": "3", "DOGE_IDR": "1000000", "SOL_EUR": "50000", "ADA_USDC": "60000", "LTC_JPY": "9e9"}
PRICES = {"BTC_USDT": "91000", "USDT_IDR": "16300", "EUR_USDT": "1.08"}  # of a yen nobody says one


def tickers(prices: dict[str, str]) -> list[dict[str, Any]]:
    rows = [ticker(name, volume) for name, volume in VOLUMES.items()]
    return rows + [{**ticker(name), "last": last} for name, last in prices.items()]


def sync(key: str, prices: dict[str, str] = PRICES, answer: Any = None) -> None:
    pairs = [pair(name) for name in (*VOLUMES, *PRICES)]
    with serving(gate(pairs, tickers(prices) if answer is None else answer)) as url:
        store(Exchange.objects.get(key=key), fetch("gate", url), allow_shrink=True)


@pytest.fixture
def desk() -> OpportunityFilter:
    seed()
    OpportunityFilter.objects.all().delete()
    sync("gate")
    sync("okx")
    Symbol.objects.update(enabled=False)
    Symbol.objects.filter(name__in=[name.replace("_", "/") for name in VOLUMES]).update(enabled=True)
    return OpportunityFilter.objects.create(name="all", min_edge_bps=5)


def selected(row: OpportunityFilter, **bounds: int | None) -> set[str]:
    """Symbols a filter charts: those the form counts and the scanner follows."""
    OpportunityFilter.objects.filter(pk=row.pk).update(**bounds)
    row.refresh_from_db()
    config = load_config()
    charted = {each.symbol for each in config.opportunities}
    followed = {each.symbol for each in scan_pairs(config) if each.filters}
    assert charted == followed
    assert count_selected(filter_row(row)) == len(charted)
    return charted


@pytest.mark.parametrize(
    ("bounds", "symbols"),
    [
        ({}, "ETH/BTC DOGE/IDR SOL/EUR ADA/USDC LTC/JPY"),
        ({"min_volume": 1}, "ETH/BTC DOGE/IDR SOL/EUR ADA/USDC"),
        ({"min_volume": 61}, "ETH/BTC DOGE/IDR SOL/EUR ADA/USDC"),  # a million rupiah are 61.35
        ({"min_volume": 62}, "ETH/BTC SOL/EUR ADA/USDC"),
        ({"min_volume": 54_000}, "ETH/BTC SOL/EUR ADA/USDC"),
        ({"min_volume": 54_001}, "ETH/BTC ADA/USDC"),
        ({"min_volume": 60_001}, "ETH/BTC"),
        ({"min_volume": 273_000}, "ETH/BTC"),
        ({"min_volume": 273_001}, ""),
        ({"max_volume": 1_000}, "DOGE/IDR LTC/JPY"),  # unknown counts as 0, as ever
        ({"min_volume": 50, "max_volume": 54_000}, "DOGE/IDR SOL/EUR"),
    ],
)  # fmt: skip
def test_a_filters_volume_bounds_are_in_dollars(
    desk: OpportunityFilter, bounds: dict[str, int], symbols: str
) -> None:
    assert selected(desk, **bounds) == set(symbols.split())


def test_an_exchanges_volume_bounds_are_in_dollars(desk: OpportunityFilter) -> None:
    Exchange.objects.filter(key="gate").update(min_volume=100_000)

    config = load_config()

    assert {each.symbol for each in config.instruments if each.exchange == "gate"} == {"ETH/BTC"}
    assert {each.symbol for each in config.listings if each.exchange == "gate"} == {"ETH/BTC"}


def test_the_last_price_counts_for_a_day_after_it_was_last_said(desk: OpportunityFilter) -> None:
    sync("gate", answer=[])
    sync("okx", answer=[])
    assert Worths().of("BTC") == 91_000
    assert Worths(timezone.now() + timedelta(hours=23)).of("BTC") == 91_000
    Instrument.objects.update(price_at=timezone.now() - timedelta(hours=25))
    assert selected(desk, min_volume=1) == {"ADA/USDC"}


def test_one_exchange_that_is_wrong_about_a_price_is_outvoted(desk: OpportunityFilter) -> None:
    sync("kucoin", PRICES | {"BTC_USDT": "0.91"})
    assert Worths().of("BTC") == 91_000


def test_small_volumes_show_their_digits(admin_client: Any, desk: OpportunityFilter) -> None:
    Instrument.objects.filter(symbol__name="ETH/BTC").update(quote_volume_24h=Decimal("0.003"))
    page = admin_client.get("/admin/markets/instrument/?q=ETH_BTC").content.decode()
    assert "0.003 BTC" in page
