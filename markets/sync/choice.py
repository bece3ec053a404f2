"""Choices a catalogue leaves open: which of two markets has their name, which fees are a market's own."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from decimal import Decimal

from core.names.symbols import loose
from markets.models import Instrument
from markets.sync.catalogue import ListedMarket, MarketFees

SHOWN = 5  # names in a line


def named_twice(
    listed: Mapping[str, ListedMarket], known: Mapping[str, Instrument], unread: Set[str] = frozenset()
) -> dict[str, str]:
    """Select of markets that share a unified name all but one, by native id, with the reason in words.

    One that trades goes before one that does not, then one the operator has not switched off, then the
    one that has the name now, then one whose own name is spelled like it, then the alphabet: whatever
    order they come in, and the same at the next sync. One that has the name keeps it while its row cannot
    be read (`unread`): a damaged answer lets nobody take over.
    """
    by_symbol: defaultdict[str, list[ListedMarket]] = defaultdict(list)
    for market in listed.values():
        by_symbol[market.symbol].append(market)
    kept = {known[name].symbol.name: name for name in unread if known[name].active}
    aside = {}
    for symbol, same in by_symbol.items():
        if symbol in kept:
            why = f"{kept[symbol]} has the same name and keeps it while its row cannot be read"
            aside.update(dict.fromkeys((market.native_id for market in same), why))
            continue
        first, *others = sorted(same, key=lambda market: _rank(market, known.get(market.native_id)))
        for market in others:
            aside[market.native_id] = _why(first, market, known)
    return aside


def _rank(market: ListedMarket, row: Instrument | None) -> tuple[bool, bool, bool, bool, str]:
    return (
        not market.active,
        row is not None and not row.enabled,
        not _has_it(market, row),
        loose(market.native_id) != loose(f"{market.base}{market.quote}"),
        market.native_id,
    )


def _has_it(market: ListedMarket, row: Instrument | None) -> bool:
    return row is not None and row.active and row.symbol.name == market.symbol


def _why(first: ListedMarket, other: ListedMarket, known: Mapping[str, Instrument]) -> str:
    row = known.get(other.native_id)
    if first.active and not other.active:
        why = "trades and this one does not"
    elif row is not None and not row.enabled:
        why = "is not switched off"
    elif _has_it(first, known.get(first.native_id)):
        why = "had the name before"
    else:
        why = "comes first by its own name"
    return f"{first.native_id} has the same name and {why}"


def own_fees(markets: Iterable[ListedMarket], entered_bps: Decimal) -> dict[str, MarketFees]:
    """Fees that are not the exchange's usual ones, by native id.

    The usual ones, which most markets have, stand for what the operator entered or has by tier: a list
    says them for an account without any tier. Nothing, or a rebate, is never usual, however many promotions
    there are; where no market says that it costs anything, zeros are no news but damage.
    """
    said = {each.native_id: each.fees for each in markets if each.fees is not None}
    counts = Counter(fees.taker for fees in said.values() if not fees.times)
    costing = Counter({taker: count for taker, count in counts.items() if taker > 0}) or counts
    usual = max(costing, key=lambda taker: (costing[taker], -abs(taker - entered_bps), taker), default=None)
    return {name: fees for name, fees in said.items() if fees.taker != (1 if fees.times else usual)}


def fee_problems(markets: Iterable[ListedMarket]) -> list[str]:
    """Statements of an exchange about fees that are not believed, in lines for people."""
    markets = list(markets)
    problems = []
    if refused := [f"{each.native_id} “{each.fee_refused}”" for each in markets if each.fee_refused]:
        more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        problems.append(
            f"fees: {len(refused)} make no sense and are not taken over, taker / maker: "
            f"{', '.join(refused[:SHOWN])}{more}"
        )
    takers = [each.fees.taker for each in markets if each.fees is not None and not each.fees.times]
    if takers and min(takers) < 0 and max(takers) <= 0:
        problems.append(
            "fees: by its list no market costs anything and some pay a rebate; where that is what most of "
            "them say, the fees you entered hold"
        )
    return problems


def size_problems(markets: Iterable[ListedMarket]) -> list[str]:
    """Swaps that are left out for want of a contract size, in a line for people."""
    unsized = [
        each.native_id for each in markets if each.swap is not None and each.swap.contract_size is None
    ]
    if not unsized:
        return []
    more = f" and {len(unsized) - SHOWN} more" if len(unsized) > SHOWN else ""
    return [
        f"contract sizes: {len(unsized)} cannot be read, not followed: {', '.join(unsized[:SHOWN])}{more}"
    ]
