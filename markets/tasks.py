"""What Celery runs for the markets."""

import logging

from celery import shared_task

from markets.models import Exchange
from markets.runtime import redis_client
from markets.sync import sync_all

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 300
LOCK = "markets.sync"


@shared_task(name="markets.tasks.sync_markets", time_limit=TIME_LIMIT_S, ignore_result=True)
def sync_markets() -> None:
    """Sync the catalogue of every enabled exchange, unless another worker is at it."""
    lock = redis_client().lock(
        LOCK, timeout=TIME_LIMIT_S, blocking=False
    )  # outlives a killed worker only so long
    if not lock.acquire():
        logger.info("catalogue sync skipped: another one is running")
        return
    try:
        for _report in sync_all(list(Exchange.objects.filter(enabled=True))):
            pass  # each report is logged and stored as it comes
    finally:
        lock.release()
