"""Made second bars for checks: random walks with gaps, silent seconds and books that come and go."""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from orderbook.ml.adapters.base import BARS, DEPTH, PLACE, SECOND, Key
from orderbook.ml.grid import Loaded

_KEYS: Final[list[Key]] = [("MADE/USDT", name) for name in ("bybit", "gate", "okx")]
_START: Final = datetime(2026, 1, 1, 7, 30, tzinfo=UTC)
_SECONDS: Final = 5 * 3600


def made(seed: int = 0) -> Loaded:
    """Return five hours of three exchanges."""
    chance = np.random.default_rng(seed)
    fair = 100 + np.cumsum(chance.choice((-0.01, 0.0, 0.01), _SECONDS))
    bars = pl.concat([_bars(chance, key, fair) for key in range(len(_KEYS))])
    depth = bars.select(*PLACE, bid_depth=pl.col("bid_size") * 3, ask_depth=pl.col("ask_size") * 2)
    followed = pl.col("second").dt.minute() < 40
    hours = bars.clear()
    end = _START + timedelta(seconds=_SECONDS)
    return Loaded(_KEYS, bars, depth.filter(followed).select(*PLACE, *DEPTH), hours, _START, end)


def _bars(chance: np.random.Generator, key: int, fair: np.ndarray) -> pl.DataFrame:
    mid = fair + chance.normal(0, 0.01, _SECONDS)
    half = chance.choice((0.005, 0.01), _SECONDS)
    volume, bought = chance.exponential(1.0, _SECONDS), chance.random(_SECONDS)
    columns = {
        "key": np.full(_SECONDS, key, np.int32),
        "second": np.arange(_SECONDS),
        "bid": mid - half,
        "bid_size": chance.exponential(1.0, _SECONDS),
        "ask": mid + half,
        "ask_size": chance.exponential(1.0, _SECONDS),
        **{
            f"mid_{name}": mid + at
            for name, at in (("open", 0), ("high", half), ("low", -half), ("close", 0))
        },
        "quotes": np.ones(_SECONDS, np.int32),
        **dict.fromkeys(("open", "high", "low", "close"), mid),
        "volume": volume,
        "quote_volume": volume * mid,
        "buy_volume": volume * bought,
        "sell_volume": volume * (1 - bought),
        "trades": np.ones(_SECONDS, np.int32),
    }
    start_us = int(_START.timestamp()) * 1_000_000
    at = (pl.lit(start_us) + pl.col("second") * 1_000_000).cast(SECOND)
    bars = pl.DataFrame(columns).with_columns(at.alias("second")).select(*PLACE, *BARS)
    # Silence of up to a minute now and then, and single seconds without a quote.
    spoken = chance.random(_SECONDS) > 0.1
    for start in chance.integers(0, _SECONDS, 12):
        spoken[start : start + chance.integers(5, 60)] = False
    return bars.filter(spoken)
