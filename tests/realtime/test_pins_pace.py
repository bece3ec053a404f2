"""Pins move what collectors follow where they must, and nobody pins without end."""

import json
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

import realtime.charts.pins as pins
from core.web.refused import Refused
from markets.models import Exchange, ExchangePair, Instrument, OpportunityFilter, PinnedChart, Symbol
from markets.selectors import current_revision, load_config
from realtime.pace import Pace

pytestmark = pytest.mark.django_db(transaction=True)

BY_A_FILTER = "BTC/USDT|binance|bybit"
BY_NONE = "BTC/USDT|gate|kucoin"


@pytest.fixture(autouse=True)
def fresh(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("seed")
    monkeypatch.setattr(pins, "_pace", Pace("changes of pins", pins.CHANGES_PER_MINUTE))


@pytest.fixture
def other_client() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("other"))
    return client


def pin(client: Client, id: str) -> Any:
    return client.post("/api/pins", json.dumps({"id": id}), content_type="application/json")


def unpin(client: Client, id: str) -> Any:
    return client.delete(f"/api/pins?id={id}")


def followed() -> set[str]:
    return {chart.id for chart in load_config().opportunities}


def moved(before: int) -> int:
    return current_revision() - before


def test_pins_of_what_is_followed_anyway_move_nothing_however_often(operator_client: Client) -> None:
    before, charts = current_revision(), followed()
    for _ in range(20):
        assert pin(operator_client, BY_A_FILTER).json()["pins"] == [BY_A_FILTER]
        assert unpin(operator_client, BY_A_FILTER).json()["pins"] == []
    assert moved(before) == 0
    assert followed() == charts


def test_the_first_pin_of_a_chart_and_its_last_unpin_move_what_is_followed(
    operator_client: Client, other_client: Client
) -> None:
    before = current_revision()
    pin(operator_client, BY_NONE)
    assert (moved(before), BY_NONE in followed()) == (1, True)
    for _ in range(5):
        pin(operator_client, BY_NONE)
        pin(other_client, BY_NONE)
        unpin(other_client, BY_NONE)
    pin(other_client, BY_NONE)
    unpin(operator_client, BY_NONE)
    assert (moved(before), BY_NONE in followed()) == (1, True)
    unpin(other_client, BY_NONE)
    assert (moved(before), BY_NONE in followed()) == (2, False)


@pytest.mark.parametrize("what", ["halted", "symbol off", "exchange volume"])
def test_a_pin_of_what_does_not_trade_now_moves_nothing(operator_client: Client, what: str) -> None:
    if what == "halted":
        Instrument.objects.filter(exchange__key="gate", symbol__name="BTC/USDT").update(active=False)
    elif what == "symbol off":
        Symbol.objects.filter(name="BTC/USDT").update(enabled=False)
    else:
        Exchange.objects.filter(key="gate").update(min_volume=10**12)
    before = current_revision()
    pin(operator_client, BY_NONE)
    assert (moved(before), BY_NONE in followed()) == (0, False)
    unpin(operator_client, BY_NONE)
    assert moved(before) == 0


def test_it_is_followed_once_it_trades_again(operator_client: Client) -> None:
    halted = Instrument.objects.filter(exchange__key="gate", symbol__name="BTC/USDT")
    halted.update(active=False)
    pin(operator_client, BY_NONE)
    halted.update(active=True)
    assert BY_NONE in followed()


def test_what_a_filter_that_is_off_or_draws_nothing_selects_is_followed_for_the_pin(
    operator_client: Client,
) -> None:
    OpportunityFilter.objects.filter(name="Majors").update(enabled=False)
    before = current_revision()
    pin(operator_client, BY_A_FILTER)
    assert (moved(before), BY_A_FILTER in followed()) == (1, True)


def test_an_alias_is_followed_under_the_symbol_it_counts_as(operator_client: Client) -> None:
    pepe = Symbol.objects.get(name="PEPE/USDT")
    thousand = Symbol.objects.create(name="1000PEPE/USDT", base="1000PEPE", quote="USDT")
    Instrument.objects.filter(exchange__key="gate", symbol=pepe).update(
        symbol=thousand, counts_as=pepe, multiplier=1000, native_id="1000PEPE_USDT"
    )
    chart, before = "PEPE/USDT|gate|kucoin", current_revision()
    pin(operator_client, chart)
    assert (moved(before), chart in followed()) == (1, True)


def test_taking_a_pin_down_in_the_admin_is_followed(operator: User, operator_client: Client) -> None:
    pin(operator_client, BY_NONE)
    PinnedChart.objects.get(user=operator).delete()
    assert BY_NONE not in followed()
    before = current_revision()
    pair = ExchangePair.objects.get(exchange1__key="gate", exchange2__key="kucoin")
    PinnedChart(user=operator, symbol=Symbol.objects.get(name="BTC/USDT"), pair=pair).save()
    assert moved(before) == 1, "who does not know better moves it"


# --- pace ----------------------------------------------------------------------------------------------


def test_a_user_who_pins_without_end_is_asked_to_wait_and_others_are_not(
    operator_client: Client, other_client: Client
) -> None:
    statuses = [
        (pin if number % 2 else unpin)(operator_client, BY_A_FILTER).status_code
        for number in range(pins.CHANGES_PER_MINUTE + 5)
    ]
    assert statuses == [200] * pins.CHANGES_PER_MINUTE + [429] * 5
    refused = pin(operator_client, BY_A_FILTER)
    assert 0 < int(refused["Retry-After"]) <= 60
    assert "more than 120 changes of pins in a minute" in refused.json()["error"]
    assert operator_client.get("/api/pins").status_code == 200, "looking is not changing"
    assert pin(other_client, BY_A_FILTER).status_code == 200


def test_a_minute_moves_on_with_time_and_forgets_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    monkeypatch.setattr("realtime.pace.USERS_KEPT", 3)
    pace = Pace("steps", 2)
    pace.step(1)
    now_s += 30
    pace.step(1)
    with pytest.raises(Refused) as refused:
        pace.step(1)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 30)
    now_s += 30
    pace.step(1)
    now_s += 61
    for user in range(2, 7):
        pace.step(user)
    assert 1 not in pace._done
