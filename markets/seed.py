"""Writes the defaults into an empty desk; once it has exchanges, its rows are the operator's."""

from decimal import Decimal
from itertools import combinations

from django.db import transaction

from markets.defaults import (
    BASES,
    EXCHANGES,
    FILTER_BASES,
    FILTER_NAME,
    FILTER_PAIRS,
    FINDER_CLOSE_BPS,
    FINDER_DURATION_MS,
    FINDER_NAME,
    FINDER_OPEN_BPS,
    QUOTE,
    THOUSANDS,
    TRAP_BASES,
)
from markets.models import Exchange, ExchangePair, Instrument, OpportunityFilter, Symbol
from markets.services import set_base_urls


@transaction.atomic
def seed(simulator_url: str = "", *, traps: bool = False) -> list[str]:
    """Write the defaults unless there are exchanges already; returns what was done, in words.

    With a simulator, every default exchange is pointed at it, now and whenever its address changed;
    `traps` adds what the simulator lists with --traps.
    """
    done = []
    if not Exchange.objects.exists():
        exchanges = Exchange.objects.bulk_create(_exchange(default) for default in EXCHANGES)
        bases = (*BASES, *(TRAP_BASES if traps else ()))
        symbols = Symbol.objects.bulk_create(_symbol(base) for base in bases)
        pairs = ExchangePair.objects.bulk_create(
            ExchangePair(exchange1=one, exchange2=two) for one, two in combinations(exchanges, 2)
        )
        Instrument.objects.bulk_create(_instruments(exchanges, symbols))
        if traps:
            _count_in_thousands()
        _filters(pairs)
        done.append(
            f"added {len(exchanges)} exchanges, {len(symbols)} symbols, {len(pairs)} pairs, 2 filters"
        )
    if simulator_url and (moved := set_base_urls([row.key for row in EXCHANGES], simulator_url)):
        done.append(f"pointed {moved} exchanges at the simulator {simulator_url}")
    return done


def _exchange(default: tuple[str, str, str, str, str]) -> Exchange:
    key, name, taker, maker, _joiner = default
    return Exchange(key=key, name=name, taker_fee_bps=taker, maker_fee_bps=maker)


def _symbol(base: str) -> Symbol:
    return Symbol(name=f"{base}/{QUOTE}", base=base, quote=QUOTE, enabled=True)


def _instruments(exchanges: list[Exchange], symbols: list[Symbol]) -> list[Instrument]:
    """So that charts move before the first catalogue sync, which then corrects and completes them."""
    joiners = {default.key: default.joiner for default in EXCHANGES}
    return [
        Instrument(
            exchange=exchange,
            symbol=symbol,
            native_id=f"{symbol.base}{joiners[exchange.key]}{symbol.quote}",
        )
        for exchange in exchanges
        for symbol in symbols
    ]


def _count_in_thousands() -> None:
    """Where a thousand coins are sold as one, the listing has a name of its own and counts as the coin."""
    for (exchange, base), name in THOUSANDS.items():
        row = Instrument.objects.get(exchange__key=exchange, symbol__base=base)
        row.counts_as, row.multiplier = row.symbol, Decimal(1000)
        row.symbol = Symbol.objects.create(name=f"{name}/{QUOTE}", base=name, quote=QUOTE)
        row.native_id = row.native_id.replace(base, name, 1)
        row.save()


def _filters(pairs: list[ExchangePair]) -> None:
    row = OpportunityFilter.objects.create(
        name=FILTER_NAME, symbols="\n".join(f"{base}/{QUOTE}" for base in FILTER_BASES), quote=QUOTE
    )
    row.pairs.set(pair for pair in pairs if (pair.exchange1.key, pair.exchange2.key) in FILTER_PAIRS)
    OpportunityFilter.objects.create(
        name=FINDER_NAME,
        min_edge_bps=FINDER_OPEN_BPS,
        close_edge_bps=FINDER_CLOSE_BPS,
        min_duration_ms=FINDER_DURATION_MS,
        charted=False,
    )
