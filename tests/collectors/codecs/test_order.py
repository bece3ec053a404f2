"""An older book of one connection never replaces a newer one, and nothing stops a symbol for ever."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.order import LARGEST, REFUSED, RESYNC_AFTER, Order, update_id
from markets.events import Quote
from tests.support.exchanges.broken_books import has, quote_with
from tests.support.exchanges.swap_frames import made

MS = 1_700_000_000_000


def connected(exchange: str) -> Codec:
    codec = made(exchange)
    codec.order = Order()
    return codec


def bids(codec: Codec, exchange: str, *frames: dict[str, Any]) -> list[float]:
    """The bids that come out of these frames."""
    events = [event for values in frames for event in codec.decode(quote_with(exchange, **values))]
    return [event.bid for event in events if isinstance(event, Quote)]


@pytest.mark.parametrize("exchange", CODECS)
def test_an_older_book_is_refused_and_counted(exchange: str) -> None:
    codec = connected(exchange)
    newer, older = {"bid": "101.5", "id": 7, "time": MS + 7}, {"bid": "101.4", "id": 6, "time": MS + 6}
    assert bids(codec, exchange, newer, older) == [101.5]
    assert codec.counts == {"out_of_order": 1}
    assert codec.rejects == {("BTC/USDT", "out_of_order"): 1}


@pytest.mark.parametrize("exchange", [name for name in CODECS if has(name, "id")])
def test_the_id_decides_where_there_is_one(exchange: str) -> None:
    codec = connected(exchange)
    same_ms = [{"bid": f"100.{n}", "id": n, "time": MS} for n in (3, 5, 4, 5, 6)]
    assert bids(codec, exchange, *same_ms) == [100.3, 100.5, 100.5, 100.6]
    clock_back = [{"bid": f"100.{n}", "id": n, "time": MS - n} for n in (7, 8)]
    assert bids(codec, exchange, *clock_back) == [100.7, 100.8]


@pytest.mark.parametrize("exchange", [name for name in CODECS if has(name, "time")])
@pytest.mark.parametrize("id", ["abc", -1, 0, 2**80])
def test_where_the_id_is_none_the_time_decides(exchange: str, id: Any) -> None:
    codec = connected(exchange)
    frames = [{"bid": f"101.{n}", "id": id, "time": MS + n} for n in (3, 5, 4, 5, 6)]
    assert bids(codec, exchange, *frames) == [101.3, 101.5, 101.5, 101.6]


@pytest.mark.parametrize("exchange", CODECS)
def test_a_withdrawn_book_that_is_older_ends_nothing_and_a_newer_one_is_not_replaced(exchange: str) -> None:
    codec = connected(exchange)
    first, gone = {"id": 7, "time": MS + 7}, {"bid": "0", "id": 9, "time": MS + 9}
    older_gone, older = {"bid": "0", "id": 6, "time": MS + 6}, {"id": 8, "time": MS + 8}
    assert bids(codec, exchange, first, older_gone, gone, older) == [101.5]
    assert codec.counts == {"out_of_order": 2, "rejected_zero": 1}


def test_ids_of_another_connection_and_of_another_symbol_are_not_compared() -> None:
    codec = connected("gate")
    assert bids(codec, "gate", {"id": 7}) == [101.5]
    codec.order = Order()
    assert bids(codec, "gate", {"id": 6}) == [101.5]


def test_bybits_first_id_is_a_beginning() -> None:
    codec = connected("bybit")
    assert bids(codec, "bybit", {"id": 700}, {"id": 1, "bid": "101.1"}, {"id": 2}) == [101.5, 101.1, 101.5]


@pytest.mark.parametrize("exchange", CODECS)
@pytest.mark.parametrize("poison", [{"id": 2**62, "time": MS + 10**9}], ids=["far ahead"])
def test_one_nonsense_id_or_time_stops_a_symbol_for_a_few_books_only(exchange: str, poison: Any) -> None:
    codec = connected(exchange)
    after = [{"bid": f"100.{n}", "id": 100 + n, "time": MS + n} for n in range(2 * RESYNC_AFTER)]
    assert len(bids(codec, exchange, poison, *after)) == 1 + RESYNC_AFTER + 1


@given(st.lists(st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(1, 30))), max_size=60))
def test_what_is_admitted_never_falls_but_at_a_beginning(books: list[tuple[int, int | None]]) -> None:
    order, refused = Order(), 0
    newest = {"id": 0, "time": 0}
    for id, time in books:
        before = order.admit("BTC/USDT", id, time)
        kind, number = ("id", id) if id else ("time", time)
        if number is None:
            assert before == 0
        elif before == REFUSED:
            assert number < newest[kind]
            refused += 1
        else:
            assert before == newest[kind]
            assert number >= before or number == 1 or refused >= RESYNC_AFTER - 1
            newest[kind] = number


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_an_id_is_a_number_above_zero_or_none(value: Any) -> None:
    assert 0 <= update_id(value) < 2**63
    assert update_id("17") == update_id(17) == 17
    assert update_id(LARGEST) == update_id(str(LARGEST)) == 0


@pytest.mark.parametrize("exchange", ["kucoin", "mexc"])
@pytest.mark.parametrize(("fine", "coarse"), [(MS + 123, MS // 1000), (MS * 1000 + 123_456, MS + 123)])
def test_a_time_in_a_coarser_unit_is_not_older_for_that(exchange: str, fine: int, coarse: int) -> None:
    codec = connected(exchange)
    frames = [{"bid": "101.5", "id": 0, "time": fine}, {"bid": "101.4", "id": 0, "time": coarse}]
    assert bids(codec, exchange, *frames) == [101.5, 101.4]
    assert bids(codec, exchange, {"id": 0, "time": MS - 1}) == [], "what is older is older"


def test_a_slow_book_begins_again_after_seconds_not_after_ten_quotes() -> None:
    order = Order()
    assert order.admit("BTC/USDT", 2**62, None, now_ns=0) == 0
    assert order.admit("BTC/USDT", 5, None, now_ns=10**9) == REFUSED
    assert order.admit("BTC/USDT", 6, None, now_ns=5 * 10**9) == REFUSED
    assert order.admit("BTC/USDT", 7, None, now_ns=6 * 10**9) == 2**62
    assert order.admit("BTC/USDT", 8, None, now_ns=7 * 10**9) == 7


def test_older_ones_that_come_between_newer_ones_never_begin_again() -> None:
    order = Order()
    for n in range(1, 60):
        assert order.admit("BTC/USDT", 100 + n, None, now_ns=n * 10**9) != REFUSED
        assert order.admit("BTC/USDT", n + 1, None, now_ns=n * 10**9) == REFUSED


def test_one_time_of_the_future_costs_no_quote_once_the_usual_delay_is_known() -> None:
    codec = connected("kucoin")
    for n in range(3):
        codec.lateness.see("BTC/USDT", -MS * 1000 + n)
    codec.lateness.reckon(0)
    frames = [{"time": MS + ms, "bid": f"100.{n}"} for n, ms in enumerate((0, 10**9, 1, 2))]
    assert bids(codec, "kucoin", *frames) == [100.0, 100.1, 100.2, 100.3]
    assert codec.counts == {}


def test_as_many_older_ones_in_a_row_begin_again_unless_one_is_older_than_the_one_before() -> None:
    order = Order()
    order.admit("falling", 100, None)
    order.admit("standing", 100, None)
    for n in range(2 * RESYNC_AFTER):
        assert order.admit("falling", 50 - n, None) == REFUSED
    found = [order.admit("standing", 50, None) for _ in range(RESYNC_AFTER)]
    assert found == [REFUSED] * (RESYNC_AFTER - 1) + [100]


def test_a_book_of_the_same_time_is_not_older() -> None:
    fine_us, order = MS * 1000 + 123_456, Order()
    found = [order.admit("BTC/USDT", id, fine_us) for id in (0, LARGEST, 0)]
    assert found == [0, fine_us, fine_us], "an id of 2^63 is none"
    assert order.admit("BTC/USDT", 0, fine_us // 1000 * 1000) == fine_us
    assert order.admit("BTC/USDT", 0, fine_us - 1) == REFUSED, "a coarser time is not the newest"
