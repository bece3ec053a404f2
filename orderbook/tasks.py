"""Celery tasks of the store."""

import logging
import time
from collections.abc import Callable
from typing import Final

from celery import shared_task
from django.utils import timezone

from orderbook import services
from orderbook.store.tables import RAW

logger = logging.getLogger(__name__)

BUDGET_S: Final = 40  # the next run begins after a minute


@shared_task(name="orderbook.tasks.roll_up", ignore_result=True)
def roll_up() -> None:
    """Make partitions ahead, and renew second bars for as long as some wait and there is time."""
    until = time.monotonic() + BUDGET_S
    services.make_ahead(timezone.now())
    _repeat(services.roll_up, until)


@shared_task(name="orderbook.tasks.fold_late", ignore_result=True)
def fold_late() -> None:
    """Fold late rows into compressed chunks for as long as some wait and there is time."""
    _repeat(services.fold_late, time.monotonic() + BUDGET_S)


@shared_task(name="orderbook.tasks.retain", ignore_result=True)
def retain() -> None:
    """Drop what the store settings keep no longer."""
    if dropped := services.retain(timezone.now()):
        logger.info("%d partitions of the store dropped", dropped)


def _repeat(work: Callable[[str], int], until: float) -> None:
    for table in RAW:
        while work(table) and time.monotonic() < until:
            pass
