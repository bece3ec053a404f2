"""A collector process from inside: what runs is what is wanted, and one part's trouble stays its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from collectors.books import LiveBooks
from collectors.exchanges.base import Codec
from collectors.sinks import EmitDerived
from collectors.supervisor import Outlet, SinkType, Supervisor
from core.channel import Channel
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Opportunity, Shard
from markets.events import OpportunityEvent, Quote, SinkEvent, StreamState, Trade
from tests.support.exchanges.tiny_exchange import TIMING, TinyExchange, codec_type, symbol, symbols, until

ALL = Shard()


class KeepingSink:
    """Keeps everything; may be set to crash, to refuse a configuration, or to wait."""

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, emit: EmitDerived) -> None:
        self.channel = channel
        self.events: list[SinkEvent] = []
        self.revisions: list[int] = []
        self.crash = False
        self.troubles = 0  # so many configurations are refused whatever they are
        self.go = asyncio.Event()
        self.go.set()

    def configure(self, config: MarketConfig) -> None:
        if config.revision == 13:
            raise ValueError("thirteen is unlucky")
        if self.troubles:
            self.troubles -= 1
            raise OSError("not today")
        self.revisions.append(config.revision)

    async def run(self) -> None:
        while not self.channel.finished:
            await self.channel.wait()
            await self.go.wait()
            if self.crash:
                raise RuntimeError("the sink has a bug")
            self.events.extend(self.channel.take(100))

    def stats(self) -> dict[str, float]:
        return {"events": len(self.events)}

    @property
    def states(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        return [(e.exchange, e.state, e.symbols, e.reason) for e in self.events if isinstance(e, StreamState)]

    def up(self) -> set[tuple[str, str]]:
        """(exchange, symbol) that are up by what this sink received."""
        alive: set[tuple[str, str]] = set()
        for exchange, state, names, _ in self.states:
            named = {(exchange, name) for name in names}
            alive = alive | named if state == "up" else alive - named
        return alive


class DerivingSink(KeepingSink):
    """Makes one event, when everything else is done."""

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, emit: EmitDerived) -> None:
        super().__init__(channel, shard, emit)
        self.emit = emit

    async def run(self) -> None:
        await super().run()
        self.emit(OpportunityEvent("LAST/WORDS", "tiny", "mini", 1, "close", 1, 0.0, 0.0, 0.0, 0.0, 0.0))


def derived(sink: KeepingSink) -> list[OpportunityEvent]:
    return [event for event in sink.events if isinstance(event, OpportunityEvent)]


class PickySink(KeepingSink):
    """Has no use for what exchanges say."""

    wants = frozenset({OpportunityEvent})


class ReadingSink(KeepingSink):
    """Reads order books."""

    def use_books(self, books: LiveBooks) -> None:
        self.books = books


class OtherSink(KeepingSink):
    """A second sink with a name of its own."""


def codec(key: str) -> type[Codec]:
    return codec_type(key=key)


class FaultyCodec(codec_type(key="faulty")):  # type: ignore[misc]
    """A codec that breaks its promise never to raise."""

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Quote | Trade]:
        raise RuntimeError("the codec has a bug")


CODECS: dict[str, type[Codec]] = {"tiny": codec("tiny"), "mini": codec("mini"), "faulty": FaultyCodec}


def config(
    exchange: TinyExchange, *keys: str, wanted: str = "ab", revision: int = 1, disabled: str = ""
) -> MarketConfig:
    """Exchanges `keys` at one exchange, each with the same instruments; `disabled` is listed but off."""
    base = exchange.config
    exchanges = tuple(
        ExchangeConfig(key, key, key != disabled, 10.0, 10.0, base.rest_url, base.ws_url) for key in keys
    )
    return MarketConfig(
        revision=revision,
        exchanges=exchanges,
        instruments=frozenset(
            InstrumentConfig(key, symbol(each), each) for key in keys if key != disabled for each in wanted
        ),
        opportunities=(Opportunity("A/USDT", "tiny", "mini", 1000),),
    )


def both(key: str) -> set[tuple[str, str]]:
    return {(key, name) for name in symbols("ab")}


@pytest.fixture
async def exchange() -> AsyncIterator[TinyExchange]:
    async with TinyExchange() as exchange:
        yield exchange


@asynccontextmanager
async def running(*outlets: Outlet, shard: Shard = ALL) -> AsyncIterator[Supervisor]:
    """A supervisor at work for the length of a test."""
    supervisor = Supervisor(CODECS, outlets, shard, timing=TIMING)
    stop = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await task


def outlet(sink: SinkType = KeepingSink, capacity: int = 1000) -> Outlet:
    return Outlet(sink, Shard(), capacity)


def kept(outlet: Outlet) -> KeepingSink:
    assert isinstance(outlet.sink, KeepingSink)
    return outlet.sink


class TestFollowing:
    async def test_every_enabled_exchange_is_collected_into_every_sink(self, exchange: TinyExchange) -> None:
        one, two = outlet(), outlet(OtherSink)
        async with running(one, two) as supervisor:
            supervisor.apply(config(exchange, "tiny", "mini"))
            await until(lambda: kept(one).up() == both("tiny") | both("mini"))
            await until(lambda: kept(two).up() == both("tiny") | both("mini"))
        assert kept(one).revisions == [1]

    async def test_disabling_an_exchange_takes_it_down_with_the_reason_and_leaves_the_others(
        self, exchange: TinyExchange
    ) -> None:
        out = outlet()
        async with running(out) as supervisor:
            supervisor.apply(config(exchange, "tiny", "mini"))
            await until(lambda: kept(out).up() == both("tiny") | both("mini"))
            supervisor.apply(config(exchange, "tiny", "mini", revision=2, disabled="mini"))
            await until(lambda: kept(out).up() == both("tiny"))
            await until(lambda: len(exchange.sockets) == 1)
            assert ("mini", "down", ("A/USDT", "B/USDT"), "exchange disabled") in kept(out).states
            assert exchange.connects == 2
            supervisor.apply(config(exchange, "tiny", "mini", revision=3))
            await until(lambda: kept(out).up() == both("tiny") | both("mini"))
            assert exchange.connects == 3

    async def test_an_exchange_disabled_from_the_start_says_so(self, exchange: TinyExchange) -> None:
        out = outlet()
        async with running(out) as supervisor:
            supervisor.apply(config(exchange, "tiny", "mini", disabled="mini"))
            await until(lambda: ("mini", "down", ("A/USDT",), "exchange disabled") in kept(out).states)

    async def test_an_exchange_without_a_connector_says_so_and_stops_nothing(
        self, exchange: TinyExchange
    ) -> None:
        out = outlet()
        async with running(out) as supervisor:
            listed = config(exchange, "tiny", "unheard-of")
            chart = Opportunity("A/USDT", "tiny", "unheard-of", 1000)
            supervisor.apply(MarketConfig(1, listed.exchanges, listed.instruments, (chart,)))
            await until(lambda: kept(out).up() == both("tiny"))
            why = ("unheard-of", "down", ("A/USDT",), "no connector for this exchange")
            assert why in kept(out).states

    async def test_another_address_restarts_that_exchange_only(self, exchange: TinyExchange) -> None:
        out = outlet()
        async with TinyExchange() as elsewhere, running(out) as supervisor:
            before = config(exchange, "tiny", "mini")
            supervisor.apply(before)
            await until(lambda: kept(out).up() == both("tiny") | both("mini"))
            moved = config(elsewhere, "tiny").exchanges[0]
            after = MarketConfig(2, (moved, before.exchanges[1]), before.instruments, ())
            supervisor.apply(after)
            await until(lambda: elsewhere.connects == 1 and len(exchange.sockets) == 1)
            await until(lambda: kept(out).up() == both("tiny") | both("mini"))
            assert ("tiny", "down", ("A/USDT", "B/USDT"), "address changed") in kept(out).states
        assert exchange.connects == 2

    async def test_a_shard_collects_its_symbols_on_every_exchange(self, exchange: TinyExchange) -> None:
        shard = next(Shard(i, 2) for i in (1, 2) if Shard(i, 2).owns("A/USDT"))
        mine = {name for name in symbols("abcdef") if shard.owns(name)}
        assert mine != symbols("abcdef")
        out = outlet()
        async with running(out, shard=shard) as supervisor:
            supervisor.apply(config(exchange, "tiny", "mini", wanted="abcdef"))
            await until(lambda: kept(out).up() == {(key, name) for key in ("tiny", "mini") for name in mine})


class TestTrouble:
    async def test_a_crashing_feed_is_restarted_and_the_others_go_on(self, exchange: TinyExchange) -> None:
        out = outlet()
        async with running(out) as supervisor:
            supervisor.apply(config(exchange, "tiny", "faulty"))
            await until(lambda: exchange.connects >= 4)
            await until(lambda: kept(out).up() == both("tiny"))
            await exchange.quote("a", 4.0)
            await until(lambda: any(isinstance(event, Quote) for event in kept(out).events))
            assert supervisor.status()["tiny"]["counts"]["connects"] == 1

    async def test_a_sink_that_reads_books_gets_them_also_after_a_crash(self, exchange: TinyExchange) -> None:
        reads = outlet(ReadingSink)
        async with running(reads) as supervisor:
            supervisor.apply(config(exchange, "tiny"))
            first = reads.sink
            assert isinstance(first, ReadingSink)
            assert first.books is supervisor.books
            await until(lambda: first.up() == both("tiny"))
            first.crash = True
            await exchange.quote("a", 4.0)
            await until(lambda: reads.sink is not first)
            assert isinstance(reads.sink, ReadingSink)
            assert reads.sink.books is supervisor.books

    async def test_a_crashed_sink_is_built_again_and_gets_what_is_up(self, exchange: TinyExchange) -> None:
        one, two = outlet(), outlet(OtherSink)
        async with running(one, two) as supervisor:
            supervisor.apply(config(exchange, "tiny"))
            await until(lambda: kept(one).up() == both("tiny"))
            first = kept(one)
            first.crash = True
            await exchange.quote("a", 4.0)
            await until(lambda: kept(one) is not first)
            await until(lambda: kept(one).up() == both("tiny"))
            assert kept(one).revisions == [1]
            assert exchange.connects == 1
            assert all(state == "up" for _, state, _, _ in kept(two).states)

    async def test_a_slow_sink_loses_its_oldest_events_and_learns_of_the_gap(
        self, exchange: TinyExchange
    ) -> None:
        slow, quick = outlet(capacity=10), outlet(OtherSink)
        async with running(slow, quick) as supervisor:
            supervisor.apply(config(exchange, "tiny"))
            await until(lambda: kept(slow).up() == both("tiny"))
            kept(slow).go.clear()
            for bid in range(1, 31):
                await exchange.quote("a", float(bid))
            await until(lambda: len(kept(quick).events) >= 31)
            assert slow.status()["dropped"] > 0
            await until(lambda: slow.status()["accepted"] > quick.status()["accepted"])
            kept(slow).go.set()
            await until(lambda: any(state == "gap" for _, state, _, _ in kept(slow).states))
            await until(lambda: kept(slow).up() == both("tiny"))
            assert quick.status()["dropped"] == 0
            assert all(state == "up" for _, state, _, _ in kept(quick).states)

    async def test_a_configuration_a_sink_refuses_is_reported(self, exchange: TinyExchange) -> None:
        out = outlet()
        async with running(out) as supervisor:
            supervisor.apply(config(exchange, "tiny", revision=12))
            supervisor.apply(config(exchange, "tiny", revision=13))
            assert out.error == "sink KeepingSink did not take over revision 13: thirteen is unlucky"
            await until(lambda: kept(out).up() == both("tiny"))
            supervisor.apply(config(exchange, "tiny", revision=14))
            assert out.error == ""
        assert kept(out).revisions == [12, 14]

    async def test_a_configuration_a_sink_refuses_for_a_moment_is_offered_again(
        self, exchange: TinyExchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("collectors.supervisor.LOSS_CHECK_S", 0.02)
        monkeypatch.setattr("collectors.supervisor.OFFER_FIRST_S", 0.05)
        out = outlet()
        async with running(out) as supervisor:
            kept(out).troubles = 3
            supervisor.apply(config(exchange, "tiny", revision=12))
            assert "not today" in out.error
            await until(lambda: out.error == "")
            assert kept(out).revisions == [12]
            await until(lambda: kept(out).up() == both("tiny"))
            await asyncio.sleep(0.2)
            assert kept(out).revisions == [12], "what is taken over is not offered again"
        assert len([record for record in caplog.records if "did not take over" in record.message]) == 1


class TestStopping:
    async def test_sockets_are_closed_and_sinks_drained(self, exchange: TinyExchange) -> None:
        out = outlet()
        started = time.monotonic()
        async with running(out) as supervisor:
            supervisor.apply(config(exchange, "tiny", "mini"))
            await until(lambda: kept(out).up() == both("tiny") | both("mini"))
            kept(out).go.clear()
            await exchange.quote("a", 4.0)
            await until(lambda: len(out.channel) == 2)
            started = time.monotonic()
            asyncio.get_running_loop().call_later(0.3, kept(out).go.set)
        assert time.monotonic() - started < 2
        assert out.channel.finished
        assert sum(isinstance(event, Quote) for event in kept(out).events) == 2
        assert kept(out).up() == set()
        assert {reason for _, state, _, reason in kept(out).states if state == "down"} == {
            "collector stopped"
        }
        await until(lambda: not exchange.sockets)

    async def test_what_a_sink_makes_while_it_drains_reaches_the_sinks_after_it_and_no_other(
        self, exchange: TinyExchange
    ) -> None:
        first, second, third = Outlet.chain([KeepingSink, DerivingSink, OtherSink], Shard(), 1000)
        async with running(first, second, third) as supervisor:
            supervisor.apply(config(exchange, "tiny"))
            await until(lambda: kept(third).up() == both("tiny"))
            kept(third).go.clear()
            asyncio.get_running_loop().call_later(0.3, kept(third).go.set)
        assert [event.symbol for event in derived(kept(third))] == ["LAST/WORDS"]
        assert derived(kept(first)) == derived(kept(second)) == []

    async def test_a_sink_gets_what_it_wants_and_nothing_else(self, exchange: TinyExchange) -> None:
        first, second = Outlet.chain([DerivingSink, PickySink], Shard(), 1000)
        async with running(first, second) as supervisor:
            supervisor.apply(config(exchange, "tiny"))
            await until(lambda: kept(first).up() == both("tiny"))
        assert [type(event) for event in kept(second).events] == [OpportunityEvent]
        assert second.channel.accepted == 1

    async def test_a_sink_that_hangs_does_not_hold_the_process(self, exchange: TinyExchange) -> None:
        out = outlet()
        async with running(out) as supervisor:
            supervisor.apply(config(exchange, "tiny"))
            await until(lambda: kept(out).up() == both("tiny"))
            kept(out).go.clear()
            started = time.monotonic()
        assert time.monotonic() - started < 4.5
