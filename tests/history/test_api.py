"""The lake over HTTP: the answers to a browser or a script, also where there is nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings
from redis import Redis

from accounts.tokens.tokens import make_token
from history.lake.tables import Lake
from history.read.reading import open_answers
from markets.events import Quote, StreamState
from tests.realtime.test_api import aget, lines
from tests.support.lakes.lake_data import write, write_quotes, write_states
from tests.support.live import Web, daphne, eventually

pytestmark = pytest.mark.django_db(transaction=True)

START_US = 1_760_000_000_000_000
START = START_US // 1_000_000
DATA = "/api/dashboard_data"
BTC = "symbol=BTCUSDT&exchange1=Binance&exchange2=Bybit"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis) -> Lake:
    """The lake the site reads: ten minutes of quotes of BTC/USDT on two exchanges, ten a second."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed")
    made = Lake(settings.LAKE_URL)
    write_quotes(made, quotes(6000))
    return made


def quotes(count: int, symbol: str = "BTC/USDT") -> Iterator[Quote]:
    """Quotes ten a second from START on, the exchanges in turn; the spread counts up in hundredths."""
    for i in range(count):
        us = START_US + i * 100_000
        bid = 100 + (i % 50) / 100
        yield Quote(("binance", "bybit")[i % 2], symbol, bid, 1.0, bid + 0.01, 2.0, None, us, us * 1000)


def store_points(lake: Lake, spreads: list[float | None], first: int = 0) -> None:
    """Points of BTC on Binance and Bybit as the collector stores them, one a second."""
    count = len(spreads)
    columns = ("upper", "lower", "edge12", "edge21", "size12", "size21", "age1_ms", "age2_ms")
    names = {"symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit"}
    times = [START_US + (first + i) * 1_000_000 for i in range(count)]
    rows: dict[str, Any] = {"ts_us": times, "spread": spreads} | {name: spreads for name in columns}
    write(lake, "spreads", {name: [value] * count for name, value in names.items()} | rows)


def body(response: Any) -> list[dict[str, Any]]:
    """The lines of a streamed answer."""
    assert response.status_code == 200, response.content

    async def pieces() -> bytes:
        return b"".join([piece async for piece in response])

    return lines(async_to_sync(pieces)().decode())


def within(start: float, end: float) -> str:
    return f"start={START + start}&end={START + end}"


def test_points_come_as_lines_in_seconds_however_names_are_spelled(
    lake: Lake, operator_client: Client
) -> None:
    store_points(lake, [0.1, 0.2, None, 0.3])
    for names in (BTC, "symbol=btc/usdt&exchange1=binance&exchange2=BYBIT", BTC.replace("BTC", "btc-")):
        response = operator_client.get(f"{DATA}?{names}&{within(0, 4)}")
        found = body(response)
        assert response["Content-Type"] == "application/x-ndjson"
        assert response["X-History-Source"] == "stored"
        assert list(found[0]) == ["timestamp", "spread", "upperBand", "lowerBand", "edge12", "edge21"]
        assert [(line["timestamp"], line["spread"]) for line in found] == [
            (START, 0.1), (START + 1, 0.2), (START + 2, None), (START + 3, 0.3),
        ]  # fmt: skip
        assert found[2]["upperBand"] is None


def test_where_the_collector_stored_nothing_the_points_are_computed_from_the_quotes(
    lake: Lake, operator_client: Client
) -> None:
    response = operator_client.get(f"{DATA}?{BTC}&{within(0, 10)}")
    found = body(response)
    assert response["X-History-Source"] == "computed"
    assert len(found) == 99, "every quote but the first makes a point"
    assert found[0]["spread"] == pytest.approx((100.00 / 100.01 - 1) * 100)

    # The collector began to watch this pair only after nine minutes.
    store_points(lake, [7.0] * 60, first=540)
    response = operator_client.get(f"{DATA}?{BTC}&{within(500, 600)}")
    assert response["X-History-Source"] == "stored", "a quiet minute is no reason to compute"
    response.close()
    response = operator_client.get(f"{DATA}?{BTC}&{within(0, 600)}")
    assert response["X-History-Source"] == "computed, stored"
    spreads = [line["spread"] for line in body(response)]
    assert spreads.count(7.0) == 60
    assert spreads[-60:] == [7.0] * 60
    assert len(spreads) > 5000


def test_points_limits_the_lines_and_keeps_extremes_and_gaps(lake: Lake, operator_client: Client) -> None:
    spreads: list[float | None] = [0.1] * 600
    spreads[123], spreads[456], spreads[300] = 9.0, -9.0, None
    store_points(lake, spreads)
    found = body(operator_client.get(f"{DATA}?{BTC}&{within(0, 600)}&points=50"))
    assert len(found) <= 50
    times = [line["timestamp"] for line in found]
    assert times == sorted(set(times))
    by_time = {line["timestamp"] - START: line["spread"] for line in found}
    assert (by_time[123], by_time[456], by_time[300]) == (9.0, -9.0, None)
    assert {0, 599} <= by_time.keys()


def test_times_are_seconds_or_iso(lake: Lake, operator_client: Client) -> None:
    store_points(lake, [0.1, 0.2, 0.3, 0.4])
    for query in (
        f"start={START + 1}.0&end={START + 3}",
        "start=2025-10-09T08:53:21Z&end=2025-10-09T08:53:23",
        "start=2025-10-09T10:53:21+02:00&end=2025-10-09T10:53:23%2B02:00",
    ):
        found = body(operator_client.get(f"{DATA}?{BTC}&{query}"))
        assert [line["spread"] for line in found] == [0.2, 0.3], query


BAD = [
    ("symbol=BTCUSDT&exchange1=binance", ["exchange2", "missing"]),
    ("exchange1=binance", ["exchange1", "symbol"]),
    ("symbol=BTCUSDT&exchange1=binance&exchange2=Binance", ["exchange2", "same"]),
    (f"{BTC}&start=yesterday", ["start", "'yesterday'", "2026-11-20T12:30"]),
    (f"{BTC}&end=1760000000000", ["end", "milliseconds"]),
    (f"{BTC}&end=nan", ["end"]),
    (f"{BTC}&start=5&end=4", ["start", "before end"]),
    (f"{BTC}&start=1&end=10000000", ["start", "limit of 168 h"]),
    (f"{BTC}&points=5", ["points", "'5'", "from 10 to 20000"]),
    (f"{BTC}&points=many", ["points", "'many'"]),
]


def test_a_bad_parameter_is_a_400_that_names_it(lake: Lake, operator_client: Client) -> None:
    for query, words in BAD:
        response = operator_client.get(f"{DATA}?{query}")
        error = response.json()["error"]
        assert response.status_code == 400, error
        assert all(word in error for word in words), error


MISSING = [
        ("symbol=BTCUSD&exchange1=binance&exchange2=bybit", ["symbol", "'BTCUSD'", "BTC/USDT"]),
        ("symbol=PEPEUSD&exchange1=binance&exchange2=bybit", ["PEPE2/USDT"]),
        ("symbol=BTCUSDT&exchange1=kraken&exchange2=bybit", ["exchange1", "'kraken'", "binance"]),
        (f"{BTC}&{within(-9000, -8000)}", [
            "BTC/USDT", "Binance from 2025-10-09T08:53:20Z to 2025-10-09T09:03:19", "quotes of Bybit from",
        ]),
        (f"symbol=ETHUSDT&exchange1=okx&exchange2=bybit&{within(0, 60)}", ["OKX at no time"]),
        ("filter=77", ["filter", "Majors"]),
    ]  # fmt: skip


def test_nothing_recorded_is_a_404_that_says_what_there_is(lake: Lake, operator_client: Client) -> None:
    write_quotes(lake, quotes(3, "PEPE2/USDT"))
    for query, words in MISSING:
        response = operator_client.get(f"{DATA}?{query}")
        error = response.json()["error"]
        assert response.status_code == 404, error
        assert all(word in error for word in words), error


def test_a_symbol_that_is_only_in_the_lake_is_found_too(lake: Lake, operator_client: Client) -> None:
    write_quotes(lake, quotes(10, "PEPE2/USDT"))
    query = f"symbol=pepe2usdt&exchange1=binance&exchange2=bybit&{within(0, 60)}"
    *points, gap = body(operator_client.get(f"{DATA}?{query}"))
    assert (len(points), gap["spread"]) == (9, None), "the quotes end, so the line does"


def test_without_a_sign_in_it_is_a_401(lake: Lake, client: Client) -> None:
    for path in (DATA, "/api/history/trades", "/api/history/states", "/api/history/opportunities"):
        response = client.get(path)
        assert (response.status_code, "api_token" in response.json()["error"]) == (401, True)


def test_too_many_requests_a_minute_are_429_for_this_user_only(
    lake: Lake, operator_client: Client, settings: Settings
) -> None:
    settings.HISTORY_REQUESTS_PER_MINUTE = 3
    answers = [operator_client.get(f"{DATA}?{BTC}&points=1") for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2, "eight requests span two minutes at most"
    assert 1 <= int(refused[0]["Retry-After"]) <= 60
    assert "3 requests" in refused[0].json()["error"]

    other = Client()
    other.force_login(User.objects.create_user("other"))
    assert other.get(f"{DATA}?{BTC}&points=1").status_code == 400


# --- the layers of a chart -----------------------------------------------------------------------


def test_trades_states_and_opportunities_of_a_range(lake: Lake, operator_client: Client) -> None:
    us = [START_US + i * 1_000_000 for i in range(100)]
    write(
        lake, "trades",
        {"exchange": ["binance"] * 100, "symbol": ["BTC/USDT"] * 100,
         "price": [100.0 + i % 7 for i in range(100)],
         "size": [0.5] * 100, "side": ["buy", None] * 50, "received_ts_us": us},
    )  # fmt: skip
    path = f"/api/history/trades?symbol=btcusdt&exchange=BINANCE&{within(0, 100)}"
    found = body(operator_client.get(path))
    assert found[:2] == [
        {"timestamp": START, "price": 100.0, "size": 0.5, "side": "buy"},
        {"timestamp": START + 1, "price": 101.0, "size": 0.5, "side": None},
    ]
    assert len(found) == 100
    assert len(body(operator_client.get(f"{path}&points=20"))) <= 20

    write_states(lake, [StreamState("binance", ("BTC/USDT",), "up", "", START_US - 9_000_000)])
    write_states(lake, [StreamState("binance", ("BTC/USDT",), "down", "gone", START_US + 500_000)], 3)
    path = f"/api/history/states?symbol=btcusdt&exchange=binance&{within(0, 60)}"
    found = body(operator_client.get(path))
    assert [(s["timestamp"] - START, s["state"], s["reason"], s["dropped"]) for s in found] == [
        (-9, "up", "", 0), (0.5, "down", "gone", 3),
    ]  # fmt: skip
    assert body(operator_client.get(path.replace("binance", "okx"))) == []

    event = {
        "symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit", "filter_id": 1,
        "event": "open", "ts_us": START_US, "edge12": 5.0, "edge21": -9.0,
    }  # fmt: skip
    write(lake, "opportunities", pl.DataFrame([event]))
    path = f"/api/history/opportunities?{BTC}&{within(0, 60)}"
    assert body(operator_client.get(path)) == [
        {"timestamp": START, "event": "open", "filter": 1, "buy_on": None, "sell_on": None, "spread": None,
         "edge12": 5.0, "edge21": -9.0}
    ]  # fmt: skip


async def test_without_a_symbol_every_chart_of_the_filter_is_a_line_as_in_a_snapshot(
    lake: Lake, operator: User, settings: Settings
) -> None:
    store_points(lake, [0.1, None, 0.3])
    token = await database_sync_to_async(make_token)(operator, 1)
    with daphne(LAKE_URL=settings.LAKE_URL) as web:
        status, text = await aget(f"{web.url}{DATA}?{within(0, 60)}", token)
        snapshot = lines((await aget(f"{web.url}/api/rolling_window_data", token))[1])
    found = {chart["id"]: chart for chart in lines(text)}
    assert (status, len(found)) == (200, 20)
    assert {id: list(chart) for id, chart in found.items()} == {c["id"]: list(c) for c in snapshot}
    btc = found["BTC/USDT|binance|bybit"]
    assert (btc["timestamps"], btc["spreads"]) == ([START, START + 1, START + 2], [0.1, None, 0.3])


# --- who goes away -------------------------------------------------------------------------------


async def test_a_cancelled_request_stops_reading(lake: Lake, operator: User) -> None:
    token = await sync_to_async(make_token)(operator, 1)
    await eventually(lambda: not open_answers(), "the readers of earlier requests are closed")
    site: Any = ApplicationCommunicator(  # type: ignore[no-untyped-call]
        ASGIHandler(),
        {
            "type": "http", "method": "GET", "path": DATA, "query_string": f"{BTC}&{within(0, 600)}".encode(),
            "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())],
        },
    )  # fmt: skip
    await site.send_input({"type": "http.request"})
    assert (await site.receive_output(10))["status"] == 200
    assert (await site.receive_output(10))["body"].startswith(b'{"timestamp":')
    await site.send_input({"type": "http.disconnect"})
    await eventually(lambda: not open_answers(), "the reader is closed")
    await site.wait(10)
    rest = sum(message["body"].count(b"\n") for message in drained(site))
    assert rest < 5400, "not everything was read"


def drained(site: Any) -> Iterator[dict[str, Any]]:
    while not site.output_queue.empty():
        yield site.output_queue.get_nowait()


async def test_who_stops_reading_holds_a_piece_of_the_answer_not_all_of_it(
    lake: Lake, operator: User, settings: Settings
) -> None:
    for hour in range(2):
        write(lake, "spreads", many_points(hour, 200_000))
    token = await sync_to_async(make_token)(operator, 1)
    end = START + 7200
    last = f'"timestamp":{end - 1}'.encode()
    path = f"{DATA}?{BTC}&start={START}&end={end}"
    with daphne(LAKE_URL=settings.LAKE_URL) as web:
        status, text = await aget(f"{web.url}{path}", token)
        assert (status, text.count("\n")) == (200, 400_000)
        process = psutil.Process(web.process.pid)
        before = process.memory_info().rss
        stalled = [await asking(web, path, token) for _ in range(3)]
        for reader, _writer in stalled:
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1.0)  # unpaced, three answers of 50 MB are made in this time
        assert process.memory_info().rss - before < 110_000_000, "an hour of each at most"
        reader, _writer = stalled[0]
        async with asyncio.timeout(30):
            while last not in (await reader.read(2**16)):
                pass
        for _reader, writer in stalled:
            writer.close()


async def asking(web: Web, path: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has sent its request and reads only on demand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port, limit=2**16)
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    return reader, writer


def many_points(hour: int, count: int) -> pl.DataFrame:
    """Stored points of one hour."""
    names = {"symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit"}
    us = START_US + hour * 3_600_000_000 + pl.int_range(count, eager=True) * (3_600_000_000 // count)
    values = ("spread", "upper", "lower", "edge12", "edge21", "size12", "size21", "age1_ms", "age2_ms")
    value = (us % 1_000_003) / 1_000_003
    frame = pl.DataFrame({"ts_us": us} | dict.fromkeys(values, value))
    return frame.with_columns(**{name: pl.lit(text) for name, text in names.items()})
