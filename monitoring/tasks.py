"""Celery tasks of the alerts."""

import datetime
import logging

from axes.models import AccessLog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from monitoring.alerts.incidents import delete_alerts

logger = logging.getLogger(__name__)


@shared_task(name="monitoring.tasks.retain_alerts", ignore_result=True)
def retain_alerts() -> None:
    """Delete the incidents, messages and sign-ins that are older than ALERT_DAYS."""
    before = timezone.now() - datetime.timedelta(days=settings.ALERT_DAYS)
    AccessLog.objects.filter(attempt_time__lt=before).delete()
    if deleted := delete_alerts(before):
        logger.info("%d incidents from before %s deleted", deleted, before.date())
