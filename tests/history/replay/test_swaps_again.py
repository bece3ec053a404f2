"""Swaps collected into a lake, played from it on the simulated exchanges' wires, and collected again."""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command

from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from core.names.market_keys import coin_symbol
from core.names.symbols import base_of, quote_of
from history.lake.tables import Lake
from history.management.commands.replay import Command
from history.read.reader import LakeReader
from history.replay.market import LakeMarket
from markets.config import ExchangeConfig, InstrumentConfig, ListingConfig, MarketConfig, Shard
from markets.events import Quote, Trade
from simulator.replay import Row, TradeRow, unsized
from simulator.server import Simulator
from tests.collectors.test_supervisor import KeepingSink, kept
from tests.history.replay.test_simulator import prices, quotes, write_trades
from tests.support.exchanges.tiny_exchange import TIMING, until
from tests.support.lakes.lake_data import write_quotes
from tests.support.lakes.recorded_session import NOON_US
from tests.support.swaps import swap

KEYS = ("gate", "binance:swap", "bingx:swap", "gate:swap", "kucoin:swap", "mexc:swap", "okx:swap")
ENOUGH = 5
PATIENCE_S = 60.0

Keys = Mapping[tuple[str, str], float]


def config(simulator: Simulator) -> MarketConfig:
    """Every instrument the simulated exchanges list, with the contract sizes they name."""
    listed = [
        (key, exchange.native(listing), listing)
        for key, exchange in simulator.exchanges.items()
        for listing in exchange.listings.values()
    ]
    return MarketConfig(
        1,
        tuple(
            ExchangeConfig(key, key, True, 1.0, 1.0, simulator.rest_url(key), simulator.ws_url(key))
            for key in simulator.exchanges
        ),
        frozenset(
            InstrumentConfig(key, each.symbol, native, coin_symbol(each.symbol), float(each.contract))
            for key, native, each in listed
        ),
        (),
        listings=tuple(
            ListingConfig(
                key, each.symbol, native, base_of(each.symbol), quote_of(coin_symbol(each.symbol)),
                coin_symbol(each.symbol),
            )
            for key, native, each in listed
        ),
    )  # fmt: skip


async def collected(simulator: Simulator, done: Callable[[list[Quote]], bool]) -> list[Quote | Trade]:
    """Quotes and trades a collector receives until `done`."""
    outlet = Outlet(KeepingSink, Shard(), 200_000)
    supervisor = Supervisor(CODECS, [outlet], Shard(), timing=TIMING)
    supervisor.apply(config(simulator))
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    try:
        await until(
            lambda: done([event for event in kept(outlet).events if isinstance(event, Quote)]), PATIENCE_S
        )
    finally:
        stop.set()
        await running
    return [event for event in kept(outlet).events if isinstance(event, Quote | Trade)]


def each_has(least: Mapping[str, int]) -> Callable[[list[Quote]], bool]:
    return lambda events: all(len(quotes(events, key)) >= count for key, count in least.items())


async def test_a_lake_of_swaps_is_played_as_swaps_and_collected_as_it_was(tmp_path: Path) -> None:
    async with Simulator(exchanges=KEYS, symbols=2, rate=40) as invented:
        sizes = {(row.exchange, row.symbol): row.contract_size or 0 for row in config(invented).instruments}
        recorded = await collected(
            invented,
            lambda events: all(
                sum((q.exchange, q.symbol) == each for q in events) >= ENOUGH for each in sizes
            ),
        )
    assert {sizes[key] for key in sizes if key[0] == "gate:swap"} != {1.0}, "contracts are no coins there"
    lake = Lake(str(tmp_path / "lake"))
    before = [event for event in recorded if isinstance(event, Quote)]
    write_quotes(lake, before)
    times = [quote.received_ts_us for quote in before]
    market = LakeMarket(LakeReader(lake), min(times), max(times) + 1, contract_sizes=sizes)

    instruments = {(quote.exchange, quote.symbol) for quote in before}
    async with Simulator(replay=market, speed=5, replay_after=len(instruments)) as replayed:
        assert {key: len(each.listings) for key, each in replayed.exchanges.items() if each.listings} == (
            dict.fromkeys(KEYS, 2)
        )
        assert {
            (row.exchange, row.symbol): row.contract_size for row in config(replayed).instruments
        } == sizes

        def all_of_it(events: list[Quote]) -> bool:
            counts = {key: replayed.counts(key)["quotes"] for key in KEYS}
            return played.done() and each_has(counts)(events)

        played = asyncio.create_task(replayed.replay_finished())
        again = await collected(replayed, all_of_it)

    after = [event for event in again if isinstance(event, Quote)]
    other = Lake(str(tmp_path / "other"))
    write_quotes(other, after)
    for key, symbol in sorted(instruments):
        was, now = (prices(quotes(of, key), symbol) for of in (before, after))
        assert now == was, (key, symbol)
    for lakes in (lake, other):
        assert set(LakeReader(lakes).symbols("quotes")) == {symbol for _, symbol in instruments}
    assert not market.left_out["quotes"]


def test_sizes_are_contracts_again_where_the_market_counts_those(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    symbol = "BTC/USDT:USDT"
    for number, key in enumerate(("okx:swap", "binance:swap", "gate:swap", "kraken:swap")):
        # 3 and 7 contracts of 0.1 coins, as the codec multiplies them.
        quote = Quote(key, symbol, 100.0, 3 * 0.1, 100.5, 7 * 0.1, None, NOON_US + number, 1)
        write_quotes(lake, [quote])
    write_trades(lake, [Trade("okx:swap", symbol, 100.5, 3 * 0.1, "buy", "1", None, NOON_US + 9)])
    sizes = {("okx:swap", symbol): 0.1, ("binance:swap", symbol): 1.0}
    market = LakeMarket(LakeReader(lake), NOON_US, NOON_US + 1000, contract_sizes=sizes)
    rows = list(market.rows())
    found = {row.exchange: row for row in rows if isinstance(row, Row)}
    assert {key: (row.bid_size, row.ask_size) for key, row in found.items()} == {
        "okx:swap": ("3", "7"),
        "binance:swap": ("0.30000000000000004", "0.7000000000000001"),
        "gate:swap": ("0.30000000000000004", "0.7000000000000001"),  # of no known size: a coin a contract
    }
    assert [row.size for row in rows if isinstance(row, TradeRow)] == ["3"]
    assert {key: [each.contract for each in listed] for key, listed in market.listings.items() if listed} == {
        "okx:swap": ["0.1"], "binance:swap": ["1"], "gate:swap": ["1"],
    }  # fmt: skip
    assert unsized(market.listings, sizes) == "gate:swap (1)", "the command says of which none is known"
    assert market.left_out == {"quotes": 1, "trades": 0}


@pytest.mark.django_db
def test_the_command_knows_the_contract_sizes_of_the_desk() -> None:
    call_command("seed", swaps=True)
    swap("okx", contract_size=Decimal("0.01"))
    sizes = Command()._contract_sizes()
    assert sizes["okx:swap", "BTC/USDT:USDT"] == 0.01
    assert sizes["okx", "BTC/USDT"] == 1.0
