"""The invented market: the same for the same seed, near one price everywhere, sometimes worth trading."""

import asyncio
import sys

import aiohttp
import numpy as np
import pytest
from django.conf import settings

from simulator import catalogue
from simulator.catalogue import EXCHANGES
from simulator.market import STEP_S, Market
from simulator.server import Simulator

LISTINGS = catalogue.listings(20)


def path(market: Market, seconds: int) -> np.ndarray:
    """Quotes of every exchange for every symbol, once a second: (seconds, exchanges, symbols)."""
    shown = []
    for second in range(seconds):
        market.advance(second)
        shown.append(market.shown)
    return np.array(shown)


def test_the_same_seed_gives_the_same_paths_however_often_one_looks() -> None:
    first = path(Market(EXCHANGES, LISTINGS, seed=7), 60)
    looked_once = Market(EXCHANGES, LISTINGS, seed=7)
    looked_once.advance(59)
    assert np.array_equal(first[-1], looked_once.shown)
    assert not np.array_equal(first[-1], path(Market(EXCHANGES, LISTINGS, seed=8), 60)[-1])


def test_prices_move_and_stay_together() -> None:
    shown = path(Market(EXCHANGES, LISTINGS, seed=1), 1200)
    reference = np.array([listing.price for listing in LISTINGS])
    assert np.all(np.abs(shown / reference - 1) < 0.05)
    spread = shown.max(axis=1) / shown.min(axis=1) - 1
    assert np.all(spread < 0.03)
    assert np.all(shown.std(axis=0) > 0)


def test_arbitrage_above_two_taker_fees_comes_every_minute_or_so_somewhere_and_goes_away() -> None:
    shown = path(Market(EXCHANGES, LISTINGS, seed=1), 1200)
    edge_bps = (shown.max(axis=1) / shown.min(axis=1) - 1) * 1e4 - 20 - 2  # two fees, one spread
    open_now = edge_bps > 0
    begins = np.sum(open_now[1:] & ~open_now[:-1])
    assert 20 <= begins <= 600  # in twenty minutes over all symbols and exchanges
    assert open_now.mean() < 0.15


async def test_the_traps_share_a_name_or_a_coin() -> None:
    async with Simulator(traps=True, symbols=3) as sim, Simulator(symbols=3) as plain:
        books = {
            key: {row.base: book for row, book in exchange.rows()} for key, exchange in sim.exchanges.items()
        }
        plain_bases = [row.base for row, _book in plain.exchanges["okx"].rows()]

    assert list(books["okx"]) == [*plain_bases, "CAT", "BEAM"]
    assert float(books["binance"]["1000CAT"].bid) == pytest.approx(
        1000 * float(books["okx"]["CAT"].bid), rel=0.02
    )
    assert float(books["kucoin"]["BEAM"].bid) == pytest.approx(6 * float(books["okx"]["BEAM"].bid), rel=0.1)


def test_a_long_pause_is_skipped_instead_of_caught_up() -> None:
    market = Market(EXCHANGES, LISTINGS, seed=1)
    market.advance(7 * 86_400)
    assert market.step == round(7 * 86_400 / STEP_S)


def test_more_symbols_than_are_known_are_invented_always_the_same() -> None:
    many = catalogue.listings(300)
    assert many == catalogue.listings(400)[:300]
    assert len({listing.symbol for listing in many}) == 300
    assert all(0 < listing.tick < listing.price for listing in many)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"exchanges": ["nope"]}, "no exchange nope; choose from binance"),
        ({"symbols": 0}, "symbols must be from 1 to 5000"),
        ({"speed": 0}, "speed must be above 0"),
        ({"faults": "okx:nope"}, "no kind 'nope'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Simulator(**wrong)  # type: ignore[arg-type]


async def test_the_command_says_where_it_serves_and_announces_its_end() -> None:
    command = [sys.executable, "manage.py", "simulate", "--port", "0", "--symbols", "3"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=settings.BASE_DIR, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            first = (await process.stdout.readline()).decode()
            url = first.split()[-1]
            assert first.startswith("Simulated exchanges on http://127.0.0.1:")
            while (
                line := await process.stdout.readline()
            ).strip() != b"manage.py seed --simulator " + url.encode():
                assert line
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/binance/stream") as socket:
                process.terminate()
                assert (await socket.receive_json())["stream"] == "!serverShutdown"
                assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
            assert (await process.stdout.read()).rstrip().endswith(b"stopped")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_a_port_in_use_is_reported() -> None:
    async with Simulator(exchanges=["okx"]) as sim:
        command = [sys.executable, "manage.py", "simulate", "--port", str(sim.port), "--exchanges", "okx"]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=settings.BASE_DIR, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"try another --host or --port" in errors
