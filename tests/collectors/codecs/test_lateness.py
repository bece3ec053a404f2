"""Late books under a living stream: what is later than usual does not speak for the present."""

import random

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.lateness import ALLOWED_US, WINDOW_NS, Lateness
from collectors.exchanges.order import RESYNC_AFTER, Order
from core.clock.clocks import Standstill
from markets.events import Quote, StreamState
from tests.support.exchanges.broken_books import has, quote_with
from tests.support.exchanges.swap_frames import made

SECOND = 10**9
START_MS = 1_700_000_000_000
TIMED = [name for name in CODECS if has(name, "time")]
COINS = [f"COIN{n}/USDT" for n in range(20)]


class Stream:
    """One exchange's quotes of BTC, each `late_s` late, on a clock that is `ahead_s` of ours."""

    def __init__(self, exchange: str, ahead_s: float = 0.0) -> None:
        self.exchange = exchange
        self.ahead_s = ahead_s
        self.codec: Codec = made(exchange)
        self.codec.order = Order()
        self.now_s = 1000.0  # our monotonic clock
        self.id = 5

    def say(self, late_s: float = 0.02, again: bool = False) -> list[Quote | StreamState]:
        """One quote; `again` says the same book."""
        if not again:
            self.id += 1
            self.time_ms = START_MS + round((self.now_s - late_s + self.ahead_s) * 1000)
        self.now_s += 0.1
        now_ns = round(self.now_s * 1e9)
        if now_ns >= self.codec.lateness.due_ns:
            self.codec.lateness.reckon(now_ns)
        frame = quote_with(self.exchange, time=self.time_ms, id=self.id)
        events = list(self.codec.decode(frame, 1, now_ns))
        for event in events:
            if isinstance(event, Quote) and event.exchange_ts_us is not None:
                self.codec.lateness.see(event.symbol, now_ns // 1000 - event.exchange_ts_us)
        return events  # type: ignore[return-value]


@pytest.mark.parametrize("exchange", TIMED)
@pytest.mark.parametrize("ahead_s", [0, -300, 300])
def test_a_book_that_is_minutes_late_is_no_quote_whatever_the_clocks(exchange: str, ahead_s: float) -> None:
    stream = Stream(exchange, ahead_s)
    for _ in range(50):
        (quote,) = stream.say()
        assert isinstance(quote, Quote), "a constant offset is no lateness"

    first = [
        event for _ in range(1 if has(exchange, "id") else RESYNC_AFTER) for event in stream.say(late_s=1320)
    ]

    (gap,) = first
    assert isinstance(gap, StreamState)
    assert gap.reason == "its book is 1320 s late"
    assert not any(stream.say(late_s=1320) for _ in range(300)), "said once"
    refused = stream.codec.counts
    assert set(refused) <= {"frozen", "out_of_order"}, "older by its time, where there is no id to say so"
    assert refused["frozen"] >= 301
    (quote,) = stream.say()
    assert isinstance(quote, Quote)


@pytest.mark.parametrize("exchange", TIMED)
def test_a_jam_within_what_is_tolerated_costs_nothing(exchange: str) -> None:
    stream = Stream(exchange)
    late = [0.02] * 20 + [n * 0.09 for n in range(54)]
    assert all(isinstance(stream.say(late_s)[0], Quote) for late_s in late)


@pytest.mark.parametrize("exchange", TIMED)
@pytest.mark.parametrize("ahead_s", [0, -300, 300])
@pytest.mark.parametrize("late_s", [0.5, 2, 4.5])
def test_a_late_book_is_as_old_as_it_is_late_whatever_the_clocks(
    exchange: str, ahead_s: float, late_s: float
) -> None:
    stream = Stream(exchange, ahead_s)
    quotes = [stream.say()[0] for _ in range(50)]
    assert {quote.late_us for quote in quotes if isinstance(quote, Quote)} == {0}
    for step in range(1, 51):  # time does not run back: the jam builds up
        (quote,) = stream.say(0.02 + late_s * step / 50)
    assert isinstance(quote, Quote)
    assert quote.late_us == pytest.approx(late_s * 1e6, abs=2000)
    assert quote.received_mono_ns - quote.as_of_ns == quote.late_us * 1000
    (quote,) = stream.say()
    assert isinstance(quote, Quote)
    assert quote.late_us == 0


@pytest.mark.parametrize("exchange", TIMED)
def test_delays_that_vary_a_little_make_no_quote_older(exchange: str) -> None:
    stream = Stream(exchange)
    quotes = [stream.say(0.02 + n % 20 * 0.01)[0] for n in range(200)]
    assert {quote.late_us for quote in quotes if isinstance(quote, Quote)} == {0}


@pytest.mark.parametrize("exchange", TIMED)
def test_the_first_book_of_a_connection_may_be_from_any_time(exchange: str) -> None:
    stream = Stream(exchange)
    for _ in range(20):
        stream.say()
    stream.codec.order = Order()  # another connection; nothing has changed in the book for an hour
    (quote,) = stream.say(late_s=3600)
    assert isinstance(quote, Quote)


def test_bybit_says_a_quiet_book_again_and_that_is_no_lateness() -> None:
    stream = Stream("bybit")
    assert all(isinstance(stream.say(again=n % 100 != 0)[0], Quote) for n in range(1000))


def test_a_late_book_that_is_said_again_is_not_believed_for_that() -> None:
    stream = Stream("bybit")
    for _ in range(20):
        stream.say()
    stream.say(late_s=1320)
    assert not stream.say(again=True)


class Desk:
    """Delays of many coins of one exchange over time."""

    def __init__(self) -> None:
        self.lateness = Lateness()
        self.now_ns = 10**12
        self.random = random.Random(7)

    def run(self, seconds: float, delays_s: dict[str, float]) -> None:
        """So long, every coin of these once a second with its delay and some jitter."""
        for _ in range(round(seconds)):
            self.now_ns += 10**9
            for symbol, delay_s in delays_s.items():
                jitter_us = self.random.randrange(50_000)
                self.lateness.see(symbol, round(delay_s * 1e6) + jitter_us, self.now_ns)
            self.lateness.reckon(self.now_ns)

    @property
    def usual_s(self) -> float:
        return (self.lateness.late_us - ALLOWED_US) / 1e6


ALL = dict.fromkeys(COINS, 0.02)


def test_one_frozen_coin_among_many_is_not_the_usual_for_ever() -> None:
    desk = Desk()
    desk.run(10, ALL)
    desk.run(600, ALL | {COINS[3]: 1320})
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_books_that_stand_still_beside_trades_that_do_not_stay_late() -> None:
    desk = Desk()
    desk.run(10, ALL)
    for _ in range(60):  # see() is of both kinds
        desk.run(5, dict.fromkeys(COINS, 1320.0))
        desk.run(5, dict.fromkeys(COINS[:4], 0.02))
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_a_clock_that_jumps_back_is_believed_when_all_agree_for_two_minutes() -> None:
    desk = Desk()
    desk.run(90, ALL)
    desk.run(30, dict.fromkeys(COINS, 60.0))
    assert desk.usual_s < 1
    desk.run(2 * WINDOW_NS / 1e9, dict.fromkeys(COINS, 60.0))
    assert desk.usual_s == pytest.approx(60, abs=0.1)


def test_a_clock_that_jumps_ahead_is_believed_at_once() -> None:
    desk = Desk()
    desk.run(10, ALL)
    desk.run(1, dict.fromkeys(COINS, -300.0))
    assert desk.usual_s == pytest.approx(-300, abs=0.1)


def test_one_nonsense_time_makes_nothing_late() -> None:
    desk = Desk()
    desk.run(10, ALL)
    desk.run(1, {COINS[0]: -86_400.0})
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_while_nothing_comes_the_usual_stays() -> None:
    desk = Desk()
    desk.run(90, ALL)
    desk.run(600, {})
    desk.run(2, {COINS[0]: 1320})
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_a_few_nonsense_times_of_a_desk_with_one_coin_make_nothing_late() -> None:
    desk = Desk()
    one = {COINS[0]: 0.02}
    desk.run(10, one)
    for _ in range(10):
        desk.run(1, {COINS[0]: -86_400.0})
        desk.run(5, one)
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_a_nonsense_time_at_the_very_start_makes_nothing_late() -> None:
    desk = Desk()
    desk.run(1, {COINS[0]: -86_400.0})
    desk.run(5, {COINS[0]: 0.02})
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def trade_s(desk: Desk, seconds: int, delays_s: dict[str, float]) -> None:
    """So long, a trade of every coin of these once a second, with quotes between."""
    for _ in range(seconds):
        for symbol, delay_s in delays_s.items():
            desk.lateness.see(symbol, round(delay_s * 1e6), desk.now_ns, traded=True)
        desk.run(1, delays_s)


@pytest.mark.parametrize("back_s", [3, 60, 3600, 86_400])
def test_a_clock_that_is_set_back_is_believed_after_seconds_where_trades_show_it(back_s: float) -> None:
    desk = Desk()
    trade_s(desk, 10, ALL)
    trade_s(desk, 4, dict.fromkeys(COINS, back_s + 0.02))
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)
    trade_s(desk, 3, dict.fromkeys(COINS, back_s + 0.02))
    assert desk.usual_s == pytest.approx(back_s, abs=0.1)


@pytest.mark.parametrize("jam_s", [3, 6, 60])
def test_a_jam_is_no_clock_though_trades_are_in_it(jam_s: int) -> None:
    desk = Desk()
    trade_s(desk, 10, ALL)
    desk.now_ns += jam_s * 10**9  # nothing comes through for so long, then all of it so late
    trade_s(desk, 20, dict.fromkeys(COINS, jam_s + 0.02))
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_trades_of_the_past_beside_punctual_books_are_no_clock() -> None:
    desk = Desk()
    trade_s(desk, 10, ALL)
    for _ in range(20):
        trade_s(desk, 1, dict.fromkeys(COINS[:6], 60.0))
        desk.run(1, {COINS[9]: 0.02})
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


def test_old_trades_said_again_are_no_clock_their_delays_differ() -> None:
    desk = Desk()
    trade_s(desk, 10, ALL)
    trade_s(desk, 20, {coin: 60.0 + 5 * n for n, coin in enumerate(COINS)})
    assert desk.usual_s == pytest.approx(0.02, abs=0.05)


@pytest.mark.parametrize("exchange", [name for name in TIMED if has(name, "id")])
def test_a_late_book_without_an_id_is_late_too(exchange: str) -> None:
    stream = Stream(exchange)
    for _ in range(20):
        stream.say()
    stream.now_s += 0.1
    time_ms = START_MS + round((stream.now_s - 1320) * 1000)
    frame = quote_with(exchange, time=time_ms, id="abc")
    (gap,) = stream.codec.decode(frame, 1, round(stream.now_s * 1e9))
    assert isinstance(gap, StreamState)


TWO_TIMES = ("bybit", "mexc", "binance:swap", "bybit:swap", "bitget:swap")  # in one frame


@pytest.mark.parametrize("exchange", [name for name in TIMED if name not in TWO_TIMES])
def test_a_book_without_a_time_among_late_ones_is_no_proof_of_the_present(exchange: str) -> None:
    stream = Stream(exchange)

    def say_without_time() -> list[Quote | StreamState]:
        stream.id += 1
        stream.now_s += 0.1
        frame = quote_with(exchange, time=None, id=stream.id)
        return list(stream.codec.decode(frame, 1, round(stream.now_s * 1e9)))  # type: ignore[arg-type]

    for _ in range(20):
        stream.say()
    assert isinstance(say_without_time()[0], Quote), "nothing was late"
    for _ in range(RESYNC_AFTER):
        stream.say(late_s=1320)
    assert say_without_time() == []
    assert isinstance(stream.say()[0], Quote)
    assert isinstance(say_without_time()[0], Quote)
    for _ in range(RESYNC_AFTER):
        stream.say(late_s=1320)
    stream.now_s += 61
    assert isinstance(say_without_time()[0], Quote), "for a minute nothing has said so any more"


@pytest.mark.parametrize("exchange", TIMED)
def test_late_quotes_are_counted(exchange: str) -> None:
    stream = Stream(exchange)
    for _ in range(20):
        stream.say()
    quotes = [stream.say(0.02 + 0.09 * step)[0] for step in range(1, 31)]
    late = [quote for quote in quotes if isinstance(quote, Quote) and quote.late_us]
    assert stream.codec.counts == {"late": len(late)}
    assert len(late) == 28  # beyond 0.25 s


@pytest.mark.parametrize("exchange", TIMED)
def test_what_waited_while_the_collector_stood_still_is_late_by_its_own_doing(exchange: str) -> None:
    stream = Stream(exchange)
    for _ in range(50):
        stream.codec.standstill.tick(round(stream.now_s * 1e9))
        stream.say()

    stream.now_s += 10.0
    (gap,) = [event for left_s in (9.5, 8.0, 6.0) for event in stream.say(late_s=left_s)]
    assert isinstance(gap, StreamState)
    assert gap.reason == "the collector stood still: a book was read 9 s late"
    assert stream.codec.counts["read_late"] == 3
    assert not stream.codec.counts["frozen"]
    assert not stream.codec.rejects, "nothing is refused of the exchange's symbol"
    (quote,) = stream.say()
    assert isinstance(quote, Quote)


@pytest.mark.parametrize("exchange", TIMED)
def test_a_book_that_was_late_before_the_collector_stood_still_is_late_by_the_exchange(exchange: str) -> None:
    stream = Stream(exchange)
    for _ in range(50):
        stream.codec.standstill.tick(round(stream.now_s * 1e9))
        stream.say()
    stream.now_s += 10.0
    gaps = [event for _ in range(RESYNC_AFTER) for event in stream.say(late_s=60)]
    assert [gap.reason for gap in gaps if isinstance(gap, StreamState)] == ["its book is 60 s late"]


def test_late_books_are_the_collectors_for_as_long_again_as_it_stood_still() -> None:
    stood = Standstill()
    assert not stood.explains(100 * SECOND, 9_000_000), "nobody ticked"
    stood = Standstill()
    for second in range(100, 111):
        stood.tick(second * SECOND)
    assert not stood.explains(111 * SECOND, 900_000)
    assert stood.explains(121 * SECOND, 9_000_000), "before the next tick"
    stood.tick(121 * SECOND)
    assert stood.explains(130 * SECOND, 9_000_000), "10 s to catch up"
    assert not stood.explains(122 * SECOND, 13_000_000), "late before"
    for second in range(122, 140):
        stood.tick(second * SECOND)
    assert not stood.explains(132 * SECOND, 20_000_000), "frozen since"
