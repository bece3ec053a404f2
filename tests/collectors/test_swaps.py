"""A collector on the simulated swaps of each exchange: sizes in coins, mark prices and funding."""

import asyncio
from math import isclose
from typing import Any

import pytest
from msgspec import structs

from collectors.exchanges import CODECS
from collectors.sockets.timing import Timing
from collectors.supervisor import DEFAULT_TIMING, Outlet, Supervisor
from core.names.market_keys import SWAP, market_of
from engine.funding.state import FundingState
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Shard
from markets.events import Funding, MarkPrice, Quote, StreamState, Trade
from simulator.catalogue import Listing
from simulator.server import Simulator
from tests.collectors.test_supervisor import KeepingSink
from tests.support.exchanges.tiny_exchange import until

SWAPS = sorted(key for key in CODECS if market_of(key) == SWAP)
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

    def __init__(
        self, config: MarketConfig, *sinks: type[KeepingSink], timing: Timing = DEFAULT_TIMING
    ) -> None:
        outlets = Outlet.chain(sinks, Shard(), 10_000)
        self.sinks: list[KeepingSink] = [outlet.sink for outlet in outlets]  # type: ignore[misc]
        self.supervisor = Supervisor(CODECS, outlets, Shard(), timing=timing)
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


def funding_of(sink: KeepingSink) -> dict[str, FundingState]:
    """Known funding of each swap."""
    states: dict[str, FundingState] = {}
    for event in sink.events:
        if isinstance(event, Funding):
            states.setdefault(event.symbol, FundingState(event.exchange, event.symbol)).apply(event)
    return states


@pytest.mark.parametrize("key", SWAPS)
async def test_every_swap_market_brings_quotes_trades_mark_prices_and_funding(key: str) -> None:
    async with Simulator(exchanges=(key,), symbols=3, rate=40) as simulator:
        listed = {each.symbol: each for each in simulator.exchanges[key].listings.values()}
        async with Running(config(simulator, key), KeepingSink) as running:
            (sink,) = running.sinks

            def has_all() -> bool:
                kinds: tuple[type[Said], ...] = Quote, Trade, MarkPrice, Funding
                return all(symbols_of(sink, kind) == listed.keys() for kind in kinds)

            def knows_funding() -> bool:
                known = funding_of(sink).values()
                return all(None not in (each.rate, each.next_ts_us, each.interval_s) for each in known)

            await until(has_all, PATIENCE_S)
            await until(knows_funding, PATIENCE_S)

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


async def test_what_no_channel_says_is_asked_for_again_when_it_failed() -> None:
    key = "bingx:swap"
    async with Simulator(exchanges=(key,), symbols=2, rate=40) as simulator:
        wanted = config(simulator, key)
        nowhere = structs.replace(wanted.exchanges[0], rest_url=f"{simulator.url}/nowhere")
        async with Running(structs.replace(wanted, exchanges=(nowhere,)), FundingSink) as running:
            (sink,) = running.sinks
            await until(
                lambda: running.supervisor.feeds[key].status()["counts"].get("polls_failed"), PATIENCE_S
            )
            assert not symbols_of(sink, Funding)
            (failing,) = running.supervisor.feeds[key].status()["polls_failing"]
            assert (failing["path"], failing["times"]) == ("/openApi/swap/v2/quote/premiumIndex", 1)
            assert "404" in failing["reason"]
            running.supervisor.apply(wanted)
            await until(lambda: symbols_of(sink, Funding), PATIENCE_S)
            await until(lambda: not running.supervisor.feeds[key].status()["polls_failing"], PATIENCE_S)


@pytest.mark.parametrize("key", ["gate:swap", "okx:swap", "kucoin:swap", "mexc:swap"])
async def test_a_contract_that_grows_is_not_quoted_in_the_size_of_before(key: str) -> None:
    """From 12 coins to 120: until the new size is configured nothing is emitted of it, and it is said why."""
    coin, other = "BTC/USDT:USDT", "ETH/USDT:USDT"
    async with Simulator(exchanges=(key,), symbols=2, rate=40) as simulator:
        before = simulator.inject(f"{key}/{coin}:contract-size=12")
        wanted = with_size(config(simulator, key), coin, 12.0)
        async with Running(wanted, KeepingSink, timing=Timing(poll_s=0.1)) as running:
            (sink,) = running.sinks
            feed = running.supervisor.feeds[key]
            await until(lambda: {coin, other} <= symbols_of(sink, Quote), PATIENCE_S)
            assert feed.status()["resized"] == []

            simulator.heal(before)
            simulator.inject(f"{key}/{coin}:contract-size=120")
            await until(lambda: feed.status()["resized"], PATIENCE_S)
            (resized,) = feed.status()["resized"]
            assert (resized["symbol"], resized["was"]) == (coin, 12.0)
            assert feed.status()["counts"]["contract_size_changed"] == 1
            await until(lambda: last(sink, coin), PATIENCE_S)
            gap = last(sink, coin)
            assert isinstance(gap, StreamState)
            assert (gap.state, gap.reason) == (
                "gap",
                f"its contract is of {resized['said']} coins now, where 12 are configured: sync the markets",
            )

            seen = len(sink.events)
            await until(lambda: of(sink.events[seen:], other) > 20, PATIENCE_S)
            assert of(sink.events[seen:], coin) == 0, "others go on, and nothing is emitted of this one"

            running.supervisor.apply(with_size(wanted, coin, 120.0))
            await until(lambda: of(sink.events[seen:], coin) > 20, PATIENCE_S)
            assert feed.status()["resized"] == []
            assert feed.status()["counts"]["contract_size_changed"] == 1
    listing = simulator.exchanges[key].listings[coin]
    quotes = [each for each in sink.events[seen:] if isinstance(each, Quote) and each.symbol == coin]
    for quote in quotes:
        assert is_whole_lots(quote.bid_size, structs.replace(listing, contract="120"))


async def test_a_contract_size_that_is_said_as_configured_again_holds_again() -> None:
    key, coin = "gate:swap", "BTC/USDT:USDT"
    async with (
        Simulator(exchanges=(key,), symbols=2, rate=40) as simulator,
        Running(config(simulator, key), KeepingSink, timing=Timing(poll_s=0.1)) as running,
    ):
        (sink,) = running.sinks
        feed = running.supervisor.feeds[key]
        await until(lambda: coin in symbols_of(sink, Quote), PATIENCE_S)
        faults = simulator.inject(f"{key}/{coin}:contract-size=120")
        await until(lambda: feed.status()["resized"], PATIENCE_S)
        seen = len(sink.events)
        simulator.heal(faults)
        await until(lambda: of(sink.events[seen:], coin) > 5, PATIENCE_S)
        assert feed.status()["resized"] == []


def with_size(config: MarketConfig, symbol: str, coins: float) -> MarketConfig:
    """The configuration, of the next revision, with another contract size of one swap."""
    instruments = {
        structs.replace(each, contract_size=coins) if each.symbol == symbol else each
        for each in config.instruments
    }
    return structs.replace(config, revision=config.revision + 1, instruments=frozenset(instruments))


def last(sink: KeepingSink, symbol: str) -> object:
    """The last gap of a symbol, None while there was none."""
    states = [each for each in sink.events if isinstance(each, StreamState) and each.state == "gap"]
    return next((each for each in reversed(states) if symbol in each.symbols), None)


def of(events: list[Any], symbol: str) -> int:
    """How many quotes and trades are of a symbol."""
    return sum(isinstance(each, Quote | Trade) and each.symbol == symbol for each in events)


async def test_each_kind_of_funding_that_cannot_be_is_logged_once_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = "gate:swap"
    async with (
        Simulator(exchanges=(key,), symbols=2, rate=40) as simulator,
        Running(config(simulator, key), FundingSink, timing=Timing(poll_s=0.1)) as running,
    ):
        feed = running.supervisor.feeds[key]
        simulator.inject(f"{key}:funding-rate=0.5")
        await until(lambda: feed.report().counts.get("bad_funding", 0) > 10, PATIENCE_S)
        simulator.heal()
        simulator.inject(f"{key}:funding-late=90s")
        await until(lambda: feed.report().counts.get("bad_next", 0) > 10, PATIENCE_S)
        assert not feed.report().counts.get("bad_interval")
    logged = [record.getMessage() for record in caplog.records if record.name == "collectors.feed"]
    assert [words.partition(" of ")[0] for words in logged] == [f"{key}: bad_funding", f"{key}: bad_next"]
    assert logged[1].endswith("the next settlement has passed or cannot be: unknown; others are counted")
