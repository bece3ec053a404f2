"""An exchange's time in any unit and form, and nonsense in all that a quote can be made without."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.exchanges import CODECS
from collectors.exchanges.bingx import inflated
from collectors.exchanges.times import moment_us
from markets.events import Trade
from tests.support.exchanges.broken_books import (
    ABSENT,
    JSON_EXCHANGES,
    dispensable,
    has,
    message,
    put,
    quote_with,
    wire,
)
from tests.support.exchanges.codec_frames import QUOTES, SYMBOLS, TRADES, gzipped

T_US = 1_700_000_000_123_456
NONSENSE = [None, "", 0, -1, "abc", 1e30, float("nan"), float("inf"), 2**70, [], ["1"], {}, {"a": 1}, True,
            "0", "-1", "1_700_000_000_123", "１７０００００００００００", "9" * 5000, "2024-13-01",
            ABSENT]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1_700_000_000, 1_700_000_000_000_000),
        ("1700000000", 1_700_000_000_000_000),
        (1_700_000_000.5, 1_700_000_000_500_000),
        ("1700000000.123456789", T_US),
        (1_700_000_000_123, 1_700_000_000_123_000),
        ("1700000000123", 1_700_000_000_123_000),
        ("1700000000123.456789", T_US),
        (1_700_000_000_123_456, T_US),
        ("1700000000123456", T_US),
        (1_700_000_000_123_456_789, T_US),
        ("1700000000123456789", T_US),
        ("1.700000000123e12", 1_700_000_000_123_000),
        ("2023-11-14T22:13:20.123456Z", T_US),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        ("2023-11-15T01:13:20.123456+03:00", T_US),
        ("2023-11-14 22:13:20.999999999+00:00", 1_700_000_000_999_999),
        ("2023-11-14T22:13:20", None),  # in whose zone?
        (1_000_000_000, None),  # 2001: no exchange was there
        (4_102_444_800_000, None),  # 2100
        (1_700_000_000_123_456_789_000, None),
        (None, None),
        (True, None),
    ],
)
def test_the_magnitude_says_the_unit(value: Any, us: int | None) -> None:
    assert moment_us(value) == us


@given(us=st.integers(1_300_000_000 * 10**6, 2_500_000_000 * 10**6), unit=st.sampled_from([6, 3, 0, -3]))
@example(us=1_999_999_999_999_999, unit=3)
def test_a_time_is_the_same_in_every_unit_and_cut_never_rounded(us: int, unit: int) -> None:
    whole = us * 1000 // 10 ** (unit + 3)
    assert moment_us(whole) == moment_us(str(whole)) == whole * 10 ** (unit + 3) // 1000
    if unit > 0:
        assert moment_us(f"{us // 10**unit}.{us % 10**unit:0{unit}d}9") == us


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_nothing_raises_and_nothing_is_a_time_before_2009(value: Any) -> None:
    us = moment_us(value)
    assert us is None or 1_230_768_000 * 10**6 <= us < 2_524_608_000 * 10**6


TIMES = [
    1_700_000_000, "1700000000", 1_700_000_000_123, 1_700_000_000_123_456, "1700000000123456789",
    "1700000000123.4", "2023-11-14T22:13:20Z", 1_700_000_000.25,
]  # fmt: skip


@pytest.mark.parametrize("exchange", [name for name in JSON_EXCHANGES if has(name, "time")])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("value", TIMES, ids=str)
def test_a_quote_keeps_its_time_in_whatever_unit(exchange: str, exact: bool, value: Any) -> None:
    codec = CODECS[exchange](SYMBOLS, exact=exact)
    (quote,) = codec.decode(quote_with(exchange, time=value))
    assert quote.exchange_ts_us == moment_us(value)  # type: ignore[union-attr]
    assert not codec.counts


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("exchange", "path"),
    [(exchange, path) for exchange in JSON_EXCHANGES for path in dispensable(exchange)],
    ids=str,
)
def test_nonsense_in_what_a_quote_can_do_without_costs_nothing_of_it(
    exchange: str, path: tuple[Any, ...], exact: bool
) -> None:
    for value in NONSENSE:
        if path in {("arg", "channel"), ("data", "e"), ("stream",)} and isinstance(value, str) and value:
            continue  # another kind of frame
        codec = CODECS[exchange](SYMBOLS, exact=exact)
        events = list(codec.decode(wire(exchange, put(message(exchange), path, value))))
        assert len(events) == 1, (value, codec.counts)
        quote: Any = events[0]
        numbers = tuple(map(float, (quote.bid, quote.bid_size, quote.ask, quote.ask_size)))
        assert (quote.symbol, *numbers) == ("BTC/USDT", 101.5, 2.0, 101.6, 3.0)
        assert set(codec.counts) <= {"bad_time"}


@pytest.mark.parametrize("exchange", [name for name in JSON_EXCHANGES if has(name, "time")])
def test_a_time_that_is_none_is_null_and_counted(exchange: str) -> None:
    for value in (0, -1, "abc", "", 1e30, "9999999999999999999999"):
        codec = CODECS[exchange](SYMBOLS)
        frame = message(exchange) | ({"ts": value} if exchange == "bybit" else {})
        time = {"bybit": ("cts",), "gate": ("result", "t"), "kucoin": ("data", "timestamp"),
                "bingx": ("data", "E")}.get(exchange, ("data", 0, "ts"))  # fmt: skip
        (quote,) = codec.decode(wire(exchange, put(frame, time, value)))
        assert quote.exchange_ts_us is None  # type: ignore[union-attr]
        assert codec.counts == {"bad_time": 1}


@pytest.mark.parametrize("ms", [0, -1, 2**62, 1_700_000_000, 1_700_000_000_123_456])
def test_mexc_takes_any_unit_too(ms: int) -> None:
    (quote,) = CODECS["mexc"](SYMBOLS).decode(quote_with("mexc", time=ms))
    assert quote.exchange_ts_us == moment_us(ms)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["sendTime", "version", "lastOrderCreateTime"])
@pytest.mark.parametrize("value", ["abc", "", None, [], {}, True, -1, 1e30])
def test_a_mexc_push_rendered_as_json_does_without_them(name: str, value: Any) -> None:
    book: dict[str, Any] = {"bidPrice": "101.5", "bidQuantity": "2", "askPrice": "101.6", "askQuantity": "3"}
    push: dict[str, Any] = {
        "channel": "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT",
        "symbol": "BTCUSDT",
    }
    holder: dict[str, Any] = push if name == "sendTime" else book
    holder[name] = value
    (quote,) = CODECS["mexc"](SYMBOLS).decode(json.dumps({**push, "publicAggreBookTicker": book}))
    assert (quote.bid, quote.ask) == (101.5, 101.6)  # type: ignore[union-attr]


TRADE_FIELDS: dict[str, list[tuple[Any, ...]]] = {
    "binance": [("data", "t"), ("data", "T"), ("data", "m"), ("data", "E"), ("data", "M")],
    "bybit": [("data", 0, "T"), ("data", 0, "S"), ("data", 0, "i"), ("ts",), ("data", 0, "s")],
    "gate": [("result", "id"), ("result", "create_time_ms"), ("result", "side"), ("result", "range")],
    "kucoin": [("data", "side"), ("data", "time"), ("data", "tradeId"), ("data", "symbol")],
    "okx": [("data", 0, "tradeId"), ("data", 0, "side"), ("data", 0, "ts"), ("data", 0, "instId")],
    "bitget": [("data", 0, "ts"), ("data", 0, "side"), ("data", 0, "tradeId"), ("ts",)],
    "bingx": [("data", "T"), ("data", "m"), ("data", "t"), ("data", "E")],
}


@pytest.mark.parametrize(
    ("exchange", "path"), [(name, path) for name, paths in TRADE_FIELDS.items() for path in paths], ids=str
)
def test_nonsense_costs_no_trade_either(exchange: str, path: tuple[Any, ...]) -> None:
    from collectors.exchanges.bingx import inflated

    for value in NONSENSE:
        codec = CODECS[exchange](SYMBOLS)
        text = json.dumps(put(json.loads(inflated(TRADES[exchange])), path, value))
        (trade,) = codec.decode(gzipped(text) if exchange == "bingx" else text)
        assert (trade.symbol, trade.price, trade.size) == ("BTC/USDT", 101.55, 0.25)  # type: ignore[union-attr]
        assert trade.trade_id is None or isinstance(trade.trade_id, str)  # type: ignore[union-attr]


def test_a_row_that_is_none_costs_its_frame_no_other_row() -> None:
    frame = json.loads(str(TRADES["bybit"]))
    frame["data"].append(frame["data"][0] | {"p": "abc"})
    codec = CODECS["bybit"](SYMBOLS)
    assert len(codec.decode(json.dumps(frame))) == 1
    assert codec.counts == {"malformed": 1}


def test_the_usual_frames_have_nothing_to_count() -> None:
    for exchange, frame in QUOTES.items():
        codec = CODECS[exchange](SYMBOLS)
        assert len(codec.decode(frame)) == 1
        assert not codec.counts


@pytest.mark.parametrize(
    ("time", "us"),
    [
        ("1700000000.5", 1_700_000_000_500_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        (1_700_000_000_123_456, 1_700_000_000_123_456),
        ("", None),
        ("abc", None),
    ],
)
def test_a_mexc_trade_rendered_as_json_keeps_all_but_a_bad_time(time: Any, us: int | None) -> None:
    deal = {"price": "101.55", "quantity": 0.25, "tradeType": 2, "time": time, "tradeId": 42}
    channel = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
    push = {"channel": channel, "symbol": "BTCUSDT", "publicAggreDeals": {"deals": [deal]}}
    (trade,) = CODECS["mexc"](SYMBOLS).decode(json.dumps(push))
    assert isinstance(trade, Trade)
    assert (trade.price, trade.size, trade.side, trade.trade_id) == (101.55, 0.25, "sell", "42")
    assert trade.exchange_ts_us == us


def test_gates_trade_has_the_time_in_seconds_where_the_finer_one_is_none() -> None:
    trade = json.loads(TRADES["gate"])
    trade["result"]["create_time_ms"] = ""
    codec = CODECS["gate"](SYMBOLS)
    (event,) = codec.decode(json.dumps(trade, separators=(",", ":")))
    assert event.exchange_ts_us == 1_700_000_000_000_000  # type: ignore[union-attr]
    assert not codec.counts


ID_OF_A_TRADE = {
    "binance": ("data", "t"), "bybit": ("data", 0, "i"), "gate": ("result", "id"), "bingx": ("data", "t"),
    "kucoin": ("data", "tradeId"), "okx": ("data", 0, "tradeId"), "bitget": ("data", 0, "tradeId"),
}  # fmt: skip


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("exchange", JSON_EXCHANGES)
@pytest.mark.parametrize(("id", "kept"), [("9" * 5000, None), (10**60, None), (42.0, "42"), ("", None)])
def test_an_id_nobody_can_mean_costs_no_trade_and_no_memory(
    exchange: str, id: Any, kept: str | None, exact: bool
) -> None:
    frame = json.dumps(
        put(json.loads(inflated(TRADES[exchange])), ID_OF_A_TRADE[exchange], id), separators=(",", ":")
    )
    wire_form = gzipped(frame) if exchange == "bingx" else frame
    (trade,) = CODECS[exchange](SYMBOLS, exact=exact).decode(wire_form)
    assert trade.trade_id == kept  # type: ignore[union-attr]
