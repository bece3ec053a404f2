"""Worth of quote currencies by the catalogue's own last prices: for what is decided before any quote.

A currency's worth is the median of what exchanges said of it in the last day, straight (BTC/USDT) or the
other way round (USDT/IDR), whether the symbol is enabled or not. What nobody said, or only longer ago, is
unknown, and so is a volume in it.
"""

from datetime import datetime, timedelta
from math import isnan, nan
from statistics import median
from typing import Final

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from markets.models import Instrument, Kind
from markets.worth.reference import REFERENCE, is_dollar

PRICE_KEPT: Final = timedelta(hours=24)  # a price that is no longer said is known for as long as a volume
_OF_PRICES: Final = Q(symbol__quote=REFERENCE) | Q(symbol__base=REFERENCE)


class Worths:
    """Worth of one of each currency in the reference; asked of the database at most once, if at all."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now
        self._known: dict[str, float] | None = None

    def of(self, currency: str) -> float:
        """Worth of a currency; NaN where nobody states it."""
        if is_dollar(currency):
            return 1.0
        if self._known is None:
            self._known = _read(self._now or timezone.now())
        return self._known.get(currency, nan)

    def volume(self, amount: float | None, currency: str) -> float:
        """A volume in the reference currency; what is unknown counts as 0."""
        worth = nan if amount is None else amount * self.of(currency)
        return 0.0 if isnan(worth) else worth


def _read(now: datetime) -> dict[str, float]:
    said: dict[str, list[float]] = {}
    rows = (
        Instrument.objects.filter(_OF_PRICES, kind=Kind.SPOT, active=True, set_aside="", last_price__gt=0)
        .alias(said_at=Coalesce("price_at", "synced_at"))
        .filter(said_at__range=(now - PRICE_KEPT, now + PRICE_KEPT))
        .values_list("symbol__base", "symbol__quote", "last_price")
        .order_by()
    )
    for base, quote, last_price in rows:
        price = float(last_price or 0)
        if quote == REFERENCE:
            said.setdefault(base, []).append(price)
        else:
            said.setdefault(quote, []).append(1 / price)
    return {currency: median(prices) for currency, prices in said.items()}
