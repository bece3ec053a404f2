"""Cases of one listing taken together: one that is another coin disagrees with all exchanges at once."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import median

from msgspec import Struct

from markets.models import IdentityCase


class Group(Struct, frozen=True):
    """The cases that one decision is about, the oldest first.

    `exchange` is the key of the market whose listing disagrees with several others; empty where two
    disagree with each other alone, and either may be wrong.
    """

    cases: tuple[IdentityCase, ...]
    exchange: str = ""

    @property
    def first(self) -> IdentityCase:
        """The case that stands for all of them in the queue."""
        return self.cases[0]

    @property
    def others(self) -> list[str]:
        """The markets it disagrees with, by name."""
        return [case.leg2 if case.key1 == self.exchange else case.leg1 for case in self.cases]

    @property
    def listed_on(self) -> str:
        """The name of its market."""
        return self.first.leg1 if self.first.key1 == self.exchange else self.first.leg2

    @property
    def price_ratio(self) -> float | None:
        """Median of its price over the others'; of a single pair the first's over the second's."""
        found = [
            1 / case.price_ratio if self.exchange == case.key2 else case.price_ratio
            for case in self.cases
            if case.price_ratio
        ]
        return median(found) if found else None

    @property
    def correlation(self) -> float | None:
        """Median correlation of its returns with those of the others."""
        found = [case.correlation for case in self.cases if case.correlation is not None]
        return median(found) if found else None


def groups(symbols: Iterable[int] | None = None) -> list[Group]:
    """All cases, or those of some symbols, by listing: those of one symbol with one verdict (one query)."""
    rows = IdentityCase.objects.select_related("symbol", "exchange1", "exchange2", "decided_by")
    if symbols is not None:
        rows = rows.filter(symbol__in=symbols)
    alike: defaultdict[tuple[int, str], list[IdentityCase]] = defaultdict(list)
    for row in rows.order_by("found_at", "pk"):
        alike[row.symbol_id, row.verdict].append(row)
    return [group for cases in alike.values() for group in _by_listing(cases)]


def group_of(case: IdentityCase) -> Group:
    """The group a case is part of (one query)."""
    return next(group for group in groups([case.symbol_id]) if case in group.cases)


def _by_listing(cases: list[IdentityCase]) -> Iterable[Group]:
    """The listing that disagrees with most others takes its cases, then the next one of the rest."""
    while cases:
        count = Counter(key for case in cases for key in (case.key1, case.key2))
        most = min(count, key=lambda key: (-count[key], key))
        exchange = most if count[most] > 1 else ""
        taken = [case for case in cases if exchange in (case.key1, case.key2)] or cases[:1]
        yield Group(tuple(taken), exchange)
        cases = [case for case in cases if case not in taken]
