"""Celery tasks of the opportunities."""

import datetime
import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from opportunities.services import delete_episodes

logger = logging.getLogger(__name__)


@shared_task(name="opportunities.tasks.retain_episodes", ignore_result=True)
def retain_episodes() -> None:
    """Delete the opportunities that are older than EPISODE_DAYS."""
    before = timezone.now() - datetime.timedelta(days=settings.EPISODE_DAYS)
    if deleted := delete_episodes(before):
        logger.info("%d opportunities from before %s deleted", deleted, before.date())
