"""Rows of `marketdata` made of events; one event makes the same row whenever and wherever it is written."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from markets.events import Quote, Trade

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def quote_row(symbol_id: int, quote: Quote) -> tuple[Any, ...]:
    """Row of `book_ticker`."""
    values = (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
    return _row(symbol_id, quote, values)


def trade_row(symbol_id: int, trade: Trade) -> tuple[Any, ...]:
    """Row of `trades`."""
    values = (trade.price, trade.size, trade.side, trade.trade_id, trade.is_history)
    return _row(symbol_id, trade, values)


def _row(symbol_id: int, event: Quote | Trade, values: tuple[Any, ...]) -> tuple[Any, ...]:
    at = _EPOCH + timedelta(microseconds=event.received_ts_us)
    said = (event.exchange_ts_us, *values)
    return (symbol_id, at, _digest(said), *said)


def _digest(said: tuple[Any, ...]) -> int:
    """64 bits of what the exchange said: two events of one symbol in one µs do not share them by chance."""
    return int.from_bytes(blake2b(repr(said).encode(), digest_size=8).digest(), "big", signed=True)
