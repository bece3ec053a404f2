"""Selection of symbols and pairs by a filter; plain Python over plain values, no database."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from core.names.chart_ids import chart_id_of
from core.names.market_keys import coin_symbol
from core.names.symbols import folded, matcher, words
from markets.config import (
    SPOT_ONLY,
    FilterConfig,
    ListingConfig,
    MarketConfig,
    Opportunity,
    PairConfig,
    PairKind,
    pair_kind,
)
from markets.worth.reference import is_dollar

__all__ = [
    "Chart", "FilterRow", "Listing", "Market", "PairRow", "ScanPair", "in_bounds", "listed", "matcher",
    "opportunities", "patterns", "scan_pairs", "select",
]  # fmt: skip


class Listing(Struct, frozen=True):
    """A tradable instrument; `exchange` is the key of its market. `volume` is of 24 h, worth so many USDT;
    unknown counts as 0."""

    exchange: str
    symbol: str
    native_id: str
    quote: str
    volume: float
    counts_as: str = ""  # the symbol it is compared under, when that is another one
    contract_size: float = 1.0


class PairRow(Struct, frozen=True):
    """An enabled pair of markets."""

    id: int
    exchange1: str
    exchange2: str
    tolerance_ms: int | None
    max_age_ms: int | None = None

    @property
    def kind(self) -> PairKind:
        """Kind of the pair."""
        return pair_kind(self.exchange1, self.exchange2)


class FilterRow(Struct, frozen=True):
    """A filter's configuration-time criteria; empty `quote` or `pairs` means any, None means open.

    With `pairs_gone` it named pairs, and all of them were deleted: it selects nothing.
    """

    id: int
    symbols: str
    quote: str = ""
    pairs: frozenset[int] = frozenset()
    min_volume: float | None = None
    max_volume: float | None = None
    pairs_gone: bool = False
    pair_kinds: tuple[PairKind, ...] = SPOT_ONLY


Market = Mapping[str, Mapping[str, Listing]]  # symbol -> key of a market -> listing
Chart = tuple[str, PairRow]


def patterns(text: str) -> list[str]:
    """The names and patterns of a filter's `symbols` text, as written."""
    return [word.written for word in words(text) if not word.problem]


def in_bounds(volume: float, low: float | None, high: float | None) -> bool:
    """Whether a volume lies within the bounds, both included."""
    return (low is None or volume >= low) and (high is None or volume <= high)


def select(row: FilterRow, market: Market, pairs: Iterable[PairRow]) -> Iterator[Chart]:
    """The charts a filter selects, by symbol and then in the order of the pairs."""
    if row.pairs_gone:
        return
    named = matcher(row.symbols)
    chosen = [
        pair for pair in pairs if pair.kind in row.pair_kinds and (not row.pairs or pair.id in row.pairs)
    ]
    for symbol in sorted(market):
        if not named.match(symbol):
            continue
        legs = {key: listing for key, listing in market[symbol].items() if _passes(row, listing)}
        for pair in chosen:
            if pair.exchange1 in legs and pair.exchange2 in legs:
                yield symbol, pair


def opportunities(
    selected: Mapping[int, Iterable[Chart]], pinned: Iterable[Chart] = ()
) -> tuple[Opportunity, ...]:
    """Charts of all filters, and those pinned, merged: each once, with the filters that select it."""
    merged: dict[Chart, list[int]] = {chart: [] for chart in pinned}
    for filter_id, charts in selected.items():
        for chart in charts:
            merged.setdefault(chart, []).append(filter_id)
    return tuple(
        Opportunity(symbol, pair.exchange1, pair.exchange2, pair.tolerance_ms, tuple(filters))
        for (symbol, pair), filters in merged.items()
    )


class ScanPair(Struct, frozen=True, gc=False):
    """A symbol on an enabled pair that both markets list: what the scanner compares, both directions.

    `filters` are those with a minimum edge that follow it: they open and close its episodes.
    """

    symbol: str
    pair: PairConfig
    listing1: ListingConfig
    listing2: ListingConfig
    filters: tuple[FilterConfig, ...] = ()

    @property
    def id(self) -> str:
        """Id like a chart's: `BTC/USDT|binance|bybit`."""
        return chart_id_of(self.symbol, self.pair.exchange1, self.pair.exchange2)


def listed(config: MarketConfig) -> dict[str, dict[str, ListingConfig]]:
    """Symbol -> key of a market -> what is compared under it: what trades before what is halted, and then a
    listing of that very name before an alias, as what is collected."""
    market: dict[str, dict[str, ListingConfig]] = {}
    for listing in sorted(config.listings, key=_takes_precedence):
        market.setdefault(listing.counts_as, {})[listing.exchange] = listing
    return market


def _takes_precedence(each: ListingConfig) -> tuple[bool, bool]:
    return each.active, coin_symbol(each.symbol) == each.counts_as


def scan_pairs(config: MarketConfig, owns: Callable[[str], bool] = lambda symbol: True) -> list[ScanPair]:
    """Every symbol (of those owned) on every enabled pair where both markets list it, in a fixed order."""
    market = listed(config)
    follow = [(row, matcher(row.symbols)) for row in config.filters if row.min_edge_bps is not None]
    same: dict[tuple[int, ...], tuple[FilterConfig, ...]] = {}  # most pairs share theirs
    following = [(pair, [row for row, _names in follow if _follows(row, pair)]) for pair in config.pairs]
    found = []
    for symbol in sorted(symbol for symbol in market if owns(symbol)):
        legs = market[symbol]
        named = {row.id for row, names in follow if names.match(symbol)}
        for pair, rows in following:
            one, two = legs.get(pair.exchange1), legs.get(pair.exchange2)
            if one is not None and two is not None:
                filters = tuple(
                    row for row in rows if row.id in named and _wants(row, config.worths, one, two)
                )
                filters = same.setdefault(tuple(row.id for row in filters), filters)
                found.append(ScanPair(symbol, pair, one, two, filters))
    return found


def _follows(row: FilterConfig, pair: PairConfig) -> bool:
    is_named = not row.pairs or (pair.exchange1, pair.exchange2) in row.pairs
    return is_named and not row.pairs_gone and pair.kind in row.pair_kinds


def _wants(row: FilterConfig, worths: Mapping[str, float], *legs: ListingConfig) -> bool:
    return all(
        _in_quote(row.quote, leg.quote) and in_bounds(_worth(leg, worths), row.min_volume, row.max_volume)
        for leg in legs
    )


def _worth(leg: ListingConfig, worths: Mapping[str, float]) -> float:
    """Volume in the reference currency; what is unknown counts as 0."""
    return (leg.volume or 0) * (1.0 if is_dollar(leg.quote) else worths.get(leg.quote, 0.0))


def _passes(row: FilterRow, listing: Listing) -> bool:
    return _in_quote(row.quote, listing.quote) and in_bounds(listing.volume, row.min_volume, row.max_volume)


def _in_quote(wanted: str, quote: str) -> bool:
    return wanted in ("", quote) or folded(wanted) == folded(quote)
