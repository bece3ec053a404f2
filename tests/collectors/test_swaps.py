"""A collector on the simulated swaps of each exchange: sizes in coins, mark prices and funding."""

import asyncio
from math import isclose

import pytest

from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from core.names.market_keys import SWAP, market_of
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Shard
from markets.events import Funding, MarkPrice, Quote, Trade
from simulator.catalogue import Listing
from simulator.server import Simulator
from tests.collectors.test_supervisor import KeepingSink
from tests.support.exchanges.tiny_exchange import until

SWAPS = sorted(key for key in CODECS if market_of(key) == SWAP)
NO_FUNDING_ON_THE_SOCKET = ("bingx:swap",)
PATIENCE_S = 60.0


class QuoteSink(KeepingSink):
    """Wants the market alone."""

    wants = frozenset({Quote})


class FundingSink(KeepingSink):
    """Wants what holding costs alone."""

    wants = frozenset({Funding})


def config(simulator: Simulator, key: str, *, sized: bool = True) -> MarketConfig:
    """Every listing of a simulated swap market, with the contract sizes it lists, or without any."""
    exchange = simulator.exchanges[key]
    return MarketConfig(
        1,
        (ExchangeConfig(key, key, True, 5.0, 2.0, simulator.rest_url(key), simulator.ws_url(key)),),
        frozenset(
            InstrumentConfig(
                key, each.symbol, exchange.native(each), contract_size=coins(each) if sized else None
            )
            for each in exchange.listings.values()
        ),
        (),
    )


def coins(listing: Listing) -> float:
    return float(listing.contract)


class Running:
    """A collector of one market, with what its sinks received."""

    def __init__(self, config: MarketConfig, *sinks: type[KeepingSink]) -> None:
        outlets = Outlet.chain(sinks, Shard(), 10_000)
        self.sinks: list[KeepingSink] = [outlet.sink for outlet in outlets]  # type: ignore[misc]
        self.supervisor = Supervisor(CODECS, outlets, Shard())
        self.supervisor.apply(config)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self.supervisor.run(self._stop))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await self._task


Said = Quote | Trade | MarkPrice | Funding


def symbols_of(sink: KeepingSink, kind: type[Said]) -> set[str]:
    return {event.symbol for event in sink.events if isinstance(event, Said) and isinstance(event, kind)}


@pytest.mark.parametrize("key", SWAPS)
async def test_every_swap_market_brings_quotes_trades_mark_prices_and_funding(key: str) -> None:
    kinds: set[type[Said]] = {Quote, Trade, MarkPrice, Funding}
    if key in NO_FUNDING_ON_THE_SOCKET:
        kinds.discard(Funding)
    async with Simulator(exchanges=(key,), symbols=3, rate=40) as simulator:
        listed = {each.symbol: each for each in simulator.exchanges[key].listings.values()}
        async with Running(config(simulator, key), KeepingSink) as running:
            (sink,) = running.sinks

            def has_all() -> bool:
                return all(symbols_of(sink, kind) == listed.keys() for kind in kinds)

            await until(has_all, PATIENCE_S)

    for event in sink.events:
        if isinstance(event, Quote):
            assert event.exchange == key
            for size in (event.bid_size, event.ask_size):
                assert is_whole_lots(size, listed[event.symbol])
        if isinstance(event, MarkPrice) and event.mark is not None:
            assert isclose(event.mark, listed[event.symbol].price, rel_tol=0.2)


def is_whole_lots(size: float, listing: Listing) -> bool:
    """Whether a size in coins is a whole number of the steps in which its market sizes contracts."""
    steps = size / coins(listing) * 10**listing.size_decimals
    return isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-6)


async def test_contracts_without_a_size_are_no_coins() -> None:
    key = "okx:swap"
    async with (
        Simulator(exchanges=(key,), symbols=2, rate=40) as simulator,
        Running(config(simulator, key, sized=False), KeepingSink) as running,
    ):
        (sink,) = running.sinks
        feed = running.supervisor.feeds[key]

        def unsized() -> set[str]:
            return {symbol for symbol, kind in feed.report().rejected if kind == "no_contract_size"}

        await until(lambda: unsized() == set(simulator.exchanges[key].listings), PATIENCE_S)
    assert not [event for event in sink.events if isinstance(event, Quote | Trade)]


async def test_a_sink_gets_the_market_or_what_holding_costs_as_it_wants() -> None:
    key = "gate:swap"
    async with (
        Simulator(exchanges=(key,), symbols=2, rate=40) as simulator,
        Running(config(simulator, key), QuoteSink, FundingSink) as running,
    ):
        market, funding = running.sinks
        await until(lambda: symbols_of(market, Quote) and symbols_of(funding, Funding), PATIENCE_S)
    assert not symbols_of(market, Funding)
    assert not symbols_of(market, MarkPrice)
    assert not symbols_of(funding, Quote)
