"""Celery tasks of the store."""

import logging
import time
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
    for table in RAW:
        while services.roll_up(table) and time.monotonic() < until:
            pass


@shared_task(name="orderbook.tasks.retain", ignore_result=True)
def retain() -> None:
    """Drop what the store settings keep no longer."""
    if dropped := services.retain(timezone.now()):
        logger.info("%d partitions of the store dropped", dropped)
