"""A taker may be paid a rebate: a negative fee can be entered, is taken over, shown, and reckoned with."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from engine.charts.batch import Terms
from engine.gates import checks as gates
from engine.scan.scanner import Scanner
from history.replay.engine import Replay
from markets.fees.book import Fees
from markets.models import CatalogueSync, Exchange, FeeSchedule, Instrument
from markets.seed import seed
from markets.selectors import load_config
from markets.sync.symbols import sync_all
from realtime.scanner.explain import explain
from realtime.scanner.table import ScanTable
from tests.markets.test_fees_per_symbol import kucoin_symbol
from tests.support.exchanges.exchange_rest import gate as gate_answers
from tests.support.exchanges.exchange_rest import pair, serving

TODAY = datetime.now(UTC).date()
USUAL = [pair(f"{base}_USDT") for base in ("BTC", "ETH", "SOL")]


@pytest.fixture
def gate(db: None) -> Exchange:
    seed()
    return Exchange.objects.get(key="gate")


def schedule(exchange: Exchange, taker: str, symbols: str = "BTC/USDT", maker: str = "0") -> FeeSchedule:
    row = FeeSchedule(
        exchange=exchange, symbols=symbols, taker_fee_bps=taker, maker_fee_bps=maker, valid_from=TODAY
    )
    row.full_clean()
    row.save()
    return row


def taker(symbol: str, exchange: str = "gate") -> float:
    return Fees(load_config()).of(exchange, symbol).taker_bps


def synced(gate: Exchange, *rows: Any) -> list[str]:
    with serving(gate_answers(list(rows))) as url:
        Exchange.objects.filter(pk=gate.pk).update(rest_url=url)
        gate.refresh_from_db()
        [report] = sync_all([gate])
    assert report.error == ""
    return report.problems


# --- entered ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bps", ["-0.001", "-0.5", "-2.5", "-50"])
def test_a_rebate_can_be_entered_for_an_exchange_and_in_a_schedule(gate: Exchange, bps: str) -> None:
    gate.taker_fee_bps = bps
    gate.full_clean()
    gate.save()
    schedule(gate, bps, "ETH/USDT", maker=bps)

    assert (taker("BTC/USDT"), taker("ETH/USDT")) == (float(bps), float(bps))


@pytest.mark.parametrize("bps", ["-50.001", "-51", "-999", "200.001"])
def test_beyond_what_anybody_pays_it_is_a_typing_error(gate: Exchange, bps: str) -> None:
    with pytest.raises(ValidationError, match=r"equal to (-50|200)"):
        schedule(gate, bps)
    gate.taker_fee_bps = bps
    with pytest.raises(ValidationError, match=r"equal to (-50|200)"):
        gate.full_clean()
    for rows in (Exchange.objects.filter(pk=gate.pk), FeeSchedule.objects.filter(pk=schedule(gate, "1").pk)):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(taker_fee_bps=bps)


def test_the_admin_takes_a_rebate_and_shows_it_with_its_sign(gate: Exchange, operator_client: Client) -> None:
    page = reverse("admin:markets_feeschedule_add")
    form = {
        "exchange": gate.pk, "tier": "", "symbols": "BTC/USDT", "taker_fee_bps": "-1.5",
        "maker_fee_bps": "-2", "valid_from": TODAY, "valid_until": "",
    }  # fmt: skip
    assert operator_client.post(page, form).status_code == 302
    assert "-1.500" in operator_client.get("/admin/markets/feeschedule/").content.decode()
    Exchange.objects.filter(pk=gate.pk).update(taker_fee_bps="-0.5")
    assert "-0.5 / 10 bps" in operator_client.get("/admin/markets/exchange/").content.decode()

    refused = operator_client.post(page, form | {"taker_fee_bps": "-60", "symbols": "ETH/USDT"})
    assert "greater than or equal to -50" in refused.content.decode()


# --- said by the exchange --------------------------------------------------------------------------


def test_a_rebate_that_an_exchange_says_is_taken_over(gate: Exchange, operator_client: Client) -> None:
    paid = pair("XRP_USDT", fee="-0.005", maker_fee_rate="-0.01")
    assert synced(gate, *USUAL, paid) == []

    assert taker("XRP/USDT") == -0.5
    assert "-0.5 / -1 bps" in operator_client.get("/admin/markets/instrument/?q=XRP_USDT").content.decode()


def test_a_rebate_is_never_the_usual_fee(gate: Exchange) -> None:
    paid = [pair(f"{base}_USDT", fee="-0.01") for base in ("ETH", "SOL", "XRP")]
    assert synced(gate, pair("BTC_USDT"), *paid) == []
    assert [taker(f"{base}/USDT") for base in ("BTC", "ETH", "SOL", "XRP")] == [10, -1, -1, -1]

    [problem] = synced(gate, pair("BTC_USDT", fee="-0.01"), *paid)
    assert "no market costs anything" in problem
    assert taker("BTC/USDT") == 10, "an exchange that pays for every trade is damage"


@pytest.mark.parametrize("said", ["-0.6", "-100", "3", "1e9", "-1e30"], ids=lambda said: f"{said} %")
def test_a_fee_that_makes_no_sense_is_said_and_the_one_before_holds(gate: Exchange, said: str) -> None:
    synced(gate, *USUAL, pair("XRP_USDT", fee="-0.005"))
    since = Instrument.objects.get(exchange=gate, native_id="XRP_USDT").own_fee_since

    [problem] = synced(gate, *USUAL, pair("XRP_USDT", fee=said))

    assert problem.startswith("fees: 1 make no sense and are not taken over, taker / maker: XRP_USDT “")
    assert problem in CatalogueSync.objects.get(exchange=gate).error
    row = Instrument.objects.get(exchange=gate, native_id="XRP_USDT")
    assert (taker("XRP/USDT"), row.own_fee_since) == (-0.5, since)


def test_many_refused_fees_are_counted_and_the_first_named(gate: Exchange) -> None:
    [problem] = synced(gate, *USUAL, *(pair(f"A{number}_USDT", fee="-9") for number in range(8)))

    assert problem.startswith("fees: 8 make no sense")
    assert problem.endswith("A4_USDT “-9 / nothing” and 3 more")


def test_one_refused_fee_of_a_maker_does_not_halve_what_is_believed(gate: Exchange) -> None:
    [problem] = synced(gate, *USUAL, pair("XRP_USDT", fee="0.05", maker_fee_rate="-7"))

    assert "XRP_USDT “0.05 / -7”" in problem
    assert taker("XRP/USDT") == 10


@pytest.mark.parametrize(("times", "bps", "problems"), [("-0.5", -4, 0), ("-6", 8, 1), ("x", 8, 1)])
def test_a_class_may_pay_a_rebate(gate: Exchange, times: str, bps: float, problems: int) -> None:
    kucoin = Exchange.objects.get(key="kucoin")
    answers = {
        "/api/v2/symbols": {
            "code": "200000", "data": [kucoin_symbol("BTC", 1, "1.00"), kucoin_symbol("ETH", 2, times)]
        },
        "/api/v1/market/allTickers": {
            "code": "200000",
            "data": {"time": 1, "ticker": [{"symbol": "BTC-USDT", "volValue": "1", "last": "1"}]},
        },
    }  # fmt: skip
    with serving(answers) as url:
        Exchange.objects.filter(pk=kucoin.pk).update(rest_url=url, taker_fee_bps=8)
        kucoin.refresh_from_db()
        [report] = sync_all([kucoin])

    assert (taker("ETH/USDT", "kucoin"), sum("fees:" in each for each in report.problems)) == (bps, problems)


# --- reckoned with ---------------------------------------------------------------------------------


def test_everything_reckons_with_a_rebate(gate: Exchange) -> None:
    schedule(gate, "-2.5")
    config = load_config()

    terms = Terms.of(config, "BTC/USDT", "gate", "okx")
    assert (terms.fee1, terms.fee2) == (-0.00025, 0.001)
    scanner = Scanner()
    scanner.configure(config, "BTC/USDT".__eq__, 0, 0)
    [way] = [
        each for each in scanner.directions if (each.sell.exchange, each.buy.exchange) == ("gate", "okx")
    ]
    assert way.factor == pytest.approx(1.00025 / 1.001 * 10_000)
    table = ScanTable(config)
    row = next(row for id, row in table.row.items() if id in ("BTC/USDT|gate|okx", "BTC/USDT|okx|gate"))
    [verdict] = [each for each in explain(table, row, 0).directions[0].gates if each.name == "fees"]
    assert "gate -2.5 bps" in verdict.value
    assert (
        Replay(config, frozenset({"BTC/USDT"}))._lanes["BTC/USDT"]._fees.taker("gate", "BTC/USDT") == -0.00025
    )
    listing = next(
        each for each in (table.pairs[row].listing1, table.pairs[row].listing2) if each.exchange == "gate"
    )
    assert gates.Facts(config).fees(listing).value == "gate -2.5 bps"
