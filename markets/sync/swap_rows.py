"""Rows of swaps: what a catalogue sync writes beside what it writes of every instrument."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import audit
from markets.models import Exchange, Instrument
from markets.sync.catalogue import ListedMarket
from markets.sync.swaps import SwapTerms, instrument_multiplied

SWAP_FIELDS: Final = (
    "settle", "contract_size", "contract_size_before", "contract_size_since", "not_followed", "max_leverage",
    "risk_tiers", "expires_at",
)  # fmt: skip


def swap_terms(terms: SwapTerms | None, known: Instrument | None, now: datetime) -> dict[str, Any]:
    """Terms of a swap; its contract size with the last one before, and since when it is another one."""
    if terms is None:
        return {}
    before = None if known is None else known.contract_size_before
    since = now if known is None else known.contract_size_since
    if known is not None and known.contract_size != terms.contract_size:
        before, since = _last_known(known), now
    size = {"contract_size_before": before, "contract_size_since": since}
    tiers = terms.risk_tiers if known is None or terms.risk_tiers is not None else known.risk_tiers
    return {name: getattr(terms, name, None) for name in SWAP_FIELDS} | size | {"risk_tiers": tiers}


def _last_known(row: Instrument) -> Decimal | None:
    return row.contract_size_before if row.contract_size is None else row.contract_size


def on_record(known: Mapping[str, Instrument], listed: Mapping[str, ListedMarket]) -> list[str]:
    """Swaps whose contract size is another one than it last was, in words; each goes into the audit.

    Sizes of quotes and lots of before and after mean different amounts.
    """
    changed = []
    for name, row in sorted(known.items()):
        terms, was = listed[name].swap if name in listed else None, _last_known(row)
        if terms is None or was is None or terms.contract_size in (was, row.contract_size):
            continue
        before, after = _plain(was), _plain(terms.contract_size)
        changed.append(f"{name}: {before} → {after}")
        audit.record(
            "contract_size_changed", object=row, before={"contract_size": before},
            after={"contract_size": after}, words=f"{row.key} {changed[-1]}",
        )  # fmt: skip
    return changed


def _plain(size: Decimal | None) -> str:
    return "unknown" if size is None else f"{size.normalize():f}"


def new_aliases(
    exchange: Exchange, listed: Mapping[str, ListedMarket], known: Mapping[str, Instrument]
) -> dict[str, tuple[str, int]]:
    """New swaps that are so many coins in one (1000PEPE), with the symbol of the coin and how many.

    None where the exchange lists the coin itself, or something counts as it already. What is known stays as
    it is: the operator may have decided otherwise.
    """
    rows = Instrument.catalogue.filter(exchange=exchange, counts_as__isnull=False)
    taken = set(rows.values_list("counts_as__name", flat=True))
    taken |= {market.symbol for market in listed.values() if market.active}
    found = {}
    for name, market in sorted(listed.items()):
        multiplied = instrument_multiplied(market.base)
        if multiplied is None or market.swap is None or market.swap.not_followed or name in known:
            continue
        coin, count = multiplied
        symbol = f"{coin}/{market.quote}:{market.swap.settle}"
        if symbol not in taken:
            taken.add(symbol)
            found[name] = symbol, count
    return found


def alias_fields(alias: tuple[str, int] | None, symbols: Mapping[str, int]) -> dict[str, Any]:
    """The fields of an alias, by what `new_aliases` found."""
    return {} if alias is None else {"counts_as_id": symbols[alias[0]], "multiplier": alias[1]}
