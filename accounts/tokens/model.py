"""An API token: what a program shows instead of a password. The secret itself is nowhere kept."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import NameField
from core.names.plain_names import isolated


class Scope(models.TextChoices):
    """Part of its user's rights that a token has; each includes those before."""

    READ = "read", _("read")
    ACT = "act", _("act")
    ADMIN = "admin", _("admin")

    def includes(self, other: "Scope") -> bool:
        """Whether who has this one may do what the other is for."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


def printable(value: str) -> None:
    """Refuse a name without visible characters."""
    if not value.strip():
        raise ValidationError(gettext("A name consists of visible characters."))


class ApiToken(models.Model):
    """One token of one user. Deleting the row revokes it (`accounts.access.rights` ends what flows by it)."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    name = NameField(
        _("name"), max_length=64, validators=[printable], help_text=_("What it is for, or where it is kept.")
    )
    scope = models.CharField(
        _("scope"), max_length=8, choices=Scope, default=Scope.READ,
        help_text=_("Read: GET and sockets. Act: also POST and DELETE. Admin: also what runs the desk."),
    )  # fmt: skip
    digest = models.CharField(max_length=64, unique=True, editable=False)  # of the secret, under SECRET_KEY
    hint = models.CharField(_("begins with"), max_length=16, editable=False)
    fingerprint = models.CharField(max_length=16, editable=False)  # see accounts.access.rights
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    last_used_at = models.DateTimeField(
        _("last used"), null=True, editable=False, help_text=_("To within five minutes.")
    )

    class Meta:
        app_label = "realtime"  # whose migrations made it; its table, rights and pages keep their names
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ("user", "-created_at")
        default_permissions = ("add", "delete", "view")

    def __str__(self) -> str:
        return f"{isolated(self.name)} ({self.hint}…)"

    @property
    def has_expired(self) -> bool:
        """Whether its last second is over."""
        return bool(self.expires_at <= timezone.now())
