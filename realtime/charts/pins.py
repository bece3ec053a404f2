"""Pinned charts: pairs that a user wants on the dashboard, whatever the filters select.

Every collector reads the configuration again when its revision moves, so a pin moves it only where collectors
follow another chart for it: none that a filter selects, or that somebody else pinned, too.
"""

from typing import Final

from django.contrib.auth.models import User
from django.db import transaction

from accounts.access.guard import symbol_of
from core.names.chart_ids import chart_id_of, parts_of
from core.web.refused import Refused
from markets.follow.revision import lock_revision
from markets.models import ExchangePair, Kind, PinnedChart, Symbol, either_way
from markets.selectors import hangs_on_pins
from realtime.pace import Pace

MAX_PINS: Final = 50
CHANGES_PER_MINUTE: Final = 120


def pinned_ids(user: User) -> list[str]:
    """The chart ids a user pinned, the first pinned first (one query)."""
    rows = PinnedChart.objects.filter(user=user)
    rows = rows.select_related("symbol", "pair__exchange1", "pair__exchange2")
    return [chart_id_of(row.symbol.name, row.pair.key1, row.pair.key2) for row in rows]


_pace: Final = Pace("changes of pins", CHANGES_PER_MINUTE)


@transaction.atomic
def pin(user: User, chart_id: str) -> None:
    """Pin a chart; pinning it again changes nothing. Raises Refused."""
    _pace.step(user.pk)
    symbol, pair = _named(chart_id)
    lock_revision()  # two at once must not pass the limit together, nor each rely on the other's pin
    mine = PinnedChart.objects.filter(user=user)
    if mine.filter(symbol=symbol, pair=pair).exists():
        return
    if mine.count() >= MAX_PINS:
        raise Refused(409, f"{MAX_PINS} charts are pinned, which is the limit: unpin one first")
    PinnedChart(user=user, symbol=symbol, pair=pair).save(moves=_is_followed_for(user, symbol, pair))


@transaction.atomic
def unpin(user: User, chart_id: str) -> None:
    """Forget a pin; one that is not there is no error. Raises Refused."""
    _pace.step(user.pk)
    parts = _parts(chart_id)
    mine = PinnedChart.objects.filter(user=user)
    symbol = symbol_of(mine.values_list("symbol__name", flat=True), parts[0], "id")
    lock_revision()
    for row in mine.filter(either_way(*parts[1:], "pair__"), symbol__name=symbol):
        row.delete(moves=_is_followed_for(user, row.symbol, row.pair))


def _is_followed_for(user: User, symbol: Symbol, pair: ExchangePair) -> bool:
    """Whether collectors follow a chart for this user alone."""
    others = PinnedChart.objects.filter(symbol=symbol, pair=pair).exclude(user=user)
    return not others.exists() and hangs_on_pins(symbol.name, pair.pk)


def _named(chart_id: str) -> tuple[Symbol, ExchangePair]:
    name, exchange1, exchange2 = _parts(chart_id)
    coins = Symbol.objects.filter(kind=Kind.SPOT)  # a chart goes by its coin, on whatever market
    symbol = coins.filter(name=symbol_of(coins.values_list("name", flat=True), name, "id")).first()
    if symbol is None:
        raise Refused(404, f"id: there is no symbol {name!r}")
    pair = ExchangePair.objects.filter(either_way(exchange1, exchange2), enabled=True).first()
    if pair is None:
        raise Refused(
            404,
            f"id: {exchange1} / {exchange2} is no enabled pair, so nobody compares it: "
            "enable it in the admin (Markets, Exchange pairs), then pin it",
        )
    return symbol, pair


def _parts(chart_id: str) -> tuple[str, str, str]:
    try:
        parts = parts_of(chart_id)
    except ValueError as error:
        raise Refused(400, "id: takes a chart's id, BTC/USDT|binance|bybit") from error
    return parts.symbol, parts.exchange1.lower(), parts.exchange2.lower()
