"""Writing what the collectors found into PostgreSQL."""

import datetime
import logging
from collections.abc import Collection
from typing import Any, Final

import msgspec
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from markets.config import Shard
from markets.events import AtDepth, Episode, Moment
from markets.models import OpportunityFilter
from opportunities.models import OpportunityEpisode

logger = logging.getLogger(__name__)

KILLED: Final = "collector was killed"
DELETE_AT_ONCE: Final = 5_000

_WRITTEN: Final = [field.attname for field in OpportunityEpisode._meta.concrete_fields if field.name != "id"]
_US = datetime.timedelta(microseconds=1)
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def save_episodes(episodes: Collection[Episode]) -> int:
    """Insert or overwrite one row per episode; returns how many the database refused for what they hold.

    Those are logged. Raises DatabaseError when the database does not work; nothing is half done then.
    """
    try:
        _upsert(episodes)
    except (DataError, IntegrityError):
        return sum(map(_refused, episodes))
    return 0


def _refused(episode: Episode) -> bool:
    try:
        _upsert([episode])
    except (DataError, IntegrityError) as error:
        logger.error("episode %s is not kept: %s", episode, error)
        return True
    return False


@transaction.atomic
def _upsert(episodes: Collection[Episode]) -> None:
    """A filter may have been deleted since: the row then has its name only."""
    filters = set(
        OpportunityFilter.objects.filter(pk__in={each.filter_id for each in episodes}).values_list(
            "pk", flat=True
        )
    )
    now = timezone.now()
    rows = [_row(each, now, each.filter_id if each.filter_id in filters else None) for each in episodes]
    OpportunityEpisode.objects.bulk_create(
        rows, batch_size=1000, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN
    )


def _row(episode: Episode, now: datetime.datetime, filter_id: int | None) -> OpportunityEpisode:
    opened, peak, closed, closed_us = episode.opened, episode.peak, episode.closed, episode.closed_us
    return OpportunityEpisode(
        id=episode.id,
        filter_id=filter_id,
        filter_name=episode.filter_name,
        symbol=episode.symbol,
        exchange1=episode.exchange1,
        exchange2=episode.exchange2,
        buy_on=episode.buy_on,
        sell_on=episode.sell_on,
        started_at=_time(episode.started_us),
        seen_at=now if closed_us is None else _time(closed_us),
        closed_at=None if closed_us is None else _time(closed_us),
        duration_ms=None if closed_us is None else max(0, closed_us - episode.started_us) // 1000,
        open_edge_bps=opened.edge_bps,
        peak_edge_bps=peak.edge_bps,
        mean_edge_bps=episode.mean_edge_bps,
        close_edge_bps=None if closed is None else closed.edge_bps,
        open_size=opened.size,
        peak_size=peak.size,
        **_peak_depth(peak.depth),
        at_open=_json(opened),
        at_peak=_json(peak),
        at_close=None if closed is None else _json(closed),
        gates=list(episode.gates),
        reason=episode.reason,
        move=episode.move or None,
        moved_on=episode.moved_on,
        moved_side=episode.moved_side,
    )


def _peak_depth(depth: AtDepth | None) -> dict[str, float | None]:
    if depth is None:
        return {}
    small, middle, large = depth.profits
    return {
        "peak_profit_100": small,
        "peak_profit_1000": middle,
        "peak_profit_10000": large,
        "peak_best_size": depth.best_size,
        "peak_best_profit": depth.best_profit,
        "peak_my_edge_bps": depth.my_edge_bps,
        "peak_my_profit": depth.my_profit,
    }


def _time(ts_us: int) -> datetime.datetime:
    return _EPOCH + ts_us * _US


def _json(moment: Moment) -> Any:
    return msgspec.to_builtins(moment)


def vouch_for(ids: Collection[str]) -> None:
    """Say of open episodes that they go on."""
    OpportunityEpisode.objects.filter(pk__in=ids, closed_at=None).update(seen_at=timezone.now())


@transaction.atomic
def close_orphans(shard: Shard, running: Collection[str]) -> int:
    """Close what is open of a shard's symbols and not among `running`, as of when it was last seen.

    Returns how many there were.
    """
    left = OpportunityEpisode.objects.filter(closed_at=None).exclude(pk__in=running).select_for_update()
    orphans = [row for row in left if shard.owns(row.symbol)]
    for row in orphans:
        row.closed_at = max(row.seen_at, row.started_at, _time(max(row.opened.ts_us, row.peak.ts_us)))
        row.duration_ms = (row.closed_at - row.started_at) // datetime.timedelta(milliseconds=1)
        row.reason = KILLED
    OpportunityEpisode.objects.bulk_update(orphans, ["closed_at", "duration_ms", "reason"], batch_size=1000)
    return len(orphans)


def delete_episodes(before: datetime.datetime) -> int:
    """Delete what nobody saw since a time, a batch per transaction; returns how many rows that were."""
    deleted = 0
    while True:
        old = OpportunityEpisode.objects.filter(seen_at__lt=before, started_at__lt=before)
        ids = list(old.order_by("started_at").values_list("pk", flat=True)[:DELETE_AT_ONCE])
        OpportunityEpisode.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
        if len(ids) < DELETE_AT_ONCE:
            return deleted
