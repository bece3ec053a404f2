"""Do two exchanges mean the same coin? Collectors bring the evidence, people decide."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.names.market_keys import coin_symbol, exchange_of, market_of
from markets.events import IdentityFinding
from markets.follow.revision import bump_revision, lock_revision
from markets.identity.carry import carry_over
from markets.identity.groups import group_of
from markets.models import Exchange, ExchangePair, IdentityCase, Instrument, Symbol, in_order
from markets.models.instrument import compared_as

Verdict = IdentityCase.Verdict


@transaction.atomic
def record_findings(findings: Iterable[IdentityFinding]) -> int:
    """Keep the evidence; returns how many findings named no symbol or exchange of ours and were left out.

    A pair without a case gets one, with its exchanges in the pair's own order: in quarantine, or as it was
    decided about one of its listings (`markets.identity.carry`). That moves the revision, once. A known
    case gets the fresh evidence, whatever its verdict, which stays.
    """
    lock_revision()  # before its rows, like every writer of configuration
    symbols = dict(Symbol.objects.values_list("name", "pk"))
    exchanges = dict(Exchange.objects.values_list("key", "pk"))
    opened, unknown = [], 0
    for finding in findings:
        symbol = symbols.get(finding.symbol)
        one, two = (_leg(key, exchanges) for key in (finding.exchange1, finding.exchange2))
        if symbol is None or one is None or two is None:
            unknown += 1
        elif not _refresh(finding, symbol, one, two):
            opened += _open(finding, symbol, one, two)
    if opened:
        carry_over(opened)
        bump_revision()
    return unknown


Leg = tuple[int, str]  # an exchange's primary key, and its market


def _leg(key: str, exchanges: Mapping[str, int]) -> Leg | None:
    exchange = exchanges.get(exchange_of(key))
    return None if exchange is None else (exchange, market_of(key))


def _refresh(finding: IdentityFinding, symbol: int, one: Leg, two: Leg) -> bool:
    """Put fresh evidence into a known case, which may have its legs the other way round."""
    evidence = {"correlation": finding.correlation, "seen_at": _seen(finding)}
    cases = IdentityCase.findings.filter(symbol=symbol)
    if cases.filter(in_order(one, two)).update(price_ratio=finding.price_ratio, **evidence):
        return True
    return bool(cases.filter(in_order(two, one)).update(price_ratio=1 / finding.price_ratio, **evidence))


def _open(finding: IdentityFinding, symbol: int, one: Leg, two: Leg) -> list[int]:
    """Open a case; its primary key."""
    ratio = finding.price_ratio
    if ExchangePair.objects.filter(in_order(two, one)).exists():
        one, two, ratio = two, one, 1 / ratio
    made = IdentityCase.findings.bulk_create(
        [
            IdentityCase(
                symbol_id=symbol,
                exchange1_id=one[0],
                market1=one[1],
                exchange2_id=two[0],
                market2=two[1],
                price_ratio=ratio,
                correlation=finding.correlation,
                found_at=_seen(finding),
                seen_at=_seen(finding),
            )
        ],
    )  # nobody else opens it meanwhile: the revision is locked
    return [case.pk for case in made]


def _seen(finding: IdentityFinding) -> datetime:
    return datetime.fromtimestamp(finding.ts_us / 1e6, UTC)


def decide(
    cases: QuerySet[IdentityCase], verdict: IdentityCase.Verdict, user: AbstractBaseUser, note: str = ""
) -> int:
    """Give the cases that have another verdict this one, with its author and time; returns how many.

    Back into quarantine means that nobody has decided. The revision moves once, and not at all when
    nothing changes.
    """
    with transaction.atomic():
        changing = list(cases.exclude(verdict=verdict).order_by("pk"))
        if not changing:
            return 0
        open_again = verdict == Verdict.QUARANTINED
        rows = IdentityCase.objects.filter(pk__in=[case.pk for case in changing])
        rows.update(
            verdict=verdict,
            follows="",
            decided_by=None if open_again else user,
            decided_at=None if open_again else timezone.now(),
            note=note,
        )
        LogEntry.objects.log_actions(user.pk, rows, CHANGE, f"{verdict.label}. {note}".strip())
    return len(changing)


def listings_of(case: IdentityCase) -> list[Instrument]:
    """The instruments the case is about, leg 1's first: what each market has under that symbol."""
    found = []
    for exchange, market in ((case.exchange1_id, case.market1), (case.exchange2_id, case.market2)):
        rows = Instrument.objects.filter(
            compared_as(case.symbol.name), exchange=exchange, kind=market, delisted_at=None, not_followed=""
        )
        row = rows.select_related("exchange", "symbol").order_by("-active", "counts_as").first()
        if row is not None:
            found.append(row)
    return found


def suggested_multiplier(case: IdentityCase, listing: Instrument) -> Decimal:
    """The power of ten that brings the two prices nearest, on top of what the listing counts already."""
    if not case.price_ratio or case.price_ratio <= 0:
        return listing.multiplier
    ratio = case.price_ratio if listing.key == case.key1 else 1 / case.price_ratio
    return listing.multiplier * Decimal(10) ** round(math.log10(ratio))


def ratio_with(case: IdentityCase, listing: Instrument, multiplier: Decimal) -> float | None:
    """Ratio by which the dearer side would be dearer if the listing had this multiplier."""
    if not case.price_ratio or case.price_ratio <= 0:
        return None
    change = float(multiplier / listing.multiplier)
    ratio = case.price_ratio / change if listing.key == case.key1 else case.price_ratio * change
    return max(ratio, 1 / ratio)


@transaction.atomic
def alias(
    case: IdentityCase, listing: Instrument, symbol: Symbol, multiplier: Decimal, user: AbstractBaseUser
) -> None:
    """Let a listing count as a symbol, and close the case.

    Under the case's own symbol it is then the same coin in another unit; under another, the two were
    different coins. So is every other case of that listing in the case's group.
    """
    group = group_of(case)
    closes = group.cases if group.exchange == listing.key else (case,)
    is_same_coin = coin_symbol(symbol.name) == case.symbol.name
    listing.counts_as = None if symbol.pk == listing.symbol_id and multiplier == 1 else symbol
    listing.multiplier = multiplier
    listing.save(update_fields=["counts_as", "multiplier"])
    note = _("%(exchange)s %(listing)s counts as %(symbol)s × %(multiplier)s.") % {
        "exchange": listing.exchange.called(listing.kind), "listing": listing, "symbol": symbol,
        "multiplier": f"{multiplier.normalize():f}",
    }  # fmt: skip
    LogEntry.objects.log_actions(user.pk, Instrument.objects.filter(pk=listing.pk), CHANGE, note)
    verdict = Verdict.CONFIRMED if is_same_coin else Verdict.DIFFERENT
    decide(IdentityCase.objects.filter(pk__in=[each.pk for each in closes]), verdict, user, note)
