"""Reading: the operator's rows as one immutable value, in a fixed number of queries."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from markets.config import (
    REST_SCHEMES,
    WS_SCHEMES,
    ExchangeConfig,
    FilterConfig,
    InstrumentConfig,
    InvalidConfig,
    MarketConfig,
    base_url_problem,
)
from markets.models import ConfigRevision, Exchange, ExchangePair, Instrument, OpportunityFilter
from markets.selection import (
    Chart,
    FilterRow,
    Listing,
    Market,
    PairRow,
    in_bounds,
    opportunities,
    select,
)


def current_revision() -> int:
    """The number of the last committed configuration; 0 when nothing was ever configured."""
    return ConfigRevision.objects.values_list("number", flat=True).first() or 0


def max_opportunities() -> int:
    """How many opportunities one filter may select (setting MAX_OPPORTUNITIES_PER_FILTER)."""
    return int(settings.MAX_OPPORTUNITIES_PER_FILTER)


def load_config() -> MarketConfig:
    """The whole configuration, in six queries.

    Raises InvalidConfig, naming row, field and remedy, when the rows make no usable configuration:
    whoever runs the last good one keeps it. The revision is read first, so rows changed meanwhile
    come with the older number and are read again at the next one, never missed.
    """
    revision = current_revision()
    exchanges = list(Exchange.objects.order_by("key"))
    market = tradable_market()
    filters = list(OpportunityFilter.objects.filter(enabled=True).prefetch_related("pairs").order_by("id"))
    selected = select_all(filters, market, enabled_pairs())
    for row in filters:
        check_cap(row, len(selected[row.pk]))
    enabled = {exchange.key for exchange in exchanges if exchange.enabled}
    return MarketConfig(
        revision=revision,
        exchanges=tuple(_exchange_config(exchange) for exchange in exchanges),
        instruments=frozenset(_to_collect(market, enabled)),
        opportunities=opportunities(selected),
        filters=tuple(_filter_config(row) for row in filters),
    )


def tradable_market() -> Market:
    """Every active instrument of an enabled symbol within its exchange's volume bounds (one query).

    Exchanges that are disabled are included: their charts stay and say "down".
    """
    rows = Instrument.objects.filter(active=True, enabled=True, symbol__enabled=True).values_list(
        "exchange__key", "symbol__name", "native_id", "symbol__quote", "quote_volume_24h",
        "exchange__min_volume", "exchange__max_volume",
    )  # fmt: skip
    market: dict[str, dict[str, Listing]] = {}
    for exchange, symbol, native_id, quote, known_volume, low, high in rows.order_by():
        volume = float(known_volume or 0)
        if in_bounds(volume, _float(low), _float(high)):
            listing = Listing(exchange, symbol, native_id, quote, volume)
            market.setdefault(symbol, {})[exchange] = listing
    return market


def enabled_pairs() -> list[PairRow]:
    """The enabled pairs, by their exchanges' keys (one query)."""
    rows = ExchangePair.objects.filter(enabled=True).order_by("exchange1__key", "exchange2__key")
    return [
        PairRow(*row) for row in rows.values_list("pk", "exchange1__key", "exchange2__key", "tolerance_ms")
    ]


def select_all(
    filters: Iterable[OpportunityFilter], market: Market, pairs: list[PairRow]
) -> dict[int, list[Chart]]:
    """What each filter (with `pairs` prefetched) selects, by primary key; no query."""
    return {row.pk: list(select(filter_row(row), market, pairs)) for row in filters}


def filter_counts(filters: Iterable[OpportunityFilter]) -> dict[int, int]:
    """How many opportunities each filter selects now, enabled or not, by primary key (two queries)."""
    return {pk: len(charts) for pk, charts in select_all(filters, tradable_market(), enabled_pairs()).items()}


def count_selected(row: FilterRow) -> int:
    """How many opportunities a filter that need not be saved would select (two queries)."""
    return sum(1 for _chart in select(row, tradable_market(), enabled_pairs()))


def filter_row(row: OpportunityFilter) -> FilterRow:
    """A saved filter as plain values."""
    return FilterRow(
        id=row.pk,
        symbols=row.symbols,
        quote=row.quote,
        pairs=frozenset(pair.pk for pair in row.pairs.all()),
        min_volume=_float(row.min_volume),
        max_volume=_float(row.max_volume),
    )


def check_cap(row: OpportunityFilter, count: int) -> None:
    """Raise InvalidConfig when a filter selects more charts than one page can carry."""
    if count > max_opportunities():
        raise InvalidConfig(
            f"Opportunity filter “{row.name}”: it selects {count} opportunities, the limit is "
            f"{max_opportunities()}. Name fewer symbols or pairs in it, raise its min volume, or raise "
            f"MAX_OPPORTUNITIES_PER_FILTER."
        )


def _exchange_config(row: Exchange) -> ExchangeConfig:
    for field, url, schemes in (
        ("REST base URL", row.rest_url, REST_SCHEMES),
        ("WebSocket base URL", row.ws_url, WS_SCHEMES),
    ):
        if url and (problem := base_url_problem(url, schemes)):
            raise InvalidConfig(f"Exchange “{row.key}”, {field}: {problem}, or empty it.")
    return ExchangeConfig(
        key=row.key,
        name=row.name,
        enabled=row.enabled,
        taker_fee_bps=float(row.taker_fee_bps),
        maker_fee_bps=float(row.maker_fee_bps),
        rest_url=row.rest_url,
        ws_url=row.ws_url,
    )


def _filter_config(row: OpportunityFilter) -> FilterConfig:
    return FilterConfig(row.pk, row.name, _float(row.min_spread_pct), _float(row.min_edge_bps))


def _to_collect(market: Market, enabled: set[str]) -> Iterable[InstrumentConfig]:
    for listings in market.values():
        for listing in listings.values():
            if listing.exchange in enabled:
                yield InstrumentConfig(listing.exchange, listing.symbol, listing.native_id)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
