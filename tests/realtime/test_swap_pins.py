"""Charts of swaps are pinned and explained by their coin and the keys of their markets."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from core.web.refused import Refused
from markets.models import Exchange, Leg, PinnedChart, Symbol
from markets.seed import seed
from markets.selectors import load_config
from realtime.charts.pins import pin, pinned_ids, unpin
from realtime.scanner.obstacles import obstacles
from tests.support.swaps import pair, swap

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

CHART = "BTC/USDT|binance:swap|gate"


@pytest.fixture
def trader(django_user_model: Any) -> User:
    seed()
    swap("binance")
    pair("binance:swap", "gate")
    user: User = django_user_model.objects.create_user("trader")
    return user


def test_a_chart_of_a_swap_is_pinned_either_way_round_and_taken_down(trader: User) -> None:
    pin(trader, "BTC/USDT|gate|binance:swap")
    pin(trader, CHART)

    assert pinned_ids(trader) == [CHART]
    assert CHART in {chart.id for chart in load_config().opportunities}
    unpin(trader, CHART)
    assert pinned_ids(trader) == []


def test_spot_of_the_same_exchanges_is_another_chart(trader: User) -> None:
    pin(trader, CHART)
    pin(trader, "BTC/USDT|binance|gate")

    assert len(pinned_ids(trader)) == 2
    unpin(trader, "BTC/USDT|binance|gate")
    assert pinned_ids(trader) == [CHART]


@pytest.mark.parametrize("chart", ["BTC/USDT:USDT|binance:swap|gate", "BTC/USDT|binance:swap|okx"])
def test_what_is_no_chart_is_not_pinned(trader: User, chart: str) -> None:
    with pytest.raises(Refused):
        pin(trader, chart)
    assert not PinnedChart.objects.exists()


def reasons(key: str, market: str) -> list[str]:
    legs = Leg(Exchange.objects.get(key="binance"), "swap"), Leg(Exchange.objects.get(key=key), market)
    return [each.words for each in obstacles(Symbol.objects.get(name="BTC/USDT"), *legs)]


def test_what_keeps_swaps_from_being_compared_is_named(trader: User) -> None:
    assert reasons("gate", "spot") == []
    assert reasons("okx", "swap") == [
        "there is no pair of Binance swap and OKX swap: add it", "OKX swap does not list BTC/USDT",
    ]  # fmt: skip
    swap("okx", contract_size=None, not_followed="its contract size cannot be read: “0”")
    pair("binance:swap", "okx:swap")
    assert reasons("okx", "swap") == ["OKX swap: it is not followed: its contract size cannot be read: “0”"]
    Symbol.objects.filter(kind="swap").update(enabled=False)
    assert "BTC/USDT:USDT is not enabled" in reasons("okx", "swap")
    Exchange.objects.filter(key="okx").update(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9")
    assert "swaps of OKX have no address beside that of its spot market" in reasons("okx", "swap")
