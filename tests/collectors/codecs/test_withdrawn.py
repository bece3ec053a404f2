"""A side the exchange withdrew: from that frame on the last quote is not believed any more."""

from typing import Any

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.order import Order
from markets.events import Quote, StreamState
from tests.support.exchanges.broken_books import ABSENT, WITHDRAWN, has, message, put, quote_with, wire
from tests.support.exchanges.swap_frames import EVERY_QUOTE, made

CASES = [
    pytest.param(exchange, changes(exchange), id=f"{exchange}: {name}")
    for exchange in CODECS
    for name, changes in WITHDRAWN.items()
    if all(has(exchange, place) for place in changes(exchange))
]


def connected(exchange: str) -> Codec:
    """A codec that reads the frames of one connection."""
    codec = made(exchange)
    codec.order = Order()
    return codec


def later(exchange: str, number: int, **values: Any) -> str | bytes:
    """A frame of a later book than the usual one."""
    return quote_with(exchange, time=1_700_000_000_123 + number, id=5 + number, **values)


@pytest.mark.parametrize(("exchange", "changes"), CASES)
def test_a_withdrawn_side_is_one_gap_in_its_place(exchange: str, changes: dict[str, Any]) -> None:
    codec = connected(exchange)
    (quote,) = codec.decode(later(exchange, 0), 1, 2)
    assert isinstance(quote, Quote)

    (gap,) = codec.decode(later(exchange, 1, **changes), 3, 4)

    assert isinstance(gap, StreamState)
    assert (gap.exchange, gap.symbols, gap.state) == (exchange, ("BTC/USDT",), "gap")
    assert (gap.received_ts_us, gap.received_mono_ns) == (3, 4)
    assert "its b" in gap.reason or "is no number" in gap.reason


@pytest.mark.parametrize(("exchange", "changes"), CASES)
def test_it_is_said_once_until_a_whole_quote_comes_again(exchange: str, changes: dict[str, Any]) -> None:
    codec = connected(exchange)
    said = [list(codec.decode(later(exchange, n, **(changes if n % 4 else {})))) for n in range(8)]

    kinds = [type(event).__name__ for events in said for event in events]
    assert kinds == ["Quote", "StreamState", "Quote", "StreamState"]
    assert sum(codec.counts.values()) == 6, "every frame is counted"
    assert sum(codec.rejects.values()) == 6, "by symbol, too"


@pytest.mark.parametrize("exchange", CODECS)
def test_where_nothing_was_believed_nothing_ends(exchange: str) -> None:
    codec = connected(exchange)
    assert not codec.decode(quote_with(exchange, bid="0"))


@pytest.mark.parametrize("exchange", CODECS)
def test_the_frames_of_a_recording_are_judged_one_by_one(exchange: str) -> None:
    codec = made(exchange)
    assert codec.decode(EVERY_QUOTE[exchange])
    assert not codec.decode(quote_with(exchange, bid="0"))
    assert codec.counts == {"rejected_zero": 1}


@pytest.mark.parametrize("exchange", CODECS)
def test_what_says_nothing_of_a_book_ends_nothing(exchange: str) -> None:
    codec = connected(exchange)
    codec.decode(later(exchange, 0))
    assert not codec.decode(later(exchange, 1)[:-3])
    assert not codec.decode('{"event":"?"}')
    (again,) = codec.decode(later(exchange, 1))
    assert isinstance(again, Quote)


class TestBybitDeltas:
    """A delta says what changed; a side it does not have is unchanged."""

    @pytest.mark.parametrize("bids", [[], ABSENT, None])
    def test_an_absent_side_is_unchanged(self, bids: Any) -> None:
        codec = connected("bybit")
        codec.decode(EVERY_QUOTE["bybit"])
        assert not codec.decode(self.delta(bids, [["101.6", "3"]]))
        assert codec.counts == {"one_sided": 1}

    @pytest.mark.parametrize(
        "bids", [[["101.5", "0"]], [["101.5", "0.000"]], [["101.5", 0]], [["101.5", "0"], ["101.4", "2"]]]
    )
    @pytest.mark.parametrize("asks", [[], [["101.6", "3"]], ABSENT])
    def test_a_level_of_size_zero_is_gone(self, bids: Any, asks: Any) -> None:
        codec = connected("bybit")
        codec.decode(EVERY_QUOTE["bybit"])
        (gap,) = codec.decode(self.delta(bids, asks))
        assert isinstance(gap, StreamState)
        assert "bid" in gap.reason

    def delta(self, bids: Any, asks: Any = ()) -> str | bytes:
        frame = put(put(message("bybit"), ("type",), "delta"), ("data", "u"), 6)
        return wire("bybit", put(put(frame, ("data", "b"), bids), ("data", "a"), asks))
