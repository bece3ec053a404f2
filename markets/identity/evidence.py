"""Do two exchanges mean the same coin? Collectors bring the evidence, people decide."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from markets.events import IdentityFinding
from markets.follow.revision import bump_revision, lock_revision
from markets.identity.carry import carry_over
from markets.identity.groups import group_of
from markets.models import Exchange, ExchangePair, IdentityCase, Instrument, Symbol

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
        symbol, one, two = (
            symbols.get(finding.symbol), exchanges.get(finding.exchange1), exchanges.get(finding.exchange2),
        )  # fmt: skip
        if symbol is None or one is None or two is None:
            unknown += 1
        elif not _refresh(finding, symbol, one, two):
            opened += _open(finding, symbol, one, two)
    if opened:
        carry_over(opened)
        bump_revision()
    return unknown


def _refresh(finding: IdentityFinding, symbol: int, one: int, two: int) -> bool:
    """Put fresh evidence into a known case, which may have the exchanges the other way round."""
    evidence = {"correlation": finding.correlation, "seen_at": _seen(finding)}
    cases = IdentityCase.findings.filter(symbol=symbol)
    as_found = cases.filter(exchange1=one, exchange2=two)
    if as_found.update(price_ratio=finding.price_ratio, **evidence):
        return True
    return bool(
        cases.filter(exchange1=two, exchange2=one).update(price_ratio=1 / finding.price_ratio, **evidence)
    )


def _open(finding: IdentityFinding, symbol: int, one: int, two: int) -> list[int]:
    """Open a case; its primary key."""
    swapped = ExchangePair.objects.filter(exchange1=two, exchange2=one).exists()
    made = IdentityCase.findings.bulk_create(
        [
            IdentityCase(
                symbol_id=symbol,
                exchange1_id=two if swapped else one,
                exchange2_id=one if swapped else two,
                price_ratio=1 / finding.price_ratio if swapped else finding.price_ratio,
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
    """The instruments the case is about, exchange 1's first: what each exchange has under that symbol."""
    found = []
    for exchange in (case.exchange1_id, case.exchange2_id):
        named = Q(counts_as=case.symbol) | Q(symbol=case.symbol, counts_as=None)
        rows = Instrument.objects.filter(named, exchange=exchange, delisted_at=None)
        row = rows.select_related("exchange", "symbol").order_by("-active", "counts_as").first()
        if row is not None:
            found.append(row)
    return found


def suggested_multiplier(case: IdentityCase, listing: Instrument) -> Decimal:
    """The power of ten that brings the two prices nearest, on top of what the listing counts already."""
    if not case.price_ratio or case.price_ratio <= 0:
        return listing.multiplier
    ratio = case.price_ratio if listing.exchange_id == case.exchange1_id else 1 / case.price_ratio
    return listing.multiplier * Decimal(10) ** round(math.log10(ratio))


def ratio_with(case: IdentityCase, listing: Instrument, multiplier: Decimal) -> float | None:
    """Ratio by which the dearer side would be dearer if the listing had this multiplier."""
    if not case.price_ratio or case.price_ratio <= 0:
        return None
    change = float(multiplier / listing.multiplier)
    ratio = (
        case.price_ratio / change if listing.exchange_id == case.exchange1_id else case.price_ratio * change
    )
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
    closes = group.cases if group.exchange == listing.exchange.key else (case,)
    listing.counts_as = None if symbol.pk == listing.symbol_id and multiplier == 1 else symbol
    listing.multiplier = multiplier
    listing.save(update_fields=["counts_as", "multiplier"])
    note = _("%(exchange)s %(listing)s counts as %(symbol)s × %(multiplier)s.") % {
        "exchange": listing.exchange, "listing": listing, "symbol": symbol,
        "multiplier": f"{multiplier.normalize():f}",
    }  # fmt: skip
    LogEntry.objects.log_actions(user.pk, Instrument.objects.filter(pk=listing.pk), CHANGE, note)
    verdict = Verdict.CONFIRMED if symbol.pk == case.symbol_id else Verdict.DIFFERENT
    decide(IdentityCase.objects.filter(pk__in=[each.pk for each in closes]), verdict, user, note)
