"""Which symbols on which pairs a filter selects; plain Python over plain values, no database."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import translate

from msgspec import Struct

from markets.config import Opportunity


class Listing(Struct, frozen=True):
    """A tradable instrument. `volume` is of 24 h in quote currency; unknown counts as 0."""

    exchange: str
    symbol: str
    native_id: str
    quote: str
    volume: float


class PairRow(Struct, frozen=True):
    """An enabled exchange pair."""

    id: int
    exchange1: str
    exchange2: str
    tolerance_ms: int | None


class FilterRow(Struct, frozen=True):
    """A filter's configuration-time criteria; empty `quote` or `pairs` means any, None means open."""

    id: int
    symbols: str
    quote: str = ""
    pairs: frozenset[int] = frozenset()
    min_volume: float | None = None
    max_volume: float | None = None


Market = Mapping[str, Mapping[str, Listing]]  # symbol -> exchange -> listing
Chart = tuple[str, PairRow]


def patterns(text: str) -> list[str]:
    """The names and globs of a filter's `symbols` text, in upper case, as written."""
    return [word for word in re.split(r"[\s,;]+", text.upper()) if word]


def matcher(text: str) -> re.Pattern[str]:
    """One expression that matches every symbol the text names; an empty text names all."""
    return re.compile("|".join(translate(word) for word in patterns(text) or ["*"]))


def in_bounds(volume: float, low: float | None, high: float | None) -> bool:
    """Whether a volume lies within the bounds, both included."""
    return (low is None or volume >= low) and (high is None or volume <= high)


def select(row: FilterRow, market: Market, pairs: Iterable[PairRow]) -> Iterator[Chart]:
    """The charts a filter selects, by symbol and then in the order of the pairs."""
    named = matcher(row.symbols)
    chosen = [pair for pair in pairs if not row.pairs or pair.id in row.pairs]
    for symbol in sorted(market):
        if not named.match(symbol):
            continue
        legs = {key: listing for key, listing in market[symbol].items() if _passes(row, listing)}
        for pair in chosen:
            if pair.exchange1 in legs and pair.exchange2 in legs:
                yield symbol, pair


def opportunities(selected: Mapping[int, Iterable[Chart]]) -> tuple[Opportunity, ...]:
    """Charts of all filters merged: each once, with the filters that select it."""
    merged: dict[Chart, list[int]] = {}
    for filter_id, charts in selected.items():
        for chart in charts:
            merged.setdefault(chart, []).append(filter_id)
    return tuple(
        Opportunity(symbol, pair.exchange1, pair.exchange2, pair.tolerance_ms, tuple(filters))
        for (symbol, pair), filters in merged.items()
    )


def _passes(row: FilterRow, listing: Listing) -> bool:
    return row.quote in ("", listing.quote) and in_bounds(listing.volume, row.min_volume, row.max_volume)
