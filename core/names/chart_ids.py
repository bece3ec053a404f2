"""Chart ids, `BTC/USDT|binance|bybit`: a symbol on a pair of exchanges, as sockets, URLs and stores write it.

The scanner's pairs go by the same ids, whether or not a chart follows them.
"""

from typing import NamedTuple


class ChartParts(NamedTuple):
    """Parts of a chart id."""

    symbol: str
    exchange1: str
    exchange2: str


def chart_id_of(symbol: str, exchange1: str, exchange2: str) -> str:
    """The id of a symbol's chart on a pair of exchanges."""
    return f"{symbol}|{exchange1}|{exchange2}"


def parts_of(chart_id: str) -> ChartParts:
    """Take an id apart. Raises ValueError when it has not three parts."""
    parts = chart_id.split("|")
    if len(parts) != 3:
        raise ValueError(f"{chart_id!r} is not a chart's id; one looks like BTC/USDT|binance|bybit")
    return ChartParts(*parts)
