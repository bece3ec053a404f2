"""A recording is played on the wires: its order, its numbers, its timestamps."""

import asyncio
import csv
import gzip
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from core.names.market_keys import exchange_of
from simulator.catalogue import MARKETS
from simulator.replay import Recording, RecordingError, ReplayFeed
from simulator.server import Simulator
from tests.support.exchanges.simulator_client import Client, best, connect, subscribe_quotes

COLUMNS = (
    "timestamp,time,exchange,symbol,bid1_price,bid1_volume,bid2_price,bid2_volume,"
    "ask1_price,ask1_volume,ask2_price,ask2_volume\n"
)
SHARED = settings.BASE_DIR.parent / "shared" / "recordings"
shared = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the recordings in {SHARED}"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two exchanges, one symbol, one second; and one of the other shape, with exponents."""
    okx = [
        (1000, "1.01", "5.0", "1.02", "6.0"),
        (1400, "1.03", "5.5", "1.04", "6.5"),
        (2000, "1.05", "5", "1.06", "6"),
    ]
    gate = [(1200, "1.00", "70.0", "1.01", "80.0"), (1400, "1.02", "71.0", "1.03", "81.0")]
    below = tmp_path / "day"
    below.mkdir()
    for key, rows in {"okx": okx, "gate": gate}.items():
        lines = [f"{ms},,{key},ZED/USDT:USDT,{b},{bs},0.9,1,{a},{asz},2,1\n" for ms, b, bs, a, asz in rows]
        (below / f"{key}_ZEDUSDT_perp.csv.gz").write_bytes(gzip.compress((COLUMNS + "".join(lines)).encode()))
    (below / "mexc_spot_TINY_USDT.csv").write_text(
        "timestamp,exchange,symbol_base,symbol_quote,bid_price,bid_qty,ask_price,ask_qty,mid_price,spread_bps\n"
        "1970-01-01 00:00:01.100000+00:00,MEXC_SPOT,TINY,USDT,3.528e-05,89.0,3.531e-05,153.0,3.5e-05,8.4\n"
    )
    return tmp_path


async def numbers(client: Client, key: str, count: int) -> list[tuple[float, float, float, float]]:
    """The next quotes as numbers."""
    found: list[tuple[float, float, float, float]] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            if quote := best(key, await client.raw()):
                found.append(quote)
    return found


def test_rows_of_all_files_are_merged_in_time_order(folder: Path) -> None:
    rows = list(Recording(folder, ["okx:swap", "gate:swap", "mexc"]).rows())
    assert [(row.ts_us // 1000, row.exchange, row.symbol) for row in rows] == [
        (1000, "okx:swap", "ZED/USDT:USDT"),
        (1100, "mexc", "TINY/USDT"),
        (1200, "gate:swap", "ZED/USDT:USDT"),
        (1400, "gate:swap", "ZED/USDT:USDT"),
        (1400, "okx:swap", "ZED/USDT:USDT"),
        (2000, "okx:swap", "ZED/USDT:USDT"),
    ]
    assert (rows[1].bid, rows[1].ask) == ("0.00003528", "0.00003531")


async def test_a_recording_is_played_with_its_numbers_times_and_spacing(folder: Path) -> None:
    async with (
        Simulator(replay=folder, speed=2, replay_after=2) as sim,
        connect(sim, "okx:swap") as okx,
        connect(sim, "gate:swap") as gate,
    ):
        await subscribe_quotes(okx, "okx:swap", "ZED/USDT:USDT")
        assert (await okx.json())["event"] == "subscribe"
        with pytest.raises(TimeoutError):  # nothing moves before the second subscription
            await okx.raw(0.2)
        began = time.monotonic()
        await subscribe_quotes(gate, "gate:swap", "ZED/USDT:USDT")
        frames = [await okx.json() for _ in range(3)]
        assert 0.45 < time.monotonic() - began < 3  # one second at twice the speed
        assert [frame["data"][0]["ts"] for frame in frames] == ["1000", "1400", "2000"]
        assert [frame["data"][0]["bids"][0][:2] for frame in frames] == [
            ["1.01", "5.0"],
            ["1.03", "5.5"],
            ["1.05", "5"],
        ]
        assert await numbers(gate, "gate:swap", 2) == [(1.0, 70.0, 1.01, 80.0), (1.02, 71.0, 1.03, 81.0)]
        await asyncio.wait_for(sim.replay_finished(), 5)
        assert sim.counts("okx:swap")["quotes"] == 3


async def test_rest_lists_what_was_recorded_and_other_exchanges_list_nothing(folder: Path) -> None:
    async with Simulator(replay=folder, replay_after=1) as sim, aiohttp.ClientSession() as http:
        async with http.get(
            sim.rest_url("okx:swap") + "/api/v5/public/instruments?instType=SWAP"
        ) as response:
            rows = (await response.json())["data"]
        assert [(row["instId"], row["tickSz"], row["lotSz"]) for row in rows] == [
            ("ZED-USDT-SWAP", "0.01", "0.1")
        ]
        async with http.get(sim.rest_url("okx") + "/api/v5/public/instruments?instType=SPOT") as response:
            assert (await response.json())["data"] == []
        async with http.get(sim.rest_url("binance") + "/api/v3/exchangeInfo") as response:
            assert (await response.json())["symbols"] == []
        async with http.get(sim.rest_url("mexc") + "/api/v3/ticker/24hr") as response:
            assert (await response.json())[0]["bidPrice"] == "0.00003528"


async def test_a_loop_begins_again(folder: Path) -> None:
    async with (
        Simulator(exchanges=["gate:swap"], replay=folder, speed=50, loop=True, replay_after=1) as sim,
        connect(sim, "gate:swap") as gate,
    ):
        await subscribe_quotes(gate, "gate:swap", "ZED/USDT:USDT")
        assert [quote[1] for quote in await numbers(gate, "gate:swap", 4)] == [70.0, 71.0, 70.0, 71.0]


async def test_a_recording_that_breaks_off_ends_the_replay(tmp_path: Path) -> None:
    rows = "1000,,okx,A/USDT,1,1,1,1,2,1,2,1\n" * 3000 + "nonsense\n"
    (tmp_path / "okx_A.csv").write_text(COLUMNS + rows)
    async with Simulator(exchanges=["okx"], replay=tmp_path) as sim:
        await asyncio.wait_for(sim.replay_finished(), 5)
        assert isinstance(sim.feed, ReplayFeed)
        assert sim.feed.played == 3000


async def test_contract_sizes_come_from_a_file_beside_the_recording(folder: Path) -> None:
    (folder / "contract_sizes.json").write_text(
        '{"gate:swap": {"ZED/USDT:USDT": 0.1}, "okx:swap": {"ZED/USDT:USDT": "10"}}'
    )
    async with Simulator(replay=folder, replay_after=1) as sim, aiohttp.ClientSession() as http:
        async with http.get(sim.rest_url("gate:swap") + "/api/v4/futures/usdt/contracts/ZED_USDT") as got:
            assert (await got.json())["quanto_multiplier"] == "0.1"
        async with http.get(sim.rest_url("okx:swap") + "/api/v5/public/instruments?instType=SWAP") as got:
            assert (await got.json())["data"][0]["ctVal"] == "10"


def test_a_contract_size_nobody_says_is_one_coin_and_that_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = folder / "sizes.json"
    sizes.write_text('{"gate:swap": {"ZED/USDT:USDT": 5}}')
    recording = Recording(folder, MARKETS, sizes)
    assert [listing.contract for listing in recording.listings["gate:swap"]] == ["5"]
    assert [listing.contract for listing in recording.listings["okx:swap"]] == ["1"]
    assert caplog.messages == [
        "no contract sizes of okx:swap (1) in contract_sizes.json: one coin a contract"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file"),
        ("[1]", 'write it like {"gate:swap": {"ACE/USDT:USDT": 10}}'),
        ('{"gate:swap": {"ZED/USDT:USDT": 0}}', "contract size of ZED/USDT:USDT: not a number above 0: 0"),
        ('{"gate:swap": {"ZED/USDT:USDT": "much"}}', "not a number above 0: 'much'"),
        ('{"gate:swap": {"ZED/USDT:USDT": NaN}}', "not a number above 0: nan"),
    ],
)
def test_contract_sizes_that_cannot_be_read_are_refused(folder: Path, text: str | None, words: str) -> None:
    sizes = folder / "sizes.json"
    if text is not None:
        sizes.write_text(text)
    with pytest.raises(RecordingError) as caught:
        Recording(folder, MARKETS, sizes)
    assert words in str(caught.value)


def write(text: str) -> Callable[[Path], None]:
    """Write one recording."""

    def prepare(folder: Path) -> None:
        (folder / "okx_X.csv").write_text(text)

    return prepare


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "no <exchange>_*.csv.gz of okx"),
        (write("a,b\n1,2\n"), "no column timestamp, bid_price"),
        (write(COLUMNS), "it holds no rows"),
        (write(COLUMNS + "soon,,okx,A/USDT,1,1,1,1,1,1,1,1\n"), "line 2: cannot read it"),
        (write(COLUMNS + "1000,,okx\n"), "line 2: cannot read it"),
        (lambda folder: (folder / "okx_X.csv.gz").write_bytes(b"not gzip"), "is it whole?"),
    ],
)
def test_a_recording_that_cannot_be_played_says_why(tmp_path: Path, prepare: Any, words: str) -> None:
    prepare(tmp_path)
    with pytest.raises(RecordingError) as caught:
        Recording(tmp_path, ["okx"])
    assert words in str(caught.value)


def test_the_command_names_a_wrong_folder_and_wrong_numbers(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such folder"):
        call_command("simulate", replay=tmp_path / "nowhere")
    with pytest.raises(CommandError, match="rate must be above 0"):
        call_command("simulate", rate=0.0)
    with pytest.raises(CommandError, match="choose from binance"):
        call_command("simulate", exchanges="nope")
    with pytest.raises(CommandError, match="--markets: future given; choose from spot, swap"):
        call_command("simulate", markets="spot,future")
    with pytest.raises(CommandError, match="no exchange given; choose from binance"):
        call_command("simulate", exchanges="okx", markets="swap")
    with pytest.raises(CommandError, match="funding_scale must be above 0"):
        call_command("simulate", funding_scale=-1.0)


class TestRealRecordings:
    """With the recordings at hand."""

    pytestmark = shared

    async def test_six_exchanges_play_one_symbol_with_recorded_values(self) -> None:
        day = SHARED / "xex_perp_20250727"
        async with (
            Simulator(exchanges=["gate:swap", "binance:swap"], replay=day, speed=60, replay_after=2) as sim,
            connect(sim, "gate:swap") as gate,
            connect(sim, "binance:swap") as binance,
        ):
            await subscribe_quotes(binance, "binance:swap", "ACE/USDT:USDT")
            await subscribe_quotes(gate, "gate:swap", "ACE/USDT:USDT")
            frame = await gate.until(lambda f: f["event"] == "update")
            assert frame["result"]["t"] == 1753599989000
            assert [frame["result"][name] for name in "bBaA"] == ["0.5921", 1335, "0.5926", 198]
            times = [json.loads(await gate.text())["result"]["t"] for _ in range(20)]
            assert times == sorted(times)
            assert len(await numbers(binance, "binance:swap", 5)) == 5

    async def test_each_exchange_plays_its_swaps_in_the_unit_it_recorded(self) -> None:
        keys = [f"{name}:swap" for name in ("binance", "bybit", "okx", "bitget", "gate", "mexc")]
        day = SHARED / "xex_perp_20250727"
        async with (
            Simulator(exchanges=keys, replay=day, speed=20, replay_after=len(keys)) as sim,
            AsyncExitStack() as connections,
        ):
            clients = {key: await connections.enter_async_context(connect(sim, key)) for key in keys}
            for key, client in clients.items():
                await subscribe_quotes(client, key, "ADA/USDT:USDT")
            for key, client in clients.items():
                (file,) = day.rglob(f"{exchange_of(key)}_ADAUSDT_perp.csv.gz")
                with gzip.open(file, "rt", newline="") as lines:
                    rows = islice(csv.DictReader(lines), 3)
                    names = ("bid1_price", "bid1_volume", "ask1_price", "ask1_volume")
                    recorded = [tuple(float(row[name]) for name in names) for row in rows]
                assert await numbers(client, key, 3) == recorded

    async def test_tiny_prices_keep_every_digit(self) -> None:
        async with (
            Simulator(replay=SHARED / "gate_perp__mexc_spot_LUNC_20251011", speed=100, replay_after=1) as sim,
            connect(sim, "gate:swap") as gate,
        ):
            assert [key for key, exchange in sim.exchanges.items() if exchange.listings] == [
                "mexc",
                "gate:swap",
            ]
            await subscribe_quotes(gate, "gate:swap", "LUNC/USDT:USDT")
            assert await numbers(gate, "gate:swap", 1) == [(3.528e-05, 89.0, 3.531e-05, 153.0)]
