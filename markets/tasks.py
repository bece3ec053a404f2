"""What Celery runs for the markets."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from celery import shared_task

from markets import fees, sync, wallet_sync
from markets.models import Exchange
from markets.runtime import redis_client

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 300
LOCK = "markets.sync"
WALLETS_LOCK = "markets.wallets"


@shared_task(name="markets.tasks.sync_markets", time_limit=TIME_LIMIT_S, ignore_result=True)
def sync_markets() -> None:
    """Sync the catalogue of every enabled exchange, unless another worker is at it."""
    with _alone(LOCK) as alone:
        if alone:
            for _report in sync.sync_all(list(Exchange.objects.filter(enabled=True))):
                pass  # each report is logged and stored as it comes


@shared_task(name="markets.tasks.sync_wallets", time_limit=TIME_LIMIT_S, ignore_result=True)
def sync_wallets() -> None:
    """Ask every enabled exchange which wallets are open, unless another worker is at it."""
    with _alone(WALLETS_LOCK) as alone:
        if alone:
            for _report in wallet_sync.sync_all(list(Exchange.objects.filter(enabled=True))):
                pass  # each report is logged and stored as it comes


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
