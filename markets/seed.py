"""Writes the defaults into an empty desk; once it has been set up, its rows are the operator's."""

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import TypeVar

from django.db import models, transaction

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
    SWAP_FILTER_BASES,
    SWAP_FILTER_NAME,
    SWAP_FILTER_PAIRS,
    THOUSANDS,
    TRAP_BASES,
    DefaultExchange,
)
from markets.models import Exchange, ExchangePair, Instrument, Kind, OpportunityFilter, PairKind, Symbol
from markets.pairing import legs_of
from markets.services import set_base_urls

M = TypeVar("M", bound=models.Model)

_LEGS = ("exchange1", "exchange2")


@transaction.atomic
def seed(
    simulator_url: str = "", *, traps: bool = False, missing: bool = False, swaps: bool = False
) -> list[str]:
    """Write the defaults into an empty desk; returns what was done, in words.

    A desk that has been set up is left as it is, whatever its operator deleted; `missing` adds those of the
    defaults that are not there. With a simulator, every default exchange is pointed at it, now and whenever
    its address changed; `traps` adds what the simulator lists with --traps.
    """
    done = []
    if missing or _is_empty():
        done += _add_missing(traps=traps, swaps=swaps)
    keys = [row.key for row in EXCHANGES]
    if simulator_url and (moved := set_base_urls(keys, simulator_url, swaps=swaps)):
        done.append(f"pointed {moved} exchanges at the simulator {simulator_url}")
    return done


def _is_empty() -> bool:
    """Whether nobody ever set this desk up: exchanges alone say nothing, all may have been deleted."""
    return not any(model.objects.exists() for model in (Exchange, Symbol, OpportunityFilter))


def _add_missing(*, traps: bool, swaps: bool) -> list[str]:
    exchanges, new_exchanges = _with_missing(
        Exchange, "key", [_exchange(default, swaps) for default in EXCHANGES]
    )
    bases = (*BASES, *(TRAP_BASES if traps else ()))
    symbols, new_symbols = _with_missing(Symbol, "name", [_symbol(base) for base in bases])
    new = {*new_exchanges, *new_symbols}
    if swaps:
        new_symbols += _with_missing(Symbol, "name", [_swap_symbol(base) for base in BASES])[1]
    pairs = _add_pairs(exchanges, swaps)
    # What an exchange lists besides is known from its catalogue.
    _add_instruments([(e, s) for e in exchanges for s in symbols if not new.isdisjoint((e, s))])
    if traps:
        _count_in_thousands()
    filters = 0
    if not OpportunityFilter.objects.exists():
        filters = _filters(swaps)
    for name, pairs_named in ((FILTER_NAME, FILTER_PAIRS), (SWAP_FILTER_NAME, SWAP_FILTER_PAIRS)):
        for row in OpportunityFilter.objects.filter(name=name, names_pairs=True, pairs=None):
            _choose_pairs(row, pairs_named)  # its own were deleted
    counts = {
        "exchanges": len(new_exchanges), "symbols": len(new_symbols), "pairs": pairs, "filters": filters,
    }  # fmt: skip
    added = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return [f"added {added}"] if added else []


def _with_missing(model: type[M], name: str, wanted: list[M]) -> tuple[list[M], list[M]]:
    """The rows of these names, and those of them that were made now."""
    there = {getattr(row, name): row for row in model._default_manager.all()}
    made = model._default_manager.bulk_create(row for row in wanted if getattr(row, name) not in there)
    there |= {getattr(row, name): row for row in made}
    return [there[getattr(row, name)] for row in wanted], made


def _exchange(default: DefaultExchange, swaps: bool) -> Exchange:
    row = Exchange(
        key=default.key,
        name=default.name,
        taker_fee_bps=default.taker_fee_bps,
        maker_fee_bps=default.maker_fee_bps,
    )
    if swaps:
        row.swap_taker_fee_bps = Decimal(default.swap_taker_fee_bps)
        row.swap_maker_fee_bps = Decimal(default.swap_maker_fee_bps)
    return row


def _symbol(base: str) -> Symbol:
    return Symbol(name=f"{base}/{QUOTE}", base=base, quote=QUOTE, enabled=True)


def _swap_symbol(base: str) -> Symbol:
    return Symbol(name=f"{base}/{QUOTE}:{QUOTE}", base=base, quote=QUOTE, kind=Kind.SWAP, enabled=True)


def _add_pairs(exchanges: list[Exchange], swaps: bool) -> int:
    """Compare all exchanges with one another, and with `swaps` these and all spot markets, too; returns how
    many pairs there were not."""
    kinds = tuple(PairKind) if swaps else (PairKind.SPOT,)
    there = {frozenset((row.key1, row.key2)) for row in ExchangePair.objects.select_related(*_LEGS)}
    new = [
        ExchangePair(exchange1=one.exchange, market1=one.market, exchange2=two.exchange, market2=two.market)
        for kind in kinds
        for one, two in legs_of(kind, exchanges)
        if frozenset((one.key, two.key)) not in there
    ]
    return len(ExchangePair.objects.bulk_create(new))


def _add_instruments(wanted: list[tuple[Exchange, Symbol]]) -> None:
    """Add some, so that charts move before the first catalogue sync, which corrects and completes them."""
    joiners = {default.key: default.joiner for default in EXCHANGES}
    Instrument.objects.bulk_create(
        (
            Instrument(
                exchange=exchange,
                symbol=symbol,
                native_id=f"{symbol.base}{joiners[exchange.key]}{symbol.quote}",
            )
            for exchange, symbol in wanted
        ),
        ignore_conflicts=True,
    )


def _count_in_thousands() -> None:
    """Make listings that sell a thousand coins as one count as the coin."""
    for (exchange, base), name in THOUSANDS.items():
        row = Instrument.objects.filter(exchange__key=exchange, symbol__base=base, counts_as=None).first()
        if row is None:
            continue
        row.counts_as, row.multiplier = row.symbol, Decimal(1000)
        row.symbol = Symbol.objects.get_or_create(
            name=f"{name}/{QUOTE}", defaults={"base": name, "quote": QUOTE}
        )[0]
        row.native_id = row.native_id.replace(base, name, 1)
        row.save()


def _filters(swaps: bool) -> int:
    row = OpportunityFilter.objects.create(name=FILTER_NAME, symbols=_named(FILTER_BASES), quote=QUOTE)
    _choose_pairs(row, FILTER_PAIRS)
    OpportunityFilter.objects.create(
        name=FINDER_NAME,
        min_edge_bps=FINDER_OPEN_BPS,
        close_edge_bps=FINDER_CLOSE_BPS,
        min_duration_ms=FINDER_DURATION_MS,
        charted=False,
        pair_kinds=[kind.value for kind in (PairKind if swaps else (PairKind.SPOT,))],
    )
    if not swaps:
        return 2
    kinds = [PairKind.SWAP.value, PairKind.BASIS.value]
    row = OpportunityFilter.objects.create(
        name=SWAP_FILTER_NAME, symbols=_named(SWAP_FILTER_BASES), quote=QUOTE, pair_kinds=kinds
    )
    _choose_pairs(row, SWAP_FILTER_PAIRS)
    return 3


def _named(bases: Iterable[str]) -> str:
    return "\n".join(f"{base}/{QUOTE}" for base in bases)


def _choose_pairs(row: OpportunityFilter, wanted: Collection[tuple[str, str]]) -> None:
    """Choose the pairs of a filter, by the keys of their markets."""
    pairs = ExchangePair.objects.select_related(*_LEGS)
    row.pairs.set(pair for pair in pairs if (pair.key1, pair.key2) in wanted)
