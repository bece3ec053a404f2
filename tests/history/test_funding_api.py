"""Funding over HTTP: of one swap and of two, as the sink wrote it; errors that name the parameter."""

from pathlib import Path

import polars as pl
import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from redis import Redis

from history.lake.tables import Lake
from history.write.buffer import Buffer
from markets.events import Funding
from tests.history.test_api import body
from tests.support.lakes.lake_data import write

pytestmark = pytest.mark.django_db(transaction=True)

S = 1_000_000
HOUR = 3600 * S
NOON = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC
SWAP = "BTC/USDT:USDT"
ONE = "/api/history/funding"
TWO = "/api/history/funding_spread"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis) -> Lake:
    """The lake the site reads; nothing is there yet."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed")
    return Lake(settings.LAKE_URL)


def record(lake: Lake, *events: Funding) -> None:
    """Write what the collector's sink would write of these events."""
    buffer = Buffer()
    buffer.add(events)
    write(lake, "funding", pl.DataFrame(pl.from_arrow(buffer.tables()["funding"])))


def said(
    exchange: str, at_us: int, rate: float | None, hours: int, next_us: int, symbol: str = SWAP
) -> Funding:
    return Funding(
        f"{exchange}:swap",
        symbol,
        rate,
        next_us,
        hours * 3600,
        received_ts_us=at_us,
        received_mono_ns=at_us * 1000,
    )


def within(start_us: int, end_us: int) -> str:
    return f"start={start_us / S}&end={end_us / S}"


def test_a_swaps_funding_and_how_it_stood_before(lake: Lake, operator_client: Client) -> None:
    record(
        lake,
        said("gate", NOON - HOUR, 0.0001, 4, NOON + 4 * HOUR),
        said("gate", NOON - 60 * S, 0.0002, 4, NOON + 4 * HOUR),
        said("gate", NOON + 180 * S, 0.0003, 4, NOON + 4 * HOUR),
        said("bybit", NOON + 61 * S, 0.0009, 4, NOON + 4 * HOUR),
    )
    for names in (
        "symbol=btcusdt&exchange=Gate",
        f"symbol={SWAP}&exchange=gate",
        "symbol=BTC/USDT&exchange=gate",
    ):
        found = body(operator_client.get(f"{ONE}?{names}&{within(NOON, NOON + HOUR)}"))
        assert [(line["timestamp"], line["rate"], line["per_8h"]) for line in found] == [
            ((NOON - 60 * S) / S, 0.0002, 0.0004),
            ((NOON + 180 * S) / S, 0.0003, pytest.approx(0.0006)),
        ]
    assert found[0] == {
        "timestamp": NOON / S - 60, "rate": 0.0002, "rate_of": "next", "per_8h": 0.0004,
        "next": NOON / S + 4 * 3600, "interval_s": 14_400, "interval_from": "said",
        "settled_rate": None, "settled": None, "cap": None, "floor": None,
    }  # fmt: skip


def test_right_after_a_settlement_the_rate_per_8_h_is_unknown(lake: Lake, operator_client: Client) -> None:
    record(
        lake,
        said("gate", NOON - S, 0.0001, 4, NOON),
        said("gate", NOON + S, 0.0001, 4, NOON + 4 * HOUR),
        said("gate", NOON + 200 * S, 0.0001, 4, NOON + 4 * HOUR),
    )
    query = f"symbol=BTC/USDT&exchange=gate&{within(NOON - 10 * S, NOON + HOUR)}"
    found = body(operator_client.get(f"{ONE}?{query}"))
    assert [(line["rate_of"], line["per_8h"]) for line in found] == [
        ("next", 0.0002), ("before", None), ("next", 0.0002),
    ]  # fmt: skip


def test_two_swaps_of_different_intervals_are_compared_as_of_each_moment(
    lake: Lake, operator_client: Client
) -> None:
    record(
        lake,
        said("gate", NOON - 60 * S, 0.0001, 8, NOON + 4 * HOUR),
        said("bybit", NOON + 10 * S, 0.0001, 1, NOON + HOUR // 2),
        said("gate", NOON + 20 * S, 0.0003, 8, NOON + 4 * HOUR),
        said("bybit", NOON + 30 * S, 0.00002, 1, NOON + HOUR // 2),
    )
    query = f"symbol=BTC/USDT&exchange1=gate&exchange2=bybit&{within(NOON, NOON + 60 * S)}"
    found = body(operator_client.get(f"{TWO}?{query}"))
    assert [tuple(line.values()) for line in found] == [
        (NOON / S, 0.0001, None, None),
        (NOON / S + 10, 0.0001, 0.0008, pytest.approx(-0.0007)),
        (NOON / S + 20, 0.0003, 0.0008, pytest.approx(-0.0005)),
        (NOON / S + 30, 0.0003, pytest.approx(0.00016), pytest.approx(0.00014)),
    ]
    other_way = query.replace("1=gate", "1=bybit").replace("2=bybit", "2=gate")
    turned = body(operator_client.get(f"{TWO}?{other_way}"))
    assert [line["spread"] for line in turned] == pytest.approx([None, 0.0007, 0.0005, -0.00014])


def test_what_nobody_said_for_70_minutes_is_unknown(lake: Lake, operator_client: Client) -> None:
    record(
        lake,
        said("gate", NOON, 0.0001, 8, NOON + 4 * HOUR),
        said("bybit", NOON, 0.0001, 8, NOON + 4 * HOUR),
        said("bybit", NOON + HOUR, 0.0001, 8, NOON + 4 * HOUR),
    )
    query = f"symbol=BTC/USDT&exchange1=gate&exchange2=bybit&{within(NOON, NOON + 2 * HOUR)}"
    found = body(operator_client.get(f"{TWO}?{query}"))
    assert [(line["timestamp"], line["spread"]) for line in found] == [
        (NOON / S, 0.0), (pytest.approx(NOON / S + 4200), None),
    ]  # fmt: skip


def test_points_keeps_the_extremes_what_is_unknown_and_the_last(lake: Lake, operator_client: Client) -> None:
    rates: list[float] = [0.0001 + n * 1e-9 for n in range(600)]
    rates[123], rates[456], rates[300] = 0.009, -0.009, 0.6
    record(lake, *(said("gate", NOON + n * S, rate, 8, NOON + 4 * HOUR) for n, rate in enumerate(rates)))
    query = f"symbol=BTC/USDT&exchange=gate&{within(NOON, NOON + 600 * S)}"
    assert len(body(operator_client.get(f"{ONE}?{query}"))) == 600
    found = body(operator_client.get(f"{ONE}?{query}&points=20"))
    assert len(found) <= 20
    by_time = {line["timestamp"] - NOON / S: line["rate"] for line in found}
    assert (by_time[123], by_time[456], by_time[300]) == (0.009, -0.009, None)
    assert 599 in by_time


def test_of_a_range_without_rows_the_answer_is_empty(lake: Lake, operator_client: Client) -> None:
    record(lake, said("gate", NOON, 0.0001, 8, NOON + 4 * HOUR))
    query = f"symbol=BTC/USDT&exchange=gate&{within(NOON + 9 * HOUR, NOON + 10 * HOUR)}"
    assert body(operator_client.get(f"{ONE}?{query}")) == []


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        (f"{ONE}?exchange=gate", 400, "symbol: missing; this takes symbol, exchange"),
        (f"{ONE}?symbol=BTC/USDT", 400, "exchange: missing; this takes symbol, exchange"),
        (f"{ONE}?symbol=BTC/USDT&exchange=nasdaq", 404, "exchange: there is no exchange 'nasdaq'"),
        (
            f"{ONE}?symbol=NOPE/USDT&exchange=gate",
            404,
            "symbol: no swap of 'NOPE/USDT' on gate:swap is listed or was recorded",
        ),
        (
            f"{ONE}?symbol=BTC/USDT&exchange=okx",
            404,
            "symbol: no swap of 'BTC/USDT' on okx:swap is listed or was recorded",
        ),
        (f"{ONE}?symbol=BTC/USDT&exchange=gate&points=3", 400, "points: '3' must be a whole number"),
        (f"{ONE}?symbol=BTC/USDT&exchange=gate&start=never", 400, "start: "),
        (f"{TWO}?symbol=BTC/USDT&exchange1=gate", 400, "exchange2: missing"),
        (
            f"{TWO}?symbol=BTC/USDT&exchange1=gate&exchange2=Gate",
            400,
            "exchange2: it is the same as exchange1",
        ),
        (f"{TWO}?symbol=BTC/USDT&exchange1=gate&exchange2=nasdaq", 404, "exchange2: there is no exchange"),
    ],
)
def test_an_error_names_the_parameter(
    lake: Lake, operator_client: Client, query: str, status: int, words: str
) -> None:
    record(lake, said("gate", NOON, 0.0001, 8, NOON + 4 * HOUR))
    response = operator_client.get(query)
    assert (response.status_code, response.json()["error"][: len(words)]) == (status, words)


def test_without_a_sign_in_it_is_a_401(lake: Lake, client: Client) -> None:
    for path in (ONE, TWO):
        assert client.get(path).status_code == 401
