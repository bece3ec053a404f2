"""Every real frame of a swap that we can see decodes to the right values; the frames stay in ../shared."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from collectors.display import GuessedSymbols, OneSize, guessed_swap
from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec, Decoded
from collectors.exchanges.wire import ContractSize
from collectors.recorded import parse_line
from core.names.market_keys import market_key
from markets.events import Funding, MarkPrice, Quote, Trade

VISIBLE = Path(settings.BASE_DIR).parent / "shared" / "wire" / "visible"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"no recorded frames: {VISIBLE} is missing"),
]

Said = dict[str, Any]
"""Values of one event by their names in our events, as they are in the frame; and the native id."""


def frames(exchange: str, channel: str) -> Iterator[bytes | str]:
    for text in (VISIBLE / exchange / "swap" / f"{channel}.jsonl").read_bytes().splitlines():
        line = parse_line(text)
        if line.dir == "recv":
            yield line.frame()


def codec(exchange: str, size: str = "1", *, exact: bool = True) -> Codec:
    coins: Any = Decimal(size) if exact else float(size)
    return CODECS[market_key(exchange, "swap")](
        GuessedSymbols({}, guessed_swap), exact=exact, contract_sizes=OneSize(ContractSize(coins))
    )


# Where each exchange's frames have what: paths of names, in each row.

Rows = Callable[[Any], list[Any]]


def wrapped(frame: Any) -> list[Any]:
    return [frame.get("data", frame)]


def result(frame: Any) -> list[Any]:
    rows = frame["result"] if isinstance(frame["result"], list) else [frame["result"]]
    return [row | {"at": frame.get("time_ms", frame["time"])} for row in rows]


def data(frame: Any) -> list[Any]:
    """Rows, each with the envelope's own fields; the row's go before."""
    rows = frame["data"] if isinstance(frame["data"], list) else [frame["data"]]
    arg = frame.get("arg", {})
    outer = {name: value for name, value in frame.items() if name not in ("data", "arg")}
    named = {"instId": arg.get("instId") or arg.get("symbol")} if arg else {}
    return [outer | named | row for row in rows]


BOOK = {"bid": "bids.0.0", "bid_size": "bids.0.1", "ask": "asks.0.0", "ask_size": "asks.0.1"}
BYBIT_BEST = {"bid": "bid1Price", "bid_size": "bid1Size", "ask": "ask1Price", "ask_size": "ask1Size"}
TABLE: dict[tuple[str, str], tuple[Rows, dict[str, str]]] = {
    ("binance", "book_ticker"): (wrapped, {"id": "s", "bid": "b", "bid_size": "B", "ask": "a",
                                           "ask_size": "A", "at": "T"}),
    ("binance", "agg_trade"): (wrapped, {"id": "s", "price": "p", "size": "q", "trade_id": "a", "at": "T",
                                         "maker": "m"}),
    ("binance", "trade"): (wrapped, {"id": "s", "price": "p", "size": "q", "trade_id": "t", "at": "T",
                                     "maker": "m"}),
    ("binance", "mark_price"): (wrapped, {"id": "s", "mark": "p", "index": "i", "rate": "r", "next": "T",
                                          "at": "E"}),
    ("bybit", "trade"): (data, {"id": "s", "price": "p", "size": "v", "trade_id": "i", "at": "T",
                                "side": "S"}),
    ("bybit", "ticker"): (data, {"id": "symbol", **BYBIT_BEST, "mark": "markPrice", "index": "indexPrice",
                                 "rate": "fundingRate", "next": "nextFundingTime", "cap": "fundingCap",
                                 "at": "ts"}),
    ("gate", "book_ticker"): (result, {"id": "s", "bid": "b", "bid_size": "B", "ask": "a", "ask_size": "A",
                                       "at": "t"}),
    ("gate", "trade"): (result, {"id": "contract", "price": "price", "signed": "size", "trade_id": "id",
                                 "at": "create_time_ms"}),
    ("gate", "ticker"): (result, {"id": "contract", "mark": "mark_price", "index": "index_price",
                                  "rate": "funding_rate", "at": "at"}),
    ("okx", "book_ticker"): (data, {"id": "instId", **BOOK, "at": "ts"}),
    ("okx", "ticker"): (data, {"id": "instId", "bid": "bidPx", "bid_size": "bidSz", "ask": "askPx",
                               "ask_size": "askSz", "at": "ts"}),
    ("okx", "trade"): (data, {"id": "instId", "price": "px", "size": "sz", "trade_id": "tradeId", "at": "ts",
                              "side": "side"}),
    ("okx", "funding_rate"): (data, {"id": "instId", "rate": "fundingRate", "next": "fundingTime",
                                     "at": "ts"}),
    ("bitget", "book_ticker"): (data, {"id": "instId", **BOOK, "at": "ts"}),
    ("bitget", "v3_book_ticker"): (data, {"id": "instId", "bid": "b.0.0", "bid_size": "b.0.1",
                                          "ask": "a.0.0", "ask_size": "a.0.1", "at": "ts"}),
    ("bitget", "ticker"): (data, {"id": "instId", "bid": "bidPr", "bid_size": "bidSz", "ask": "askPr",
                                  "ask_size": "askSz", "mark": "markPrice", "index": "indexPrice",
                                  "rate": "fundingRate", "next": "nextFundingTime", "at": "ts"}),
    ("bitget", "v3_ticker"): (data, {"id": "instId", **BYBIT_BEST, "at": "ts"}),
    ("bitget", "trade"): (data, {"id": "instId", "price": "price", "size": "size", "trade_id": "tradeId",
                                 "at": "ts", "side": "side"}),
    ("bitget", "v3_trade"): (data, {"id": "instId", "price": "p", "size": "v", "trade_id": "i", "at": "T",
                                    "side": "S"}),
    ("kucoin", "book_ticker"): (data, {"id": "symbol", "bid": "bestBidPrice", "bid_size": "bestBidSize",
                                       "ask": "bestAskPrice", "ask_size": "bestAskSize", "at": "ts"}),
    ("kucoin", "ticker"): (data, {"id": "symbol", "bid": "bestBidPrice", "bid_size": "bestBidSize",
                                  "ask": "bestAskPrice", "ask_size": "bestAskSize", "at": "ts"}),
    ("kucoin", "trade"): (data, {"id": "symbol", "price": "price", "size": "size", "trade_id": "tradeId",
                                 "at": "ts", "side": "side"}),
    ("kucoin", "mark_price"): (data, {"topic": "topic", "mark": "markPrice", "index": "indexPrice",
                                      "rate": "fundingRate", "at": "timestamp"}),
    ("mexc", "depth_partial"): (data, {"id": "symbol", **BOOK, "at": "ts"}),
    ("mexc", "trade"): (data, {"id": "symbol", "price": "p", "size": "v", "trade_id": "i", "at": "t",
                               "taker": "T"}),
    ("mexc", "ticker"): (data, {"mark": "fairPrice", "index": "indexPrice", "rate": "fundingRate",
                                "at": "timestamp"}),
    ("mexc", "mark_price"): (data, {"id": "symbol", "mark": "price", "at": "ts"}),
    ("mexc", "funding_rate"): (data, {"id": "symbol", "rate": "rate", "next": "nextSettleTime", "at": "ts"}),
    ("bingx", "book_ticker"): (data, {"id": "s", "bid": "b", "bid_size": "B", "ask": "a", "ask_size": "A",
                                      "at": "E"}),
    ("bingx", "ticker"): (data, {"id": "s", "bid": "B", "bid_size": "b", "ask": "A", "ask_size": "a",
                                 "at": "E"}),
    ("bingx", "trade"): (data, {"id": "s", "price": "p", "size": "q", "trade_id": "t", "at": "T",
                                "maker": "m"}),
    ("bingx", "mark_price"): (data, {"id": "s", "mark": "p", "at": "E"}),
}  # fmt: skip


def found(row: Any, path: str) -> Any:
    """Value at a place, None where there is none."""
    for name in path.split("."):
        if isinstance(row, list):
            row = row[int(name)] if int(name) < len(row) else None
        else:
            row = row.get(name) if isinstance(row, dict) else None
    return row


def us(value: Any) -> int | None:
    """A time of 13 digits of ms, 10 of s or 19 of ns; the values of documentation that are none are none."""
    number = Decimal(str(value or 0))
    for factor in (Decimal(1_000_000), Decimal(1000), Decimal("0.001")):
        if Decimal(1_230_768_000_000_000) < number * factor < Decimal(2_524_608_000_000_000):
            return int(number * factor)
    return None


def expected(exchange: str, channel: str, frame: Any) -> list[Said]:
    """The events of a frame, read by the table alone."""
    rows, names = TABLE[exchange, channel]
    events: list[Said] = []
    for row in rows(frame):
        said = {name: found(row, path) for name, path in names.items()}
        head = {"id": said.get("id"), "exchange_ts_us": us(said["at"])}
        if "topic" in said:
            head["id"] = said["topic"].partition(":")[2]
        number = {name: None if value in (None, "") else Decimal(str(value)) for name, value in said.items()
                  if name in ("bid", "bid_size", "ask", "ask_size", "price", "size", "signed", "mark",
                              "index", "rate", "cap")}  # fmt: skip
        if number.get("mark") or number.get("index"):
            events.append(head | {"mark": number["mark"], "index": number.get("index")})
        if number.get("rate") is not None:
            funding = {"rate": number["rate"], "next_ts_us": us(said.get("next")), "cap": number.get("cap")}
            events.append(head | funding)
        if number.get("bid") and number.get("ask"):
            events.append(head | {name: number[name] for name in ("bid", "bid_size", "ask", "ask_size")})
        if number.get("price"):
            events.append(head | deal(said, number))
    return events


def deal(said: Said, number: dict[str, Decimal | None]) -> Said:
    side = said.get("side")
    if "maker" in said:
        side = "sell" if said["maker"] else "buy"
    if "taker" in said:
        side = {1: "buy", 2: "sell"}[said["taker"]]
    size = number.get("size")
    if (signed := number.get("signed")) is not None:
        side, size = ("sell" if signed < 0 else "buy"), abs(signed)
    trade_id = None if said["trade_id"] is None else str(said["trade_id"])
    return {"price": number["price"], "size": size, "side": str(side).lower(), "trade_id": trade_id}


def compare(event: Decoded, wanted: Said) -> None:
    """The event has all that is wanted, of the right kind, and nothing else that it could have."""
    assert isinstance(event, Quote | Trade | MarkPrice | Funding)
    kinds = {"bid": "Quote", "price": "Trade", "mark": "MarkPrice", "rate": "Funding"}
    assert [type(event).__name__] == [kind for name, kind in kinds.items() if name in wanted]
    if wanted["id"] is not None:
        assert event.symbol == guessed_swap(wanted["id"])
    for name, value in wanted.items():
        if name != "id":
            assert getattr(event, name) == value, name


@pytest.mark.parametrize(("exchange", "channel"), TABLE)
def test_every_frame_says_what_a_generic_reading_says(exchange: str, channel: str) -> None:
    one, seen = codec(exchange), 0
    for frame in frames(exchange, channel):
        text = frame if isinstance(frame, str) else frame.decode()
        message = json.loads(text, parse_float=Decimal)
        wanted = expected(exchange, channel, message)
        if exchange == "bybit" and "-" in message["topic"]:
            wanted = []
        events = list(one.decode(frame))
        assert len(events) == len(wanted), text
        for event, each in zip(events, wanted, strict=True):
            compare(event, each)
        seen += len(events)
    assert seen


def test_bybits_level_1_of_2023_and_now() -> None:
    one = codec("bybit")
    events = [event for frame in frames("bybit", "book_ticker") for event in one.decode(frame)]
    assert [(str(e.bid), str(e.bid_size), str(e.ask), str(e.ask_size)) for e in events] == [  # type: ignore[union-attr]
        ("42663.50", "0.910", "42663.60", "11.446"), ("27646.80", "5.317", "27646.90", "18.740"),
    ]  # fmt: skip
    assert one.counts == {"one_sided": 1}


@pytest.mark.parametrize(
    ("exchange", "channel"),
    [key for key in TABLE if key[0] in ("gate", "okx", "kucoin", "mexc") and key[1] not in ("ticker_24h",)],
)
def test_with_a_contract_size_all_sizes_are_coins(exchange: str, channel: str) -> None:
    contracts, coins = codec(exchange), codec(exchange, "0.001")
    for frame in frames(exchange, channel):
        for plain, scaled in zip(contracts.decode(frame), coins.decode(frame), strict=True):
            if isinstance(plain, Quote) and isinstance(scaled, Quote):
                assert scaled.bid_size == plain.bid_size * Decimal("0.001")  # type: ignore[operator]
                assert scaled.ask_size == plain.ask_size * Decimal("0.001")  # type: ignore[operator]
                assert (scaled.bid, scaled.ask) == (plain.bid, plain.ask)
            elif isinstance(plain, Trade) and isinstance(scaled, Trade):
                assert scaled.size == plain.size * Decimal("0.001")  # type: ignore[operator]
                assert scaled.price == plain.price
            else:
                assert plain == scaled


@pytest.mark.parametrize(("exchange", "channel"), TABLE)
def test_the_short_way_says_of_every_frame_what_the_long_way_says(exchange: str, channel: str) -> None:
    one, thorough = (codec(exchange, "0.01", exact=False) for _ in range(2))
    for frame in frames(exchange, channel):
        assert list(one.decode(frame)) == list(Codec.decode(thorough, frame))
    assert one.counts == thorough.counts


CONTROLS = {"gate": ("ack", "error", "pong"), "mexc": ("ack",)}


@pytest.mark.parametrize(
    ("exchange", "channel"), [(name, channel) for name, channels in CONTROLS.items() for channel in channels]
)
def test_answers_are_answers(exchange: str, channel: str) -> None:
    for frame in frames(exchange, channel):
        (control,) = codec(exchange).decode(frame)
        assert control.kind == channel  # type: ignore[union-attr]


@pytest.mark.parametrize("exchange", sorted({exchange for exchange, _ in TABLE}))
def test_every_other_channel_is_counted_as_an_unknown_kind(exchange: str) -> None:
    known = {channel for name, channel in TABLE if name == exchange} | {*CONTROLS.get(exchange, ()), "ping"}
    known |= {"subscribe", "book_ticker"}
    for path in (VISIBLE / exchange / "swap").glob("*.jsonl"):
        if path.stem in known or "rest_" in path.stem or "depth" in path.stem:
            continue
        for frame in frames(exchange, path.stem):
            one = codec(exchange)
            assert not one.decode(frame), path.stem
            assert one.counts == {"unknown_kind": 1}, path.stem
