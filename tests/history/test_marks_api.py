"""A swap's marks and settlements over HTTP; what a swap leg's own name would hide from a chart."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from redis import Redis

from history.lake.schema import collector_started
from history.lake.tables import Lake
from history.write.buffer import Buffer
from markets.config import Shard
from markets.events import Funding, MarkPrice, Quote, StreamState
from markets.models import ExchangePair
from tests.history.test_api import body
from tests.history.test_funding_api import HOUR, NOON, SWAP, S, said, within
from tests.support.lakes.lake_data import write, write_quotes, write_states

pytestmark = pytest.mark.django_db(transaction=True)

MARKS = "/api/history/marks?symbol=BTC/USDT&exchange=gate:swap"
SETTLED = "/api/history/settlements?symbol=BTC/USDT&exchange=gate:swap"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis) -> Lake:
    """The lake the site reads; nothing is there yet."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed", swaps=True)
    return Lake(settings.LAKE_URL)


def mark(at_us: int, price: float | None, index: float | None = 100.0) -> MarkPrice:
    return MarkPrice("gate:swap", SWAP, price, index, None, at_us, at_us * 1000)


def record(lake: Lake, table: str, *events: MarkPrice | Funding) -> None:
    """Write what the collector's sink would write of these events."""
    buffer = Buffer()
    buffer.add(events)
    write(lake, table, pl.DataFrame(pl.from_arrow(buffer.tables()[table])))


def lines(client: Client, path: str, start_us: int = NOON, end_us: int = NOON + HOUR) -> list[dict[str, Any]]:
    return body(client.get(f"{path}&{within(start_us, end_us)}"))


def distances(found: list[dict[str, Any]]) -> list[tuple[float, float | None]]:
    return [(round(line["timestamp"] - NOON / S, 6), line["mark_index_pct"]) for line in found]


class TestMarks:
    def test_the_distance_in_per_cent_of_the_index_and_how_it_stood_before(
        self, lake: Lake, operator_client: Client
    ) -> None:
        record(lake, "marks", mark(NOON - 2 * S, 100.02), mark(NOON + 5 * S, 99.99), mark(NOON + HOUR, 1.0))
        found = lines(operator_client, MARKS)
        assert found[0] == {"timestamp": NOON / S - 2, "mark": 100.02, "index": 100.0, "mark_index_pct": 0.02}
        assert distances(found) == [(-2, 0.02), (5, -0.01)]
        named = lines(operator_client, "/api/history/marks?symbol=BTC/USDT:USDT&exchange=Gate")
        assert named == found

    def test_what_was_not_said_is_unknown_and_never_zero(self, lake: Lake, operator_client: Client) -> None:
        record(
            lake, "marks",
            mark(NOON, 100.0, None), mark(NOON + 10 * S, 100.0), mark(NOON + 20 * S, 101.0, 0.0),
        )  # fmt: skip
        assert distances(lines(operator_client, MARKS)) == [(0, None), (10, 0.0), (20, None)]

    def test_nothing_stands_over_a_stream_that_was_down_a_loss_or_a_time_without_a_collector(
        self, lake: Lake, operator_client: Client
    ) -> None:
        record(lake, "marks", *(mark(NOON + n * 100 * S, 100.0 + n / 100) for n in range(4)))
        down = StreamState("gate:swap", (SWAP,), "down", "gone", NOON + 50 * S)
        other = StreamState("gate", ("BTC/USDT",), "down", "gone", NOON + 60 * S)
        write_states(lake, [down, other])
        gap = {
            "exchange": ["gate:swap", ""], "symbol": [SWAP, ""], "state": ["gap", "up"],
            "reason": ["2 events were dropped", collector_started(Shard())], "dropped": [2, 0],
            "since_us": [NOON + 130 * S, None], "received_ts_us": [NOON + 150 * S, NOON + 250 * S],
        }  # fmt: skip
        write(lake, "stream_states", pl.DataFrame(gap))
        assert distances(lines(operator_client, MARKS)) == [
            (0, 0.0), (50, None), (100, 0.01), (130, None), (200, 0.02), (200.000001, None), (300, 0.03),
        ]  # fmt: skip

    def test_a_row_stands_for_an_hour_and_ten_minutes_at_most(
        self, lake: Lake, operator_client: Client
    ) -> None:
        record(lake, "marks", mark(NOON - 30 * 60 * S, 100.01))
        assert distances(lines(operator_client, MARKS)) == [(-1800, 0.01), (2400, None)]
        later = lines(operator_client, MARKS, NOON + 2 * HOUR, NOON + 3 * HOUR)
        assert later == []

    def test_points_keep_the_extremes_and_what_is_unknown(self, lake: Lake, operator_client: Client) -> None:
        events = [mark(NOON + n * S, 100 + n % 7 / 100) for n in range(3000)]
        events[1500] = mark(NOON + 1500 * S, 105.0)
        record(lake, "marks", *events)
        write_states(lake, [StreamState("gate:swap", (SWAP,), "down", "gone", NOON + 2000 * S + 500_000)])
        found = lines(operator_client, f"{MARKS}&points=100")
        assert len(found) <= 101
        assert (1500, 5.0) in distances(found)
        assert (2000.5, None) in distances(found)

    @pytest.mark.parametrize(
        ("query", "status", "words"),
        [
            ("symbol=BTC/USDT", 400, "exchange: missing"),
            ("symbol=NOPE/USDT&exchange=gate", 404, "symbol: no swap of 'NOPE/USDT' on gate:swap"),
            ("symbol=BTC/USDT&exchange=kraken", 404, "exchange: there is no exchange 'kraken'"),
            ("symbol=BTC/USDT&exchange=gate&points=5", 400, "points"),
            ("symbol=BTC/USDT&exchange=gate&start=2&end=1", 400, "start"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, lake: Lake, operator_client: Client, query: str, status: int, words: str
    ) -> None:
        answer = operator_client.get(f"/api/history/marks?{query}")
        assert (answer.status_code, words in answer.json()["error"]) == (status, True)


class TestSettlements:
    def test_what_was_charged_is_not_what_was_forming(self, lake: Lake, operator_client: Client) -> None:
        record(
            lake, "funding",
            said("gate", NOON - 2 * HOUR, 0.0001, 4, NOON),
            said("gate", NOON - 60 * S, 0.00015, 4, NOON),
            said("gate", NOON + 200 * S, 0.0003, 4, NOON + 4 * HOUR),
            Funding("gate:swap", SWAP, None, settled_rate=0.0002, settled_ts_us=NOON + 300_000,
                    received_ts_us=NOON + 260 * S, received_mono_ns=(NOON + 260 * S) * 1000),
        )  # fmt: skip
        found = lines(operator_client, SETTLED, NOON - HOUR, NOON + HOUR)
        assert found == [{"timestamp": NOON / S, "rate": 0.0002, "published": 0.00015}]

    def test_where_the_exchange_does_not_say_it_the_charge_is_unknown(
        self, lake: Lake, operator_client: Client
    ) -> None:
        record(
            lake, "funding",
            said("gate", NOON - 60 * S, -0.0001, 1, NOON),
            said("gate", NOON + 200 * S, 0.0003, 1, NOON + HOUR),
            said("gate", NOON + HOUR + 200 * S, None, 1, NOON + 2 * HOUR),
        )  # fmt: skip
        found = lines(operator_client, SETTLED, NOON - HOUR, NOON + 2 * HOUR)
        assert found == [
            {"timestamp": NOON / S, "rate": None, "published": -0.0001},
            {"timestamp": NOON / S + 3600, "rate": None, "published": 0.0003},
        ]

    def test_a_time_that_the_exchange_moved_was_no_settlement(
        self, lake: Lake, operator_client: Client
    ) -> None:
        record(
            lake, "funding",
            said("gate", NOON - 600 * S, 0.0001, 8, NOON),
            said("gate", NOON - 300 * S, 0.0001, 4, NOON - 200 * S),
        )  # fmt: skip
        found = lines(operator_client, SETTLED, NOON - HOUR, NOON + HOUR)
        assert [line["timestamp"] for line in found] == [NOON / S - 200]

    def test_one_that_is_only_said_afterwards_counts_too_and_none_twice(
        self, lake: Lake, operator_client: Client
    ) -> None:
        events = [
            Funding("gate:swap", SWAP, 0.0003, NOON + 4 * HOUR, 4 * 3600, rate, NOON + more,
                    received_ts_us=NOON + at * S, received_mono_ns=(NOON + at * S) * 1000)
            for at, rate, more in ((300, 0.0001, 0), (400, 0.00012, 0), (7000, 0.00012, 0))
        ]  # fmt: skip
        record(lake, "funding", *events)
        found = lines(operator_client, SETTLED, NOON - HOUR, NOON + HOUR)
        assert found == [{"timestamp": NOON / S, "rate": 0.00012, "published": None}]
        assert lines(operator_client, SETTLED, NOON + S, NOON + HOUR) == []


def test_the_states_and_trades_of_a_swap_leg_are_found_under_the_name_of_its_coin(
    lake: Lake, operator_client: Client
) -> None:
    states = [
        StreamState("gate:swap", (SWAP,), "down", "gone", NOON + 5 * S),
        StreamState("gate", ("BTC/USDT",), "down", "gone too", NOON + 6 * S),
        StreamState("gate:swap", ("ETH/USDT:USDT",), "down", "another", NOON + 7 * S),
        StreamState("gate", ("BTC/USDC",), "down", "another", NOON + 8 * S),
    ]
    write_states(lake, states)
    trade = {
        "exchange": ["gate:swap", "gate"], "symbol": [SWAP, "BTC/USDT"], "price": [100.0, 101.0],
        "size": [1.0, 2.0], "side": ["buy", "sell"], "received_ts_us": [NOON + S, NOON + S],
    }  # fmt: skip
    write(lake, "trades", pl.DataFrame(trade))
    found = lines(operator_client, "/api/history/states?symbol=BTC/USDT")
    assert [(line["exchange"], line["reason"]) for line in found] == [
        ("gate:swap", "gone"), ("gate", "gone too"),
    ]  # fmt: skip
    for query, price in (
        ("symbol=BTC/USDT&exchange=gate:swap", 100.0),
        ("symbol=BTC/USDT:USDT&exchange=gate", 100.0),
        ("symbol=BTC/USDT&exchange=gate", 101.0),
    ):
        trades = lines(operator_client, f"/api/history/trades?{query}")
        assert [line["price"] for line in trades] == [price], query


def test_a_gap_of_a_swap_leg_breaks_the_line_of_its_chart(lake: Lake, operator_client: Client) -> None:
    points = {
        "symbol": ["BTC/USDT"] * 2, "exchange1": ["gate"] * 2, "exchange2": ["gate:swap"] * 2,
        "ts_us": [NOON, NOON + 50 * S], "spread": [0.1, 0.2],
    }  # fmt: skip
    write(lake, "spreads", pl.DataFrame(points))
    gap = {
        "exchange": ["gate:swap"], "symbol": [SWAP], "state": ["gap"], "reason": ["3 events were dropped"],
        "dropped": [3], "since_us": [NOON + 10 * S], "received_ts_us": [NOON + 40 * S],
    }  # fmt: skip
    write(lake, "stream_states", pl.DataFrame(gap))
    path = "/api/dashboard_data?symbol=BTC/USDT&exchange1=gate&exchange2=gate:swap"
    found = lines(operator_client, path, NOON, NOON + 60 * S)
    assert [(line["timestamp"] - NOON / S, line["spread"]) for line in found] == [
        (0, 0.1), (10, None), (50, 0.2),
    ]  # fmt: skip


@pytest.mark.parametrize("one", ["okx", "okx:swap"])
def test_what_was_recorded_of_a_market_that_no_pair_uses_any_more_is_still_a_chart(
    lake: Lake, operator_client: Client, one: str
) -> None:
    ExchangePair.objects.exclude(market1="spot", market2="spot").update(enabled=False)
    pair = f"symbol=BTC/USDT&exchange1={one}&exchange2=gate:swap"
    path = f"/api/dashboard_data?{pair}"
    nothing = operator_client.get(path)
    assert nothing.status_code == 404
    assert nothing.json()["error"].startswith("nothing was recorded of BTC/USDT on OKX")

    points = {
        "symbol": ["BTC/USDT"] * 2, "exchange1": [one] * 2, "exchange2": ["gate:swap"] * 2,
        "ts_us": [NOON, NOON + 50 * S], "spread": [0.1, 0.2],
    }  # fmt: skip
    write(lake, "spreads", pl.DataFrame(points))
    assert [line["spread"] for line in lines(operator_client, path, NOON, NOON + 60 * S)] == [0.1, 0.2]
    judged = f"/api/opportunities/statistics?{pair}&start={NOON / S}&end={NOON / S + 60}"
    assert operator_client.get(judged).status_code == 200


def test_a_swap_market_of_no_exchange_is_refused(lake: Lake, operator_client: Client) -> None:
    answer = operator_client.get("/api/dashboard_data?symbol=BTC/USDT&exchange1=gate&exchange2=kraken:swap")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("exchange2: there is no exchange 'kraken'")


def test_a_swap_chart_without_points_says_what_there_is_of_its_legs_by_their_names(
    lake: Lake, operator_client: Client
) -> None:
    quote = Quote("gate:swap", SWAP, 100.0, 1.0, 100.1, 1.0, None, NOON - HOUR, (NOON - HOUR) * 1000)
    write_quotes(lake, [quote])
    path = (
        f"/api/dashboard_data?symbol=BTC/USDT&exchange1=gate:swap&exchange2=gate&{within(NOON, NOON + HOUR)}"
    )
    words = operator_client.get(path).json()["error"]
    assert "nothing was recorded of BTC/USDT on Gate swap and Gate from" in words
    assert "quotes of Gate swap from 2026-01-01T11:00" in words
    assert words.endswith("quotes of Gate at no time")
