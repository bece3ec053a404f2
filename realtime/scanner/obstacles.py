"""Why a symbol on two exchanges is not among the scanned pairs, from the operator's rows."""

from collections.abc import Iterator

from django.utils.translation import gettext as _
from msgspec import Struct

from core.names import formats as wording
from core.names.market_keys import coin_symbol
from markets.models import ExchangePair, Instrument, Kind, Leg, Symbol, either_way
from markets.models.instrument import compared_so
from markets.worth.reference import REFERENCE
from markets.worth.worths import Worths


class Obstacle(Struct, frozen=True):
    """One reason in words, and the admin's list of the rows it lies in, with what to search there."""

    words: str
    model: str
    search: str = ""


def obstacles(symbol: Symbol, *legs: Leg) -> list[Obstacle]:
    """All obstacles that keep two markets from being compared on a coin; empty when nothing does."""
    exchanges = {leg.exchange.key: leg.exchange for leg in legs}
    found = [
        Obstacle(_("%(exchange)s is disabled") % {"exchange": exchange}, "exchange", key)
        for key, exchange in exchanges.items()
        if not exchange.enabled
    ]
    found.extend(_of_pair(*legs))
    for leg in legs:
        if leg.market not in leg.exchange.markets:
            words = _("swaps of %(exchange)s have no address beside that of its spot market")
            found.append(Obstacle(words % {"exchange": leg.exchange}, "exchange", leg.exchange.key))
    for kind in sorted({leg.market for leg in legs}):
        found.extend(_of_symbol(symbol, kind))
    for leg in legs:
        found.extend(_of_listing(symbol, leg))
    return found


def _of_symbol(symbol: Symbol, kind: str) -> Iterator[Obstacle]:
    """Whether the coin is enabled on one kind of market: a swap's symbol names its settle coin, too."""
    there = Symbol.objects.filter(compared_so(symbol.name), kind=kind)
    name = symbol.name if kind == Kind.SPOT else f"{symbol.name}:{symbol.quote}"
    if not there.filter(enabled=True).exists():
        yield Obstacle(_("%(symbol)s is not enabled") % {"symbol": name}, "symbol", name)


def _of_pair(one: Leg, two: Leg) -> Iterator[Obstacle]:
    pair = ExchangePair.objects.filter(either_way(one.key, two.key)).first()
    names = {"one": one, "two": two}
    if pair is None:
        yield Obstacle(_("there is no pair of %(one)s and %(two)s: add it") % names, "exchangepair")
    elif not pair.enabled:
        yield Obstacle(
            _("the pair of %(one)s and %(two)s is disabled") % names, "exchangepair", one.exchange.key
        )


def _of_listing(symbol: Symbol, leg: Leg) -> Iterator[Obstacle]:
    """Problem of the market's instruments of this coin; the one that comes closest counts."""
    own, alias = compared_so(symbol.name, "symbol__"), compared_so(symbol.name, "counts_as__")
    rows = Instrument.objects.filter(own | alias, exchange=leg.exchange, kind=leg.market)
    names = {"exchange": leg, "symbol": symbol.name}
    problems = [problem for row in rows.order_by("-active") if (problem := _problem(row, symbol))]
    if not rows:
        yield Obstacle(_("%(exchange)s does not list %(symbol)s") % names, "instrument", symbol.name)
    elif len(problems) == len(rows):
        yield Obstacle(f"{leg}: {problems[0]}", "instrument", symbol.name)


def _problem(row: Instrument, symbol: Symbol) -> str:
    """Why this instrument is not compared under the symbol; empty when it is."""
    return _state_problem(row, symbol) or _volume_problem(row)


def _state_problem(row: Instrument, symbol: Symbol) -> str:
    if row.delisted_at:
        return _("delisted on %(day)s") % {"day": f"{row.delisted_at:%Y-%m-%d}"}
    if not row.enabled:
        return _("the instrument is disabled")
    if row.not_followed:
        return _("it is not followed: %(reason)s") % {"reason": row.not_followed}
    if row.counts_as and coin_symbol(row.counts_as.name) != symbol.name:
        return _("the instrument counts as %(other)s") % {"other": row.counts_as}
    return ""


def _volume_problem(row: Instrument) -> str:
    exchange, volume = row.exchange, row.quote_volume_24h
    worth = Worths().volume(None if volume is None else float(volume), row.symbol.quote)
    if exchange.min_volume is not None and worth < exchange.min_volume:
        return _("its 24 h volume of %(volume)s is below the exchange's minimum of %(limit)s") % {
            "volume": f"{wording.amount(worth)} {REFERENCE}",
            "limit": f"{wording.amount(float(exchange.min_volume))} {REFERENCE}",
        }
    if exchange.max_volume is not None and worth > exchange.max_volume:
        return _("its 24 h volume of %(volume)s is above the exchange's maximum of %(limit)s") % {
            "volume": f"{wording.amount(worth)} {REFERENCE}",
            "limit": f"{wording.amount(float(exchange.max_volume))} {REFERENCE}",
        }
    return ""
