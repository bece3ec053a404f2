"""Coins that can be moved: exchanges' answers, what is stored, and what is unknown."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import ccxt
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.redis_client import redis_client
from markets.config import NetworkConfig
from markets.models import Exchange, Instrument, Symbol, WalletStatus, WalletSync
from markets.seed import seed
from markets.selectors import current_revision, load_config
from markets.sync.catalogue import CatalogueError
from markets.sync.wallet_answers import ListedNetwork, fetch, parse
from markets.sync.wallets import WalletReport, store, sync_all
from markets.tasks import WALLETS_LOCK, sync_wallets
from tests.markets.test_catalogue import Running

KEY = "readonlykey:hush-hush-secret:pass-phrase"


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.fixture
def desk(db: None, simulated: Running) -> None:
    seed(simulated.simulator.url)


@pytest.fixture
def gate(db: None) -> Exchange:
    seed()
    return Exchange.objects.get(key="gate")


def listed(coin: str = "BTC", network: str = "BTC", **doors: Any) -> ListedNetwork:
    values: dict[str, Any] = {"deposit": True, "withdraw": True, "fee": Decimal("0.0001"), **doors}
    return ListedNetwork(coin, network, **values)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("sync_wallets", *arguments, stdout=out)
    return out.getvalue()


# --- what exchanges answer -----------------------------------------------------------------------


@pytest.mark.parametrize("key", ["gate", "kucoin", "bitget"])
def test_three_exchanges_answer_everybody_and_name_networks_alike(simulated: Running, key: str) -> None:
    rows = {(row.coin, row.network): row for row in fetch(key, simulated.simulator.rest_url(key))}

    assert {network for coin, network in rows if coin == "PEPE"} == {"ERC20", "BEP20"}
    assert {network for coin, network in rows if coin == "BTC"} == {"BTC"}
    assert {network for coin, network in rows if coin == "SUI"} == {"SUI"}
    assert {row.deposit for row in rows.values()} == {True, False}
    assert all(row.withdraw is not None for row in rows.values())


@pytest.mark.parametrize("key", ["binance", "bybit", "mexc", "okx", "bingx"])
def test_the_others_answer_nothing_without_a_key(simulated: Running, key: str) -> None:
    assert fetch(key, simulated.simulator.rest_url(key)) == []


def test_what_an_exchange_did_not_say_is_unknown_and_names_that_fit_nowhere_are_left_out() -> None:
    networks = {"erc20": {"deposit": True, "withdraw": None, "fee": None}, "N" * 65: {"deposit": True}}

    rows = parse([{"code": "PEPE", "networks": networks}, {"code": "EUR", "networks": None}, {"code": ""}])

    assert rows == [ListedNetwork("PEPE", "ERC20", True, None, None)]


# --- keys ----------------------------------------------------------------------------------------


def test_a_key_comes_from_the_environment_and_never_into_words(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EXCHANGE_KEYS = {"okx": KEY}
    used = []

    def refuse(self: Any) -> None:
        used.append((self.apiKey, self.secret, self.password))
        raise ccxt.AuthenticationError(
            f"okx GET https://okx.example/currencies?sign=abc refused {self.apiKey} {self.secret}"
        )

    monkeypatch.setattr(ccxt.okx, "fetch_currencies", refuse)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CatalogueError) as caught:
        fetch("okx")

    assert used == [("readonlykey", "hush-hush-secret", "pass-phrase")]
    assert str(caught.value) == "okx GET https://okx.example/currencies refused ••• •••"
    assert caught.value.__suppress_context__
    assert not any(word in caplog.text for word in KEY.split(":"))


def test_a_key_is_not_sent_to_another_address(
    settings: Any, monkeypatch: pytest.MonkeyPatch, simulated: Running
) -> None:
    settings.EXCHANGE_KEYS = {"okx": KEY}
    seen = []
    monkeypatch.setattr(ccxt.okx, "fetch_currencies", lambda self: seen.append(self.apiKey))

    fetch("okx", simulated.simulator.rest_url("okx"))

    assert seen == [None]


@pytest.mark.parametrize("text", ["onlyakey", "key:", ":secret"])
def test_a_key_in_another_form_is_refused_without_showing_it(settings: Any, text: str) -> None:
    settings.EXCHANGE_KEYS = {"okx": text}

    with pytest.raises(CatalogueError, match=r"^EXCHANGE_KEYS_OKX must be KEY:SECRET, or KEY:SECRET:PASS"):
        fetch("okx")


# --- what is stored ------------------------------------------------------------------------------


def test_wallets_reach_the_configuration_and_a_second_sync_moves_nothing(gate: Exchange) -> None:
    rows = [listed(), listed("PEPE", "ERC20", withdraw=False), listed("UNLISTED", "ERC20")]

    report = store(gate, rows)

    assert (report.coins, report.networks, report.closed) == (2, 2, 1)
    assert report.revision == current_revision()
    assert load_config().wallets == {
        ("gate", "BTC"): (NetworkConfig("BTC", True, True),),
        ("gate", "PEPE"): (NetworkConfig("ERC20", True, False),),
    }
    assert store(gate, rows).revision is None
    assert WalletSync.objects.get(exchange=gate).networks == 2


def test_what_changed_is_said_and_collectors_are_notified(gate: Exchange) -> None:
    store(gate, [listed(), listed("PEPE", "ERC20"), listed("PEPE", "BEP20")])

    report = store(gate, [listed(deposit=False), listed("PEPE", "ERC20", withdraw=None)])

    assert report.changed == [
        "BTC BTC deposits closed", "PEPE BEP20 is no longer reported", "PEPE ERC20 withdrawals unknown",
    ]  # fmt: skip
    assert report.revision == current_revision()


def test_a_fee_or_a_coin_nobody_compares_disturbs_no_collector(gate: Exchange) -> None:
    Symbol.objects.filter(name="PEPE/USDT").update(enabled=False)
    store(gate, [listed(), listed("PEPE", "ERC20")])

    report = store(gate, [listed(fee=Decimal("0.2")), listed("PEPE", "ERC20", deposit=False)])

    assert report.revision is None
    assert WalletStatus.objects.get(exchange=gate, coin="BTC").fee == Decimal("0.2")
    assert WalletStatus.objects.get(exchange=gate, coin="PEPE").deposit is False


def test_the_wallet_of_an_alias_is_that_of_its_own_coin(gate: Exchange) -> None:
    thousand = Symbol.objects.create(name="1000PEPE/USDT", base="1000PEPE", quote="USDT")
    Instrument.objects.filter(exchange=gate, symbol__name="PEPE/USDT").update(
        symbol=thousand, counts_as=Symbol.objects.get(name="PEPE/USDT"), multiplier=1000
    )

    store(gate, [listed("1000PEPE", "ERC20")])

    assert ("gate", "1000PEPE") in load_config().wallets


def test_an_exchange_that_answers_no_more_is_unknown(gate: Exchange) -> None:
    store(gate, [listed()])

    report = store(gate, [])

    assert load_config().wallets == {}
    assert report.revision == current_revision()


@pytest.mark.parametrize(("age", "believed"), [(timedelta(minutes=50), True), (timedelta(minutes=61), False)])
def test_an_exchange_that_fails_is_believed_for_an_hour(
    gate: Exchange, monkeypatch: pytest.MonkeyPatch, age: timedelta, believed: bool
) -> None:
    store(gate, [listed()])
    WalletStatus.objects.update(synced_at=timezone.now() - age)
    before = current_revision()

    def fail(key: str, rest_url: str) -> list[ListedNetwork]:
        raise CatalogueError("it does not answer")

    monkeypatch.setattr("markets.sync.wallets.fetch", fail)
    [report] = sync_all([gate])

    assert report.error == WalletSync.objects.get(exchange=gate).error == "it does not answer"
    assert bool(load_config().wallets) is believed
    assert (current_revision() == before) is believed


# --- the command and the task --------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_says_what_is_open_and_what_is_unknown(desk: None) -> None:
    Exchange.objects.filter(key="bitget").update(rest_url="http://127.0.0.1:1/bitget")
    out = StringIO()

    with pytest.raises(CommandError, match="1 of 8 exchanges failed"):
        call_command("sync_wallets", stdout=out)

    lines = {line.split()[0]: line for line in out.getvalue().splitlines() if line}
    assert lines["gate"].split()[1:3] == [
        "20",
        str(WalletStatus.objects.filter(exchange__key="gate").count()),
    ]
    assert "unknown: it answers nobody without a key (EXCHANGE_KEYS_BINANCE)" in lines["binance"]
    known = {exchange for exchange, _coin in load_config().wallets}
    assert known == {"gate", "kucoin"}


@pytest.mark.django_db
def test_the_task_syncs_what_is_enabled_and_leaves_the_field_to_one_that_runs(
    gate: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def ask(rows: list[Exchange]) -> Iterator[WalletReport]:
        asked.append([row.key for row in rows])
        yield from ()

    monkeypatch.setattr("markets.sync.wallets.sync_all", ask)
    Exchange.objects.exclude(key="gate").update(enabled=False)

    with redis_client().lock(WALLETS_LOCK, timeout=30):
        sync_wallets()
    assert asked == []
    sync_wallets()
    assert asked == [["gate"]]
    assert not redis_client().exists(WALLETS_LOCK)
