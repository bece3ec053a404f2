"""Why a pair is not an opportunity: in words, over the API, and on its page."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from msgspec import structs
from redis import Redis

from accounts.tokens.tokens import make_token
from engine.gates.checks import GATES
from engine.scan.identity import FAIL
from markets.config import FilterConfig, IdentityConfig, MarketConfig
from markets.models import Exchange, ExchangePair, Instrument, Kind, Leg, Symbol
from markets.selectors import load_config
from realtime.scanner.explain import Explanation, explain
from realtime.scanner.obstacles import obstacles
from realtime.scanner.table import ScanTable
from tests.realtime.test_api import aget
from tests.support.live import daphne, desk
from tests.support.scan.data import market, scan_of

BTC = "BTC/USDT|binance|bybit"
FINDS = FilterConfig(7, "Finds", min_edge_bps=20.0, min_duration_ms=200)
EVEN = {("binance", "BTC/USDT"): 100.0, ("bybit", "BTC/USDT"): 100.0, ("okx", "BTC/USDT"): 100.0}
WIDE = EVEN | {("bybit", "BTC/USDT"): 101.0}


def explained(
    prices: dict[tuple[str, str], float], config: MarketConfig | None = None, **columns: Any
) -> Explanation:
    """BTC/USDT on binance and bybit, as these bids have it."""
    config = config or market(filters=(FINDS,))
    table = ScanTable(config)
    scan = scan_of(config, prices, **columns)
    match = table.match(scan)
    table.take(scan, match, time.monotonic(), silent=False)
    table.take_evidence(scan, match)
    table.refresh()
    return explain(table, table.row[BTC], time.monotonic_ns())


# --- the words -----------------------------------------------------------------------------------


def test_an_edge_below_every_filters_threshold_is_the_first_reason() -> None:
    found = explained(EVEN)
    assert [each.verdict for each in found.directions] == ["pass", "pass"]
    assert found.summary == (
        "Not an opportunity (buy on bybit, sell on binance): "
        "the edge is -21.0 bps (wanted: at least 20.0 bps by “Finds”)."
    )
    assert not any(each.opportunity for each in found.directions)


def test_both_directions_list_every_gate_and_the_better_one_comes_first() -> None:
    found = explained(WIDE)
    assert [each.buy_on for each in found.directions] == ["binance", "bybit"]
    for each in found.directions:
        assert tuple(gate.name for gate in each.gates) == GATES
    better = found.directions[0]
    assert better.edge_bps == pytest.approx(101.0 * 0.999 / (100.01 * 1.001) * 1e4 - 1e4)
    assert better.size == pytest.approx(1.0 * 100.01)
    assert found.spread_pct == pytest.approx((100 / 101 - 1) * 100)


def test_each_direction_says_in_one_line_what_the_trade_is() -> None:
    config = market(("BTC/USDT",), ("bybit", "gate:swap"))
    names = {"bybit": "Bybit", "gate:swap": "Gate swap"}
    called = tuple(structs.replace(row, name=names[row.key]) for row in config.exchanges)
    table = ScanTable(structs.replace(config, exchanges=called))
    found = explain(table, table.row["BTC/USDT|bybit|gate:swap"], time.monotonic_ns())
    assert {way.buy_on: way.trade for way in found.directions} == {
        "gate:swap": "long Gate swap, short Bybit spot: not possible without borrowing",
        "bybit": "long Bybit spot, short Gate swap",
    }


def test_what_meets_a_filter_with_its_gates_open_is_an_opportunity() -> None:
    found = explained(WIDE)
    assert found.directions[0].opportunity
    assert [row.met for row in found.directions[0].filters] == [True]
    assert found.summary == (
        "An opportunity (buy on binance, sell on bybit): "
        "the edge is +78.8 bps (wanted: at least 20.0 bps by “Finds”), once it has held for 200 ms."
    )


def test_a_closed_gate_is_reported_with_its_words() -> None:
    found = explained(WIDE, gap_ms=100.0, age_ms=[50.0, 50.0, 9_400.0, 50.0, 50.0, 50.0])
    better = found.directions[0]
    assert (better.verdict, better.opportunity) == ("fail", False)
    assert "bybit is silent: last quote 9.4 s ago, usual gap 100 ms, while 2 others quote" in found.summary
    assert better.filters[0].words == "the gate check freshness blocks"
    assert [leg.state for leg in found.legs] == ["live", "silent"]


def test_a_filter_that_wants_open_wallets_is_not_met_by_unknown_ones() -> None:
    strict = structs.replace(FINDS, wallets_open=True)
    found = explained(WIDE, market(filters=(strict,)))
    assert found.directions[0].verdict == "pass"
    assert found.directions[0].filters[0].words == "the gate check wallets blocks"
    assert found.summary.endswith("the gate check wallets blocks.")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (
            {"max_age_ms": 5_000.0},
            (
                "the gate check freshness blocks by the filter's own limit: binance",
                "s is over the limit of 5 s",
            ),
        ),
        (
            {"max_unproven_edge_bps": 60.0},
            (
                "the gate check identity blocks by the filter's own limit: the edge is 78.8 bps",
                "over the limit of 60 bps",
            ),
        ),
    ],
)
def test_a_limit_of_a_filters_own_is_reported_with_its_words(
    own: dict[str, float], words: tuple[str, str]
) -> None:
    filters = (structs.replace(FINDS, **own),)
    found = explained(
        WIDE, market(filters=filters), gap_ms=10_000.0, age_ms=[50.0, 50.0, 9_400.0, 50, 50, 50]
    )
    better = found.directions[0]
    assert better.verdict == "pass"
    assert better.filters[0].words.startswith(words[0])
    assert words[1] in better.filters[0].words


def test_a_pair_that_no_filter_follows_says_so() -> None:
    found = explained(WIDE, market())
    assert "no enabled filter with a min edge follows this pair" in found.summary


def test_a_size_below_a_filters_own_minimum_is_reported() -> None:
    found = explained(WIDE, market(filters=(structs.replace(FINDS, min_size=5_000.0),)))
    assert found.directions[0].filters[0].words == (
        "the executable size is 100 USDT (wanted: at least 5,000 USDT)"
    )


def test_an_operators_word_on_the_coin_is_reported() -> None:
    config = market(filters=(FINDS,))
    case = IdentityConfig("BTC/USDT", "binance", "bybit", "different")
    table = ScanTable(structs.replace(config, identities=(case,)))
    table.identity[:] = FAIL
    table.refresh()
    found = explain(table, table.row[BTC], time.monotonic_ns())
    gate = next(gate for gate in found.directions[0].gates if gate.name == "identity")
    assert (gate.verdict, "decided that these are different coins" in gate.words) == ("fail", True)


def test_before_any_quote_nothing_is_made_up() -> None:
    found = explained({})
    assert [leg.state for leg in found.legs] == ["waiting", "waiting"]
    assert (found.spread_pct, found.directions[0].edge_bps, found.directions[0].size) == (None, None, None)
    assert "binance is down: no quote has arrived yet" in found.summary


# --- pairs that are not compared -----------------------------------------------------------------


@pytest.fixture
def rows(db: None) -> None:
    """Rows of a fresh desk's database."""
    call_command("seed")


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


def reasons() -> list[str]:
    symbol = Symbol.objects.get(name="BTC/USDT")
    legs = (Leg(Exchange.objects.get(key=key), Kind.SPOT) for key in ("binance", "bybit"))
    return [each.words for each in obstacles(symbol, *legs)]


def test_every_switch_that_keeps_a_pair_from_being_compared_is_named(rows: None) -> None:
    assert reasons() == []
    Exchange.objects.filter(key="binance").update(enabled=False)
    ExchangePair.objects.filter(exchange1__key="binance", exchange2__key="bybit").update(enabled=False)
    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)
    instruments = Instrument.objects.filter(symbol__name="BTC/USDT")
    instruments.filter(exchange__key="binance").update(enabled=False)
    gone = datetime(2026, 3, 4, tzinfo=UTC)
    instruments.filter(exchange__key="bybit").update(active=False, delisted_at=gone)
    assert reasons() == [
        "Binance is disabled",
        "the pair of Binance and Bybit is disabled",
        "BTC/USDT is not enabled",
        "Binance: the instrument is disabled",
        "Bybit: delisted on 2026-03-04",
    ]
    instruments.all().delete()
    ExchangePair.objects.all().delete()
    found = reasons()
    assert "there is no pair of Binance and Bybit: add it" in found
    assert "Bybit does not list BTC/USDT" in found


def test_volume_bounds_and_aliases_are_named(rows: None) -> None:
    Exchange.objects.filter(key="binance").update(min_volume=10**15)
    other = Symbol.objects.get(name="ETH/USDT")
    Instrument.objects.filter(exchange__key="bybit", symbol=other).update(counts_as=None, active=False)
    Instrument.objects.filter(exchange__key="bybit", symbol__name="BTC/USDT").update(counts_as=other)
    below, alias = reasons()
    assert below.startswith("Binance: its 24 h volume of ")
    assert alias == "Bybit: the instrument counts as ETH/USDT"


# --- over HTTP -----------------------------------------------------------------------------------


def test_a_request_that_cannot_be_answered_says_what_to_change(
    seeded: MarketConfig, operator_client: Client
) -> None:
    for query, status, words in (
        ("", 400, ["symbol:", "exchange1=binance"]),
        ("symbol=BTC/USDT&exchange1=binance", 400, ["exchange2:"]),
        ("id=BTC", 400, ["id:", BTC]),
        ("symbol=NOPE/USDT&exchange1=binance&exchange2=bybit", 404, ["symbol:", "NOPE/USDT"]),
        ("symbol=BTC/USDT&exchange1=nowhere&exchange2=bybit", 404, ["exchange1:", "binance, bingx"]),
        ("symbol=BTC/USDT&exchange1=okx&exchange2=OKX", 400, ["exchange2:", "name another"]),
    ):
        response = operator_client.get(f"/api/opportunities/explain?{query}")
        assert response.status_code == status
        assert all(word in response.json()["error"] for word in words), response.json()
        page = operator_client.get(f"/opportunities/explain?{query}")
        assert (page.status_code, "Nothing to explain" in page.content.decode()) == (status, True)


def test_explanations_are_for_those_who_signed_in(client: Client, transactional_db: None) -> None:
    assert client.get(f"/api/opportunities/explain?id={BTC}").status_code == 401
    assert client.get(f"/opportunities/explain?id={BTC}").status_code == 302


async def test_a_live_pair_is_explained_by_api_and_page_however_it_is_spelled(
    seeded: MarketConfig, operator: User, operator_cookie: str
) -> None:
    token = await database_sync_to_async(make_token)(operator, 1)
    with daphne() as web:
        url = f"{web.url}/api/opportunities/explain?symbol=btcusdt&exchange1=Bybit&exchange2=binance"
        async with desk(seeded) as running:
            running.quote("binance", 100.0)
            running.quote("bybit", 100.2)
            answer: dict[str, Any] = {}
            deadline = time.monotonic() + 15
            while not answer.get("spread_pct"):
                assert time.monotonic() < deadline, answer
                status, body = await aget(url, token)
                assert status == 200
                answer = json.loads(body)
            assert (answer["id"], answer["scanned"]) == (BTC, True)
            assert answer["spread_pct"] == pytest.approx(-0.1996, abs=1e-4)
            assert [gate["name"] for gate in answer["directions"][0]["gates"]] == list(GATES)
            assert answer["change"]["identity"].startswith("/admin/markets/identitycase/?q=BTC")
            status, page = await aget(f"{web.url}/opportunities/explain?id={BTC}", cookie=operator_cookie)
            assert (status, "Buy on Binance, sell on Bybit" in page) == (200, True)
            said = [answer["summary"], *(each["summary"] for each in answer["directions"])]
            said += [gate["words"] + gate["value"] for way in answer["directions"] for gate in way["gates"]]
            for words in (*said, *re.findall(r'class="(?:summary|words)">([^<]+)<', page)):
                assert not re.search(r"\b(binance|bybit)\b", words), words
            assert any("Binance" in words for words in said)
            assert "-0.200 %" in page
        await database_sync_to_async(_switch_off)()
        found = json.loads((await aget(url, token))[1])
        while found["scanned"]:
            assert time.monotonic() < deadline + 15
            found = json.loads((await aget(url, token))[1])
        assert found["summary"] == "Not compared: BTC/USDT is not enabled."
        status, page = await aget(f"{web.url}/opportunities/explain?id={BTC}", cookie=operator_cookie)
        assert (status, "Why this pair is not compared" in page) == (200, True)


def _switch_off() -> None:
    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)


async def test_asked_again_and_again_the_time_of_a_quote_never_falls(
    seeded: MarketConfig, operator: User
) -> None:
    """An answer's time is the one its ages are as of, not the one at which it was written."""
    token = await database_sync_to_async(make_token)(operator, 1)
    came: list[float] = []
    with daphne() as web:
        url = f"{web.url}/api/opportunities/explain?id={BTC}"
        async with desk(seeded) as running:
            running.quote("binance", 100.0)
            running.quote("bybit", 100.2)
            deadline = time.monotonic() + 15
            while len(came) < 25:
                assert time.monotonic() < deadline, came
                answer = json.loads((await aget(url, token))[1])
                leg = answer["legs"][0]
                if leg["age_ms"] is not None:
                    came.append(datetime.fromisoformat(answer["time"]).timestamp() * 1e3 - leg["age_ms"])
                await asyncio.sleep(0.037)
    assert all(later >= earlier - 2 for earlier, later in pairwise(came)), came
