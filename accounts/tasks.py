"""Celery tasks of accounts."""

import logging

from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts.models import UserSession

logger = logging.getLogger(__name__)


@shared_task(name="accounts.tasks.retain_sessions", ignore_result=True)
def retain_sessions() -> None:
    """Delete sessions that have ended, and records whose session was deleted past Django."""
    ended, _ = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    left, _ = UserSession.objects.exclude(session_id__in=Session.objects.values("pk")).delete()
    if ended or left:
        logger.info("%d rows of sessions that have ended deleted", ended + left)
