"""No frame, however broken, raises: it is counted, and nothing it says is believed."""

import json
from decimal import Decimal
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec, Control
from collectors.exchanges.bingx import inflated
from collectors.exchanges.order import Order
from collectors.management.commands.decode import as_printed
from core.names.market_keys import exchange_of
from markets.events import BookUpdate, Funding, MarkPrice, Quote, StreamState, Trade
from tests.support.exchanges.codec_frames import gzipped
from tests.support.exchanges.swap_frames import EVERY_QUOTE, EVERY_TRADE, SAID, made

CASES = [(exchange, exact) for exchange in CODECS for exact in (False, True)]
SETTINGS = settings(max_examples=60, deadline=None)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["NaN", "Infinity", "1e999", "-1", "0", "", "1e-400", "sNaN", 2**70, "9" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def frames(exchange: str) -> list[str | bytes]:
    """A frame of everything that an exchange says."""
    return [EVERY_QUOTE[exchange], EVERY_TRADE[exchange], *SAID.get(exchange, ())]


def check(codec: Codec, frame: bytes | str) -> None:
    """Something comes out, or exactly what did not is counted; quotes are tradable.

    The fast path, which most frames take, says what the full one says of all of them. It reads less of
    a frame, so nonsense in the rest may escape it.
    """
    events = codec.decode(frame)
    assert events or sum(codec.counts.values()) >= 1
    thorough = type(codec)(codec.symbols, exact=codec.exact, contract_sizes=codec.contract_sizes)
    said = list(Codec.decode(thorough, frame))
    if not events or thorough.counts != {"malformed": 1}:
        assert (list(events), codec.counts) == (said, thorough.counts)
    for event in events:
        assert json.dumps(as_printed(event))
        if isinstance(event, Quote):
            assert 0 < event.bid <= event.ask < Decimal("Infinity")
            assert event.bid_size > 0
            assert event.ask_size > 0
        elif isinstance(event, MarkPrice):
            assert (event.mark, event.index) != (None, None)
            assert all(
                price is None or 0 < price < Decimal("Infinity") for price in (event.mark, event.index)
            )
        elif isinstance(event, Funding):
            rates = (event.rate, event.settled_rate, event.cap, event.floor)
            assert all(rate is None or -0.5 < rate < 0.5 for rate in rates)
            assert event.interval_s is None or 60 <= event.interval_s <= 7 * 86_400
        elif isinstance(event, BookUpdate):  # a digit in a topic's name makes it one of depth
            assert all(0 < price < inf and 0 <= size < inf for price, size in (*event.bids, *event.asks))
        else:
            assert isinstance(event, Control) or (isinstance(event, Trade) and event.price > 0 < event.size)


@pytest.mark.parametrize(("exchange", "exact"), CASES)
@SETTINGS
@given(frame=st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_frames_never_raise(exchange: str, exact: bool, frame: bytes | str) -> None:
    check(made(exchange, exact=exact), frame)


@pytest.mark.parametrize(("exchange", "exact"), CASES)
@SETTINGS
@given(data=st.data())
def test_frames_with_bytes_cut_flipped_or_inserted_never_raise(
    exchange: str, exact: bool, data: st.DataObject
) -> None:
    frame = data.draw(st.sampled_from(frames(exchange)))
    raw = bytearray(frame if isinstance(frame, bytes) else frame.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        raw = raw or bytearray(b"x")
    check(made(exchange, exact=exact), bytes(raw))


@pytest.mark.parametrize(("exchange", "exact"), [case for case in CASES if case[0] != "mexc"])
@SETTINGS
@given(data=st.data())
def test_frames_with_any_value_replaced_by_any_other_never_raise(
    exchange: str, exact: bool, data: st.DataObject
) -> None:
    frame = data.draw(st.sampled_from(frames(exchange)))
    message = json.loads(inflated(frame))
    holder, key = data.draw(st.sampled_from(list(places(message))))
    holder[key] = data.draw(JSON_VALUES)
    text = json.dumps(message)
    check(made(exchange, exact=exact), gzipped(text) if exchange_of(exchange) == "bingx" else text)


@pytest.mark.parametrize("exchange", [name for name in CODECS if name != "mexc"])
@SETTINGS
@given(data=st.data())
def test_whatever_a_connection_brings_a_gap_comes_only_after_a_quote(
    exchange: str, data: st.DataObject
) -> None:
    codec = made(exchange)
    codec.order = Order()
    believed = False
    for number in range(data.draw(st.integers(1, 6))):
        message = json.loads(inflated(EVERY_QUOTE[exchange]))
        if data.draw(st.booleans()):
            holder, key = data.draw(st.sampled_from(list(places(message))))
            holder[key] = data.draw(JSON_VALUES)
        text = json.dumps(message)
        for event in codec.decode(
            gzipped(text) if exchange_of(exchange) == "bingx" else text, 1, number * 10**9
        ):
            if isinstance(event, StreamState):
                assert believed
            if isinstance(event, Quote | StreamState):
                believed = isinstance(event, Quote)


@pytest.mark.parametrize("market", SAID)
@SETTINGS
@given(data=st.data())
def test_what_swaps_say_on_a_connection_is_the_same_by_the_fast_path_and_never_raises(
    market: str, data: st.DataObject
) -> None:
    fast, thorough = made(market), made(market)
    fast.order, thorough.order = Order(), Order()
    for number in range(data.draw(st.integers(1, 4))):
        message = json.loads(inflated(data.draw(st.sampled_from(SAID[market]))))
        if data.draw(st.booleans()):
            holder, key = data.draw(st.sampled_from(list(places(message))))
            holder[key] = data.draw(JSON_VALUES)
        text = json.dumps(message, separators=(",", ":"))
        frame = gzipped(text) if exchange_of(market) == "bingx" else text
        stamps = 1, number * 4 * 10**8
        assert list(fast.decode(frame, *stamps)) == list(Codec.decode(thorough, frame, *stamps))
    assert fast.counts == thorough.counts


def places(value: Any) -> Any:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


UNHASHABLE = ([1], {"a": 1}, [[1]], [{"a": 1}])


@pytest.mark.parametrize("exchange", [name for name in CODECS if name != "mexc"])
@pytest.mark.parametrize("value", UNHASHABLE, ids=repr)
def test_a_list_or_an_object_for_any_text_never_raises(exchange: str, value: object) -> None:
    """Names and kinds are looked up in tables: every field of one name is replaced."""
    for frame in frames(exchange):
        whole = inflated(frame)
        names = {key for _, key in places(json.loads(whole))}
        for name in names:
            message = json.loads(whole)
            found = [(holder, key) for holder, key in places(message) if key == name]
            for holder, key in found:
                holder[key] = value
            text = json.dumps(message)
            for order in (None, Order()):
                codec = made(exchange)
                codec.order = order
                said = codec.decode(gzipped(text) if exchange_of(exchange) == "bingx" else text)
                assert said or sum(codec.counts.values()), (name, text)


@pytest.mark.parametrize("value", UNHASHABLE, ids=repr)
def test_what_is_no_text_names_no_instrument_and_no_kind(value: object) -> None:
    """Found by chance: each raised TypeError, as no table has such a key."""
    array = made("binance")
    assert not array.decode(json.dumps({"stream": "!bookTicker", "data": [{"e": value, "s": "BTCUSDT"}]}))
    assert array.counts == {"unknown_kind": 1}
    ticker = made("bitget:swap")
    arg = {"instType": "USDT-FUTURES", "channel": "ticker", "instId": "UNLISTED"}
    row = {"instId": value, "fundingRate": "0.0001", "markPrice": "1"}
    assert not ticker.decode(json.dumps({"action": "snapshot", "arg": arg, "data": [row]}))
    assert ticker.counts == {"unknown_symbol": 1}
    frozen = made("bingx:swap")
    late = {"e": "bookTicker", "E": 1700000009000, "T": 1700000000000, "s": value, "b": 1, "B": 1, "a": 2}
    assert not frozen.decode(gzipped(json.dumps({"code": 0, "dataType": "@bookTicker", "data": late})))
    assert frozen.counts == {"unknown_symbol": 1}
    merged = made("bybit:swap")
    said = {"symbol": value, "markPrice": "1"}
    assert not merged.decode(json.dumps({"topic": "tickers.", "type": "delta", "data": said}))
    assert merged.counts == {"unknown_symbol": 1}


@pytest.mark.parametrize("exchange", CODECS)
@pytest.mark.parametrize(
    "frame",
    [
        "",
        b"",
        "{",
        "[]",
        "null",
        "5",
        '"x"',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ud800",
        b"\xff\xfe",
        b"\x1f\x8b",
    ],
    ids=lambda frame: repr(frame)[:12],
)
def test_garbage_is_one_counted_error(exchange: str, frame: bytes | str) -> None:
    codec = made(exchange)
    assert not codec.decode(frame)
    assert codec.counts == {"malformed": 1}


@pytest.mark.parametrize("exchange", CODECS)
@pytest.mark.parametrize("frames", [EVERY_QUOTE, EVERY_TRADE], ids=["quote", "trade"])
def test_a_truncated_frame_is_one_counted_error(exchange: str, frames: dict[str, str | bytes]) -> None:
    codec = made(exchange)
    assert not codec.decode(frames[exchange][:-3])
    assert codec.counts == {"malformed": 1}
