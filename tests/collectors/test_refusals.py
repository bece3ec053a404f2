"""A no of an exchange has an age and a next try: it is asked again, and nothing refused is ever live."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Control
from collectors.exchanges.sheet import Topic
from collectors.sockets.refusals import ASKED_AT_ONCE, Refusals, is_busy
from collectors.sockets.timing import Timing
from simulator.server import Simulator
from tests.collectors.test_connection_dialects import collecting
from tests.support.exchanges.codec_frames import SPOTS
from tests.support.exchanges.tiny_exchange import TIMING, Running, TinyExchange, symbols, until

PASSING = replace(TIMING, refused_first_s=0.1, refused_ceiling_s=0.8)


@pytest.fixture
async def exchange() -> AsyncIterator[TinyExchange]:
    async with TinyExchange() as exchange:
        yield exchange


def has_received(exchange: TinyExchange, count: int) -> bool:
    return len(exchange.received) >= count


def topic(native_id: str, channel: str = "quote") -> Topic:
    return Topic("quote" if channel == "quote" else "trade", native_id, f"{channel[0]}:{native_id}")


class TestPassing:
    @pytest.mark.parametrize("why", ["request too many", "Blocked!", "", "unknown pair", "\x00" * 3])
    async def test_what_is_refused_once_is_taken_a_little_later(
        self, exchange: TinyExchange, why: str
    ) -> None:
        exchange.passing["q:a"], exchange.why = 1, why
        async with Running(exchange, "a", PASSING) as running:
            await until(lambda: running.feed.status()["state"] == "refused")
            assert running.recorder.up() == set()
            await until(lambda: running.recorder.up() == symbols("a"))
            assert running.feed.status()["state"] == "live"
            assert running.feed.status()["refusals"] == []
            await exchange.quote("a", 5.0)
            await until(lambda: running.recorder.quotes)
        assert exchange.connects == 1

    async def test_a_whole_request_refused_for_being_too_many_is_not_asked_for_in_pieces(
        self, exchange: TinyExchange
    ) -> None:
        exchange.refused, exchange.why = {"q:a"}, "request too many"
        patient = replace(PASSING, refused_first_s=2.0, refused_ceiling_s=4.0)
        async with Running(exchange, "abcd", patient) as running:
            await until(lambda: running.feed.status()["refused"] == 8)
            assert len(exchange.asked("sub")) == 1
            exchange.refused = set()
            await until(lambda: running.recorder.up() == symbols("abcd"))
        assert len(exchange.asked("sub")) == 2

    async def test_pauses_grow_up_to_the_ceiling_and_healthy_topics_stay(
        self, exchange: TinyExchange
    ) -> None:
        exchange.refused = {"q:b"}
        async with Running(exchange, "abc", PASSING) as running:
            await until(lambda: running.recorder.up() == symbols("ac"))
            first = len(exchange.received)
            await until(partial(has_received, exchange, first + 8))
            gaps = [after - before for before, after in pairwise(exchange.received_at[first : first + 8])]
            # Asked late one gap is long and the next one short: of several, the sums count.
            assert sum(gaps[-3:]) >= 0.9  # three times 0.4 to 0.8 s: without growth 0.6 at most
            assert exchange.asked("sub")[-1] == ["q:b"]
            await exchange.quote("a", 1.0)
            await until(lambda: running.recorder.quotes)
            assert [state for state, names, _ in running.recorder.states if "A/USDT" in names] == ["up"]
        assert exchange.connects == 1

    async def test_a_subscription_that_is_never_answered_is_asked_for_again(
        self, exchange: TinyExchange
    ) -> None:
        exchange.ignored = {"q:b"}
        async with Running(exchange, "ab", PASSING) as running:
            await until(lambda: running.feed.status()["refused"] == 1)
            exchange.ignored = set()
            await until(lambda: running.recorder.up() == symbols("ab"))

    async def test_a_refusal_waits_for_its_time_over_a_reconnect_too(self, exchange: TinyExchange) -> None:
        exchange.refused = {"q:b"}
        slow = replace(PASSING, refused_first_s=30.0, refused_ceiling_s=60.0)
        async with Running(exchange, "ab", slow) as running:
            await until(lambda: running.feed.status()["refused"] == 1)
            asked = len(exchange.asked("sub"))
            await exchange.drop()
            await until(lambda: exchange.connects == 2 and running.recorder.up() == symbols("a"))
            assert exchange.asked("sub")[asked:] == [["q:a", "t:a", "t:b"]]

    async def test_its_listeners_receive_it_once_however_often_it_is_repeated(
        self, exchange: TinyExchange
    ) -> None:
        exchange.passing["q:a"] = 4
        async with Running(exchange, "a", PASSING) as running:
            await until(lambda: running.recorder.up() == symbols("a"))
            assert running.recorder.states == [
                ("down", ("A/USDT",), "refused: unknown pair"), ("up", ("A/USDT",), ""),
            ]  # fmt: skip


class TestEndedByTheExchange:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ({"gone": ["q:a"], "why": "delisted"}, "delisted"),
            ({"gone": ["q:a"]}, "the exchange has ended the subscription"),
            ({"error": None, "topics": ["q:a"], "why": "offline"}, "offline"),
        ],
    )
    async def test_a_topic_it_ends_is_down_and_asked_for_again(
        self, exchange: TinyExchange, said: dict[str, object], reason: str
    ) -> None:
        async with Running(exchange, "ab", PASSING) as running:
            await until(lambda: running.recorder.up() == symbols("ab"))
            await exchange.send(said)
            await until(lambda: running.recorder.up() == symbols("b"))
            assert running.recorder.states[-1] == ("down", ("A/USDT",), f"refused: {reason}")
            await until(lambda: running.recorder.up() == symbols("ab"))
            assert exchange.asked("sub")[-1] == ["q:a"]
        assert exchange.connects == 1

    async def test_an_end_of_something_else_changes_nothing(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a", PASSING) as running:
            await until(running.recorder.up)
            await exchange.send({"gone": ["q:z"]})
            await exchange.send({"error": None, "topics": ["q:z"], "why": "no"})
            await exchange.send({"error": "99", "why": "no such request"})
            await exchange.send({"ack": 99, "topics": ["q:z"]})
            await exchange.quote("a", 1.0)
            await until(lambda: running.recorder.quotes)
            assert running.recorder.up() == symbols("a")
            assert running.feed.status()["topics"] == 2

    async def test_what_comes_and_goes_is_not_asked_for_ever_faster(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a", PASSING) as running:
            for times in range(1, 5):
                await until(running.recorder.up)
                await exchange.send({"gone": ["q:a"]})
                await until(lambda: not running.recorder.up())
                (refusal,) = running.feed.status()["refusals"]
                assert refusal["times"] == times


class TestWhatAnOperatorSees:
    async def test_each_refusal_has_symbol_reason_age_count_and_next_try(
        self, exchange: TinyExchange
    ) -> None:
        exchange.refused = {"q:b"}
        before_us = time.time_ns() // 1000
        async with Running(exchange, "ab", PASSING) as running:
            await until(lambda: [each["times"] for each in running.feed.status()["refusals"]] == [3])
            (refusal,) = running.feed.status()["refusals"]
        assert refusal["symbol"] == "B/USDT"
        assert (refusal["channel"], refusal["reason"]) == ("quote", "unknown pair")
        assert before_us <= refusal["since_us"] <= time.time_ns() // 1000
        assert 0.0 <= refusal["next_try_s"] <= PASSING.refused_ceiling_s

    async def test_a_line_without_any_topic_is_refused_and_says_why(self, exchange: TinyExchange) -> None:
        exchange.refused = {"q:a", "t:a"}
        async with Running(exchange, "a", PASSING) as running:
            await until(lambda: running.feed.status()["state"] == "refused")
            report = running.feed.report()
            assert (report.state, report.reason, report.topics) == ("refused", "unknown pair", 0)
            assert [(each.state, each.reason) for each in running.feed.states()] == [
                ("down", "refused: unknown pair")
            ]

    async def test_other_lines_of_the_exchange_are_live(self, exchange: TinyExchange) -> None:
        exchange.refused = {"q:a", "t:a"}
        async with Running(exchange, "ab", PASSING, topics_per_connection=2) as running:
            await until(lambda: running.recorder.up() == symbols("b"))
            await until(lambda: running.feed.status()["state"] == "live")
            assert [each["symbol"] for each in running.feed.status()["refusals"]] == ["A/USDT", "A/USDT"]

    async def test_what_is_no_longer_wanted_is_forgotten(self, exchange: TinyExchange) -> None:
        exchange.refused = {"q:b"}
        async with Running(exchange, "ab", PASSING) as running:
            await until(lambda: running.feed.status()["refused"] == 1)
            running.feed.apply(frozenset(i for i in running.feed.wanted if i.native_id == "a"))
            await until(lambda: running.feed.status()["refused"] == 0)
            asked = len(exchange.asked("sub"))
            await asyncio.sleep(PASSING.refused_ceiling_s * 1.5)
            assert len(exchange.asked("sub")) == asked


class TestMemory:
    def test_no_more_than_some_are_asked_for_at_once_and_those_near_go_along(self) -> None:
        refusals = Refusals(Timing(refused_first_s=1.0))
        for number in range(3 * ASKED_AT_ONCE):
            refusals.note(topic(f"c{number}"), "no")
        assert refusals.due() == []
        refusals.ask_now()
        assert len(refusals.due()) == ASKED_AT_ONCE
        assert refusals.wait_s() == 0.0

    def test_only_the_first_no_and_another_reason_are_news(self) -> None:
        refusals = Refusals(Timing())
        said = ("no", "no", "busy", "busy", "x" * 999, "x" * 999)
        news = [refusals.note(topic("a"), why) for why in said]
        assert news == [True, False, True, False, True, False]

    def test_a_no_after_a_healthy_time_starts_over(self) -> None:
        refusals = Refusals(Timing(healthy_s=0.0))
        for _ in range(5):
            refusals.note(topic("a"), "no")
        refusals.taken([topic("a")])
        assert (len(refusals), refusals.wait_s(), refusals.status()) == (0, None, [])
        refusals.note(topic("a"), "no")
        assert refusals.status()[0]["times"] == 1

    @pytest.mark.parametrize(
        ("reason", "busy"),
        [
            ("request too many", True),
            ("Too many requests", True),
            ("Too Many Visits", True),
            ("Requests too frequent", True),
            ("Rate limit exceeded", True),
            ("The system is busy, please try again later", True),
            ("Invalid request: too many subscriptions", False),
            ("Not Subscribed successfully! [x].  Reason： Blocked!", False),
            ("unknown currency pair: NOPE_USDT", False),
            ("no answer within 10 s", False),
        ],
    )
    def test_words_for_too_often_are_known(self, reason: str, busy: bool) -> None:
        assert is_busy(reason) is busy


@pytest.mark.parametrize(
    ("key", "frame", "control"),
    [
        (
            "okx",
            '{"event":"unsubscribe","arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"connId":"c"}',
            Control("unsubscribed", topics=("bbo-tbt:BTC-USDT",)),
        ),
        (
            "bitget",
            '{"event":"unsubscribe","arg":{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"}}',
            Control("unsubscribed", topics=("books1:BTCUSDT",)),
        ),
        (
            "gate",
            '{"time":1,"channel":"spot.book_ticker","event":"unsubscribe","payload":["BTC_USDT",7],'
            '"result":{"status":"success"}}',
            Control("unsubscribed", topics=("spot.book_ticker:BTC_USDT",)),
        ),
    ],
)
def test_an_end_is_distinguished_from_an_ack(key: str, frame: str, control: Control) -> None:
    assert list(CODECS[key]({}).decode(frame)) == [control]


@pytest.mark.parametrize("key", [key for key in SPOTS if key != "kucoin"])  # which acks what it does not know
async def test_a_symbol_that_is_delisted_for_a_while_comes_back_by_itself(key: str) -> None:
    async with Simulator(exchanges=(key,), rate=50.0) as simulator:
        delisted = simulator.inject(f"{key}/BTC/USDT:delist")
        async with collecting(key, simulator, {"BTC/USDT", "ETH/USDT"}, CODECS[key]) as (feed, recorder):
            await until(lambda: recorder.up() == {"ETH/USDT"} and feed.status()["refused"] == 2)
            simulator.heal(delisted)
            await until(lambda: recorder.up() == {"BTC/USDT", "ETH/USDT"}, seconds=10)
            await until(lambda: {quote.symbol for quote in recorder.quotes} == {"BTC/USDT", "ETH/USDT"})
        assert simulator.counts(key)["opened"] == 1
