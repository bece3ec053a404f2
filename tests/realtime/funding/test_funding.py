"""Funding from a collector's events to the API of the page: what is known, what is best, what is unknown."""

import asyncio
import csv
import io
import time
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from redis import Redis

from collectors.metrics import export_collector
from core.channel import Channel
from markets.config import InstrumentConfig, MarketConfig, Shard
from markets.events import Funding, SinkEvent
from markets.follow import fundings as wire
from markets.follow.fundings import Snapshot, SwapRow
from markets.follow.runtime import CollectorStatus
from monitoring.metrics.families import Families
from realtime.funding import api
from realtime.funding.sink import FundingSink

pytestmark = pytest.mark.django_db(transaction=True)

S = 1_000_000
HOUR = 3600 * S
PATH = "/api/funding"


@pytest.fixture
def desk(transactional_db: None, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """A desk whose collectors said nothing yet; what is read of Redis is not kept."""
    monkeypatch.setattr(api, "KEPT_S", -1)
    call_command("seed")
    return empty_redis


def swap(exchange: str, coin: str, rate: float | None, hours: int | None, **more: Any) -> SwapRow:
    """A row as a collector writes it; the next settlement is in half an hour."""
    known: dict[str, Any] = {
        "next_ts_us": time.time_ns() // 1000 + HOUR // 2,
        "is_derived": False, "cap": 0.01, "floor": -0.01, "settled_rate": None, "settled_ts_us": None,
        "age_ms": 1500.0, "problem": "",
    }  # fmt: skip
    interval_s = None if hours is None else hours * 3600
    row = {"exchange": f"{exchange}:swap", "symbol": f"{coin}:USDT", "coin": coin, "rate": rate}
    return SwapRow(**row, interval_s=interval_s, **(known | more))  # type: ignore[arg-type]


def publish(redis: Redis, *rows: SwapRow, shard: str = "1/1", ago_us: int = 0) -> None:
    snapshot = Snapshot(shard, time.time_ns() // 1000 - ago_us, list(rows))
    redis.set(wire.key_of_shard(shard), wire.encode(snapshot), ex=600)
    redis.hset(wire.SHARDS, shard, snapshot.ts_us)


def get(client: Client, query: str = "") -> dict[str, Any]:
    response = client.get(f"{PATH}?{query}")
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    return answer


def coins(client: Client, query: str) -> list[str]:
    return [row["coin"] for row in get(client, query)["rows"]]


class TestMatrix:
    @pytest.fixture(autouse=True)
    def said(self, desk: Redis) -> None:
        """Three coins; BTC's best is 0.04 % - 0.01 % per 8 h, ETH's 0.08 %, of ADA one exchange is known."""
        publish(
            desk,
            swap("binance", "BTC/USDT", 0.0001, 8),
            swap("bybit", "BTC/USDT", 0.0002, 4),
            swap(
                "gate",
                "BTC/USDT",
                0.009,
                8,
                problem="just settled: the rate may be that of the interval before",
            ),
        )
        publish(
            desk,
            swap("binance", "ETH/USDT", -0.00005, 1),
            swap("okx", "ETH/USDT", 0.0004, 8),
            swap("okx", "ADA/USDT", 0.0004, 8),
            swap("gate", "ADA/USDT", 0.0004, None, problem="the interval is unknown"),
            shard="2/2",
        )

    def test_a_row_per_coin_a_cell_per_exchange_and_the_best_two_legs(self, operator_client: Client) -> None:
        answer = get(operator_client)
        assert (answer["matches"], answer["swaps"], answer["shards"], answer["hours"]) == (3, 7, 2, 8)
        assert [row["coin"] for row in answer["rows"]] == ["ETH/USDT", "BTC/USDT", "ADA/USDT"]
        eth, btc, ada = answer["rows"]
        assert btc["best"] == {"long": "binance", "short": "bybit", "spread": 0.03, "held": 0.03}
        # Eight settlements at -0.005 % on Binance, one of 0.04 % on OKX.
        assert eth["best"] == {"long": "binance", "short": "okx", "spread": 0.08, "held": 0.08}
        assert ada["best"] is None
        cell = btc["cells"]["bybit"]
        assert (cell["rate"], cell["per_8h"], cell["per_year"], cell["interval_s"]) == (
            0.02,
            0.04,
            43.8,
            14_400,
        )
        assert 1500 <= cell["age_ms"] < 60_000

    def test_what_is_unknown_says_why_and_is_never_computed_with(self, operator_client: Client) -> None:
        _, btc, ada = get(operator_client)["rows"]
        gate = btc["cells"]["gate"]
        assert (gate["rate"], gate["problem"]) == (
            0.9, "just settled: the rate may be that of the interval before",
        )  # fmt: skip
        assert "per_8h" not in gate
        assert "held" not in gate
        assert ada["cells"]["gate"]["problem"] == "the interval is unknown"
        assert "interval_s" not in ada["cells"]["gate"]

    def test_what_is_charged_while_a_position_is_held(self, operator_client: Client) -> None:
        # In half an hour, then every 4 h on Bybit and 8 h on Binance.
        (btc,) = get(operator_client, "search=btc&hours=0.25")["rows"]
        assert btc["best"]["held"] == 0
        (btc,) = get(operator_client, "search=btc&hours=9")["rows"]
        assert btc["best"]["held"] == pytest.approx(3 * 0.02 - 2 * 0.01)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("search=eth", ["ETH/USDT"]),
            ("search=usdt&sort=coin&descending=false", ["ADA/USDT", "BTC/USDT", "ETH/USDT"]),
            ("sort=binance", ["BTC/USDT", "ETH/USDT", "ADA/USDT"]),
            ("sort=binance&descending=false", ["ETH/USDT", "BTC/USDT", "ADA/USDT"]),
            ("min_spread=0.05", ["ETH/USDT"]),
            ("exchanges=binance,Bybit&sort=coin&descending=false", ["BTC/USDT", "ETH/USDT"]),
            ("exchanges=okx&sort=coin&descending=false", ["ADA/USDT", "ETH/USDT"]),
            ("limit=1&offset=1", ["BTC/USDT"]),
            ("search=nothing", []),
        ],
    )
    def test_filtered_sorted_and_paged(self, operator_client: Client, query: str, found: list[str]) -> None:
        assert coins(operator_client, query) == found

    def test_the_best_is_among_the_exchanges_asked_for(self, operator_client: Client) -> None:
        (row,) = get(operator_client, "exchanges=binance,gate&search=btc")["rows"]
        assert row["best"] is None

    def test_the_same_as_csv(self, operator_client: Client) -> None:
        response = operator_client.get(f"{PATH}.csv?search=btc")
        assert response["Content-Disposition"].startswith('attachment; filename="funding-')
        lines = list(csv.DictReader(io.StringIO(response.content.decode())))
        assert [line["exchange"] for line in lines] == ["binance", "bybit", "gate"]
        assert (lines[1]["rate_pct"], lines[1]["per_8h_pct"], lines[1]["interval_s"]) == (
            "0.02000000", "0.04000000", "14400",
        )  # fmt: skip
        assert (lines[2]["per_8h_pct"], lines[2]["problem"][:12]) == ("", "just settled")

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("sort=volume", "sort: 'volume' must be one of coin, spread, held, "),
            ("hours=0", "hours: '0' must be "),
            ("hours=nan", "hours: "),
            ("hours=1e9", "hours: "),
            ("min_spread=x", "min_spread: 'x' must be "),
            ("limit=1000", "limit: '1000' must be "),
            ("market=swap", "market: there is no such parameter"),
        ],
    )
    def test_an_error_names_the_parameter(self, operator_client: Client, query: str, words: str) -> None:
        for path in (PATH, f"{PATH}.csv"):
            response = operator_client.get(f"{path}?{query}")
            assert (response.status_code, response.json()["error"][: len(words)]) == (400, words)

    def test_an_exchange_there_is_not_is_named_with_those_there_are(self, operator_client: Client) -> None:
        response = operator_client.get(f"{PATH}?exchanges=nasdaq")
        assert response.status_code == 404
        assert "exchanges: there is no exchange 'nasdaq'" in response.json()["error"]


def test_without_collectors_there_is_nothing_and_the_answer_says_so(
    desk: Redis, operator_client: Client
) -> None:
    answer = get(operator_client)
    assert (answer["rows"], answer["matches"], answer["swaps"], answer["shards"]) == ([], 0, 0, 0)


def test_what_was_read_serves_all_for_a_second(
    desk: Redis, operator_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(operator_client)["swaps"] == 0
    publish(desk, swap("okx", "ADA/USDT", 0.0004, 8))
    monkeypatch.setattr(api, "KEPT_S", 3600)
    assert get(operator_client)["swaps"] == 0
    monkeypatch.setattr(api, "KEPT_S", -1)
    assert get(operator_client)["swaps"] == 1


def test_without_a_sign_in_it_is_a_401_and_the_page_asks_for_one(desk: Redis, client: Client) -> None:
    assert client.get(PATH).status_code == client.get(f"{PATH}.csv").status_code == 401
    assert client.get("/funding").status_code == 302


def test_the_page_has_a_column_per_exchange(desk: Redis, operator_client: Client) -> None:
    page = operator_client.get("/funding").content.decode()
    assert page.count('data-sort="') == 8 + 3  # and coin, spread, held
    assert '<a href="/funding"' in page


# --- the collector's side ------------------------------------------------------------------------

SWAP = "BTC/USDT:USDT"
CONFIG = MarketConfig(
    revision=1,
    exchanges=(),
    instruments=frozenset(
        {
            InstrumentConfig("okx:swap", SWAP, "BTC-USDT-SWAP", "BTC/USDT"),
            InstrumentConfig("okx:swap", "ETH/USDT:USDT", "ETH-USDT-SWAP", "ETH/USDT"),
            InstrumentConfig("okx", "BTC/USDT", "x"),
        }
    ),
    opportunities=(),
)


def funding(rate: float | None, **more: Any) -> Funding:
    now_us = time.time_ns() // 1000
    said: dict[str, Any] = {"next_ts_us": now_us + HOUR, "interval_s": 28_800} | more
    return Funding(
        "okx:swap", SWAP, rate, received_ts_us=now_us, received_mono_ns=time.monotonic_ns(), **said
    )


async def published(
    redis: Redis, *events: Funding, config: MarketConfig = CONFIG
) -> tuple[Any, dict[str, Any]]:
    """Snapshot that the sink wrote of these events, and its counters."""
    channel: Channel[SinkEvent] = Channel("funding", 1000)
    sink = FundingSink(channel, Shard(), lambda _event: None)
    sink.configure(config)
    channel.put_many(list(events))
    running = asyncio.create_task(sink.run())
    async with asyncio.timeout(20):
        while not sink.stats()["funding_published"]:
            assert not running.done()
            await asyncio.sleep(0.01)
        channel.close()
        await running
    data: Any = redis.get(wire.key_of_shard("1/1"))
    return wire._decode(data), sink.stats()


async def test_a_collector_publishes_all_it_knows_of_its_swaps(desk: Redis) -> None:
    other = Funding("gate:swap", "NOT/USDT:USDT", 0.1)
    snapshot, stats = await published(desk, funding(None, cap=0.01), funding(0.0001), other)
    (row,) = snapshot.rows
    assert (row.exchange, row.symbol, row.coin, row.rate, row.cap) == (
        "okx:swap",
        SWAP,
        "BTC/USDT",
        0.0001,
        0.01,
    )
    assert (row.problem, row.interval_s, row.is_derived) == ("", 28_800, False)
    assert 0 <= row.age_ms < 20_000
    assert stats["swaps"] == 1
    assert desk.hkeys(wire.SHARDS) == [b"1/1"]
    assert 0 < int(str(desk.ttl(wire.key_of_shard("1/1")))) <= wire.EXPIRY_S


async def test_what_cannot_be_is_counted_and_published_as_unknown(desk: Redis) -> None:
    snapshot, stats = await published(desk, funding(0.7))
    assert (snapshot.rows[0].rate, snapshot.rows[0].problem) == (None, "the rate is unknown")
    assert stats["funding_refused"] == {"a rate of 50 % or more": 1}
    assert (stats["swaps_known"], stats["swaps_unknown"]) == (0, 2)


async def test_metrics_say_of_how_many_followed_swaps_the_funding_is_known(desk: Redis) -> None:
    _, stats = await published(desk, funding(0.0001))
    to = Families()
    export_collector(to, CollectorStatus("1/1", sinks={"FundingSink": stats}), 0)
    said = {sample.labels["state"]: sample.value for family in to for sample in family.samples
            if sample.name == "arbdesk_funding_swaps"}  # fmt: skip
    assert said == {"known": 1, "unknown": 1}
