"""Two legs, each a market of an exchange: what pairs and cases of identity are about."""

from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Greatest, Least
from django.utils.translation import gettext_lazy as _

from core.names.market_keys import exchange_of, market_key, market_of
from markets.follow.revision import ConfigModel
from markets.models.exchange import Exchange, Kind


@dataclass(frozen=True)
class Leg:
    """A market of an exchange: what a pair has two of."""

    exchange: Exchange
    market: str = Kind.SPOT

    @property
    def key(self) -> str:
        """Key of the market."""
        return market_key(self.exchange.key, self.market)

    def __str__(self) -> str:
        return self.exchange.called(self.market)


def market_field(label: Any) -> "models.CharField[Any, Any]":
    """A market of an exchange: spot where nothing is said, as rows from before there were swaps."""
    return models.CharField(label, max_length=8, choices=Kind, default=Kind.SPOT, db_default=Kind.SPOT)


def _place(number: int) -> Any:
    """A leg as one number, to bring the two into an order that does not depend on which is first."""
    swap = Case(When(**{f"market{number}": Kind.SWAP}, then=Value(1)), default=Value(0))
    return F(f"exchange{number}") * 2 + swap


UNORDERED = (Least(_place(1), _place(2)), Greatest(_place(1), _place(2)))
"""Both legs, whichever is first: for constraints."""

SAME_LEGS = Q(exchange1=F("exchange2"), market1=F("market2"))


class TwoLegs(ConfigModel):
    """A row about two markets: of two exchanges, or the two of one exchange."""

    exchange1 = models.ForeignKey(Exchange, models.CASCADE, related_name="+", verbose_name=_("exchange 1"))
    market1 = market_field(_("market 1"))
    exchange2 = models.ForeignKey(Exchange, models.CASCADE, related_name="+", verbose_name=_("exchange 2"))
    market2 = market_field(_("market 2"))

    class Meta:
        abstract = True

    @property
    def key1(self) -> str:
        """The market key of the first leg; a query unless the exchange was read with it."""
        return market_key(self.exchange1.key, self.market1)

    @property
    def key2(self) -> str:
        """The market key of the second leg."""
        return market_key(self.exchange2.key, self.market2)

    @property
    def leg1(self) -> str:
        """The first leg by name: `Binance`, `Binance swap`."""
        return self.exchange1.called(self.market1)

    @property
    def leg2(self) -> str:
        """The second leg by name."""
        return self.exchange2.called(self.market2)


def in_order(one: tuple[int, str], two: tuple[int, str]) -> Q:
    """Rows about these two legs, each an exchange's primary key and a market, in this order."""
    return Q(exchange1=one[0], market1=one[1], exchange2=two[0], market2=two[1])


def either_way(key1: str, key2: str, prefix: str = "") -> Q:
    """Rows about these two market keys in either order; with a prefix those that refer to such a row."""
    return _of_keys(key1, key2, prefix) | _of_keys(key2, key1, prefix)


def _of_keys(key1: str, key2: str, prefix: str) -> Q:
    return Q(
        **{
            f"{prefix}exchange1__key": exchange_of(key1), f"{prefix}market1": market_of(key1),
            f"{prefix}exchange2__key": exchange_of(key2), f"{prefix}market2": market_of(key2),
        }
    )  # fmt: skip
