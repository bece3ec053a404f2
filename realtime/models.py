"""Models of the live pages: rights, tokens, saved views."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tokens.model import ApiToken
from realtime.scanner.saved_view import SavedView

__all__ = ["ApiToken", "Desk", "SavedView"]


class Desk(models.Model):
    """Rights that belong to no row: what of the desk itself somebody may see (docs/security.md)."""

    class Meta:
        managed = False
        verbose_name = _("desk")
        default_permissions = ()
        permissions = (
            ("see_processes", "Can see hosts and processes"),
            ("read_metrics", "Can read the metrics"),
        )

    def __str__(self) -> str:
        return "desk"
