"""Quote frames of every exchange with anything put in the place of anything; all values are invented."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from collectors.exchanges import mexc_pb2
from collectors.exchanges.bingx import inflated
from core.names.market_keys import exchange_of
from tests.support.exchanges.codec_frames import QUOTES, gzipped, mexc_push
from tests.support.exchanges.swap_frames import EVERY_QUOTE

ABSENT: Final = object()

JSON_EXCHANGES: Final = tuple(name for name in QUOTES if name != "mexc")

_SPOT: Final[dict[str, dict[str, tuple[Any, ...]]]] = {
    "binance": {"bid": ("data", "b"), "bid_size": ("data", "B"), "ask": ("data", "a"), "id": ("data", "u")},
    "gate": {"bid": ("result", "b"), "bid_size": ("result", "B"), "ask": ("result", "a"),
             "time": ("result", "t"), "id": ("result", "u")},
    "bingx": {"book": ("data",), "bid": ("data", "b"), "bid_size": ("data", "B"), "ask": ("data", "a"),
              "time": ("data", "E"),
              "id": ("data", "u")},
    "bybit": {"book": ("data",), "bids": ("data", "b"), "bid": ("data", "b", 0, 0),
              "bid_size": ("data", "b", 0, 1),
              "ask": ("data", "a", 0, 0), "time": ("cts",), "id": ("data", "u")},
    "kucoin": {"book": ("data",), "bids": ("data", "bids"), "bid": ("data", "bids", 0),
               "bid_size": ("data", "bids", 1),
               "ask": ("data", "asks", 0), "time": ("data", "timestamp")},
    "okx": {"book": ("data", 0), "bids": ("data", 0, "bids"), "bid": ("data", 0, "bids", 0, 0),
            "bid_size": ("data", 0, "bids", 0, 1),
            "ask": ("data", 0, "asks", 0, 0), "time": ("data", 0, "ts"), "id": ("data", 0, "seqId")},
    "bitget": {"book": ("data", 0), "bids": ("data", 0, "bids"), "bid": ("data", 0, "bids", 0, 0),
               "bid_size": ("data", 0, "bids", 0, 1), "ask": ("data", 0, "asks", 0, 0),
               "time": ("data", 0, "ts"), "id": ("data", 0, "seq")},
}  # fmt: skip
_PLACES: Final = _SPOT | {
    "binance:swap": _SPOT["binance"] | {"time": ("data", "T")},
    "kucoin:swap": {"bid": ("data", "bestBidPrice"), "bid_size": ("data", "bestBidSize"),
                    "ask": ("data", "bestAskPrice"), "time": ("data", "ts"), "id": ("data", "sequence")},
    "mexc:swap": {"book": ("data",), "bids": ("data", "bids"), "bid": ("data", "bids", 0, 0),
                  "bid_size": ("data", "bids", 0, 1), "ask": ("data", "asks", 0, 0), "time": ("ts",),
                  "id": ("data", "version")},
    **{f"{name}:swap": _SPOT[name] for name in ("bybit", "gate", "okx", "bitget", "bingx")},
}  # fmt: skip
"""Where an exchange's quote frame has what."""

NEEDED: Final[dict[str, set[tuple[Any, ...]]]] = {
    "binance": {("data",), ("data", "s"), ("data", "b"), ("data", "B"), ("data", "a"), ("data", "A")},
    "gate": {("channel",), ("event",), ("result",), ("result", "s"), ("result", "b"), ("result", "B"),
             ("result", "a"), ("result", "A")},
    "bingx": {("dataType",), ("data",), ("data", "b"), ("data", "B"), ("data", "a"), ("data", "A")},
    "bybit": {("topic",), ("data",), ("data", "b"), ("data", "a")},
    "kucoin": {("topic",), ("data",), ("data", "bids"), ("data", "asks")},
    "okx": {("arg",), ("arg", "channel"), ("arg", "instId"), ("data",), ("data", 0), ("data", 0, "bids"),
            ("data", 0, "asks")},
    "bitget": {("arg",), ("arg", "channel"), ("arg", "instId"), ("arg", "instType"), ("data",), ("data", 0),
               ("data", 0, "bids"), ("data", 0, "asks")},
}  # fmt: skip
"""What a quote cannot be made without: anything inside a level, and these."""


def message(exchange: str) -> Any:
    """The exchange's whole quote frame, as JSON values."""
    return json.loads(inflated(EVERY_QUOTE[exchange]))


def wire(exchange: str, value: Any) -> str | bytes:
    """A frame of these JSON values; NaN is written as Python writes it."""
    text = json.dumps(value)
    return gzipped(text) if exchange_of(exchange) == "bingx" else text


def put(holder: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same with a value in a place, or nothing there."""
    inner = holder
    for key in path[:-1]:
        inner = inner[key]
    if value is ABSENT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return holder


def quote_with(exchange: str, **values: Any) -> str | bytes:
    """The exchange's quote frame with other values for `bid`, `bids`, `bid_size`, `ask`, `time`, `id`."""
    if exchange == "mexc":
        return _mexc(**values)
    frame = message(exchange)
    for name, value in sorted(values.items(), key=lambda item: item[0] == "book"):  # the others are inside it
        if name in _PLACES[exchange]:
            put(frame, _PLACES[exchange][name], value)
    if exchange_of(exchange) == "bingx" and "time" in values and isinstance(frame["data"], dict):
        del frame["data"]["T"]  # the book's own time: more than 5 s before the push it is frozen
    return wire(exchange, frame)


def _mexc(
    bid: Any = "101.5", bid_size: Any = "2", ask: Any = "101.6", time: Any = 1700000000123, id: Any = "5"
) -> bytes:
    texts = ["" if value in (None, ABSENT) else str(value) for value in (bid, bid_size, ask)]
    item = mexc_pb2.BookTicker(
        bidPrice=texts[0], bidQuantity=texts[1], askPrice=texts[2], askQuantity="3", version=str(id)
    )
    channel = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
    return mexc_push(channel, symbol="BTCUSDT", sendTime=time, publicAggreBookTicker=item)


def has(exchange: str, name: str) -> bool:
    """Whether the exchange's quote frame has such a place."""
    return (exchange == "mexc" and name not in ("book", "bids")) or name in _PLACES.get(exchange, {})


def dispensable(exchange: str) -> Iterator[tuple[Any, ...]]:
    """The places of everything a quote can be made without."""
    needed = NEEDED[exchange]
    for path in _paths(message(exchange)):
        if path not in needed and not any(
            path[: len(each)] == each and _holds_levels(each) for each in needed
        ):
            yield path


def _holds_levels(path: tuple[Any, ...]) -> bool:
    return path[-1] in ("bids", "asks") or (len(path) == 2 and path[-1] in ("b", "a", "B", "A"))


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield (*at, key)
        yield from _paths(inner, (*at, key))


WITHDRAWN: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "no book": lambda exchange: {"book": None},
    "no levels": lambda exchange: {"bids": []},
    "a side that is null": lambda exchange: {"bids": None},
    "a side that is absent": lambda exchange: {"bids": ABSENT},
    "a side that is empty text": lambda exchange: {"bids": ""},
    "an empty level": lambda exchange: {"bids": [[]]},
    "an empty price": lambda exchange: {"bid": "", "bid_size": ""},
    "a price that is null": lambda exchange: {"bid": None, "bid_size": None},
    "a price of zero": lambda exchange: {"bid": "0", "bid_size": "0"},
    "a price of zero with digits": lambda exchange: {"bid": "0.00000000"},
    "a size of zero": lambda exchange: {"bid_size": "0"},
    "a negative price": lambda exchange: {"bid": "-101.5"},
    "a negative size": lambda exchange: {"bid_size": "-1"},
    "a price that is no number": lambda exchange: {"bid": "NaN"},
    "an infinite price": lambda exchange: {"bid": "Infinity"},
    "a price that is text": lambda exchange: {"bid": "abc"},
    "a price that is a word of JSON": lambda exchange: {"bid": True},
    "a crossed book": lambda exchange: {"bid": "102"},
}
"""Everything that makes of a whole quote frame one that no quote can be made of."""
