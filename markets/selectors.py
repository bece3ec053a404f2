"""Reading: the operator's rows as one immutable value, in a fixed number of queries."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from math import isnan
from sys import intern
from typing import Any, cast

from django.conf import settings
from django.db.models import Prefetch, Q
from django.utils.translation import gettext as _
from msgspec import structs

from core.errors import InvalidConfig
from core.health.upkeep import us_of
from core.names.market_keys import SPOT, SWAP, MarketName, coin_symbol, market_key
from core.names.symbols import literal_names, pinned_down, same_letters, words
from core.proxies import DIRECT, proxy_problem
from markets.config import (
    REST_SCHEMES,
    WS_SCHEMES,
    ExchangeConfig,
    ExitAssumption,
    FilterConfig,
    GateTerms,
    IdentityConfig,
    IdentityVerdict,
    InstrumentConfig,
    ListingConfig,
    MarketConfig,
    NetworkConfig,
    PairConfig,
    PairKind,
    base_url_problem,
)
from markets.depth import depth_config
from markets.fees.schedules import (
    WANTED,
    begun_schedules,
    by_tier,
    fee_rules,
    fee_terms,
    past_fees,
    valid_on,
)
from markets.fees.schedules import said_fees as said_fees  # noqa: PLC0414 - read from here, too
from markets.fees.schedules import todays_fees as todays_fees  # noqa: PLC0414
from markets.models import (
    ConfigRevision,
    Exchange,
    ExchangePair,
    FeeSchedule,
    GateThresholds,
    IdentityCase,
    Instrument,
    Leg,
    OpportunityFilter,
    PinnedChart,
    Symbol,
    WalletStatus,
)
from markets.models.instrument import FOLLOWED, compared_as
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
from markets.sync.rest_proxy import way_out
from markets.worth.reference import is_dollar
from markets.worth.worths import Worths

LEGS = ("exchange1__key", "market1", "exchange2__key", "market2")
PAIRS = Prefetch("pairs", ExchangePair.objects.select_related("exchange1", "exchange2"))


def current_revision() -> int:
    """The number of the last committed configuration; 0 when nothing was ever configured."""
    return ConfigRevision.objects.values_list("number", flat=True).first() or 0


def max_opportunities() -> int:
    """How many opportunities one filter may select (setting MAX_OPPORTUNITIES_PER_FILTER)."""
    return int(settings.MAX_OPPORTUNITIES_PER_FILTER)


def exchange_names() -> dict[str, str]:
    """Names of the markets of exchanges for sentences, by market key: `Binance`, `Binance swap`."""
    rows = list(Exchange.objects.order_by("name"))
    return {market_key(row.key, market): row.called(market) for market in (SPOT, SWAP) for row in rows}


def compared_legs(exchanges: Iterable[Exchange]) -> list[Leg]:
    """Markets of exchanges to choose from: their spot, and their swaps where a pair has them (one query)."""
    swaps = ExchangePair.objects.filter(enabled=True).exclude(market1=SPOT, market2=SPOT)
    legs = swaps.values_list("exchange1", "market1", "exchange2", "market2")
    used = {leg for one, market1, two, market2 in legs for leg in ((one, market1), (two, market2))}
    rows = list(exchanges)
    return [Leg(row) for row in rows] + [Leg(row, SWAP) for row in rows if (row.pk, SWAP) in used]


def load_config(also: Collection[str] = ()) -> MarketConfig:
    """Load the whole configuration, in a fixed number of queries.

    `also` are keys of markets that it has as well though nothing uses them, of exchanges that there are: what
    was recorded of them is computed with their fees.

    Raises InvalidConfig, naming row, field and remedy, when the rows make no usable configuration:
    a process that runs the last good one keeps it. The revision is read first, so rows changed meanwhile
    come with the older number and are read again at the next one, never missed.
    """
    revision = current_revision()
    exchanges = list(Exchange.objects.order_by("key"))
    begun, today = begun_schedules(), datetime.now(UTC).date()
    called = _called_so([row.symbols for row in begun])
    schedules = valid_on(begun, today)
    fees = by_tier(schedules)
    said = said_fees()
    worths = Worths()
    market = tradable_market(worths)
    pairs = enabled_pairs()
    filters = list(OpportunityFilter.objects.filter(enabled=True).prefetch_related(PAIRS).order_by("id"))
    _pin_down(filters)
    selected = select_all([row for row in filters if row.charted], market, pairs)
    for row in filters:
        if row.charted:
            check_cap(row, len(selected[row.pk]))
    uncharted = [row for row in filters if row.follow_depth and not row.charted]
    with_depth = select_all(uncharted, market, pairs) | {
        row.pk: selected[row.pk] for row in filters if row.follow_depth and row.charted
    }
    compared = tuple(listings(worths))
    markets = list(_markets_in_use(exchanges, market, compared, pairs, also))
    configured = tuple(_exchange_config(row, name, fees) for row, name in markets)
    enabled = {row.key for row in configured if row.enabled}
    return MarketConfig(
        revision=revision,
        exchanges=configured,
        instruments=frozenset(_to_collect(market, enabled)),
        opportunities=opportunities(selected, pinned(market, pairs)),
        filters=tuple(_filter_config(row) for row in filters),
        listings=compared,
        worths=_worths_of(compared, worths),
        pairs=tuple(
            PairConfig(row.exchange1, row.exchange2, row.tolerance_ms, row.max_age_ms) for row in pairs
        ),
        wallets=wallets(),
        identities=identities(),
        gates=gate_terms(),
        fee_rules=(*fee_rules(exchanges, schedules, called), *said),
        depth=depth_config(market, [chart for _pk, charts in sorted(with_depth.items()) for chart in charts]),
        past_fees=past_fees(markets, configured, begun, said, today, called=called),
    )


def _markets_in_use(
    exchanges: Iterable[Exchange],
    market: Market,
    compared: Iterable[ListingConfig],
    pairs: Iterable[PairRow],
    also: Collection[str],
) -> Iterator[tuple[Exchange, MarketName]]:
    """Every exchange's spot market, and swaps: those listed or compared, and those of `also`."""
    used = {leg for pair in pairs for leg in (pair.exchange1, pair.exchange2)} | set(also)
    used |= {key for legs in market.values() for key in legs} | {each.exchange for each in compared}
    for row in exchanges:
        yield row, SPOT
        if market_key(row.key, SWAP) in used:
            yield row, SWAP


def tradable_market(worths: Worths | None = None, symbol: str = "") -> Market:
    """Every active instrument of an enabled symbol within its exchange's volume bounds (one query).

    With a `symbol` only what is compared under it.

    Volumes are in USDT (one more query where one is in no dollar). Exchanges that are disabled are included:
    their charts stay and say "down".
    """
    worths = worths or Worths()
    named = compared_as(symbol) if symbol else Q()
    rows = Instrument.objects.filter(WANTED, FOLLOWED, named, active=True).values_list(
        "exchange__key", "symbol__name", "native_id", "symbol__quote", "quote_volume_24h", "kind",
        "contract_size", "exchange__min_volume", "exchange__max_volume", "counts_as__name",
    )  # fmt: skip
    market: dict[str, dict[str, Listing]] = {}
    for *names, known_volume, kind, size, low, high, alias in rows.order_by():
        exchange, symbol, native_id, quote = map(intern, names)
        volume = worths.volume(_float(known_volume), quote)
        if in_bounds(volume, _float(low), _float(high)):
            key, counts_as = intern(market_key(exchange, kind)), intern(coin_symbol(alias or symbol))
            other_name = "" if counts_as == symbol else counts_as
            listing = Listing(key, symbol, native_id, quote, volume, other_name, _coins(size))
            legs = market.setdefault(counts_as, {})
            if alias in (None, symbol) or key not in legs:  # a listing of that very name goes first
                legs[key] = listing
    return market


def _coins(contract_size: Any) -> float:
    """Coins in one contract; spot has none and is sized in coins. What is unknown is not `FOLLOWED`."""
    return 1.0 if contract_size is None else float(contract_size)


def listings(worths: Worths) -> Iterator[ListingConfig]:
    """Listings that may be compared, trading or halted: instruments of enabled symbols, not delisted (one
    query).

    Volume bounds of an exchange apply as they do to collecting: what is not collected is not compared.
    """
    rows = (
        Instrument.objects.filter(WANTED, FOLLOWED, delisted_at=None, set_aside="", exchange__enabled=True)
        .values_list(
            "exchange__key", "symbol__name", "native_id", "symbol__base", "symbol__quote", "counts_as__name",
            "multiplier", "quote_volume_24h", "active", "status", "min_notional", "kind", "contract_size",
            "expires_at", "lot_size", "exchange__min_volume", "exchange__max_volume",
        )
        .order_by("exchange__key", "kind", "symbol__name")
    )  # fmt: skip
    for *names, alias, multiplier, volume, active, status, least, kind, size, ends, lot, low, high in rows:
        if in_bounds(worths.volume(_float(volume), names[4]), _float(low), _float(high)):
            # The database makes every name again for every row: one of each is a third of the memory.
            exchange, symbol, native_id, base, quote = map(intern, names)
            yield ListingConfig(
                intern(market_key(exchange, kind)), symbol, native_id, base, quote,
                intern(coin_symbol(alias or symbol)), float(multiplier), _float(volume), active,
                intern(status), _float(least), _coins(size),
                None if ends is None else us_of(ends), _float(lot),
            )  # fmt: skip


def _worths_of(compared: Iterable[ListingConfig], worths: Worths) -> dict[str, float]:
    """Worths of currencies that are no dollars, by the catalogue."""
    quotes = {listing.quote for listing in compared}
    known = {quote: worths.of(quote) for quote in sorted(quotes) if not is_dollar(quote)}
    return {quote: worth for quote, worth in known.items() if not isnan(worth)}


def wallets() -> dict[tuple[str, str], tuple[NetworkConfig, ...]]:
    """Known state of the wallets of coins that are compared, by exchange and coin (one query)."""
    found: dict[tuple[str, str], list[NetworkConfig]] = {}
    compared = Q(enabled=True) | Q(instruments__counts_as__enabled=True)
    coins = Symbol.objects.filter(compared).values("base")
    rows = (
        WalletStatus.objects.filter(coin__in=coins)
        .order_by("exchange__key", "coin", "network")
        .values_list("exchange__key", "coin", "network", "deposit", "withdraw")
    )
    for exchange, coin, network, deposit, withdraw in rows:
        config = NetworkConfig(intern(network), deposit, withdraw)
        found.setdefault((intern(exchange), intern(coin)), []).append(config)
    known: dict[tuple[NetworkConfig, ...], tuple[NetworkConfig, ...]] = {}  # most coins have the same few
    return {key: known.setdefault(tuple(networks), tuple(networks)) for key, networks in found.items()}


def identities() -> tuple[IdentityConfig, ...]:
    """Every verdict on a coin's identity, the pair in the order it was found in (one query)."""
    rows = IdentityCase.objects.values_list("symbol__name", *LEGS, "verdict").order_by("symbol__name", *LEGS)
    return tuple(
        IdentityConfig(symbol, *_keys(*legs), cast(IdentityVerdict, verdict))
        for symbol, *legs, verdict in rows
    )


def gate_terms() -> GateTerms:
    """The thresholds of the gates: the operator's row, or the defaults (one query)."""
    row = GateThresholds.objects.values(*GateTerms.__struct_fields__).first()
    return GateTerms(**row) if row else GateTerms()


def pinned(market: Market, pairs: list[PairRow]) -> list[Chart]:
    """Charts that users pinned, of symbols and pairs that are compared now (one query)."""
    by_key = {row.id: row for row in pairs}
    rows = PinnedChart.objects.values_list("symbol__name", "pair_id").distinct().order_by()
    return [
        (symbol, pair)
        for symbol, pair_id in rows
        if (pair := by_key.get(pair_id)) and {pair.exchange1, pair.exchange2} <= market.get(symbol, {}).keys()
    ]


def hangs_on_pins(symbol: str, pair_id: int) -> bool:
    """Whether collectors follow a chart for those who pinned it, and for no other reason (four queries)."""
    pairs = [row for row in enabled_pairs() if row.id == pair_id]
    market = tradable_market(symbol=symbol)
    if not pairs or not {pairs[0].exchange1, pairs[0].exchange2} <= market.get(symbol, {}).keys():
        return False
    filters = list(OpportunityFilter.objects.filter(enabled=True, charted=True).prefetch_related(PAIRS))
    _pin_down(filters)
    return not any(select_all(filters, market, pairs).values())


def enabled_pairs() -> list[PairRow]:
    """The enabled pairs, by the keys of their markets (one query)."""
    rows = ExchangePair.objects.filter(enabled=True).order_by(*LEGS)
    fields = rows.values_list("pk", *LEGS, "tolerance_ms", "max_age_ms")
    return [PairRow(row[0], *_keys(*row[1:5]), *row[5:]) for row in fields]


def _keys(exchange1: str, market1: str, exchange2: str, market2: str) -> tuple[str, str]:
    """The market keys of two legs, their columns `LEGS`."""
    return market_key(exchange1, market1), market_key(exchange2, market2)


def select_all(
    filters: Iterable[OpportunityFilter], market: Market, pairs: list[PairRow]
) -> dict[int, list[Chart]]:
    """Selection of each filter (with `pairs` prefetched, names pinned down), by primary key; no query."""
    return {row.pk: list(select(filter_row(row), market, pairs)) for row in filters}


def filter_counts(filters: Iterable[OpportunityFilter]) -> dict[int, int]:
    """How many opportunities each filter selects now, enabled or not, by primary key (three queries)."""
    rows = list(filters)
    _pin_down(rows)
    return {pk: len(charts) for pk, charts in select_all(rows, tradable_market(), enabled_pairs()).items()}


def count_selected(row: FilterRow) -> int:
    """How many opportunities a filter that need not be saved would select (three queries)."""
    row = structs.replace(row, symbols=pinned_down(row.symbols, _called_so([row.symbols])))
    return sum(1 for _chart in select(row, tradable_market(), enabled_pairs()))


def strangers(text: str) -> list[str]:
    """Names in a list that are no symbol's, or only of symbols that are not enabled, in words (one query)."""
    literal = [word for word in words(text) if not (word.problem or word.wild) and "/" in word.name]
    symbols = list(Symbol.objects.values_list("name", "enabled")) if literal else []
    found = []
    for word in literal:
        names_it = word.matcher()
        named = [enabled for name, enabled in symbols if names_it(coin_symbol(name))]
        if coin_symbol(word.name) != word.name:
            found.append(
                _("“%(name)s” names no coin: write %(coin)s, which is the coin on every market.")
                % {"name": word.written, "coin": coin_symbol(word.name)}
            )
        elif not named:
            found.append(_("“%(name)s”: there is no such symbol.") % {"name": word.written})
        elif not (any(named) or word.excluded):
            found.append(_("“%(name)s” is not enabled.") % {"name": word.written})
    return found


def _pin_down(filters: Iterable[OpportunityFilter]) -> None:
    """Let names that a symbol has exactly mean only that one, also where not all symbols are known.

    On the rows as read, which nobody saves (one query).
    """
    rows = list(filters)
    known = _called_so([row.symbols for row in rows])
    for row in rows:
        row.symbols = pinned_down(row.symbols, known)


def _called_so(texts: Iterable[str]) -> frozenset[str]:
    """Names in some lists that are exactly a symbol's."""
    asked = [name for text in texts for name in literal_names(text)]
    if not asked:
        return frozenset()
    return frozenset(Symbol.objects.filter(name__in=map(same_letters, asked)).values_list("name", flat=True))


def filter_row(row: OpportunityFilter) -> FilterRow:
    """A saved filter as plain values."""
    return FilterRow(
        id=row.pk,
        symbols=row.symbols,
        quote=row.quote,
        pairs=frozenset(pair.pk for pair in row.pairs.all()),
        min_volume=_float(row.min_volume),
        max_volume=_float(row.max_volume),
        pairs_gone=row.pairs_gone,
        pair_kinds=_kinds(row),
    )


def _kinds(row: OpportunityFilter) -> tuple[PairKind, ...]:
    return tuple(cast(PairKind, kind) for kind in row.pair_kinds)


def check_cap(row: OpportunityFilter, count: int) -> None:
    """Raise InvalidConfig when a filter selects more charts than one page can carry."""
    if count > max_opportunities():
        raise InvalidConfig(
            f"Opportunity filter “{row.name}”: it selects {count} opportunities, the limit is "
            f"{max_opportunities()}. Name fewer symbols or pairs in it, raise its min volume, or raise "
            f"MAX_OPPORTUNITIES_PER_FILTER."
        )


def _exchange_config(
    row: Exchange, market: MarketName, fees: dict[tuple[str, str], FeeSchedule]
) -> ExchangeConfig:
    rest_url, ws_url = row.urls_of(market)
    of_swaps = " of swaps" if market == SWAP else ""
    for field, url, schemes in (
        (f"REST base URL{of_swaps}", rest_url, REST_SCHEMES),
        (f"WebSocket base URL{of_swaps}", ws_url, WS_SCHEMES),
    ):
        if url and (problem := base_url_problem(url, schemes)):
            raise InvalidConfig(f"Exchange “{row.key}”, {field}: {problem}, or empty it.")
    if row.proxy not in ("", DIRECT) and (problem := proxy_problem(row.proxy)):
        raise InvalidConfig(f"Exchange “{row.key}”, proxy: {problem}, or empty it.")
    proxy, no_proxy = way_out(row.proxy)
    terms = fee_terms(row, fees, market)
    return ExchangeConfig(
        key=market_key(row.key, market),
        name=row.name if market == SPOT else row.swap_name,
        enabled=row.enabled and market in row.markets,
        taker_fee_bps=terms.taker_bps,
        maker_fee_bps=terms.maker_bps,
        rest_url=rest_url,
        ws_url=ws_url,
        fees_known=terms.known,
        fee_source=terms.source,
        proxy=proxy,
        no_proxy=no_proxy,
    )


def _filter_config(row: OpportunityFilter) -> FilterConfig:
    return FilterConfig(
        id=row.pk,
        name=row.name,
        min_spread_pct=_float(row.min_spread_pct),
        min_edge_bps=_float(row.min_edge_bps),
        close_edge_bps=_float(row.close_edge_bps),
        min_duration_ms=row.min_duration_ms,
        min_size=_float(row.min_size),
        wallets_open=row.wallets_open,
        max_unproven_edge_bps=_float(row.max_unproven_edge_bps),
        max_age_ms=_float(row.max_age_ms),
        charted=row.charted,
        symbols=row.symbols,
        quote=row.quote,
        pairs=frozenset((pair.key1, pair.key2) for pair in row.pairs.all()),
        min_volume=_float(row.min_volume),
        max_volume=_float(row.max_volume),
        pairs_gone=row.pairs_gone,
        pair_kinds=_kinds(row),
        holding_hours=float(row.holding_hours),
        exit_assumption=cast(ExitAssumption, row.exit_assumption),
        min_net_edge_bps=_float(row.min_net_edge_bps),
        settlement_wanted=row.settlement_wanted,
        my_size=_float(row.my_size),
        min_edge_at_size_bps=_float(row.min_edge_at_size_bps),
        min_profit=_float(row.min_profit),
    )


def _to_collect(market: Market, enabled: set[str]) -> Iterable[InstrumentConfig]:
    for listings in market.values():
        for listing in listings.values():
            if listing.exchange in enabled:
                yield InstrumentConfig(
                    listing.exchange, listing.symbol, listing.native_id, listing.counts_as,
                    listing.contract_size,
                )  # fmt: skip


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
