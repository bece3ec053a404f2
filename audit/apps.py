"""The ground under all floors: what was done to them is kept here."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    """The audit, and forms on which nobody overwrites what they have not seen."""

    name = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        """Have its entries counted."""
        from audit import metrics  # noqa: F401 - registers itself
