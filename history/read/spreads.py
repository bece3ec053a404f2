"""A chart's points of any time: as the live engine stored them, or computed from the quotes."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import polars as pl

from engine.charts.batch import POINT_SCHEMA, Pairing, Terms
from history.lake.schema import started_shard
from history.read.legs import RecordedRates
from history.read.reader import HOUR_US, LakeReader, Where, polars_schema
from history.read.unseen import broken, unseen

Source = Literal["stored", "computed"]

LOOK_BACK_S: Final = (60, 600, 3600, 6 * 3600, 24 * 3600)
"""How far back the points are sought that the first bands need, one after the other."""

HOLE_US: Final = 60_000_000
"""Where the collector stored nothing for longer about a full hour, the points are computed."""

STRETCH_ROWS: Final = 150_000
"""Quotes paired at once, about: more would cost memory and no longer gain speed."""

_UNDERWAY_US: Final = 5_000_000
"""Quotes as young may be on their way into the lake: that none is there yet breaks no line."""

_DAY_US: Final = 86_400_000_000
_OTHERS: Final = {
    "edge12": "edge21", "edge21": "edge12", "size12": "size21", "size21": "size12",
    "age1_ms": "age2_ms", "age2_ms": "age1_ms", "exchange1": "exchange2", "exchange2": "exchange1",
}  # fmt: skip
_QUOTE_COLUMNS: Final = (
    "exchange", "bid", "bid_size", "ask", "ask_size", "received_ts_us", "received_mono_ns", "late_us",
)  # fmt: skip
_NO_QUOTES: Final = pl.DataFrame(schema={name: polars_schema("quotes")[name] for name in _QUOTE_COLUMNS})
_STATE_COLUMNS: Final = ("exchange", "state", "reason", "received_ts_us", "received_mono_ns")


@dataclass(frozen=True, slots=True)
class Span:
    """A range [start, end) in µs and where its points come from."""

    source: Source
    start_us: int
    end_us: int


def chart_points(
    reader: LakeReader, terms: Terms, start_us: int, end_us: int
) -> tuple[list[Source], Iterator[pl.DataFrame]]:
    """A chart's points in [start, end), and where they come from.

    The frames are oldest first, of an hour at most each; their columns are POINT_COLUMNS, null in gaps.
    """
    spans = find_spans(reader, terms, start_us, end_us)
    if any(span.source == "stored" for span in spans):
        return _sources(spans), _points_of(reader, terms, spans)
    # The collector keeps each pair one way round, whichever way round it is asked for.
    other = find_spans(reader, terms.turned(), start_us, end_us)
    if any(span.source == "stored" for span in other):
        return _sources(other), map(turned, _points_of(reader, terms.turned(), other))
    return _sources(spans), _points_of(reader, terms, spans)


def _sources(spans: list[Span]) -> list[Source]:
    return sorted({span.source for span in spans})


def _points_of(reader: LakeReader, terms: Terms, spans: list[Span]) -> Iterator[pl.DataFrame]:
    def points() -> Iterator[pl.DataFrame]:
        for span in spans:
            of = stored_points if span.source == "stored" else computed_points
            yield from of(reader, terms, span.start_us, span.end_us)

    stretches = unseen(reader, terms, spans[0].start_us, spans[-1].end_us) if spans else []
    yield from broken(points(), stretches)


def stored_points(reader: LakeReader, terms: Terms, start_us: int, end_us: int) -> Iterator[pl.DataFrame]:
    """Points that the live engine made."""
    spreads = reader.snapshot("spreads")
    for frame in spreads.frames(**_chart(terms, start_us, end_us)):
        yield frame.select(POINT_SCHEMA.keys())


def computed_points(reader: LakeReader, terms: Terms, start_us: int, end_us: int) -> Iterator[pl.DataFrame]:
    """Points the live engine would have made of the recorded quotes and stream states."""
    ticks = _Ticks(reader, terms, start_us, end_us)
    pairing = ticks.warmed_up(start_us)
    inside = pl.col("ts_us").is_between(start_us, end_us, closed="left")
    for frame in ticks.paired(pairing, start_us, end_us):
        points = frame.filter(inside)
        if len(points):
            yield points


def find_spans(reader: LakeReader, terms: Terms, start_us: int, end_us: int) -> list[Span]:
    """Stretches with stored points, and the holes between, oldest first."""
    spans: list[Span] = []
    at = start_us
    for first, last in _stored_hours(reader, terms, start_us, end_us):
        if first - at > HOLE_US:
            spans.append(Span("computed", at, first))
            at = first
        _extend(spans, Span("stored", at, last + 1))
        at = last + 1
    if not spans or end_us - at > HOLE_US:
        spans.append(Span("computed", at, end_us))
    else:
        _extend(spans, Span("stored", at, end_us))
    return spans


def _stored_hours(reader: LakeReader, terms: Terms, start_us: int, end_us: int) -> Iterator[tuple[int, int]]:
    """First and last stored point of every hour that has any.

    Hours still in many files are read from both their ends, so that not all are opened for this.
    """
    spreads = reader.snapshot("spreads")
    hours = Counter(at // HOUR_US for at, _to in spreads.slices(**_chart(terms, start_us, end_us)))
    crowded = [hour for hour, slices in hours.items() if slices > 1]
    compact_end_us = max(start_us, min([end_us, *(hour * HOUR_US for hour in crowded)]))
    ts = pl.col("ts_us")
    scan = spreads.scan(["ts_us"], **_chart(terms, start_us, compact_end_us))
    found = scan.group_by(hour=ts // HOUR_US).agg(ts.min(), last=ts.max()).sort("hour").collect()
    yield from found.select("ts_us", "last").iter_rows()
    for hour in sorted(hours):
        within = max(hour * HOUR_US, start_us), min((hour + 1) * HOUR_US, end_us)
        if within[1] > compact_end_us and (bounds := spreads.range(**_chart(terms, *within))):
            yield bounds


def _extend(spans: list[Span], more: Span) -> None:
    """Add a span, as one with the last where the source is the same."""
    if spans and spans[-1].source == more.source:
        more = Span(more.source, spans.pop().start_us, more.end_us)
    spans.append(more)


def turned(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a pair, points or events, as those of the pair the other way round.

    A band becomes the other one; between two spreads its interpolation differs by less than their product.
    """
    swapped = {name: pl.col(other) for name, other in _OTHERS.items() if name in rows.columns}
    for name, other in (("spread", "spread"), ("upper", "lower"), ("lower", "upper")):
        if name in rows.columns:
            swapped[name] = (1 / (1 + pl.col(other) / 100) - 1) * 100
    return rows.with_columns(**swapped)


def _chart(terms: Terms, start_us: int, end_us: int) -> Where:
    return {
        "symbol": terms.symbol,
        "exchange1": terms.exchange1,
        "exchange2": terms.exchange2,
        "start_us": start_us,
        "end_us": end_us,
    }


class _Ticks:
    """Record of a chart's two legs: one version of the quotes, and the stream states."""

    def __init__(self, reader: LakeReader, terms: Terms, start_us: int, end_us: int) -> None:
        self._terms = terms
        exchanges = [terms.exchange1, terms.exchange2]
        symbols = sorted({leg.symbol for leg in terms.legs})
        self._where: Where = {"symbol": symbols, "exchange": exchanges}
        self._quotes = reader.snapshot("quotes")
        self._rates = RecordedRates(reader, terms.legs, start_us - _DAY_US, end_us)
        scan = reader.scan(
            "stream_states",
            columns=_STATE_COLUMNS,
            symbol=[*symbols, ""],
            exchange=[*exchanges, ""],
            start_us=start_us - _DAY_US,
            end_us=end_us,
        )
        gone = [self._rates.interruptions(leg) for leg in terms.legs]
        states = pl.concat([scan.collect(), *gone], how="diagonal")
        states = states.sort("received_ts_us", maintain_order=True).with_columns(
            pl.col("reason").fill_null("")
        )
        begins = [_begins(reason, terms.symbol) for reason in states["reason"]]
        self._starts = frozenset(states.filter(pl.Series(begins, dtype=pl.Boolean))["received_ts_us"])
        others = pl.Series([started_shard(reason) is None for reason in states["reason"]], dtype=pl.Boolean)
        self._states = states.filter(others).drop("reason")

    def warmed_up(self, at_us: int) -> Pairing:
        """A pairing that knows what the engine knew then: last quotes, states, bands."""
        began_us = max((start for start in self._starts if start < at_us), default=0)
        pairing = Pairing(self._terms)
        for seconds in LOOK_BACK_S:
            from_us = max(at_us - seconds * 1_000_000, began_us)
            pairing = Pairing(self._terms)
            pairing.feed(_NO_QUOTES, self._states_between(began_us, from_us))
            for quotes, before in self._stretches(from_us, at_us):
                pairing.feed(quotes, before)
            if pairing.warm or from_us == began_us:
                break
        return pairing

    def paired(self, pairing: Pairing, start_us: int, end_us: int) -> Iterator[pl.DataFrame]:
        """The pairing's points, stretch by stretch; where a collector began, a new one takes over."""
        for from_us, to_us in self._lives(start_us, end_us):
            if from_us in self._starts:
                yield pairing.end(from_us, interrupted=True)
                pairing = Pairing(self._terms)
            for quotes, states in self._stretches(from_us, to_us):
                yield pairing.feed(quotes, states)
        yield pairing.end(min(end_us, time.time_ns() // 1000 - _UNDERWAY_US))

    def _lives(self, start_us: int, end_us: int) -> Iterator[tuple[int, int]]:
        """All of [start, end), cut where a collector began."""
        return pairwise([start_us, *sorted(s for s in self._starts if start_us < s < end_us), end_us])

    def _stretches(self, start_us: int, end_us: int) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Quotes and states of all of [start, end): of one slice of the table, then of ever more."""
        cuts = [to_us for _from_us, to_us in self._quotes.slices(**self._within(start_us, end_us))]
        at, slices = start_us, 1
        while cuts:
            *_, to_us = cuts[:slices]
            del cuts[:slices]
            quotes, states = self._between(at, to_us)
            yield quotes, states
            at = to_us
            slices = slices * 2 if len(quotes) < STRETCH_ROWS else max(1, slices // 2)
        yield _NO_QUOTES, self._states_between(at, end_us)

    def _between(self, start_us: int, end_us: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Quotes and states of [start, end)."""
        scan = self._quotes.scan(**self._within(start_us, end_us))
        return self._rates.in_terms(scan, _QUOTE_COLUMNS), self._states_between(start_us, end_us)

    def _within(self, start_us: int, end_us: int) -> Where:
        return self._where | {"start_us": start_us, "end_us": end_us}

    def _states_between(self, start_us: int, end_us: int) -> pl.DataFrame:
        return self._states.filter(pl.col("received_ts_us").is_between(start_us, end_us, closed="left"))


def _begins(reason: str, symbol: str) -> bool:
    """Whether a state's reason says that the collector of this symbol began."""
    shard = started_shard(reason)
    return shard is not None and shard.owns(symbol)
