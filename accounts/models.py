"""Sessions of users, and what they sign in with beside a password."""

from typing import Any, ClassVar, Final

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import models
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin

from accounts.my_size import MySize

__all__ = ["Authenticator", "MySize", "RecoveryCode", "UserSession"]

FREE_TRIES: Final = 2
LONGEST_PAUSE_S: Final = 1024
"""About a hundred tries a day, whatever address they come from."""


class UserSession(models.Model):
    """Record of one session beside its data: it goes with the row of the session.

    Each column is written by itself, never the whole row, so that requests at the same time undo nothing.
    """

    session = models.OneToOneField(
        Session, models.CASCADE, related_name="record", db_constraint=False, editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="desk_sessions", verbose_name=_("user"),
        editable=False,
    )  # fmt: skip
    device = models.CharField(_("device"), max_length=64, editable=False)
    address = models.CharField(_("address"), max_length=64, editable=False)
    began_at = models.DateTimeField(_("since"), editable=False)
    seen_at = models.DateTimeField(_("last seen"), editable=False, help_text=_("To within a minute."))
    verified_at = models.DateTimeField(_("second factor given"), null=True, editable=False)
    confirmed_at = models.DateTimeField(_("password given"), null=True, editable=False)

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        ordering = ("-seen_at", "-id")
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return f"{self.device}, {self.address}"


class Authenticator(ThrottlingMixin, Device):  # type: ignore[misc]  # django-otp has no types
    """An authenticator app that makes codes from a key both sides have (TOTP, RFC 6238).

    One that is confirmed is a user's second factor; one that is not is being set up. The key lies sealed, for
    that user only (accounts.mfa.second_factor).
    """

    objects: ClassVar[models.Manager["Authenticator"]] = models.Manager()

    sealed_key = models.TextField(editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)  # of the last code that was taken
    created_at = models.DateTimeField(_("set up"), auto_now_add=True)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "confirmed"], name="one_authenticator_of_a_user"),
        ]

    def __str__(self) -> str:
        return str(self.name)

    def get_throttle_factor(self) -> float:
        """Seconds of the first pause: after the third wrong code a second, then twice as long each time."""
        return 0.5**FREE_TRIES if self.throttling_failure_count > FREE_TRIES else 0.0

    def throttle_increment(self, commit: bool = True) -> None:
        """Count a wrong code; pauses have an end, or a thief of a password could keep its owner out."""
        super().throttle_increment(commit=False)
        longest = FREE_TRIES + LONGEST_PAUSE_S.bit_length()
        count: int = self.throttling_failure_count  # type: ignore[has-type]
        self.throttling_failure_count = min(count, longest)
        if commit:
            self.save()


class RecoveryCode(models.Model):
    """The digest of a code that opens once, in place of the app."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        default_permissions = ()
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_of_a_user"),
        ]

    def __str__(self) -> str:
        return f"recovery code {self.pk}"
