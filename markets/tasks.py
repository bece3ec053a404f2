"""Celery tasks of the markets."""

import logging
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

from celery import shared_task

from core.names.market_keys import exchange_of
from core.redis_client import redis_client
from markets.fees import midnight as fees
from markets.follow.runtime import collector_statuses
from markets.models import Exchange
from markets.sync import symbols as sync
from markets.sync import wallets as wallet_sync

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 300
AGAIN_AFTER_S = (60, 120, 240)
LOCK = "markets.sync"
WALLETS_LOCK = "markets.wallets"
RESIZED = "markets.resized:{exchange}"
RESIZED_EVERY_S = 600


@shared_task(name="markets.tasks.sync_markets", time_limit=TIME_LIMIT_S, ignore_result=True)
def sync_markets(keys: list[str] | None = None, tried: int = 0) -> None:
    """Sync both markets of every enabled exchange, or of these, unless another worker is at it.

    Those that failed are asked again in a few minutes; `tried` is how often that was done.
    """
    with _alone(LOCK) as alone:
        if alone:
            failed = {exchange_of(each.exchange) for each in sync.sync_all(_enabled(keys)) if each.error}
            _ask_again(sync_markets, failed, tried)


@shared_task(name="markets.tasks.sync_resized", time_limit=TIME_LIMIT_S, ignore_result=True)
def sync_resized() -> None:
    """Sync the exchanges that collectors report to have given a contract another size than is configured.

    Such a swap is excluded until then. An exchange whose list keeps the old size is asked again only after
    `RESIZED_EVERY_S`.
    """
    said = {
        exchange_of(key)
        for status in collector_statuses()
        for key, feed in status.exchanges.items()
        if feed.get("resized")
    }
    redis = redis_client()
    due = [
        key for key in sorted(said) if redis.set(RESIZED.format(exchange=key), 1, nx=True, ex=RESIZED_EVERY_S)
    ]
    if due:
        logger.info("syncing %s: a contract has another size than is configured", ", ".join(due))
        sync_markets(due)


@shared_task(name="markets.tasks.sync_wallets", time_limit=TIME_LIMIT_S, ignore_result=True)
def sync_wallets(keys: list[str] | None = None, tried: int = 0) -> None:
    """Ask every enabled exchange, or these, which wallets are open; as `sync_markets`."""
    with _alone(WALLETS_LOCK) as alone:
        if alone:
            failed = {report.exchange for report in wallet_sync.sync_all(_enabled(keys)) if report.error}
            _ask_again(sync_wallets, failed, tried)


def _enabled(keys: list[str] | None) -> list[Exchange]:
    enabled = Exchange.objects.filter(enabled=True)
    return list(enabled if keys is None else enabled.filter(key__in=keys))


def _ask_again(task: Any, failed: Set[str], tried: int) -> None:
    """Try again soon: most failures pass, and the schedule's next time may be an hour away."""
    if failed and tried < len(AGAIN_AFTER_S):
        pause_s = AGAIN_AFTER_S[tried]
        logger.info("%s failed for %s: again in %d s", task.name, ", ".join(sorted(failed)), pause_s)
        task.apply_async((sorted(failed), tried + 1), countdown=pause_s, expires=pause_s + TIME_LIMIT_S)


@shared_task(name="markets.tasks.follow_fees", time_limit=TIME_LIMIT_S, ignore_result=True)
def follow_fees() -> None:
    """Let collectors take over fees that began or ended to hold since the configuration last changed."""
    fees.follow()


@contextmanager
def _alone(name: str) -> Iterator[bool]:
    """Whether nobody else does it now; the lock outlives a killed worker only so long."""
    lock = redis_client().lock(name, timeout=TIME_LIMIT_S, blocking=False)
    if not lock.acquire():
        logger.info("%s skipped: another one is running", name)
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
