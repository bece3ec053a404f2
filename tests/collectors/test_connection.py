"""A connection to an exchange: subscribed in full, heard out, replaced, reopened; every fault is an event."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.exchanges.tiny_venue import TIMING, Running, TinyVenue, symbols, until


@pytest.fixture
async def venue() -> AsyncIterator[TinyVenue]:
    async with TinyVenue() as venue:
        yield venue


class TestSubscribing:
    async def test_a_symbol_is_up_once_its_quote_topic_is_acked(self, venue: TinyVenue) -> None:
        async with Running(venue, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
        assert venue.asked("sub") == [["q:a", "t:a", "q:b", "t:b"]]
        assert running.recorder.states[0] == ("up", ("A/USDT", "B/USDT"), "")

    async def test_quotes_carry_both_receive_stamps(self, venue: TinyVenue) -> None:
        before_us, before_ns = time.time_ns() // 1000, time.monotonic_ns()
        async with Running(venue, "a") as running:
            await until(running.recorder.up)
            await venue.quote("a", 5.0)
            await until(lambda: running.recorder.quotes)
        quote = running.recorder.quotes[0]
        assert (quote.exchange, quote.symbol, quote.bid, quote.ask) == ("tiny", "A/USDT", 5.0, 6.0)
        assert before_us <= quote.received_ts_us <= time.time_ns() // 1000
        assert before_ns <= quote.received_mono_ns <= time.monotonic_ns()

    @pytest.mark.parametrize("fault", ["refused", "ignored"])
    async def test_one_bad_topic_in_a_batch_is_isolated(self, venue: TinyVenue, fault: str) -> None:
        getattr(venue, fault).add("q:c")
        async with Running(venue, "abcd") as running:
            await until(lambda: running.recorder.up() == symbols("abd"))
            await until(lambda: running.feed.status()["topics"] == 7 and running.feed.status()["refused"])
            status = running.feed.status()
        reason = "unknown pair" if fault == "refused" else "no answer within 0.15 s"
        assert status["refused_topics"] == [f"q:c: {reason}"]
        assert status["topics"] == 7
        assert ("down", ("C/USDT",), f"refused: {reason}") in running.recorder.states
        assert venue.connects == 1

    async def test_a_refused_topic_is_asked_for_again_when_the_configuration_changes(
        self, venue: TinyVenue
    ) -> None:
        venue.refused.add("q:a")
        async with Running(venue, "ab") as running:
            await until(lambda: running.feed.status()["topics"] == 3)
            asked = len(venue.heard)
            venue.refused.clear()
            await venue.quote("b", 1.0)
            await until(lambda: running.recorder.quotes)
            assert len(venue.heard) == asked
            running.feed.apply(running.feed.wanted)
            await until(lambda: running.recorder.up() == symbols("ab"))
        assert venue.connects == 1

    async def test_requests_keep_the_pace_of_the_data_sheet(self, venue: TinyVenue) -> None:
        started = time.monotonic()
        async with Running(venue, "ab", topics_per_request=1, requests_per_second=20.0) as running:
            await until(lambda: running.feed.status()["topics"] == 4)
        assert len(venue.asked("sub")) == 4
        assert time.monotonic() - started >= 3 / 20

    async def test_trades_from_before_the_subscription_are_counted_not_emitted(
        self, venue: TinyVenue
    ) -> None:
        async with Running(venue, "a") as running:
            await until(running.recorder.up)
            await venue.send({"t": "a", "history": True})
            await venue.send({"t": "a"})
            await until(lambda: running.recorder.trades)
            assert [trade.is_history for trade in running.recorder.trades] == [False]
            assert running.feed.status()["counts"]["history_trades"] == 1

    async def test_malformed_frames_are_counted_and_the_connection_stays(self, venue: TinyVenue) -> None:
        async with Running(venue, "a") as running:
            await until(running.recorder.up)
            for nonsense in ("{", "[]]", "\x00"):
                await venue.send(nonsense)
            await venue.quote("a", 5.0)
            await until(lambda: running.recorder.quotes)
            assert running.feed.status()["counts"]["malformed"] == 3
        assert venue.connects == 1


class TestHeartbeat:
    async def test_a_venue_that_pings_is_answered_at_once(self, venue: TinyVenue) -> None:
        async with Running(venue, "a") as running:
            await until(running.recorder.up)
            await venue.send({"ping": 7})
            await until(lambda: {"op": "pong", "n": 7} in venue.heard)

    async def test_a_venue_that_wants_pings_gets_them(self, venue: TinyVenue) -> None:
        async with Running(venue, "a", ping_s=0.05):
            await until(lambda: venue.heard.count({"op": "ping"}) >= 3)
        assert venue.connects == 1

    async def test_pings_of_the_websocket_protocol_count_as_signs_of_life(self, venue: TinyVenue) -> None:
        async with Running(venue, "a", silence_s=0.2) as running:
            await until(running.recorder.up)
            for _ in range(10):
                for socket in list(venue.sockets):
                    await socket.ping()
                await asyncio.sleep(0.05)
            assert venue.connects == 1


class TestLoss:
    async def test_a_connection_cut_half_way_is_down_then_up_again(self, venue: TinyVenue) -> None:
        async with Running(venue, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            await venue.drop()
            await until(lambda: len(running.recorder.states) == 3)
        both = ("A/USDT", "B/USDT")
        assert running.recorder.states[:3] == [
            ("up", both, ""), ("down", both, "connection lost"), ("up", both, ""),
        ]  # fmt: skip

    async def test_the_reason_of_a_goodbye_is_kept(self, venue: TinyVenue) -> None:
        async with Running(venue, "a") as running:
            await until(running.recorder.up)
            for socket in list(venue.sockets):
                await socket.close(1012, "restart")
            await until(lambda: len(running.recorder.states) >= 2)
        assert running.recorder.states[1][2] == "closed by the exchange (1012 restart)"

    async def test_a_silent_connection_is_closed_and_reopened(self, venue: TinyVenue) -> None:
        async with Running(venue, "a", silence_s=0.2) as running:
            await until(running.recorder.up)
            venue.silent = True
            await until(lambda: venue.connects >= 2)
            venue.silent = False
            await until(lambda: len(running.recorder.states) >= 3)
        assert running.recorder.states[1] == ("down", ("A/USDT",), "nothing received for 0.2 s")
        assert running.recorder.states[2][0] == "up"

    async def test_a_venue_that_never_answers_says_so(self, venue: TinyVenue) -> None:
        venue.silent = True
        async with Running(venue, "a", silence_s=0.2) as running:
            await until(lambda: running.recorder.states)
        assert running.recorder.states[0] == ("down", ("A/USDT",), "nothing received for 0.2 s")

    async def test_retry_after_is_honoured(self, venue: TinyVenue) -> None:
        venue.turn_away = [(429, {"Retry-After": "1"})]
        started = time.monotonic()
        async with Running(venue, "a") as running:
            await until(lambda: running.feed.status()["state"] == "breaker open")
            assert venue.connects == 1
            await until(running.recorder.up)
        assert time.monotonic() - started >= 1.0
        assert venue.connects == 2


class TestPlannedReconnect:
    @pytest.mark.parametrize("announced", [True, False], ids=["announced", "end of life"])
    async def test_the_successor_is_up_before_the_old_one_goes(
        self, venue: TinyVenue, announced: bool
    ) -> None:
        life_s = None if announced else 1.0
        async with Running(venue, "ab", life_s=life_s) as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            (old,) = venue.sockets
            if announced:
                await venue.send({"leave": True})
            bid = 0.0
            while venue.connects == 1 or old in venue.sockets:
                bid += 1
                await venue.quote("a", bid)
                await asyncio.sleep(0.005)
            assert [state for state, _, _ in running.recorder.states] == ["up"]
            assert running.feed.status()["counts"]["planned_reconnects"] == 1
            await until(lambda: running.recorder.quotes[-1].bid == bid)
        assert {quote.bid for quote in running.recorder.quotes} == {float(n) for n in range(1, int(bid) + 1)}

    async def test_the_old_connection_stays_while_no_successor_can_be_had(self, venue: TinyVenue) -> None:
        async with Running(venue, "a") as running:
            await until(running.recorder.up)
            venue.closed_for_all = True
            await venue.send({"leave": True})
            await until(lambda: venue.connects >= 3)
            await venue.quote("a", 3.0)
            await until(lambda: running.recorder.quotes)
            venue.closed_for_all = False
            await until(lambda: running.feed.status()["counts"].get("planned_reconnects") == 1)
        assert [state for state, _, _ in running.recorder.states] == ["up", "down"]
        assert running.recorder.states[-1][2] == "test over"


class TestBreaker:
    async def test_it_opens_after_repeated_failures_and_recovers(
        self, venue: TinyVenue, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        venue.closed_for_all = True
        timing = replace(TIMING, breaker_failures=3, breaker_cool_down_s=0.3)
        async with Running(venue, "a", timing) as running:
            await until(lambda: running.feed.status()["state"] == "breaker open")
            assert venue.connects == 3
            await until(lambda: venue.connects == 4)  # the trial, which fails
            venue.closed_for_all = False
            await until(running.recorder.up)
            await until(lambda: running.feed.status()["state"] == "live")
        changes = [record.message for record in caplog.records if "breaker" in record.message]
        assert len(changes) == 2
        assert "tiny: breaker open" in changes[0]
        assert "closed" in changes[1]

    async def test_connections_that_were_healthy_may_all_be_cut_at_once(self, venue: TinyVenue) -> None:
        timing = replace(TIMING, breaker_failures=2, breaker_cool_down_s=60.0, healthy_s=0.1)
        async with Running(venue, "abcd", timing, topics_per_connection=2) as running:
            await until(lambda: running.feed.status()["state"] == "live")
            await asyncio.sleep(timing.healthy_s)
            await venue.drop()
            await until(lambda: len(running.recorder.states) == 12)
            assert running.recorder.up() == symbols("abcd")

    async def test_several_lines_share_it(self, venue: TinyVenue) -> None:
        venue.closed_for_all = True
        timing = replace(TIMING, breaker_failures=4, breaker_cool_down_s=60.0)
        async with Running(venue, "abcd", timing, topics_per_connection=2) as running:
            await until(lambda: running.feed.status()["state"] == "breaker open")
            await asyncio.sleep(0.2)
        assert venue.connects == 4


class TestLines:
    async def test_topics_are_spread_within_the_limit_of_a_connection(self, venue: TinyVenue) -> None:
        async with Running(venue, "abcde", topics_per_connection=4) as running:
            await until(lambda: running.recorder.up() == symbols("abcde"))
            assert sorted(len(topics) for topics in venue.sockets.values()) == [2, 4, 4]
            assert running.feed.status()["connections"] == 3

    async def test_a_change_touches_only_what_changed(self, venue: TinyVenue) -> None:
        async with Running(venue, "abcd", topics_per_connection=4) as running:
            await until(lambda: running.recorder.up() == symbols("abcd"))
            sockets = set(venue.sockets)
            running.feed.apply(frozenset(i for i in running.feed.wanted if i.native_id != "a"))
            assert running.recorder.states[-1] == ("down", ("A/USDT",), "no longer collected")
            await until(lambda: "q:a" not in venue.topics)
            assert venue.asked("unsub") == [["q:a", "t:a"]]
            assert set(venue.sockets) == sockets
            await until(lambda: running.recorder.up() == symbols("bcd"))
        assert venue.connects == 2

    async def test_a_new_symbol_takes_a_free_place_and_an_empty_connection_goes(
        self, venue: TinyVenue
    ) -> None:
        async with Running(venue, "abc", topics_per_connection=4) as running:
            await until(lambda: running.recorder.up() == symbols("abc"))
            c = frozenset(i for i in running.feed.wanted if i.native_id == "c")
            running.feed.apply(running.feed.wanted - c)
            await until(lambda: len(venue.sockets) == 1)
            ab = running.feed.wanted
            running.feed.apply(frozenset(i for i in ab if i.native_id == "a") | c)
            await until(lambda: running.recorder.up() == symbols("ac"))
            await until(lambda: venue.topics == {"q:a", "t:a", "q:c", "t:c"})
        assert venue.connects == 2

    async def test_frames_of_a_symbol_no_longer_wanted_are_not_events(self, venue: TinyVenue) -> None:
        async with Running(venue, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            running.feed.apply(frozenset(i for i in running.feed.wanted if i.native_id == "b"))
            await venue.send({"q": "a", "bid": 1.0})
            await venue.quote("b", 2.0)
            await until(lambda: running.recorder.quotes)
            assert [quote.symbol for quote in running.recorder.quotes] == ["B/USDT"]
