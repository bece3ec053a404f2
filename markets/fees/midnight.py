"""Fee schedules begin and end at midnight UTC, and running collectors must be notified."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import F, Q

from core.clock.moments import age_s
from markets.follow.revision import bump_revision, lock_revision
from markets.models import FeeSchedule

logger = logging.getLogger(__name__)


def follow(now: datetime | None = None) -> int | None:
    """Move the revision when a schedule in use began or ended since it last moved.

    Returns the new revision, None when there was nothing to do. Asks what happened since, not what
    happens today: a worker that was off at midnight makes up for it. Where the revision moved later than
    now, by a clock that was ahead, what it took over is not known: it moves again.
    """
    now = now or datetime.now(UTC)
    turns = [day for day in _turns() if day <= now.date()]
    if not turns:
        return None
    turned_at = datetime.combine(max(turns), time.min, UTC)
    with transaction.atomic():
        changed_at = lock_revision().changed_at
        if changed_at >= turned_at and age_s((now - changed_at).total_seconds()) is not None:
            return None
        revision = bump_revision()
    logger.info("fees of %s hold now: revision %d", turned_at.date(), revision)
    return revision


def _turns() -> Iterator[date]:
    """The first days on which another schedule in use holds, or none."""
    used = FeeSchedule.objects.filter(Q(exchange__account_tier=F("tier")) | Q(tier=""))
    for start, end in used.values_list("valid_from", "valid_until"):
        yield start
        if end is not None:
            yield end + timedelta(days=1)
