"""Every pair of a kind among some exchanges: how many that would be, and adding them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, permutations

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from msgspec import Struct

from core.names.market_keys import SPOT, SWAP
from markets.config import ListingConfig
from markets.models import Exchange, ExchangePair, Leg, PairKind
from markets.selection import listed
from markets.selectors import enabled_pairs, load_config
from markets.services import set_enabled

Keys = tuple[str, str]


class PairPlan(Struct, frozen=True):
    """Steps to compare every pair of a kind: pairs that are not there, and those switched off.

    `scanned` are the pairs times the coins that both markets list, now and then.
    """

    kind: str
    new: tuple[tuple[Leg, Leg], ...]
    disabled: tuple[int, ...]
    already: int  # enabled as it is
    enabled: tuple[int, int]  # pairs of any kind, now and then
    scanned: tuple[int, int]

    @property
    def seal(self) -> str:
        """Text of the counts: what is confirmed must be what was shown."""
        return f"{self.kind} {len(self.new)} {len(self.disabled)} {self.scanned[1]}"


def plan(kind: str, exchanges: Iterable[Exchange]) -> PairPlan:
    """Count; exchanges whose swaps are not followed are left out where it takes them."""
    wanted = list(legs_of(PairKind(kind), sorted(exchanges, key=lambda row: row.key)))
    rows = ExchangePair.objects.select_related("exchange1", "exchange2")
    there = {frozenset((row.key1, row.key2)): row for row in rows}
    new = [legs for legs in wanted if _keys(legs) not in there]
    known = [there[_keys(legs)] for legs in wanted if _keys(legs) in there]
    disabled = [row for row in known if not row.enabled]
    compared = [(row.exchange1, row.exchange2) for row in enabled_pairs()]
    more = [(one.key, two.key) for one, two in new] + [(row.key1, row.key2) for row in disabled]
    market = listed(load_config())
    now, added = _scanned(market, compared), _scanned(market, more)
    return PairPlan(
        kind, tuple(new), tuple(row.pk for row in disabled), len(known) - len(disabled),
        (len(compared), len(compared) + len(more)), (now, now + added),
    )  # fmt: skip


def carry_out(found: PairPlan, user: AbstractBaseUser) -> None:
    """Add and enable them, within the caller's transaction; the revision moves."""
    made = ExchangePair.objects.bulk_create(
        ExchangePair(exchange1=one.exchange, market1=one.market, exchange2=two.exchange, market2=two.market)
        for one, two in found.new
    )
    if made:
        rows = ExchangePair.objects.filter(pk__in=[row.pk for row in made])
        LogEntry.objects.log_actions(user.pk, rows, ADDITION, "Added with every pair of its kind.")
    set_enabled(ExchangePair.objects.filter(pk__in=found.disabled), True, user)


def legs_of(kind: PairKind, exchanges: list[Exchange]) -> Iterator[tuple[Leg, Leg]]:
    """Every pair of a kind among exchanges, each once, in their order."""
    swaps = [row for row in exchanges if SWAP in row.markets]
    if kind == PairKind.SPOT:
        yield from combinations(map(Leg, exchanges), 2)
    elif kind == PairKind.SWAP:
        yield from combinations((Leg(row, SWAP) for row in swaps), 2)
    elif kind == PairKind.BASIS:
        yield from ((Leg(row, SPOT), Leg(row, SWAP)) for row in swaps)
    else:
        yield from (
            (Leg(one, SPOT), Leg(two, SWAP)) for one, two in permutations(exchanges, 2) if two in swaps
        )


def _keys(legs: tuple[Leg, Leg]) -> frozenset[str]:
    return frozenset(leg.key for leg in legs)


def _scanned(market: Mapping[str, Mapping[str, ListingConfig]], pairs: Iterable[Keys]) -> int:
    """How often both markets of a pair list a coin."""
    pairs = list(pairs)
    return sum(one in legs and two in legs for legs in market.values() for one, two in pairs)
