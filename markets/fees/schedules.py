"""Fees of exchanges by the operator's schedules and by their own word, today and on days that are over."""

from collections.abc import Iterable, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from sys import intern
from typing import Final, NamedTuple

from django.db.models import Q
from django.utils import timezone
from msgspec import structs

from core.clock.moments import is_near
from core.names.market_keys import SPOT, MarketName, market_key
from core.names.symbols import one_by_one, pinned_down, specificity
from markets.config import ExchangeConfig, FeeRule, PastFees
from markets.defaults import SWAP_FEES
from markets.models import Exchange, FeeSchedule, Instrument
from markets.models.instrument import FOLLOWED

WANTED: Final = Q(enabled=True) & (Q(symbol__enabled=True) | Q(counts_as__enabled=True))
"""Instruments whose symbol somebody wants."""

SAID_BELIEVED: Final = timedelta(days=3)
"""A fee that an exchange said longer ago is a guess."""

MAX_PERIODS: Final = 100
"""So many changes of fees back history knows; what is older has the fees of the oldest."""


def begun_schedules(today: date | None = None) -> list[FeeSchedule]:
    """Every schedule that began by today (UTC) or a day, those that began later last (one query)."""
    today = today or datetime.now(UTC).date()
    begun = FeeSchedule.objects.filter(valid_from__lte=today).select_related("exchange")
    return list(begun.order_by("valid_from", "pk"))


def valid_on(schedules: Iterable[FeeSchedule], day: date) -> list[FeeSchedule]:
    """Schedules that are valid on a day."""
    return [
        row for row in schedules
        if row.valid_from <= day and (row.valid_until is None or row.valid_until >= day)
    ]  # fmt: skip


def by_tier(schedules: Iterable[FeeSchedule]) -> dict[tuple[str, str], FeeSchedule]:
    """Select of schedules for all symbols the one that holds, by market key and account tier."""
    return {(_key(row), row.tier): row for row in schedules if not row.symbols}


def todays_fees(today: date | None = None) -> dict[tuple[str, str], FeeSchedule]:
    """The schedules for all symbols, valid today (UTC) or on a day, by market key and tier (one query)."""
    today = today or datetime.now(UTC).date()
    return by_tier(valid_on(begun_schedules(today), today))


def _key(row: FeeSchedule) -> str:
    return market_key(row.exchange.key, row.market)


def fee_rules(
    exchanges: Iterable[Exchange], schedules: Iterable[FeeSchedule], called: Set[str]
) -> list[FeeRule]:
    """The operator's schedules by symbol that hold for the accounts there are, the closest pattern first.

    A name that a symbol has exactly (`called`) means only that one.
    Of patterns equally close one of the account's tier goes before one of any, and what began later first.
    """
    tiers = {row.key: row.account_tier for row in exchanges}
    ranked = []
    for row in schedules:
        if row.symbols and row.tier in ("", tiers.get(row.exchange.key)):
            source = f"schedule of {row.symbols}{f', tier {row.tier}' * bool(row.tier)}, valid since"
            for word, text in one_by_one(pinned_down(row.symbols, called)):
                rule = FeeRule(
                    _key(row), text, float(row.taker_fee_bps), float(row.maker_fee_bps),
                    f"{source} {row.valid_from:%Y-%m-%d}",
                )  # fmt: skip
                ranked.append(((specificity(word), bool(row.tier), row.valid_from.toordinal()), rule))
    return [rule for _rank, rule in sorted(ranked, key=lambda each: each[0], reverse=True)]


def said_fees() -> list[FeeRule]:
    """Markets that cost something else than is usual, as their exchanges say (one query)."""
    rows = (
        Instrument.objects.filter(
            WANTED, FOLLOWED, delisted_at=None, set_aside="", own_taker_fee__isnull=False
        )
        .values_list(
            "exchange__key", "kind", "symbol__name", "own_taker_fee", "own_maker_fee", "own_fee_times",
            "own_fee_since", "synced_at",
        )
        .order_by("exchange__key", "symbol__name")
    )  # fmt: skip
    now, believed_s = timezone.now(), SAID_BELIEVED.total_seconds()
    rules = []
    for exchange, market, symbol, said_taker, said_maker, times, since, synced_at in rows:
        fresh = synced_at is not None and is_near((now - synced_at).total_seconds(), believed_s)
        taker, maker = float(said_taker or 0), float(said_maker or 0)  # neither is null here
        source = f"{taker:g} times" if times else "as the exchange says"
        if since is not None and not times:
            source += f" since {since:%Y-%m-%d}"
        if not fresh:
            source += f", last on {synced_at:%Y-%m-%d}" if synced_at else ", nobody knows when"
        key = intern(market_key(exchange, market))
        rules.append(FeeRule(key, intern(symbol), taker, maker, source, times, True, fresh))
    return rules


ENTERED: Final = "as entered for the exchange"


class FeeTerms(NamedTuple):
    """Fees of an exchange: in bps, whether they are known, and their source in words."""

    taker_bps: float
    maker_bps: float
    known: bool
    source: str


def fee_terms(row: Exchange, fees: dict[tuple[str, str], FeeSchedule], market: str = SPOT) -> FeeTerms:
    """Fees of a market by the schedules of a day (see `todays_fees`); no query.

    What swaps cost that nobody entered is unknown: spot's fees, which are higher, stand in to be read.
    """
    schedule = fees.get((market_key(row.key, market), row.account_tier)) if row.account_tier else None
    if schedule is not None:
        source = f"tier {schedule.tier}, valid since {schedule.valid_from:%Y-%m-%d}"
        return FeeTerms(float(schedule.taker_fee_bps), float(schedule.maker_fee_bps), True, source)
    entered = row.fees_of(market)
    taker, maker = entered or (row.taker_fee_bps, row.maker_fee_bps)
    source = _assumed(row.key, entered) if market != SPOT else ENTERED
    if row.account_tier:
        source = f"no schedule of tier {row.account_tier} is valid today"
    if entered is None:
        source = "the fees of its swaps are not entered; these are of spot"
    return FeeTerms(float(taker), float(maker), entered is not None and not row.account_tier, source)


def _assumed(key: str, fees: tuple[Decimal, Decimal] | None) -> str:
    """Source of the fees of swaps: those that a fresh desk begins with are nobody's own yet."""
    *default, source = SWAP_FEES.get(key, (None, None, ""))
    if fees is None or list(fees) != default:
        return ENTERED
    by = f"by {source}" if source else "assumed without a source"
    return f"as a fresh desk begins, {by}: enter those of your account"


def past_fees(
    markets: Sequence[tuple[Exchange, MarketName]],
    configured: Sequence[ExchangeConfig],
    begun: Sequence[FeeSchedule],
    said: Sequence[FeeRule],
    today: date,
    *,
    called: Set[str],
) -> tuple[PastFees, ...]:
    """Fees by the schedules of days before today, the newest last; nothing where no schedule began or ended.

    It is the account's tier of today that is looked up. Days before a tier's first schedule count as its
    first day, since nobody said anything else of them; what exchanges say of their markets counts as today.
    """
    ends = (row.valid_until + timedelta(days=1) for row in begun if row.valid_until is not None)
    turns = sorted({day for day in (*(row.valid_from for row in begun), *ends) if day <= today})
    first = {(_key(row), row.tier): row for row in reversed(begun) if not row.symbols}
    found = []
    for start, end in list(pairwise([date.min, *turns]))[-MAX_PERIODS:]:
        valid = valid_on(begun, start)
        early = {key: row for key, row in first.items() if row.valid_from >= end}
        terms = [fee_terms(row, early | by_tier(valid), market) for row, market in markets]
        found.append(PastFees(
            0 if start == date.min else _midnight_us(start), _midnight_us(end),
            tuple(
                structs.replace(each, taker_fee_bps=fee.taker_bps, maker_fee_bps=fee.maker_bps)
                for each, fee in zip(configured, terms, strict=True)
            ),
            (*fee_rules((row for row, _market in markets), valid, called), *said),
        ))  # fmt: skip
    return tuple(found)


def _midnight_us(day: date) -> int:
    return round(datetime.combine(day, time.min, UTC).timestamp()) * 1_000_000
