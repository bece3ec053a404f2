"""A scanner view that a user keeps under a name."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.querysets import AuditedManager
from core.names.plain_fields import NameField


class SavedView(models.Model):
    """Rows to show and their order, as the page's address has them."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="scanner_views", verbose_name=_("user")
    )
    name = NameField(_("name"), max_length=64)
    query = models.TextField(_("query"), max_length=1000, blank=True)
    saved_at = models.DateTimeField(_("saved at"), auto_now=True)

    objects = AuditedManager()

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("user", "name"), name="saved_view_once"),)

    def __str__(self) -> str:
        return self.name
