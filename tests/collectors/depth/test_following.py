"""Depth over real sockets: what is followed, what is asked for, and what is known after trouble."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from collectors.books import LiveBooks, snapshots
from collectors.books import market as market_books
from collectors.exchanges.sheet import Depth
from collectors.feed import Feed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from engine.books.book import Book
from markets.events import Event
from tests.support.exchanges.exchange_rest import Reply
from tests.support.exchanges.tiny_books import (
    ASKED,
    PUSHED,
    Applied,
    BookCodec,
    BookExchange,
    Sides,
    book_codec,
    held,
)
from tests.support.exchanges.tiny_exchange import TIMING, Recorder, instruments, symbol, symbols, until


class Desk:
    """A feed of the exchange with books of some of its instruments, and a sink that applies what it gets."""

    def __init__(self, exchange: BookExchange, depth: Depth, timing: Timing) -> None:
        self.exchange = exchange
        self.live, self.applied, self.recorder = LiveBooks(), Applied(), Recorder()
        codec = book_codec(PUSHED if exchange.pushes else ASKED, depth=depth)
        self.feed = Feed(codec, exchange.config, self._take, timing, Turns(), self.live)

    def _take(self, events: Sequence[Event]) -> None:
        self.recorder(events)
        self.applied(events)

    def book(self, native_id: str) -> Book:
        book = self.live.get("tiny", symbol(native_id))
        assert book is not None
        return book

    def equal(self, native_ids: str) -> bool:
        """Whether these books, and those of the sink, are the exchange's now."""
        return all(
            self.live.get("tiny", symbol(each)) is not None
            and not self.book(each).resyncing
            and held(self.book(each)) == self.true(each) == self.applied.books.get(symbol(each))
            for each in native_ids
        )

    def follows(self, native_ids: str) -> bool:
        """Whether these books are subscribed, no others, and equal the exchange's."""
        topics = {topic for topic in self.exchange.topics if topic.startswith("d:")}
        return topics == {f"d:{each}" for each in native_ids} and self.equal(native_ids)

    def true(self, native_id: str) -> Sides:
        return self.exchange.books[native_id].bids, self.exchange.books[native_id].asks

    def depth_asked(self, op: str) -> list[str]:
        return sorted(t for topics in self.exchange.asked(op) for t in topics if t.startswith("d:"))

    def quotes_asked(self) -> int:
        return sum(1 for op in ("sub", "unsub") for topics in self.exchange.asked(op) if "q:" in str(topics))


@asynccontextmanager
async def desk(
    followed: Iterable[str],
    *,
    pushes: bool = False,
    depth: Depth = BookCodec.sheet.depth,
    timing: Timing = TIMING,
) -> AsyncIterator[Desk]:
    async with BookExchange(pushes=pushes) as exchange:
        running = Desk(exchange, depth, timing)
        running.feed.apply(instruments(*"abc"))
        running.feed.follow_books(instruments(*followed))
        task = asyncio.create_task(running.feed.run())
        try:
            yield running
        finally:
            running.feed.stop("test over")
            async with asyncio.timeout(5):
                await task


both_ways = pytest.mark.parametrize("pushes", [False, True], ids=["asked for", "pushed"])


@both_ways
class TestTrouble:
    async def test_a_book_is_the_exchanges(self, pushes: bool) -> None:
        async with desk("ab", pushes=pushes) as running:
            await until(lambda: running.equal("ab"))
            await running.exchange.change("a", 20)
            await until(lambda: running.equal("ab"))
            assert running.live.get("tiny", symbol("c")) is None

    async def test_no_level_survives_a_reconnect(self, pushes: bool) -> None:
        async with desk("a", pushes=pushes) as running:
            await until(lambda: running.equal("a"))
            epoch = running.book("a").epoch
            await running.exchange.drop()
            for _ in range(20):
                running.exchange.books["a"].change()  # while nobody listens
            await until(lambda: running.book("a").epoch > epoch and running.equal("a"))
            assert running.book("a").counts["connection"] == 1
            await running.exchange.change("a", 5)
            await until(lambda: running.equal("a"))

    async def test_after_a_gap_it_is_equal_again(self, pushes: bool) -> None:
        async with desk("ab", pushes=pushes) as running:
            await until(lambda: running.equal("ab"))
            running.exchange.books["a"].change()  # lost on the way
            await running.exchange.change("a")
            await until(lambda: running.book("a").counts["gap"] == 1 and running.equal("ab"))
            assert running.book("b").counts["gap"] == 0
            assert running.exchange.connects == 2  # of quotes and of books: neither was lost
            await running.exchange.change("a", 5)
            await until(lambda: running.equal("a"))

    async def test_a_crossed_book_is_thrown_away(self, pushes: bool) -> None:
        async with desk("a", pushes=pushes) as running:
            await until(lambda: running.equal("a"))
            change = running.exchange.books["a"].change()
            await running.exchange.push("a", change | {"bids": [[200.0, 1.0]]})
            await until(lambda: running.book("a").counts["crossed"] == 1 and running.equal("a"))

    async def test_silence_that_is_not_its_rhythm_ends_it(self, pushes: bool) -> None:
        async with desk("ab", pushes=pushes) as running:
            await until(lambda: running.equal("ab"))
            later_ns = time.monotonic_ns() + 11 * 10**9
            running.feed._exchange.books.check(later_ns)
            assert running.applied.books == dict.fromkeys(symbols("ab"))  # unknown
            await until(lambda: running.equal("ab"))
            assert running.book("a").counts["silent"] == 1

    async def test_quotes_go_on_whatever_happens_to_books(self, pushes: bool) -> None:
        async with desk("a", pushes=pushes) as running:
            await until(lambda: running.equal("a") and running.recorder.up() == symbols("abc"))
            (books,) = [socket for socket, topics in running.exchange.sockets.items() if "d:a" in topics]
            books.transport.abort()
            await until(lambda: running.book("a").counts["connection"] == 1 and running.equal("a"))
            assert running.recorder.up() == symbols("abc")
            assert [state for state, _, _ in running.recorder.states] == ["up"] * len(running.recorder.states)

    async def test_a_subscription_that_the_exchange_ends_ends_the_book(self, pushes: bool) -> None:
        async with desk("ab", pushes=pushes, timing=replace(TIMING, refused_first_s=0.1)) as running:
            await until(lambda: running.equal("ab"))
            running.exchange.refused.add("d:a")
            for topics in running.exchange.sockets.values():
                topics.discard("d:a")
            await running.exchange.send({"gone": ["d:a"], "why": "no longer listed"})
            await until(lambda: running.applied.books[symbol("a")] is None)
            running.feed._exchange.books.check(time.monotonic_ns())
            status = running.feed.books_status()
            assert (status["known"], status["snapshots_waiting"]) == (1, 0)
            assert [each["symbol"] for each in status["unknown"]] == [symbol("a")]
            running.exchange.refused.clear()
            await until(lambda: running.equal("ab"))


class TestBreakers:
    async def test_books_that_are_cut_off_again_and_again_keep_no_quote_waiting(self) -> None:
        strict = replace(TIMING, breaker_failures=2, breaker_cool_down_s=60.0)
        async with desk("a", timing=strict) as running:
            await until(lambda: running.equal("a") and running.recorder.up() == symbols("abc"))
            for _ in range(2):
                await until(lambda: "d:a" in running.exchange.topics)
                (books,) = [socket for socket, topics in running.exchange.sockets.items() if "d:a" in topics]
                books.transport.abort()
                await until(lambda books=books: books not in running.exchange.sockets)  # type: ignore[misc]
            await until(lambda: running.feed._exchange.books_breaker.waiting)
            assert running.recorder.up() == symbols("abc")
            assert running.feed.status()["state"] == "live"
            await running.exchange.drop()
            await until(lambda: running.feed.status()["counts"].get("connects") == 2)
            assert running.feed.status()["state"] == "live"
            assert running.feed.books_status()["known"] == 0

    async def test_how_long_to_stay_away_holds_for_quotes_too(self) -> None:
        async with desk("") as running:
            await until(lambda: running.recorder.up() == symbols("abc"))
            running.exchange.turn_away = [(429, {"Retry-After": "30"})]
            running.feed.follow_books(instruments("a"))
            await until(lambda: running.feed._exchange.books_breaker.waiting)
            assert running.feed.status()["next_try_s"] == pytest.approx(30, abs=10)


@both_ways
class TestEdits:
    async def test_only_what_changed_is_subscribed(self, pushes: bool) -> None:
        async with desk("a", pushes=pushes) as running:
            await until(lambda: running.equal("a"))
            quotes = running.quotes_asked()
            for wanted in ("ab", "abc", "bc", "b", "ab"):
                running.feed.follow_books(instruments(*wanted))
                await until(partial(running.follows, wanted))
                assert {key[1] for key, _ in running.live} == symbols(wanted)
            assert running.depth_asked("sub") == ["d:a", "d:a", "d:b", "d:c"]
            assert running.depth_asked("unsub") == ["d:a", "d:c"]
            assert running.quotes_asked() == quotes

    async def test_a_book_that_is_not_followed_any_more_is_unknown_to_sinks(self, pushes: bool) -> None:
        async with desk("ab", pushes=pushes) as running:
            await until(lambda: running.equal("ab"))
            running.feed.follow_books(instruments("b"))
            assert running.applied.books[symbol("a")] is None
            running.feed.stop("collector stopped")
            assert running.applied.books == dict.fromkeys(symbols("ab"))

    async def test_an_instrument_that_is_collected_no_more_has_no_book(self, pushes: bool) -> None:
        async with desk("ab", pushes=pushes) as running:
            await until(lambda: running.equal("ab"))
            running.feed.apply(instruments("b", "c"))
            assert running.live.get("tiny", symbol("a")) is None
            await until(lambda: "d:a" not in running.exchange.topics)
            assert running.equal("b")


class TestRequests:
    async def test_an_exchange_that_says_when_is_left_alone_until_then(self) -> None:
        async with desk("") as running:
            running.exchange.refusals = [Reply("slow down", 429, {"Retry-After": "1"})]
            running.feed.follow_books(instruments(*"abc"))
            await until(lambda: running.equal("abc"))
            (first, _), (second, _), *_ = running.exchange.requests
            assert second - first >= 1.0
            status = running.feed.status()["books"]
            assert status["counts"]["snapshots_failed"] == 1
            assert status["snapshots_failing"] == {}

    async def test_what_fails_is_said_until_it_works(self) -> None:
        async with desk("") as running:
            running.exchange.refusals = [Reply("no", 503) for _ in range(40)]
            running.feed.follow_books(instruments("a"))
            await until(lambda: running.feed.status()["books"]["snapshots_failing"].get("times", 0) >= 2)
            failing = running.feed.status()["books"]["snapshots_failing"]
            assert "503" in failing["reason"]
            assert running.feed.status()["books"]["known"] == 0
            running.exchange.refusals = []
            await until(lambda: running.equal("a"))
            assert running.feed.status()["books"]["snapshots_failing"] == {}

    async def test_one_is_asked_for_once_over_reconnects(self) -> None:
        async with desk("") as running:
            running.exchange.refusals = [Reply("slow down", 429, {"Retry-After": "1"})]
            running.feed.follow_books(instruments("a"))
            await until(lambda: running.exchange.requests)
            for _ in range(3):
                await until(lambda: "d:a" in running.exchange.topics)
                await running.exchange.drop()
                await until(lambda: "d:a" not in running.exchange.topics)
            await until(lambda: running.equal("a"))
            assert len(running.exchange.requests) == 2

    async def test_an_answer_from_before_the_first_change_is_asked_for_again(self) -> None:
        async with desk("") as running:
            true = running.exchange.books["a"]
            old = true.whole()
            answers = [old]
            running.exchange.answer = lambda native_id: answers.pop() if answers else true.whole()
            true.change()
            running.exchange.refusals = [Reply("wait", 503)]
            running.feed.follow_books(instruments("a"))
            await until(lambda: "d:a" in running.exchange.topics)
            await running.exchange.change("a", 3)
            await until(lambda: running.equal("a"))
            assert not answers

    async def test_an_answer_without_a_connection_makes_no_book(self) -> None:
        come = threading.Event()
        async with desk("", timing=replace(TIMING, open_s=10.0)) as running:
            true = running.exchange.books["a"]
            running.exchange.answer = lambda _native_id: true.whole() if come.wait(10) else {}
            running.feed.follow_books(instruments("a"))
            await until(lambda: running.exchange.requests)
            running.exchange.closed_for_all = True
            await running.exchange.drop()
            await until(lambda: running.feed.books_status()["connections"] == 0)
            come.set()
            await until(lambda: running.feed.books_status()["counts"].get("snapshots") == 1)
            assert running.feed.books_status()["known"] == 0
            assert running.applied.books == {}
            running.exchange.closed_for_all = False
            await until(lambda: running.equal("a"))

    async def test_levels_that_are_used_up_are_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(snapshots, "AGAIN_FIRST_S", 0.02)
        patient = replace(TIMING, backoff_ceiling_s=60.0, healthy_s=3600.0)
        async with desk("", depth=BookCodec.sheet.depth._replace(levels=60), timing=patient) as running:
            true = running.exchange.books["a"]
            true.bids, true.asks = ({start + n: 1.0 for n in range(60)} for start in (500.0, 1000.0))
            true.set({}, {})
            running.feed.follow_books(instruments("a"))
            for times in range(12):  # with pauses that grow it would be at 20 s
                await until(lambda: running.feed.books_status()["known"] == 1)
                best = sorted(true.bids)[-20:]
                gone = true.set(dict.fromkeys(best, 0.0), {})
                for price in range(20):
                    true.set({400.0 - 20 * times - price: 1.0}, {})
                await running.exchange.push("a", gone)
                await until(lambda times=times: running.book("a").counts["shallow"] == times + 1)  # type: ignore[misc]

    async def test_a_book_that_is_never_there_does_not_keep_the_others_waiting(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(snapshots, "AGAIN_FIRST_S", 0.001)
        async with desk("", timing=replace(TIMING, backoff_first_s=0.05, backoff_ceiling_s=60.0)) as running:
            exchange, books = running.exchange, running.feed._exchange.books
            exchange.answer = lambda native_id: exchange.books["a"].whole() if native_id == "a" else {}
            running.feed.follow_books(instruments(*"ab"))
            for times in range(1, 12):  # with pauses that grow it would be at 25 s
                await until(lambda: running.equal("a"))
                books.check(time.monotonic_ns())
                await until(lambda times=times: books.snapshots.counts["snapshots_failed"] >= times)  # type: ignore[misc]
                exchange.books["a"].change()  # lost on the way
                await exchange.change("a")
                await until(lambda times=times: running.book("a").counts["gap"] >= times)  # type: ignore[misc]

    async def test_they_are_spread_over_time(self) -> None:
        async with desk("abc", depth=BookCodec.sheet.depth._replace(snapshots_per_second=4.0)) as running:
            await until(lambda: running.equal("abc"))
            times = [at for at, _native_id in running.exchange.requests]
            assert times[-1] - times[0] >= 0.25  # two pauses of it


class TestLimits:
    async def test_a_connection_carries_no_more_books_than_the_exchange_allows(self) -> None:
        depth = BookCodec.sheet.depth._replace(per_connection=2)
        async with desk("abc", depth=depth) as running:
            await until(lambda: running.equal("abc"))
            books = [len(topics) for topics in running.exchange.sockets.values() if "q:a" not in topics]
            assert sorted(books) == [1, 2]

    async def test_renewals_are_bounded_per_minute(self) -> None:
        async with desk("abc", pushes=True) as running:
            books = running.feed._exchange.books
            await until(lambda: running.equal("abc"))
            books._renewed.extend([time.monotonic()] * market_books.RENEWALS_PER_MINUTE)
            running.exchange.books["a"].change()
            await running.exchange.change("a")
            await until(lambda: books.counts["renewals_held_back"] > 0)
            assert books.counts["renewals"] == 0
            assert running.depth_asked("unsub") == []
