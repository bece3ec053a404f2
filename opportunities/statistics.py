"""The statistics of pairs over ranges of the lake: one pair in depth, and all charted pairs ranked."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from msgspec import Struct

from engine.charts.batch import Terms
from engine.deviation import DeviationStatistics, DeviationTerms, Floats, deviations, statistics
from history.read.asked import Range
from history.read.reader import LakeReader, Snapshot
from history.read.spreads import Source, chart_points
from opportunities.models import VerdictThresholds

MAX_PAIRS: Final = 1_000
"""Pairs in a ranking: those with the most points."""

FIRST_ROWS: Final = 100_000
BATCH_ROWS: Final = 500_000
"""Points judged at once: few at first, so that the first pairs show soon; then what takes about 100 MB."""

_PAIR: Final = ["symbol", "exchange1", "exchange2"]


class Judged(Struct, frozen=True, eq=False):
    """One pair over one range; `ts_us` and `deviation` (percent, NaN in gaps) are its line."""

    statistics: DeviationStatistics
    ts_us: Floats
    deviation: Floats
    sources: list[Source]


class Ranked(Struct, frozen=True):
    """A pair and what it amounts to."""

    symbol: str
    exchange1: str
    exchange2: str
    statistics: DeviationStatistics


def verdict_terms() -> DeviationTerms:
    """The thresholds that hold; those of the house while nobody has set any."""
    row = VerdictThresholds.objects.first() or VerdictThresholds()
    return DeviationTerms(**{name: getattr(row, name) for name in DeviationTerms.__struct_fields__})


def judge(reader: LakeReader, pair: Terms, within: Range, terms: DeviationTerms) -> Judged:
    """One pair, from its stored spreads or computed from its quotes."""
    sources, frames = chart_points(reader, pair, within.start_us, within.end_us)
    columns = {"ts_us": pl.Int64, "spread": pl.Float64}
    points = pl.concat([pl.DataFrame(schema=columns), *(frame.select(columns.keys()) for frame in frames)])
    ts_us, ratio = _line(points)
    return Judged(statistics(ts_us, ratio, terms), ts_us, deviations(ratio), sources)


class Ranking:
    """All pairs that have spreads in a range; iterating judges them, batch by batch."""

    def __init__(self, reader: LakeReader, within: Range, terms: DeviationTerms) -> None:
        self._spreads: Snapshot = reader.snapshot("spreads")
        self._within, self._terms = within, terms
        scan = self._spreads.scan(_PAIR, start_us=within.start_us, end_us=within.end_us)
        found = scan.group_by(_PAIR).len().sort(["len", *_PAIR], descending=[True, False, False, False])
        counted = found.collect()
        self.pairs = counted.head(MAX_PAIRS)
        self.left_out = len(counted) - len(self.pairs)

    def __iter__(self) -> Iterator[list[Ranked]]:
        for symbols in self._batches():
            scan = self._spreads.scan(
                [*_PAIR, "ts_us", "spread"],
                symbol=symbols,
                start_us=self._within.start_us,
                end_us=self._within.end_us,
            )
            points = scan.join(self.pairs.lazy().select(_PAIR), on=_PAIR, how="semi").collect()
            yield [self._ranked(part) for part in points.sort("ts_us").partition_by(_PAIR)]

    def _ranked(self, points: pl.DataFrame) -> Ranked:
        symbol, exchange1, exchange2 = points.select(_PAIR).row(0)
        return Ranked(symbol, exchange1, exchange2, statistics(*_line(points), self._terms))

    def _batches(self) -> Iterator[list[str]]:
        """Symbols whose points can be judged at once."""
        batch: list[str] = []
        rows, most = 0, FIRST_ROWS
        symbols = self.pairs.group_by("symbol", maintain_order=True).agg(pl.col("len").sum())
        for symbol, count in symbols.iter_rows():
            if batch and rows + count > most:
                yield batch
                batch, rows, most = [], 0, BATCH_ROWS
            batch.append(symbol)
            rows += count
        if batch:
            yield batch


def _line(points: pl.DataFrame) -> tuple[Floats, Floats]:
    """Times, µs, and bid1 / bid2, NaN in gaps."""
    ts_us = points["ts_us"].cast(pl.Float64).to_numpy()
    spread = points["spread"].fill_null(float("nan")).to_numpy()
    return ts_us, np.asarray(spread / 100 + 1, dtype=np.float64)
