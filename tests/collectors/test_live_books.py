"""Books that are broken on a simulated exchange, through the real feed, up to engine and scanner."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from math import isnan
from typing import Any

import pytest

from collectors.exchanges import CODECS
from engine.charts.points import ChartDelta
from engine.charts.spread import SpreadEngine
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Opportunity
from markets.events import Event, Quote, StreamState
from simulator.server import Simulator
from tests.collectors.test_connection_dialects import collecting
from tests.support.exchanges.codec_frames import SPOTS
from tests.support.exchanges.tiny_exchange import Recorder, until
from tests.support.scan.market import Desk as Scan
from tests.support.scan.market import config, everywhere

BTC = "BTC/USDT"
OTHER = "other"
BROKEN = {
    "one-sided": ("has no bid",),
    "zero": ("has no bid",),
    "crossed": ("its bid is above its ask",),
}


class Desk:
    """A chart of one exchange beside another that always quotes, fed with what a feed emits."""

    def __init__(self, key: str, recorder: Recorder) -> None:
        self.key = key
        self._recorder = recorder
        self._fed = 0
        self.engine = SpreadEngine()
        keys = (key, OTHER)
        self.engine.configure(
            MarketConfig(
                revision=1,
                exchanges=tuple(ExchangeConfig(each, each, True, 10.0, 10.0) for each in keys),
                instruments=frozenset(InstrumentConfig(each, BTC, BTC) for each in keys),
                opportunities=(Opportunity(BTC, key, OTHER, None),),
            )
        )
        self.chart: ChartDelta | None = None
        self.gaps = 0

    def follow(self) -> "Desk":
        """Take over what came."""
        events: Sequence[Event] = self._recorder.events[self._fed :]
        self._fed += len(events)
        for event in events:
            if isinstance(event, Quote):
                self.engine.on_quote(event)
                beside = (event.received_ts_us, event.received_mono_ns)
                self.engine.on_quote(Quote(OTHER, BTC, 64000.0, 1.0, 64000.1, 1.0, None, *beside))
            elif isinstance(event, StreamState):
                self.engine.on_state(event)
        for delta in self.engine.collect():
            self.chart = delta
            self.gaps += sum(1 for row in delta.points if isnan(row[1]))
        return self

    @property
    def state(self) -> str:
        return self.follow().chart.state if self.follow().chart else ""  # type: ignore[union-attr]

    @property
    def reason(self) -> str:
        return self.follow().chart.reason if self.follow().chart else ""  # type: ignore[union-attr]


@asynccontextmanager
async def quoting(key: str) -> AsyncIterator[tuple[Simulator, Any, Recorder, Desk]]:
    """One simulated exchange whose BTC is live on a chart."""
    symbols = {BTC, "ETH/USDT", "SOL/USDT"}
    async with (
        Simulator(exchanges=(key,), rate=50.0) as simulator,
        collecting(key, simulator, symbols, CODECS[key]) as (feed, recorder),
    ):
        desk = Desk(key, recorder)
        await until(lambda: desk.state == "live")
        yield simulator, feed, recorder, desk


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("key", SPOTS)
async def test_a_side_that_is_withdrawn_is_unknown_until_it_comes_again(key: str, fault: str) -> None:
    async with quoting(key) as (simulator, feed, recorder, desk):
        faults = simulator.inject(f"{key}/{BTC}:{fault}=1")
        await until(lambda: desk.state == "stale")
        assert desk.reason.startswith(f"waiting for the next quote of {key} after: its b")
        assert BROKEN[fault][0] in desk.reason
        assert desk.gaps == 1, "the line breaks"

        await until(lambda: sum(feed.report().rejected.values()) > 20)
        assert [state for state, *_ in recorder.states].count("gap") == 1, "said once"
        assert {symbol for symbol, _ in feed.report().rejected} == {BTC}

        simulator.heal(faults)
        await until(lambda: desk.state == "live")


@pytest.mark.parametrize("key", [key for key in SPOTS if key != "binance"])  # it sends no such time
async def test_a_book_from_long_ago_is_not_live(key: str) -> None:
    async with quoting(key) as (simulator, feed, _recorder, desk):
        await until(lambda: feed._exchange.codec.lateness.late_us < 2**62)
        faults = simulator.inject(f"{key}/{BTC}:frozen")
        await until(lambda: desk.state == "stale")
        assert "its book is 13" in desk.reason
        simulator.heal(faults)
        await until(lambda: desk.state == "live")


@pytest.mark.parametrize("key", [key for key in SPOTS if key != "binance"])
async def test_when_all_books_are_from_long_ago_beside_trades_of_now_none_is_live(key: str) -> None:
    async with quoting(key) as (simulator, feed, recorder, desk):
        await until(lambda: len(recorder.trades) > 3 and feed._exchange.codec.lateness.late_us < 2**62)
        simulator.inject(f"{key}:frozen=60")
        await until(lambda: desk.state == "stale")
        assert "late" in desk.reason or "old" in desk.reason


@pytest.mark.parametrize("ahead", ["-600s", "+600s"])
async def test_a_clock_that_is_minutes_off_makes_nothing_late(ahead: str) -> None:
    async with Simulator(exchanges=("okx",), rate=50.0) as simulator:
        simulator.inject(f"okx:skew={ahead}")
        feeding = collecting("okx", simulator, {BTC}, CODECS["okx"])
        async with feeding as (feed, recorder):
            await until(lambda: len(recorder.quotes) > 100)
            assert not feed.report().counts.get("frozen")


@pytest.mark.parametrize("key", SPOTS)
async def test_older_books_never_replace_newer_ones(key: str) -> None:
    async with quoting(key) as (simulator, feed, recorder, _desk):
        simulator.inject(f"{key}:out-of-order=0.3")
        await until(lambda: feed.report().counts.get("out_of_order", 0) > 20)
        times = [quote.exchange_ts_us or 0 for quote in recorder.quotes if quote.symbol == BTC]
        assert times == sorted(times)


@pytest.mark.parametrize("key", SPOTS)
async def test_a_trade_that_is_sent_twice_is_one_trade(key: str) -> None:
    async with quoting(key) as (simulator, feed, recorder, _desk):
        simulator.inject(f"{key}:duplicate=1")
        await until(lambda: feed.report().counts.get("duplicate_trades", 0) > 10)
        ids = [(trade.symbol, trade.trade_id) for trade in recorder.trades]
        assert len(ids) == len(set(ids))


async def test_a_takeover_brings_no_trade_twice() -> None:
    async with quoting("okx") as (simulator, feed, recorder, _desk):
        for _ in range(3):
            simulator.inject("okx:maintenance=300ms")
            before = feed.report().counts.get("planned_reconnects", 0)
            await until(lambda b=before: feed.report().counts.get("planned_reconnects", 0) > b)  # type: ignore[misc]
        seen = len(recorder.trades)
        await until(lambda: len(recorder.trades) > seen + 10)
        ids = [(trade.symbol, trade.trade_id) for trade in recorder.trades]
        assert len(ids) == len(set(ids))


async def test_what_is_read_together_is_published_in_its_order_of_stamps() -> None:
    async with quoting("gate") as (simulator, _feed, recorder, _desk):
        simulator.inject(f"gate/{BTC}:zero=0.5")
        await until(lambda: len(recorder.states) > 50)
        of_btc = [
            event
            for event in recorder.events
            if (isinstance(event, Quote) and event.symbol == BTC)
            or (isinstance(event, StreamState) and event.symbols == (BTC,))
        ]
        stamps = [(event.received_ts_us, event.received_mono_ns) for event in of_btc]
        assert stamps == sorted(stamps)
        for one, next_one in pairwise(of_btc):
            if isinstance(next_one, StreamState) and isinstance(one, Quote):
                assert one.received_mono_ns < next_one.received_mono_ns


def test_the_scanner_closes_an_opportunity_with_the_reason() -> None:
    desk = Scan(config(everywhere(BTC)))
    desk.quote("okx", BTC, 99.0, 99.1)
    desk.quote("bybit", BTC, 101.0, 101.1, at_ms=1)
    assert not isnan(desk.edge(BTC, "okx", "bybit"))
    desk.scanner.on_state(StreamState("bybit", (BTC,), "gap", "its book has no bid", 10, 10**18))
    assert isnan(desk.edge(BTC, "okx", "bybit"))
    (leg,) = [leg for leg in desk.scanner.legs if leg.exchange == "bybit"]
    assert leg.reason == "its book has no bid"
