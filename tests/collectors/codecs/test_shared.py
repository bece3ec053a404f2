"""Every real frame we can see decodes to the right values; the frames stay in ../shared."""

import json
import re
from collections.abc import Callable, Iterator
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings

from collectors.display import GuessedSymbols, guessed_symbol
from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec, Control, Decoded
from collectors.recorded import parse_line
from markets.events import Quote, Trade
from tests.support.exchanges.codec_frames import SPOTS

VISIBLE = Path(settings.BASE_DIR).parent / "shared" / "wire" / "visible"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"no recorded frames: {VISIBLE} is missing"),
]


class Best(NamedTuple):
    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    us: int | None


class Deal(NamedTuple):
    symbol: str
    price: str
    size: str
    side: str
    trade_id: str | None
    us: int | None


def frames(exchange: str, channel: str) -> Iterator[bytes | str]:
    """All received frames of a channel, spot and common."""
    for part in ("spot", "common"):
        path = VISIBLE / exchange / part / f"{channel}.jsonl"
        if path.is_file():
            for text in path.read_bytes().splitlines():
                line = parse_line(text)
                if line.dir == "recv":
                    yield line.frame()


def exact(exchange: str) -> Codec:
    return CODECS[exchange](GuessedSymbols({}), exact=True)


def plain(event: Decoded) -> Best | Deal | str:
    """An event with its numbers as text."""
    if isinstance(event, Control):
        return event.kind
    if isinstance(event, Quote):
        numbers = (event.bid, event.bid_size, event.ask, event.ask_size)
        bid, bid_size, ask, ask_size = (format(number, "f") for number in numbers)
        return Best(event.symbol, bid, bid_size, ask, ask_size, event.exchange_ts_us)
    assert isinstance(event, Trade)
    price, size = format(event.price, "f"), format(event.size, "f")
    return Deal(event.symbol, price, size, event.side or "", event.trade_id, event.exchange_ts_us)


# The first event of each channel, read by eye.
FIRST = {
    ("binance", "book_ticker"): Best(
        "NKN/USDT", "0.35210000", "672.00000000", "0.35260000", "3199.00000000", None
    ),
    ("binance", "trade"): Deal(
        "BTC/USDT", "61837.63000000", "0.02000000", "sell", "3735683259", 1723161255342000
    ),
    ("bybit", "book_ticker"): Best(
        "BTC/USDT", "78779.7", "0.144931", "78779.8", "0.584126", 1788882595939000
    ),
    ("bybit", "trade"): Deal(
        "BTC/USDT", "28165.38", "0.041732", "sell", "2290000000050703789", 1680652847524000
    ),
    ("mexc", "book_ticker"): Best(
        "BTC/USDT", "78161.17", "17.55793416", "78161.18", "0.10677647", 1778994237706000
    ),
    ("mexc", "trade"): Deal(
        "BTC/USDT",
        "65219.38",
        "0.14191302",
        "sell",
        "710342948650209280X0_710342948650209281X0",
        1785141192354000,
    ),
    ("gate", "book_ticker"): Best("BTC/USDT", "31738.93", "2.3039", "31738.94", "0.335", 1654029559473000),
    ("gate", "trade"): Deal(
        "FAST/USDT", "10.4200000000", "1.7170000000", "sell", "816996516", 1619093553517921
    ),
    ("kucoin", "book_ticker"): Best("ETH/USDT", "9984", "10", "9989", "8", 1586948108193000),
    ("kucoin", "ticker"): Best(
        "BCHSV/USDT", "242.654", "0.68148185", "242.951", "4.51280965", 1619378326330000
    ),
    ("kucoin", "trade"): Deal(
        "DAPPT/BTC", "0.0000001117", "81.8814", "buy", "6085c09769bc506996295e36", 1619378327739050
    ),
    ("okx", "book_ticker"): Best(
        "BTC/USDT", "31774.6", "0.3392211", "31774.7", "0.14368878", 1654032991947000
    ),
    ("okx", "ticker"): Best("BTC/USDT", "30228.6", "0.23393", "30228.7", "1.55896972", 1652459224956000),
    ("okx", "trade"): Deal("BTC/USDT", "30236", "0.0002", "buy", "338476307", 1652459224818000),
    ("bitget", "book_ticker"): Best(
        "BTC/USDC", "72354.67", "1.16460", "72377.25", "0.00408", 1730332859984000
    ),
    ("bitget", "ticker"): Best("ETH/USDT", "1792", "0.0084", "2200.1", "19740.8811", 1695702438018000),
    ("bitget", "trade"): Deal("BTC/USDT", "26293.4", "0.0013", "buy", "1000000000", 1695709835822000),
    ("bingx", "book_ticker"): Best(
        "BTC/USDT", "2996.46", "2.580800", "2996.49", "24.887920", 1714648924917000
    ),
    ("bingx", "trade"): Deal("BTC/USDT", "40125.48", "0.007146", "sell", "33685717", 1649832413512000),
}


@pytest.mark.parametrize(("exchange", "channel"), FIRST)
def test_the_first_frame_has_the_values_on_it(exchange: str, channel: str) -> None:
    first, *_ = exact(exchange).decode(next(frames(exchange, channel)))
    assert plain(first) == FIRST[exchange, channel]


def test_a_gate_time_with_fractions_keeps_them() -> None:
    codec = exact("gate")
    times = [plain(event)[-1] for frame in frames("gate", "trade") for event in codec.decode(frame)]
    assert times == [
        1619093553517921, 1619093560720907, 1631824310261896, 1606292218213457,
        1648725035923000, 1606292218213457, 1606292218213457,
    ]  # fmt: skip


# What the frames say, read generically: json, Decimal, and each exchange's field names.


def ms(value: Any) -> int | None:
    return None if value is None else int((Decimal(str(value)) * 1000).to_integral_value(ROUND_FLOOR))


def as_rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def binance(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    data = frame.get("data", frame)
    if channel == "trade":
        side = "sell" if data["m"] else "buy"
        return [Deal(data["s"], data["p"], data["q"], side, str(data["t"]), ms(data["T"]))]
    return [Best(data["s"], data["b"], data["B"], data["a"], data["A"], None)]


def bybit(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    data = frame["data"]
    if channel == "trade":
        return [Deal(row["s"], row["p"], row["v"], row["S"].lower(), row["i"], ms(row["T"])) for row in data]
    return [Best._make((data["s"], *data["b"][0], *data["a"][0], ms(frame.get("cts", frame["ts"]))))]


def gate(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    if channel == "trade":
        return [
            Deal(
                r["currency_pair"], r["price"], r["amount"], r["side"], str(r["id"]), ms(r["create_time_ms"])
            )
            for r in as_rows(frame["result"])
        ]
    row = frame["result"]
    return [Best(row["s"], row["b"], row["B"], row["a"], row["A"], ms(row["t"]))]


def kucoin(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    data, native_id = frame["data"], frame["topic"].split(":")[1]
    if native_id == "all":
        native_id = frame["subject"]
    if channel == "trade":
        us = int(data["time"]) // 1000
        return [Deal(data["symbol"], data["price"], data["size"], data["side"], data["tradeId"], us)]
    if channel == "ticker":
        sides = (data["bestBid"], data["bestBidSize"], data["bestAsk"], data["bestAskSize"])
        return [Best._make((native_id, *sides, ms(data.get("time"))))]
    return [Best._make((native_id, *data["bids"], *data["asks"], ms(data["timestamp"])))]


def okx(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    rows = frame["data"]
    if channel == "trade":
        return [Deal(r["instId"], r["px"], r["sz"], r["side"], r["tradeId"], ms(r["ts"])) for r in rows]
    if channel == "ticker":
        return [Best(r["instId"], r["bidPx"], r["bidSz"], r["askPx"], r["askSz"], ms(r["ts"])) for r in rows]
    native_id = frame["arg"]["instId"]
    return [Best._make((native_id, *r["bids"][0][:2], *r["asks"][0][:2], ms(r["ts"]))) for r in rows]


def bitget(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    rows, native_id = frame["data"], frame["arg"]["instId"]
    if channel == "trade":
        return [Deal(native_id, r["price"], r["size"], r["side"], r["tradeId"], ms(r["ts"])) for r in rows]
    if channel == "ticker":
        return [
            Best(native_id, r["bidPr"], r["bidSz"], r["askPr"], r["askSz"], ms(r["ts"]))
            for r in rows
            if "bidPr" in r  # v1 had no sizes
        ]
    return [Best._make((native_id, *r["bids"][0], *r["asks"][0], ms(r["ts"]))) for r in rows]


def bingx(frame: dict[str, Any], channel: str) -> list[Best | Deal]:
    row = frame["data"]
    if channel == "trade":
        side = "sell" if row["m"] in (True, "true") else "buy"
        return [Deal(row["s"], row["p"], row["q"], side, row["t"], ms(row["T"]))]
    return [Best(row["s"], row["b"], row["B"], row["a"], row["A"], ms(row["E"]))]


READERS: dict[str, Callable[[dict[str, Any], str], list[Best | Deal]]] = {
    "binance": binance, "bybit": bybit, "gate": gate, "kucoin": kucoin, "okx": okx, "bitget": bitget,
    "bingx": bingx,
}  # fmt: skip


def same(event: Best | Deal, read: Best | Deal) -> None:
    """Equal in every field, numbers in value."""
    assert type(event) is type(read)
    for field, ours, theirs in zip(event._fields, event, read, strict=True):
        if field == "symbol":
            assert ours == guessed_symbol(str(theirs))
        elif field in ("us", "side", "trade_id"):
            assert ours == theirs, field
        else:
            assert Decimal(str(ours)) == Decimal(str(theirs)), field


@pytest.mark.parametrize(("exchange", "channel"), [key for key in FIRST if key[0] in READERS])
def test_every_frame_says_what_a_generic_reading_says(exchange: str, channel: str) -> None:
    codec, seen = exact(exchange), 0
    for frame in frames(exchange, channel):
        text = frame if isinstance(frame, str) else frame.decode()
        read = READERS[exchange](json.loads(text, parse_float=Decimal), channel)
        events = [plain(event) for event in codec.decode(frame)]
        assert len(events) == len(read)
        for event, wanted in zip(events, read, strict=True):
            assert not isinstance(event, str)
            same(event, wanted)
        seen += 1
    assert seen
    assert sum(codec.counts.values()) == (1 if (exchange, channel) == ("bitget", "ticker") else 0)


@pytest.mark.parametrize(("exchange", "channel"), FIRST)
def test_the_short_way_says_of_every_frame_what_the_long_way_says(exchange: str, channel: str) -> None:
    codec, thorough = (CODECS[exchange](GuessedSymbols({})) for _ in range(2))
    for frame in frames(exchange, channel):
        assert list(codec.decode(frame)) == list(Codec.decode(thorough, frame))
    assert codec.counts == thorough.counts


def protobuf_fields(frame: bytes) -> Iterator[tuple[int, Any]]:
    """A plain walk over protobuf's wire format: (field number, varint or bytes)."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = frame[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(frame):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            assert tag & 7 == 2
            length = varint()
            yield tag >> 3, frame[at : at + length]
            at += length


@pytest.mark.parametrize("channel", ["book_ticker", "trade"])
def test_every_mexc_frame_says_what_a_walk_over_its_bytes_says(channel: str) -> None:
    seen = 0
    for frame in frames("mexc", channel):
        assert isinstance(frame, bytes)
        push = dict(protobuf_fields(frame))
        native_id = bytes(push[3]).decode()
        read: list[Best | Deal] = []
        if 315 in push:
            item = dict(protobuf_fields(push[315]))
            sides = [bytes(item[number]).decode() for number in (1, 2, 3, 4)]
            read.append(Best._make((native_id, *sides, ms(push[6]))))
        for number, deal in protobuf_fields(push.get(314, b"")):
            if number == 1:
                item = dict(protobuf_fields(deal))
                price, size, trade_id = (bytes(item[n]).decode() for n in (1, 2, 5))
                side = {1: "buy", 2: "sell"}[item[3]]
                read.append(Deal(native_id, price, size, side, trade_id, ms(item[4])))
        events = [plain(event) for event in exact("mexc").decode(frame)]
        assert len(events) == len(read) > 0
        for event, wanted in zip(events, read, strict=True):
            assert not isinstance(event, str)
            same(event, wanted)
        seen += 1
    assert seen


CONTROLS = {"ack": "ack", "error": "error", "ping": "ping", "pong": "pong", "welcome": "heartbeat",
            "server_shutdown": "heartbeat"}  # fmt: skip


@pytest.mark.parametrize("exchange", SPOTS)
@pytest.mark.parametrize("channel", CONTROLS)
def test_every_answer_and_heartbeat_is_recognised(exchange: str, channel: str) -> None:
    for frame in frames(exchange, channel):
        codec = exact(exchange)
        kinds = [plain(event) for event in codec.decode(frame)]
        if exchange == "bingx" and b"24hTicker" in (frame if isinstance(frame, bytes) else frame.encode()):
            assert not kinds  # a ticker push that its source had filed under acks
            assert codec.counts == {"unknown_kind": 1}
        else:
            assert kinds == [CONTROLS[channel]]


OUR_CHANNELS = {channel for _, channel in FIRST} | set(CONTROLS) | {"subscribe"}


@pytest.mark.parametrize("exchange", SPOTS)
def test_every_other_channel_is_counted_as_an_unknown_kind(exchange: str) -> None:
    paths = (VISIBLE / exchange / "spot").glob("*.jsonl")
    others = {path.stem for path in paths if not re.match(r"(uta_)?(rest_|depth)", path.stem)} - OUR_CHANNELS
    if (exchange, "ticker") not in FIRST:
        others.add("ticker")
    for channel in others:
        for frame in frames(exchange, channel):
            codec = exact(exchange)
            assert list(codec.decode(frame)) == []
            assert codec.counts == {"unknown_kind": 1}, channel
