"""No frame, however broken, raises: it is counted, and nothing it says is believed."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec, Control
from collectors.exchanges.bingx import inflated
from collectors.exchanges.order import Order
from collectors.management.commands.decode import as_printed
from markets.events import Quote, StreamState, Trade
from tests.support.exchanges.codec_frames import QUOTES, SPOTS, SYMBOLS, TRADES, gzipped

CASES = [(exchange, exact) for exchange in SPOTS for exact in (False, True)]
SETTINGS = settings(max_examples=60, deadline=None)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["NaN", "Infinity", "1e999", "-1", "0", "", "1e-400", "sNaN", 2**70, "9" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def check(codec: Codec, frame: bytes | str) -> None:
    """Something comes out, or exactly what did not is counted; quotes are tradable.

    The fast path, which most frames take, says what the full one says of all of them. It reads less of
    a frame, so nonsense in the rest may escape it.
    """
    events = codec.decode(frame)
    assert events or sum(codec.counts.values()) >= 1
    thorough = type(codec)(codec.symbols, exact=codec.exact)
    said = list(Codec.decode(thorough, frame))
    if not events or thorough.counts != {"malformed": 1}:
        assert (list(events), codec.counts) == (said, thorough.counts)
    for event in events:
        assert json.dumps(as_printed(event))
        if isinstance(event, Quote):
            assert 0 < event.bid <= event.ask < Decimal("Infinity")
            assert event.bid_size > 0
            assert event.ask_size > 0
        else:
            assert isinstance(event, Control) or (isinstance(event, Trade) and event.price > 0 < event.size)


@pytest.mark.parametrize(("exchange", "exact"), CASES)
@SETTINGS
@given(frame=st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_frames_never_raise(exchange: str, exact: bool, frame: bytes | str) -> None:
    check(CODECS[exchange](SYMBOLS, exact=exact), frame)


@pytest.mark.parametrize(("exchange", "exact"), CASES)
@SETTINGS
@given(data=st.data())
def test_frames_with_bytes_cut_flipped_or_inserted_never_raise(
    exchange: str, exact: bool, data: st.DataObject
) -> None:
    frame = data.draw(st.sampled_from([QUOTES[exchange], TRADES[exchange]]))
    raw = bytearray(frame if isinstance(frame, bytes) else frame.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        raw = raw or bytearray(b"x")
    check(CODECS[exchange](SYMBOLS, exact=exact), bytes(raw))


@pytest.mark.parametrize(("exchange", "exact"), [case for case in CASES if case[0] != "mexc"])
@SETTINGS
@given(data=st.data())
def test_frames_with_any_value_replaced_by_any_other_never_raise(
    exchange: str, exact: bool, data: st.DataObject
) -> None:
    frame = data.draw(st.sampled_from([QUOTES[exchange], TRADES[exchange]]))
    message = json.loads(inflated(frame))
    holder, key = data.draw(st.sampled_from(list(places(message))))
    holder[key] = data.draw(JSON_VALUES)
    text = json.dumps(message)
    check(CODECS[exchange](SYMBOLS, exact=exact), gzipped(text) if exchange == "bingx" else text)


@pytest.mark.parametrize("exchange", [name for name in SPOTS if name != "mexc"])
@SETTINGS
@given(data=st.data())
def test_whatever_a_connection_brings_a_gap_comes_only_after_a_quote(
    exchange: str, data: st.DataObject
) -> None:
    codec = CODECS[exchange](SYMBOLS)
    codec.order = Order()
    believed = False
    for number in range(data.draw(st.integers(1, 6))):
        message = json.loads(inflated(QUOTES[exchange]))
        if data.draw(st.booleans()):
            holder, key = data.draw(st.sampled_from(list(places(message))))
            holder[key] = data.draw(JSON_VALUES)
        text = json.dumps(message)
        for event in codec.decode(gzipped(text) if exchange == "bingx" else text, 1, number * 10**9):
            if isinstance(event, StreamState):
                assert believed
            if isinstance(event, Quote | StreamState):
                believed = isinstance(event, Quote)


def places(value: Any) -> Any:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


@pytest.mark.parametrize("exchange", SPOTS)
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
    codec = CODECS[exchange](SYMBOLS)
    assert not codec.decode(frame)
    assert codec.counts == {"malformed": 1}


@pytest.mark.parametrize("exchange", SPOTS)
@pytest.mark.parametrize("frames", [QUOTES, TRADES], ids=["quote", "trade"])
def test_a_truncated_frame_is_one_counted_error(exchange: str, frames: dict[str, str | bytes]) -> None:
    codec = CODECS[exchange](SYMBOLS)
    assert not codec.decode(frames[exchange][:-3])
    assert codec.counts == {"malformed": 1}
