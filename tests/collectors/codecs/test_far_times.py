"""A time that looks like one and cannot be: null and counted, and never a lateness of decades."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.bingx import inflated
from collectors.exchanges.order import Order
from markets.events import Quote, Trade
from tests.collectors.codecs.test_lateness import TIMED
from tests.support.exchanges.broken_books import has, message, put, quote_with, wire
from tests.support.exchanges.codec_frames import SYMBOLS, TRADES, gzipped, mexc_deals, mexc_quote
from tests.support.exchanges.swap_frames import made

PLAINLY_TIMED = [name for name in TIMED if name not in ("binance:swap", "bybit:swap", "bitget:swap")]
"""Markets whose quotes have one time: of two, the nearer one is taken."""

NOW_MS = 1_780_000_000_000
NOW_US = NOW_MS * 1000
YEAR_MS = 365 * 86_400_000
DECADES = [int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2009, 2014, 2037, 2049)]
YEARS = [NOW_MS - 3 * YEAR_MS, NOW_MS - YEAR_MS, NOW_MS - 40 * 86_400_000, NOW_MS + 2 * YEAR_MS]
TRADE_TIME: dict[str, tuple[Any, ...]] = {
    "binance": ("data", "T"), "bybit": ("data", 0, "T"), "gate": ("result", "create_time_ms"),
    "kucoin": ("data", "time"), "okx": ("data", 0, "ts"), "bitget": ("data", 0, "ts"), "bingx": ("data", "T"),
}  # fmt: skip


class Stream:
    """One exchange's quotes of one connection, 20 ms late unless said otherwise."""

    def __init__(self, exchange: str, *, exact: bool = False) -> None:
        self.exchange = exchange
        self.codec: Codec = made(exchange, exact=exact)
        self.codec.order = Order()
        self.passed_ms = 0
        self.id = 5

    def take(self, frame: bytes | str) -> list[Any]:
        now_ns = 10**12 + self.passed_ms * 10**6
        if now_ns >= self.codec.lateness.due_ns:
            self.codec.lateness.reckon(now_ns)
        events = list(self.codec.decode(frame, NOW_US + self.passed_ms * 1000, now_ns))
        for event in events:
            if isinstance(event, Quote | Trade) and event.exchange_ts_us is not None:
                self.codec.lateness.see(
                    event.symbol,
                    now_ns // 1000 - event.exchange_ts_us,
                    now_ns,
                    traded=isinstance(event, Trade),
                )
        return events

    def say(self, time_ms: int | None = None) -> Any:
        """The one event of a quote at this time; at 20 ms ago."""
        self.passed_ms += 100
        self.id += 1
        time_ms = NOW_MS + self.passed_ms - 20 if time_ms is None else time_ms
        events = self.take(self.frame(time_ms))
        return events[0] if events else None

    def frame(self, time_ms: int) -> bytes | str:
        """A quote of this time, which Bybit says twice."""
        frame = quote_with(self.exchange, time=time_ms, id=self.id)
        return json.dumps(json.loads(frame) | {"ts": time_ms}) if self.exchange == "bybit" else frame


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("exchange", PLAINLY_TIMED)
@pytest.mark.parametrize("time_ms", DECADES)
def test_a_first_time_that_is_decades_off_is_none(exchange: str, time_ms: int, exact: bool) -> None:
    stream = Stream(exchange, exact=exact)
    quote = stream.say(time_ms)
    assert (float(quote.bid), quote.exchange_ts_us) == (101.5, None)
    assert stream.codec.counts == {"bad_time": 1}


@pytest.mark.parametrize("exchange", PLAINLY_TIMED)
@pytest.mark.parametrize("time_ms", [*DECADES, *YEARS])
def test_among_others_a_time_that_is_years_off_is_none(exchange: str, time_ms: int) -> None:
    stream = Stream(exchange)
    assert all(stream.say().exchange_ts_us for _ in range(50))
    for _ in range(100):
        quote = stream.say(time_ms)
        assert isinstance(quote, Quote), quote
        assert (quote.exchange_ts_us, quote.late_us) == (None, 0)
        assert stream.say().exchange_ts_us is not None
    assert stream.codec.counts == {"bad_time": 100}


@pytest.mark.parametrize("exchange", PLAINLY_TIMED)
@pytest.mark.parametrize("time_ms", YEARS)
def test_a_first_time_that_was_none_makes_nothing_late(exchange: str, time_ms: int) -> None:
    """It was taken for the exchange's clock, and every book of the present for one that is years late."""
    stream = Stream(exchange)
    stream.say(time_ms)
    for _ in range(100):
        quote = stream.say()
        assert isinstance(quote, Quote), quote
        assert quote.late_us == 0
    assert stream.say(time_ms).exchange_ts_us is None


@pytest.mark.parametrize("exchange", PLAINLY_TIMED)
@pytest.mark.parametrize("years", [-4, -1, 1])
def test_a_clock_of_another_year_is_one_as_long_as_it_goes_on(exchange: str, years: int) -> None:
    """So it is where a recording is played: no time of it is lost."""
    stream = Stream(exchange)
    for _ in range(100):
        time_ms = NOW_MS + stream.passed_ms + 80 + years * YEAR_MS
        assert stream.say(time_ms).exchange_ts_us == time_ms * 1000
    late = stream.say(NOW_MS + stream.passed_ms + years * YEAR_MS - 1_320_000)
    assert not isinstance(late, Quote), "and late is late"
    assert not stream.codec.counts["bad_time"]


@pytest.mark.parametrize("exchange", PLAINLY_TIMED)
@pytest.mark.parametrize("days", [1, 20, 29])
def test_a_book_of_days_ago_is_late_and_its_time_is_kept(exchange: str, days: int) -> None:
    stream = Stream(exchange)
    for _ in range(50):
        stream.say()
    assert not isinstance(stream.say(NOW_MS - days * 86_400_000), Quote)
    assert set(stream.codec.counts) <= {"frozen", "out_of_order"}


@pytest.mark.parametrize("exchange", PLAINLY_TIMED)
def test_our_own_clock_that_is_set_by_years_costs_no_time(exchange: str) -> None:
    stream = Stream(exchange)
    for _ in range(50):
        stream.say()
    stream.passed_ms += 100
    now_ns = 10**12 + stream.passed_ms * 10**6
    stream.id += 1
    (quote,) = stream.codec.decode(
        stream.frame(NOW_MS + stream.passed_ms - 20), NOW_US + 9 * YEAR_MS * 1000, now_ns
    )
    assert quote.exchange_ts_us == (NOW_MS + stream.passed_ms - 20) * 1000  # type: ignore[union-attr]


@pytest.mark.parametrize("exchange", TRADE_TIME)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("time_ms", DECADES)
def test_a_trade_goes_without_such_a_time(exchange: str, time_ms: int, exact: bool) -> None:
    time: Any = time_ms
    if exchange in ("okx", "bitget", "gate"):
        time = f"{time_ms}.0" if exchange == "gate" else str(time_ms)
    elif exchange == "kucoin":
        time = str(time_ms * 10**6)
    frame = put(json.loads(inflated(TRADES[exchange])), TRADE_TIME[exchange], time)
    if exchange == "gate":
        del frame["result"]["create_time"]
    text = json.dumps(frame, separators=(",", ":"))
    codec = made(exchange, exact=exact)
    (trade,) = codec.decode(gzipped(text) if exchange == "bingx" else text, NOW_US, 10**12)
    assert isinstance(trade, Trade)
    assert (float(trade.price), trade.trade_id, trade.exchange_ts_us) == (101.55, "42", None)
    assert codec.counts == {"bad_time": 1}


@pytest.mark.parametrize("time_ms", DECADES)
def test_so_does_mexcs(time_ms: int) -> None:
    from collectors.exchanges import mexc_pb2

    codec = CODECS["mexc"](SYMBOLS)
    deal = mexc_pb2.Deal(price="101.55", quantity="0.25", tradeType=2, time=time_ms, tradeId="42")
    (trade,) = codec.decode(mexc_deals(deal), NOW_US, 10**12)
    assert trade.exchange_ts_us is None  # type: ignore[union-attr]
    assert codec.counts == {"bad_time": 1}


# --- two times of one frame --------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("book_ms", [*DECADES, *YEARS])
def test_bingx_a_book_time_that_is_none_is_no_frozen_stream(book_ms: int, exact: bool) -> None:
    stream = Stream("bingx", exact=exact)
    for _ in range(5):
        stream.passed_ms += 100
        stream.id += 1
        sent_ms = NOW_MS + stream.passed_ms
        frame = put(put(message("bingx"), ("data", "E"), sent_ms), ("data", "T"), book_ms)
        (quote,) = stream.take(wire("bingx", put(frame, ("data", "u"), stream.id)))
        assert isinstance(quote, Quote)
        assert quote.exchange_ts_us == sent_ms * 1000
    assert set(stream.codec.counts) <= {"bad_time"}


@pytest.mark.parametrize("sent_ms", DECADES)
def test_bingx_a_push_time_that_is_none_leaves_the_books(sent_ms: int) -> None:
    stream = Stream("bingx")
    frame = put(put(message("bingx"), ("data", "E"), sent_ms), ("data", "T"), NOW_MS - 7)
    (quote,) = stream.take(wire("bingx", frame))
    assert isinstance(quote, Quote)
    assert quote.exchange_ts_us in (None, (NOW_MS - 7) * 1000)
    assert stream.codec.counts == {"bad_time": 1}


def test_bingx_a_book_that_is_minutes_older_than_its_push_is_frozen_all_the_same() -> None:
    codec = CODECS["bingx"](SYMBOLS)
    frame = put(put(message("bingx"), ("data", "E"), NOW_MS), ("data", "T"), NOW_MS - 22 * 60_000)
    assert not codec.decode(wire("bingx", frame), NOW_US, 10**12)
    assert codec.counts == {"frozen": 1}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("cts", "ts"), [(DECADES[0], NOW_MS - 9), (NOW_MS - 9, DECADES[3])])
def test_bybit_takes_of_two_times_the_one_that_can_be(cts: int, ts: int, exact: bool) -> None:
    codec = CODECS["bybit"](SYMBOLS, exact=exact)
    frame = message("bybit") | {"cts": cts, "ts": ts}
    (quote,) = codec.decode(json.dumps(frame, separators=(",", ":")), NOW_US, 10**12)
    assert quote.exchange_ts_us == (NOW_MS - 9) * 1000  # type: ignore[union-attr]


def test_gates_trade_too() -> None:
    trade = json.loads(TRADES["gate"])
    trade["result"] |= {"create_time_ms": "1262304000000.0", "create_time": NOW_MS // 1000}
    codec = CODECS["gate"](SYMBOLS, exact=True)
    (event,) = codec.decode(json.dumps(trade), NOW_US, 10**12)
    assert event.exchange_ts_us in (None, NOW_US)  # type: ignore[union-attr]


@pytest.mark.parametrize("book_ms", DECADES)
def test_mexc_a_book_time_that_is_none_makes_nothing_late(book_ms: int) -> None:
    from collectors.exchanges import mexc_pb2

    stream = Stream("mexc")
    assert has("mexc", "time")
    for _ in range(30):
        stream.say()
    stream.passed_ms += 100
    item = mexc_pb2.BookTicker(
        bidPrice="101.5", bidQuantity="2", askPrice="101.6", askQuantity="3", lastOrderCreateTime=book_ms
    )
    channel = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
    push = mexc_pb2.Push(
        channel=channel, symbol="BTCUSDT", sendTime=NOW_MS + stream.passed_ms - 20, publicAggreBookTicker=item
    )
    (quote,) = stream.take(push.SerializeToString())
    assert isinstance(quote, Quote)
    assert quote.late_us == 0
    assert stream.codec.counts == {"bad_time": 1}


def test_a_usual_frame_of_mexc_counts_nothing() -> None:
    codec = CODECS["mexc"](SYMBOLS)
    assert codec.decode(mexc_quote(), 1_700_000_000_200_000, 10**12)
    assert not codec.counts
