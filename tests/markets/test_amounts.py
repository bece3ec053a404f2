"""Amounts in many currencies: alert rules, lists and pages mean the same money, and lose no digit of it."""

import datetime
from decimal import Decimal
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from msgspec import structs

from core.names import formats as wording
from core.names.symbols import base_of, quote_of
from markets.events import Moment
from markets.models import Exchange, Instrument, Symbol
from markets.seed import seed
from monitoring.alerts.incidents import ranked
from monitoring.alerts.preview import in_words
from monitoring.alerts.selectors import opportunities_for
from monitoring.models import AlertRule, What
from opportunities.models import OpportunityEpisode
from opportunities.services import save_episodes
from opportunities.verdicts import _number
from realtime.scanner.api import _csv_row
from realtime.scanner.messages import Head
from realtime.scanner.view import as_amount
from tests.opportunities.test_episodes import BUY, SELL, START_US, episode

PRICES = {"BTC/USDT": "91000", "ETH/USDT": "3000", "USDT/IDR": "16300", "USDT/TRY": "34", "USDT/BRL": "5.5",
          "EUR/USDT": "1.08"}  # fmt: skip
# What 27,937 dollars are, and 27,937 of each currency; nobody says what a yen is worth.
SIZES = {"BTC": 0.307, "ETH": 9.3123, "IDR": 455_373_100.0, "TRY": 949_858.0, "BRL": 153_653.5,
         "EUR": 25_867.6, "USDC": 27_937.0, "FDUSD": 27_937.0, "USDT": 27_937.0, "JPY": 1e9}  # fmt: skip


@pytest.fixture
def prices(db: None) -> None:
    """Prices that the catalogue knows; symbols of all currencies."""
    seed()
    gate = Exchange.objects.get(key="gate")
    for name, last in PRICES.items():
        parts = {"base": base_of(name), "quote": quote_of(name)}
        symbol, _made = Symbol.objects.get_or_create(name=name, defaults=parts)
        Instrument.objects.update_or_create(
            exchange=gate, symbol=symbol, native_id=name.replace("/", "_"),
            defaults={"last_price": Decimal(last), "synced_at": timezone.now()},
        )  # fmt: skip
    for quote in SIZES:
        Symbol.objects.get_or_create(name=f"SOL/{quote}", defaults={"base": "SOL", "quote": quote})


def sized(number: int, quote: str, size: float, **changes: Any) -> Any:
    """An open opportunity of SOL with so much at its peak."""
    peak = Moment(START_US + 900_000, 12.0 + number, size, BUY, SELL)
    return structs.replace(episode(number), symbol=f"SOL/{quote}", peak=peak, **changes)


def meeting(least: float | None) -> set[str]:
    rule = AlertRule(what=What.OPPORTUNITY, min_size=least)
    return {quote_of(row.symbol) for row in opportunities_for(rule, timezone.now())}


@pytest.mark.parametrize("least", [None, 0, 10, 27_900, 28_000])
def test_an_alert_rules_least_size_is_in_dollars(prices: None, least: float | None) -> None:
    assert save_episodes([sized(place, *each) for place, each in enumerate(SIZES.items(), 1)]) == 0

    known = SIZES.keys() - {"JPY"}
    assert meeting(least) == (SIZES.keys() if not least else known if least < 28_000 else set())


@pytest.mark.parametrize("quote", ["BTC", "IDR", "TRY", "BRL", "EUR", "USDC", "USDT"])
def test_a_coffees_worth_in_any_currency_meets_no_rule(prices: None, quote: str) -> None:
    save_episodes([sized(1, quote, SIZES[quote] / 27_937 * 2)])

    assert meeting(1.9) == {quote}
    assert meeting(10) == set()


@pytest.mark.parametrize(
    "change",
    [{"price_at": timezone.now() - datetime.timedelta(hours=25)}, {"last_price": 0}, {"active": False}],
)
def test_a_currency_whose_price_is_old_zero_or_gone_is_worth_nobody_knows_what(
    prices: None, change: dict[str, Any]
) -> None:
    save_episodes([sized(1, "BTC", 0.307)])
    Instrument.objects.filter(symbol__name="BTC/USDT").update(**change)

    assert meeting(1) == set()
    assert meeting(None) == {"BTC"}


def test_the_route_an_incident_names_has_the_least_size_in_dollars(prices: None) -> None:
    big_in_dollars, big_in_numbers = sized(1, "BTC", 0.307), sized(2, "IDR", 13_800.0)
    save_episodes([big_in_dollars, big_in_numbers])
    rule = AlertRule(what=What.OPPORTUNITY, min_size=100)

    best, other = ranked(rule, OpportunityEpisode.objects.all())
    assert (best.symbol, other.symbol) == ("SOL/BTC", "SOL/IDR"), "the other has the higher edge"
    assert "size ≥ 100 USDT" in in_words(rule)


@pytest.mark.parametrize("group", ["", "move"])
def test_opportunities_are_sorted_by_what_their_size_is_worth(
    prices: None, client: Client, group: str
) -> None:
    client.force_login(User.objects.create_user("reader"))
    sizes = {"IDR": 13_800.0, "USDT": 500.0, "BTC": 0.307, "JPY": 1e9}
    save_episodes([sized(place, *each) for place, each in enumerate(sizes.items(), 1)])

    def order(descending: str) -> list[str]:
        asked = {"sort": "size", "descending": descending} | ({"group": group} if group else {})
        answer = client.get("/api/opportunities", asked).json()
        return [quote_of(row["symbol"]) for row in answer["moves" if group else "episodes"]]

    assert order("true") == ["BTC", "USDT", "IDR", "JPY"]
    assert order("false") == ["IDR", "USDT", "BTC", "JPY"], "what nobody knows is last in either order"


def test_a_small_volume_is_not_shown_as_none() -> None:
    assert as_amount(np.array([0.307, 0.0, 12.346, 190_000_000.4])).tolist() == [
        0.307,
        0.0,
        12.35,
        190_000_000.0,
    ]


def test_the_csv_writes_every_number_out() -> None:
    head = Head(1, 1, 1, net=True, size=1000.0)
    cells = dict.fromkeys(head.cells, None) | {
        "symbol": "SOL/BTC", "exchange1": "okx", "exchange2": "gate", "sell": 1,
        "edge": -0.1, "size": 3e-8, "volume1": 1.5e17, "volume2": 0.00012
    }  # fmt: skip
    row = [str(each) for each in _csv_row(head, tuple(cells.values()))]
    assert {"-0.1", "0.00000003", "150000000000000000", "0.00012"} <= set(row)


@pytest.mark.parametrize(
    ("say", "value", "text"),
    [
        (wording.share, 0.00001, "0.00001"),
        (wording.share, 12_345_678.5, "12,345,678.5"),
        (wording.ratio, 0.00000001234, "0.00000001234"),
        (wording.ratio, 123_456_789.0, "123,500,000"),
        (wording.price, 0.00000001, "0.00000001"),
        (wording.price, 1_534_567_891.0, "1,534,567,891"),
        (wording.price, 123_456_789_012.0, "123,456,789,012"),
        (wording.price, 64_210.5, "64,210.5"),
        (wording.price, None, "–"),
        (wording.price, nan, "–"),
        (wording.price, inf, "–"),
        (_number, 0.0000123, "0.0000123"),
    ],
)
def test_no_number_has_an_exponent(say: Any, value: float | None, text: str) -> None:
    assert say(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_never_shown_as_one(value: float) -> None:
    assert wording.bps(value) == wording.percent(value) == wording.figures(value, 3) == "–"
    assert wording.amount(value) == "unknown"


def test_zero_has_no_sign_of_its_own() -> None:
    assert (wording.amount(-0.0), wording.share(-0.0)) == ("0.00", "0")
    for zero in (-0.0, -0.0004, 0.0004):
        assert (wording.bps(zero), wording.percent(zero)) == ("0.0 bps", "0.000 %")
    assert (wording.bps(-0.06), wording.percent(1234.5)) == ("-0.1 bps", "+1,234.500 %")
