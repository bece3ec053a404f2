"""Pinned charts: pairs that a user wants on the dashboard, whatever the filters select."""

from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from markets.models import ExchangePair, PinnedChart, Symbol
from realtime.guard import Refused, symbol_of

MAX_PINS: Final = 50
_PLACES: Final = ("symbol__name", "pair__exchange1__key", "pair__exchange2__key")


def pinned_ids(user: User) -> list[str]:
    """The chart ids a user pinned, the first pinned first (one query)."""
    return ["|".join(row) for row in PinnedChart.objects.filter(user=user).values_list(*_PLACES)]


@transaction.atomic
def pin(user: User, chart_id: str) -> None:
    """Pin a chart; pinning it again changes nothing. Raises Refused."""
    symbol, pair = _named(chart_id)
    # Two clicks at once must not pass the limit together.
    User.objects.select_for_update().get(pk=user.pk)
    mine = PinnedChart.objects.filter(user=user)
    if mine.filter(symbol=symbol, pair=pair).exists():
        return
    if mine.count() >= MAX_PINS:
        raise Refused(409, f"{MAX_PINS} charts are pinned, which is the limit: unpin one first")
    PinnedChart(user=user, symbol=symbol, pair=pair).save()


def unpin(user: User, chart_id: str) -> None:
    """Forget a pin; one that is not there is no error. Raises Refused."""
    parts = _parts(chart_id)
    mine = PinnedChart.objects.filter(user=user)
    symbol = symbol_of(mine.values_list("symbol__name", flat=True), parts[0], "id")
    for row in mine.filter(**dict(zip(_PLACES, (symbol, *parts[1:]), strict=True))):
        row.delete()


def _named(chart_id: str) -> tuple[Symbol, ExchangePair]:
    name, exchange1, exchange2 = _parts(chart_id)
    meant = symbol_of(Symbol.objects.values_list("name", flat=True), name, "id")
    symbol = Symbol.objects.filter(name=meant).first()
    if symbol is None:
        raise Refused(404, f"id: there is no symbol {name!r}")
    either = [exchange1, exchange2]
    pair = (
        ExchangePair.objects.filter(exchange1__key__in=either, exchange2__key__in=either, enabled=True)
        .exclude(exchange1=F("exchange2"))
        .first()
    )
    if pair is None:
        raise Refused(404, f"id: there is no enabled pair {exchange1} / {exchange2}")
    return symbol, pair


def _parts(chart_id: str) -> tuple[str, str, str]:
    parts = chart_id.split("|")
    if len(parts) != 3:
        raise Refused(400, "id: takes a chart's id, BTC/USDT|binance|bybit")
    return parts[0], parts[1].lower(), parts[2].lower()
