"""Why a symbol on two exchanges is not among the scanned pairs, from the operator's rows."""

from collections.abc import Iterator

from django.db.models import Q
from django.utils.translation import gettext as _
from msgspec import Struct

from core.names import formats as wording
from markets.models import Exchange, ExchangePair, Instrument, Symbol
from markets.worth.reference import REFERENCE
from markets.worth.worths import Worths


class Obstacle(Struct, frozen=True):
    """One reason in words, and the admin's list of the rows it lies in, with what to search there."""

    words: str
    model: str
    search: str = ""


def obstacles(symbol: Symbol, *exchanges: Exchange) -> list[Obstacle]:
    """All obstacles that keep two exchanges from being compared on a symbol; empty when nothing does."""
    found = [
        Obstacle(_("%(exchange)s is disabled") % {"exchange": exchange}, "exchange", exchange.key)
        for exchange in exchanges
        if not exchange.enabled
    ]
    found.extend(_of_pair(*exchanges))
    if not symbol.enabled:
        found.append(Obstacle(_("%(symbol)s is not enabled") % {"symbol": symbol}, "symbol", symbol.name))
    for exchange in exchanges:
        found.extend(_of_listing(symbol, exchange))
    return found


def _of_pair(one: Exchange, two: Exchange) -> Iterator[Obstacle]:
    either_way = Q(exchange1=one, exchange2=two) | Q(exchange1=two, exchange2=one)
    pair = ExchangePair.objects.filter(either_way).first()
    names = {"one": one, "two": two}
    if pair is None:
        yield Obstacle(_("there is no pair of %(one)s and %(two)s: add it") % names, "exchangepair")
    elif not pair.enabled:
        yield Obstacle(_("the pair of %(one)s and %(two)s is disabled") % names, "exchangepair", one.key)


def _of_listing(symbol: Symbol, exchange: Exchange) -> Iterator[Obstacle]:
    """Problem of the exchange's instruments of this symbol; the one that comes closest counts."""
    rows = Instrument.objects.filter(Q(symbol=symbol) | Q(counts_as=symbol), exchange=exchange)
    names = {"exchange": exchange, "symbol": symbol.name}
    problems = [problem for row in rows.order_by("-active") if (problem := _problem(row, symbol))]
    if not rows:
        yield Obstacle(_("%(exchange)s does not list %(symbol)s") % names, "instrument", symbol.name)
    elif len(problems) == len(rows):
        yield Obstacle(f"{exchange}: {problems[0]}", "instrument", symbol.name)


def _problem(row: Instrument, symbol: Symbol) -> str:
    """Why this instrument is not compared under the symbol; empty when it is."""
    if row.delisted_at:
        return _("delisted on %(day)s") % {"day": f"{row.delisted_at:%Y-%m-%d}"}
    if not row.enabled:
        return _("the instrument is disabled")
    if row.counts_as and row.counts_as != symbol:
        return _("the instrument counts as %(other)s") % {"other": row.counts_as}
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
