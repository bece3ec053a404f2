"""Whether opportunities that are past their days are deleted."""

from datetime import datetime, timedelta

from django.conf import settings

from core.health.upkeep import RETAINED_WITHIN_DAYS, Overdue, asked_in, kept_too_long, overdue
from opportunities.models import OpportunityEpisode


@asked_in(overdue)
def old_episodes(now: datetime) -> list[Overdue]:
    """Opportunities kept for too long."""
    before = now - timedelta(days=settings.EPISODE_DAYS + RETAINED_WITHIN_DAYS)
    began_then = OpportunityEpisode.objects.filter(started_at__lt=before)  # by its index
    return kept_too_long("retain episodes", settings.EPISODE_DAYS, now, (began_then, "seen_at"))
