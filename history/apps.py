"""What was seen: the lake, who writes, keeps and reads it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class HistoryConfig(AppConfig):
    """The lake."""

    name = "history"
    verbose_name = _("History")
