"""A connection to an exchange: subscribed in full, drained, replaced, reopened; every fault is an event."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.exchanges.tiny_exchange import TIMING, Running, TinyExchange, symbols, until


@pytest.fixture
async def exchange() -> AsyncIterator[TinyExchange]:
    async with TinyExchange() as exchange:
        yield exchange


class TestSubscribing:
    async def test_a_symbol_is_up_once_its_quote_topic_is_acked(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
        assert exchange.asked("sub") == [["q:a", "t:a", "q:b", "t:b"]]
        assert running.recorder.states[0] == ("up", ("A/USDT", "B/USDT"), "")

    async def test_quotes_carry_both_receive_stamps(self, exchange: TinyExchange) -> None:
        before_us, before_ns = time.time_ns() // 1000, time.monotonic_ns()
        async with Running(exchange, "a") as running:
            await until(running.recorder.up)
            await exchange.quote("a", 5.0)
            await until(lambda: running.recorder.quotes)
        quote = running.recorder.quotes[0]
        assert (quote.exchange, quote.symbol, quote.bid, quote.ask) == ("tiny", "A/USDT", 5.0, 6.0)
        assert before_us <= quote.received_ts_us <= time.time_ns() // 1000
        assert before_ns <= quote.received_mono_ns <= time.monotonic_ns()

    @pytest.mark.parametrize("fault", ["refused", "ignored"])
    async def test_one_bad_topic_in_a_batch_is_isolated(self, exchange: TinyExchange, fault: str) -> None:
        getattr(exchange, fault).add("q:c")
        async with Running(exchange, "abcd") as running:
            await until(lambda: running.recorder.up() == symbols("abd"))
            await until(lambda: running.feed.status()["topics"] == 7 and running.feed.status()["refused"])
            status = running.feed.status()
        reason = "unknown pair" if fault == "refused" else "no answer within 0.15 s"
        assert status["refused_topics"] == [f"q:c: {reason}"]
        assert status["topics"] == 7
        assert ("down", ("C/USDT",), f"refused: {reason}") in running.recorder.states
        assert exchange.connects == 1

    async def test_a_refused_topic_is_asked_for_again_when_the_configuration_changes(
        self, exchange: TinyExchange
    ) -> None:
        exchange.refused.add("q:a")
        async with Running(exchange, "ab") as running:
            await until(lambda: running.feed.status()["topics"] == 3)
            asked = len(exchange.received)
            exchange.refused.clear()
            await exchange.quote("b", 1.0)
            await until(lambda: running.recorder.quotes)
            assert len(exchange.received) == asked
            running.feed.apply(running.feed.wanted)
            await until(lambda: running.recorder.up() == symbols("ab"))
        assert exchange.connects == 1

    async def test_requests_keep_the_pace_of_the_data_sheet(self, exchange: TinyExchange) -> None:
        started = time.monotonic()
        async with Running(exchange, "ab", topics_per_request=1, requests_per_second=20.0) as running:
            await until(lambda: running.feed.status()["topics"] == 4)
        assert len(exchange.asked("sub")) == 4
        assert time.monotonic() - started >= 3 / 20

    async def test_trades_from_before_the_subscription_are_counted_not_emitted(
        self, exchange: TinyExchange
    ) -> None:
        async with Running(exchange, "a") as running:
            await until(running.recorder.up)
            await exchange.send({"t": "a", "history": True})
            await exchange.send({"t": "a"})
            await until(lambda: running.recorder.trades)
            assert [trade.is_history for trade in running.recorder.trades] == [False]
            assert running.feed.status()["counts"]["history_trades"] == 1

    async def test_malformed_frames_are_counted_and_the_connection_stays(
        self, exchange: TinyExchange
    ) -> None:
        async with Running(exchange, "a") as running:
            await until(running.recorder.up)
            for nonsense in ("{", "[]]", "\x00"):
                await exchange.send(nonsense)
            await exchange.quote("a", 5.0)
            await until(lambda: running.recorder.quotes)
            assert running.feed.status()["counts"]["malformed"] == 3
        assert exchange.connects == 1


class TestHeartbeat:
    async def test_an_exchange_that_pings_is_answered_at_once(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a") as running:
            await until(running.recorder.up)
            await exchange.send({"ping": 7})
            await until(lambda: {"op": "pong", "n": 7} in exchange.received)

    async def test_an_exchange_that_wants_pings_gets_them(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a", ping_s=0.05):
            await until(lambda: exchange.received.count({"op": "ping"}) >= 3)
        assert exchange.connects == 1

    async def test_pings_of_the_websocket_protocol_count_as_signs_of_life(
        self, exchange: TinyExchange
    ) -> None:
        async with Running(exchange, "a", silence_s=0.2) as running:
            await until(running.recorder.up)
            for _ in range(10):
                for socket in list(exchange.sockets):
                    await socket.ping()
                await asyncio.sleep(0.05)
            assert exchange.connects == 1


class TestLoss:
    async def test_a_connection_cut_half_way_is_down_then_up_again(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            await exchange.drop()
            await until(lambda: len(running.recorder.states) == 3)
        both = ("A/USDT", "B/USDT")
        assert running.recorder.states[:3] == [
            ("up", both, ""), ("down", both, "connection lost"), ("up", both, ""),
        ]  # fmt: skip

    async def test_the_reason_of_a_goodbye_is_kept(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a") as running:
            await until(running.recorder.up)
            for socket in list(exchange.sockets):
                await socket.close(1012, "restart")
            await until(lambda: len(running.recorder.states) >= 2)
        assert running.recorder.states[1][2] == "closed by the exchange (1012 restart)"

    async def test_a_silent_connection_is_closed_and_reopened(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a", silence_s=0.2) as running:
            await until(running.recorder.up)
            exchange.silent = True
            await until(lambda: exchange.connects >= 2)
            exchange.silent = False
            await until(lambda: len(running.recorder.states) >= 3)
        assert running.recorder.states[1] == ("down", ("A/USDT",), "nothing received for 0.2 s")
        assert running.recorder.states[2][0] == "up"

    async def test_an_exchange_that_never_answers_says_so(self, exchange: TinyExchange) -> None:
        exchange.silent = True
        async with Running(exchange, "a", silence_s=0.2) as running:
            await until(lambda: running.recorder.states)
        assert running.recorder.states[0] == ("down", ("A/USDT",), "nothing received for 0.2 s")

    async def test_retry_after_is_honoured(self, exchange: TinyExchange) -> None:
        exchange.turn_away = [(429, {"Retry-After": "1"})]
        started = time.monotonic()
        async with Running(exchange, "a") as running:
            await until(lambda: running.feed.status()["state"] == "breaker open")
            assert exchange.connects == 1
            await until(running.recorder.up)
        assert time.monotonic() - started >= 1.0
        assert exchange.connects == 2


class TestPlannedReconnect:
    @pytest.mark.parametrize("announced", [True, False], ids=["announced", "end of life"])
    async def test_the_successor_is_up_before_the_old_one_goes(
        self, exchange: TinyExchange, announced: bool
    ) -> None:
        life_s = None if announced else 1.0
        async with Running(exchange, "ab", life_s=life_s) as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            (old,) = exchange.sockets
            if announced:
                await exchange.send({"leave": True})
            bid = 0.0
            while exchange.connects == 1 or old in exchange.sockets:
                bid += 1
                await exchange.quote("a", bid)
                await asyncio.sleep(0.005)
            assert [state for state, _, _ in running.recorder.states] == ["up"]
            assert running.feed.status()["counts"]["planned_reconnects"] == 1
            await until(lambda: running.recorder.quotes[-1].bid == bid)
        assert {quote.bid for quote in running.recorder.quotes} == {float(n) for n in range(1, int(bid) + 1)}

    async def test_the_old_connection_stays_while_no_successor_can_be_had(
        self, exchange: TinyExchange
    ) -> None:
        async with Running(exchange, "a") as running:
            await until(running.recorder.up)
            exchange.closed_for_all = True
            await exchange.send({"leave": True})
            await until(lambda: exchange.connects >= 3)
            await exchange.quote("a", 3.0)
            await until(lambda: running.recorder.quotes)
            exchange.closed_for_all = False
            await until(lambda: running.feed.status()["counts"].get("planned_reconnects") == 1)
        assert [state for state, _, _ in running.recorder.states] == ["up", "down"]
        assert running.recorder.states[-1][2] == "test over"


class TestBreaker:
    async def test_it_opens_after_repeated_failures_and_recovers(
        self, exchange: TinyExchange, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        exchange.closed_for_all = True
        timing = replace(TIMING, breaker_failures=3, breaker_cool_down_s=0.3)
        async with Running(exchange, "a", timing) as running:
            await until(lambda: running.feed.status()["state"] == "breaker open")
            assert exchange.connects == 3
            await until(lambda: exchange.connects == 4)  # the trial, which fails
            exchange.closed_for_all = False
            await until(running.recorder.up)
            await until(lambda: running.feed.status()["state"] == "live")
        changes = [record.message for record in caplog.records if "breaker" in record.message]
        assert len(changes) == 2
        assert "tiny: breaker open" in changes[0]
        assert "closed" in changes[1]

    async def test_connections_that_were_healthy_may_all_be_cut_at_once(self, exchange: TinyExchange) -> None:
        timing = replace(TIMING, breaker_failures=2, breaker_cool_down_s=60.0, healthy_s=0.1)
        async with Running(exchange, "abcd", timing, topics_per_connection=2) as running:
            await until(lambda: running.feed.status()["state"] == "live")
            await asyncio.sleep(timing.healthy_s)
            await exchange.drop()
            await until(lambda: len(running.recorder.states) == 12)
            assert running.recorder.up() == symbols("abcd")

    async def test_several_lines_share_it(self, exchange: TinyExchange) -> None:
        exchange.closed_for_all = True
        timing = replace(TIMING, breaker_failures=4, breaker_cool_down_s=60.0)
        async with Running(exchange, "abcd", timing, topics_per_connection=2) as running:
            await until(lambda: running.feed.status()["state"] == "breaker open")
            await asyncio.sleep(0.2)
        under_way = 3  # what the other lines had begun as the fourth one failed
        assert 4 <= exchange.connects <= 4 + under_way


class TestLines:
    async def test_topics_are_spread_within_the_limit_of_a_connection(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "abcde", topics_per_connection=4) as running:
            await until(lambda: running.recorder.up() == symbols("abcde"))
            assert sorted(len(topics) for topics in exchange.sockets.values()) == [2, 4, 4]
            assert running.feed.status()["connections"] == 3

    async def test_a_change_touches_only_what_changed(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "abcd", topics_per_connection=4) as running:
            await until(lambda: running.recorder.up() == symbols("abcd"))
            sockets = set(exchange.sockets)
            running.feed.apply(frozenset(i for i in running.feed.wanted if i.native_id != "a"))
            assert running.recorder.states[-1] == ("down", ("A/USDT",), "no longer collected")
            await until(lambda: "q:a" not in exchange.topics)
            assert exchange.asked("unsub") == [["q:a", "t:a"]]
            assert set(exchange.sockets) == sockets
            await until(lambda: running.recorder.up() == symbols("bcd"))
        assert exchange.connects == 2

    async def test_a_new_symbol_takes_a_free_place_and_an_empty_connection_goes(
        self, exchange: TinyExchange
    ) -> None:
        async with Running(exchange, "abc", topics_per_connection=4) as running:
            await until(lambda: running.recorder.up() == symbols("abc"))
            c = frozenset(i for i in running.feed.wanted if i.native_id == "c")
            running.feed.apply(running.feed.wanted - c)
            await until(lambda: len(exchange.sockets) == 1)
            ab = running.feed.wanted
            running.feed.apply(frozenset(i for i in ab if i.native_id == "a") | c)
            await until(lambda: running.recorder.up() == symbols("ac"))
            await until(lambda: exchange.topics == {"q:a", "t:a", "q:c", "t:c"})
        assert exchange.connects == 2

    async def test_frames_of_a_symbol_no_longer_wanted_are_not_events(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            running.feed.apply(frozenset(i for i in running.feed.wanted if i.native_id == "b"))
            await exchange.send({"q": "a", "bid": 1.0})
            await exchange.quote("b", 2.0)
            await until(lambda: running.recorder.quotes)
            assert [quote.symbol for quote in running.recorder.quotes] == ["B/USDT"]
