"""The loader: yesterday's second bars, features of past days, and features of now.

A row has only what had been received at its `available_at`, the end of its second by our own clock: in
training and live alike.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self, overload

import polars as pl

from orderbook.ml.adapters.base import BARS, Key, MLAdapter
from orderbook.ml.adapters.opened import opened
from orderbook.ml.bars import hours
from orderbook.ml.errors import NoDataError
from orderbook.ml.features.table import WARM_UP_S, features
from orderbook.ml.grid import LAGS, Loaded
from orderbook.ml.live import Live

MOST_LIVE_MINUTES: Final = 60
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class MLDataLoader:
    """Reads a store that `dsn` names, PostgreSQL or a lake, in a thread beside the event loop.

    One call runs at a time; a cancelled one is aborted. Rows are of every exchange that has the symbols,
    sorted by symbol, exchange and second. Raises UnknownSymbolError, NoDataError, StoreUnreadableError.
    """

    def __init__(self, dsn: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._dsn = dsn
        self._now = now
        self._adapter: MLAdapter | None = None
        self._live: Live | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._adapter = await asyncio.to_thread(opened, self._dsn)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        async with self._turn:
            if self._adapter is not None:
                await asyncio.to_thread(self._adapter.close)
                self._adapter = self._live = None

    @overload
    async def get_training_data(
        self,
        symbols: Sequence[str],
        days_back: int = 1,
        columns: Sequence[str] = ...,
        *,
        as_pandas: Literal[False] = False,
    ) -> pl.DataFrame: ...
    @overload
    async def get_training_data(
        self,
        symbols: Sequence[str],
        days_back: int = 1,
        columns: Sequence[str] = ...,
        *,
        as_pandas: Literal[True],
    ) -> Any: ...
    async def get_training_data(
        self,
        symbols: Sequence[str],
        days_back: int = 1,
        columns: Sequence[str] = tuple(BARS),
        *,
        as_pandas: bool = False,
    ) -> Any:
        """Return the second bars of yesterday, or of the last `days_back` whole days, UTC.

        Columns that are not asked for are not read: of 30 days, name those that you need.
        """
        _check_days(days_back)
        if unknown := [name for name in columns if name not in BARS]:
            raise ValueError(f"columns: {unknown} are not among {', '.join(BARS)}")
        return await self._run(
            self._training_data, _checked(symbols), days_back, columns, as_pandas=as_pandas
        )

    @overload
    async def get_ml_features(
        self, symbols: Sequence[str], days_back: int = 30, *, as_pandas: Literal[False] = False
    ) -> pl.DataFrame: ...
    @overload
    async def get_ml_features(
        self, symbols: Sequence[str], days_back: int = 30, *, as_pandas: Literal[True]
    ) -> Any: ...
    async def get_ml_features(
        self, symbols: Sequence[str], days_back: int = 30, *, as_pandas: bool = False
    ) -> Any:
        """Return every feature of each second of the last `days_back` whole days, UTC."""
        _check_days(days_back)
        return await self._run(self._features, _checked(symbols), days_back, as_pandas=as_pandas)

    @overload
    async def get_real_time_features(
        self, symbols: Sequence[str], minutes: int, *, as_pandas: Literal[False] = False
    ) -> pl.DataFrame: ...
    @overload
    async def get_real_time_features(
        self, symbols: Sequence[str], minutes: int, *, as_pandas: Literal[True]
    ) -> Any: ...
    async def get_real_time_features(
        self, symbols: Sequence[str], minutes: int, *, as_pandas: bool = False
    ) -> Any:
        """Return every feature of the last minutes, up to the newest second that is complete.

        The first call for a set of symbols reads three hours of them, and the first of an hour the last one;
        others read what is new.
        """
        if not 1 <= minutes <= MOST_LIVE_MINUTES:
            raise ValueError(f"minutes: {minutes} is not from 1 to {MOST_LIVE_MINUTES}; see get_ml_features")
        return await self._run(self._real_time, _checked(symbols), minutes, as_pandas=as_pandas)

    async def _run(self, work: Callable[..., pl.DataFrame], *args: Any, as_pandas: bool) -> Any:
        """Do blocking work in a thread; a call that is cancelled ends when the store has let go of it."""
        if self._adapter is None:
            raise RuntimeError("MLDataLoader: open it first: `async with MLDataLoader(dsn) as loader:`")
        async with self._turn:
            running = asyncio.ensure_future(asyncio.to_thread(work, self._adapter, *args))
            try:
                frame = await asyncio.shield(running)
            except asyncio.CancelledError:
                self._live = None  # what it kept may be half of an answer
                self._adapter.cancel()
                await asyncio.wait([running])
                running.exception()
                raise
        return frame.to_pandas() if as_pandas else frame

    def _training_data(
        self, adapter: MLAdapter, symbols: list[str], days_back: int, columns: Sequence[str]
    ) -> pl.DataFrame:
        start, end = self._days(days_back)
        keys = adapter.keys(symbols, start, end)
        bars = adapter.bars(keys, start, end, columns)
        if bars.is_empty():
            raise NoDataError(symbols, _words(start, end), _newest(adapter, symbols))
        return _named(bars, keys)

    def _features(self, adapter: MLAdapter, symbols: list[str], days_back: int) -> pl.DataFrame:
        start, end = self._days(days_back)
        keys = adapter.keys(symbols, start, end)
        # A day and a symbol at a time: a grid of all of them would not fit into memory.
        frames = [
            _named(_of_day(adapter, of_symbol, start + day * _DAY), of_symbol)
            for symbol in dict.fromkeys(symbol for symbol, _exchange in keys)
            for of_symbol in [[key for key in keys if key[0] == symbol]]
            for day in range(days_back)
        ]
        if not any(len(frame) for frame in frames):
            raise NoDataError(symbols, _words(start, end), _newest(adapter, symbols))
        return pl.concat(frames).sort("symbol", "exchange", "second")

    def _real_time(self, adapter: MLAdapter, symbols: list[str], minutes: int) -> pl.DataFrame:
        end = self._now().astimezone(UTC).replace(microsecond=0)
        start = end - timedelta(minutes=minutes)
        if self._live is None or {symbol for symbol, _exchange in self._live.keys} != set(symbols):
            self._live = Live(adapter, adapter.keys(symbols, start - _DAY, end))
        found = self._live.features(start, end)
        if found.is_empty():
            asked = f"the last {minutes} minutes"
            raise NoDataError(symbols, asked, _newest(adapter, symbols))
        return _named(found, self._live.keys)

    def _days(self, days: int) -> tuple[datetime, datetime]:
        end = datetime.combine(self._now().astimezone(UTC).date(), time(), UTC)
        return end - days * _DAY, end


def _of_day(adapter: MLAdapter, keys: Sequence[Key], day: datetime) -> pl.DataFrame:
    """Features of a day, with the hours before it that they look at."""
    loaded, end = day - timedelta(hours=LAGS), day + _DAY
    bars = adapter.bars(keys, loaded, end)
    warm_up = day - timedelta(seconds=WARM_UP_S)
    book = adapter.depth(keys, warm_up, end)
    return features(Loaded(keys, bars, book, hours(bars), warm_up, end), day)


def _named(rows: pl.DataFrame, keys: Sequence[Key]) -> pl.DataFrame:
    """Rows with their symbol and exchange, and when they could be known."""
    names = [
        pl.Series(name, [key[place] for key in keys], pl.Categorical).gather(rows["key"])
        for place, name in enumerate(("symbol", "exchange"))
    ]
    known = (pl.col("second") + _SECOND).alias("available_at")
    others = pl.exclude("key", "second")
    return rows.with_columns(names).select(
        "symbol", "exchange", "second", known, others.exclude("symbol", "exchange")
    )


def _newest(adapter: MLAdapter, symbols: list[str]) -> str | None:
    epoch, end = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    keys = adapter.keys(symbols, epoch, end)
    newest = adapter.newest(keys) if keys else None
    return None if newest is None else f"{newest:%Y-%m-%d %H:%M:%S} UTC"


def _words(start: datetime, end: datetime) -> str:
    last: date = (end - _DAY).date()
    return f"{last} (yesterday, UTC)" if end - start == _DAY else f"{start.date()} to {last} (UTC)"


def _check_days(days_back: int) -> None:
    if days_back < 1:
        raise ValueError(f"days_back: {days_back} is too few; 1 is yesterday")


def _checked(symbols: Sequence[str]) -> list[str]:
    if isinstance(symbols, str) or not symbols:
        raise ValueError(f"symbols: {symbols!r} is not a list of symbols, such as ['BTC/USDT']")
    return sorted(set(symbols))
