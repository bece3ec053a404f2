"""Fees by account tier and day: which schedule holds, and that collectors are notified at midnight."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from markets.config import ExchangeConfig
from markets.fees.midnight import follow
from markets.models import ConfigRevision, Exchange, FeeSchedule
from markets.seed import seed
from markets.selectors import current_revision, load_config, todays_fees

pytestmark = pytest.mark.django_db

TODAY = datetime.now(UTC).date()
DAY = timedelta(days=1)


@pytest.fixture
def okx(db: None) -> Exchange:
    seed()
    row = Exchange.objects.get(key="okx")
    row.account_tier = "VIP 1"
    row.save()
    return row


def schedule(
    okx: Exchange, start: date, end: date | None = None, taker: str = "8", **more: Any
) -> FeeSchedule:
    fields = {"tier": "VIP 1", "maker_fee_bps": "6", **more}
    return FeeSchedule.objects.create(
        exchange=okx, valid_from=start, valid_until=end, taker_fee_bps=taker, **fields
    )


def configured() -> ExchangeConfig:
    return next(row for row in load_config().exchanges if row.key == "okx")


def test_without_a_tier_the_fees_of_the_exchange_hold(okx: Exchange) -> None:
    okx.account_tier = ""
    okx.save()
    schedule(okx, TODAY)

    row = configured()
    assert (row.taker_fee_bps, row.fees_known, row.fee_source) == (10.0, True, "as entered for the exchange")


def test_the_tiers_schedule_that_is_valid_today_decides(okx: Exchange) -> None:
    schedule(okx, TODAY - DAY, TODAY)
    schedule(okx, TODAY, tier="VIP 2", taker="1")

    row = configured()
    assert (row.taker_fee_bps, row.maker_fee_bps, row.fees_known) == (8.0, 6.0, True)
    assert row.fee_source == f"tier VIP 1, valid since {TODAY - DAY}"


@pytest.mark.parametrize(("start", "end"), [(1, None), (-2, -1)])
def test_a_tier_without_a_valid_schedule_has_no_known_fees(
    okx: Exchange, start: int, end: int | None
) -> None:
    schedule(okx, TODAY + start * DAY, TODAY + end * DAY if end else None)

    row = configured()
    assert (row.taker_fee_bps, row.fees_known) == (10.0, False)
    assert row.fee_source == "no schedule of tier VIP 1 is valid today"


def test_a_promotion_counts_while_it_lasts_and_then_the_open_schedule_again(okx: Exchange) -> None:
    schedule(okx, date(2026, 1, 1), taker="8")
    schedule(okx, date(2026, 6, 1), date(2026, 6, 30), taker="0")

    taken = [todays_fees(date(2026, month, 15))["okx", "VIP 1"].taker_fee_bps for month in (5, 6, 7)]
    assert taken == [8, 0, 8]


def test_schedules_that_contradict_each_other_are_refused_in_words(okx: Exchange) -> None:
    schedule(okx, date(2026, 6, 1), date(2026, 6, 30))
    row = FeeSchedule(
        exchange=okx, tier="VIP 1", taker_fee_bps=1, maker_fee_bps=1, valid_from=date(2026, 6, 30),
        valid_until=date(2026, 7, 31),
    )  # fmt: skip

    with pytest.raises(ValidationError, match="holds from 2026-06-01 until 2026-06-30: choose other days"):
        row.full_clean()
    row.valid_from = date(2026, 7, 1)
    row.full_clean()
    row.valid_until = date(2026, 6, 1)
    with pytest.raises(ValidationError, match="It ends before it begins"):
        row.full_clean()


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "last_change", "moves"),
    [
        (date(2026, 6, 1), None, date(2026, 5, 31), True),  # it begins
        (date(2026, 6, 1), None, date(2026, 5, 20), True),  # … and nobody was there for days
        (date(2026, 6, 1), None, date(2026, 6, 1), False),  # collectors have read it since
        (date(2026, 5, 1), date(2026, 5, 31), date(2026, 5, 31), True),  # it ended
        (date(2026, 5, 1), date(2026, 6, 1), date(2026, 5, 31), False),  # its last day
        (date(2026, 6, 2), None, date(2026, 5, 31), False),  # it is to come
    ],
)
def test_collectors_take_over_what_began_or_ended_since_the_configuration_changed(
    okx: Exchange, start: date, end: date | None, last_change: date, moves: bool
) -> None:
    schedule(okx, start, end)
    ConfigRevision.objects.update(changed_at=noon(last_change))
    before = current_revision()

    assert follow(noon(date(2026, 6, 1))) == (before + 1 if moves else None)
    assert current_revision() == before + moves


def test_a_tier_nobody_has_moves_nothing(okx: Exchange) -> None:
    schedule(okx, TODAY, tier="VIP 9")
    ConfigRevision.objects.update(changed_at=noon(TODAY - DAY))

    assert follow() is None
