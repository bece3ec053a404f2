"""Files as the predecessor wrote them, with invented prices."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MORNING = datetime.datetime(2025, 3, 1, 9, 0, 0, 250_000)  # noqa: DTZ001 - naive, as C# wrote it: UTC
MORNING_US = 1_740_819_600_250_000
DECIMAL = pa.decimal128(28, 10)


def folder(root: Path, exchange: str, symbol: str, hour: int = 9) -> Path:
    """The folder of one hour."""
    path = root / f"exchange={exchange}" / f"symbol={symbol}" / "date=2025-03-01" / f"hour={hour:02}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def times(count: int, *, unit: str = "us", hour: int = 9) -> pa.Array:
    """A row each 100 ms."""
    first = MORNING.replace(hour=hour)
    step = datetime.timedelta(milliseconds=100)
    return pa.array([first + number * step for number in range(count)], pa.timestamp(unit))


def spreads(
    root: Path,
    exchange: str = "Binance",
    symbol: str = "BTCUSDT",
    *,
    prices: Sequence[tuple[str, str]] = (("64000.1", "64000.2"),) * 5,
    hour: int = 9,
    name: str = "spreads-0001",
    unit: str = "us",
    **columns: Any,
) -> Path:
    """Write one file of best bids and asks; `columns` replace the usual ones, None leaves one out."""
    usual: dict[str, Any] = {
        "Timestamp": times(len(prices), unit=unit, hour=hour),
        "BestBid": _decimals([bid for bid, _ in prices]),
        "BestAsk": _decimals([ask for _, ask in prices]),
        "SpreadPercentage": _decimals(["0.0001"] * len(prices)),
        "MinVolume": _decimals(["1000000"] * len(prices)),
        "MaxVolume": _decimals(["0"] * len(prices)),
        "Exchange": [exchange] * len(prices),
        "Symbol": [symbol] * len(prices),
    }
    return _write(folder(root, exchange, symbol, hour) / f"{name}.parquet", usual | columns)


def trades(
    root: Path,
    exchange: str = "Binance",
    symbol: str = "BTCUSDT",
    *,
    sides: Sequence[Any] = ("Buy", "Sell"),
    name: str = "trades-0001",
    **columns: Any,
) -> Path:
    """Write one file of trades."""
    count = len(sides)
    usual: dict[str, Any] = {
        "Timestamp": times(count),
        "Price": _decimals(["64000.15"] * count),
        "Quantity": _decimals([f"0.00{number + 1}" for number in range(count)]),
        "Side": list(sides),
        "Exchange": [exchange] * count,
        "Symbol": [symbol] * count,
    }
    return _write(folder(root, exchange, symbol) / f"{name}.parquet", usual | columns)


def _decimals(texts: Sequence[str | None]) -> pa.Array:
    return pa.array([None if text is None else Decimal(text) for text in texts], DECIMAL)


def _write(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
    return path
