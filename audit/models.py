"""The record itself. Its tables are made in SQL, with the triggers that keep them as they are."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Entry(models.Model):
    """One action. Nothing refers to other tables: it says what was, also when that is gone.

    Unmanaged, because Django must not empty or alter it: PostgreSQL refuses UPDATE, DELETE and TRUNCATE.
    """

    at = models.DateTimeField(_("at (UTC)"), default=timezone.now)
    kind = models.CharField(_("kind"), max_length=40)
    user_id = models.BigIntegerField(_("user id"), null=True)
    user_name = models.CharField(_("user"), max_length=150, blank=True)
    token = models.CharField(_("API token"), max_length=40, blank=True)
    program = models.CharField(_("program"), max_length=100, blank=True)
    address = models.CharField(_("from"), max_length=64, blank=True)
    agent = models.CharField(_("user agent"), max_length=200, blank=True)
    object_type = models.CharField(_("type"), max_length=100, blank=True)
    object_id = models.CharField(_("object id"), max_length=64, blank=True)
    object_name = models.CharField(_("object"), max_length=200, blank=True)
    before = models.JSONField(_("before"), null=True)
    after = models.JSONField(_("after"), null=True)
    words = models.CharField(_("what"), max_length=400, blank=True)
    count = models.PositiveIntegerField(_("times"), default=1)

    class Meta:
        managed = False
        db_table = "audit_entry"
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        ordering = ("-id",)
        default_permissions = ()
        permissions = (("view", "Can read the audit"),)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind} {self.object_name}".strip()

    @property
    def kind_in_words(self) -> str:
        """Like “secret entered”."""
        return self.kind.replace("_", " ")

    @property
    def who(self) -> str:
        """The user's name as it was, or the program."""
        return self.user_name or self.program


class Link(models.Model):
    """A link of the chain, added by PostgreSQL as an entry is committed: numbers have no holes."""

    number = models.BigIntegerField(primary_key=True)
    entry = models.BigIntegerField(unique=True)
    digest = models.CharField(max_length=64)

    class Meta:
        managed = False
        db_table = "audit_link"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"
