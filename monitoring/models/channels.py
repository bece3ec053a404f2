"""Alert channels: where messages are sent. They are the operator's."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import NameField
from core.names.plain_names import isolated
from monitoring.alerts.secrets import destination, seal, unseal
from monitoring.models.choices import ChannelKind


class AlertChannel(models.Model):
    """Channel of messages. `settings` holds what everybody may see; the secret is apart, and sealed.

    telegram   settings `chat_id`, `message_thread_id` (a topic); `moved_from` is what the chat was before
               Telegram moved it, and it was followed; secret: the bot's token
    slack      secret: the webhook's URL
    webhook    settings `url`; secret: the key it is signed with
    email      settings `host`, `port`, `security` (starttls, ssl, none), `username`, `sender`,
               `recipients` (a list); secret: the password
    pagerduty  secret: the integration key
    Telegram and PagerDuty take `base_url`, too, where they are reached through something else.
    """

    name = NameField(_("name"), max_length=64, unique=True)
    kind = models.CharField(_("kind"), max_length=16, choices=ChannelKind)
    enabled = models.BooleanField(
        _("enabled"), default=True,
        help_text=_("Off: nothing is sent, and waiting messages are discarded."),
    )  # fmt: skip
    settings = models.JSONField(_("settings"), default=dict, blank=True)
    sealed_secret = models.TextField(blank=True, editable=False)
    per_second = models.FloatField(
        _("messages per second"), default=1, validators=[MinValueValidator(0.01), MaxValueValidator(100)],
        help_text=_("At most, on average. Telegram allows a chat about one."),
    )  # fmt: skip
    per_minute = models.PositiveIntegerField(
        _("messages per minute"), default=20, validators=[MinValueValidator(1), MaxValueValidator(6000)],
        help_text=_("At most; messages above the limit are combined into one. Telegram allows a group 20."),
    )  # fmt: skip

    class Meta:
        verbose_name = _("alert channel")
        verbose_name_plural = _("alert channels")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=ChannelKind.values), name="channel_kind_known"),
            models.CheckConstraint(
                condition=Q(per_second__gt=0, per_minute__gt=0), name="channel_budget_positive"
            ),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    @property
    def keeps_incidents(self) -> bool:
        """Whether an incident stays open there until “resolved” is sent; such a channel takes no digests."""
        return self.kind == ChannelKind.PAGERDUTY

    @property
    def secret(self) -> str:
        """Token, URL, password or key, to send with and for nothing else; empty when there is none.

        Raises:
            monitoring.alerts.secrets.UnreadableSecret: SECRET_KEY has changed since it was entered, or where
                the channel sends it has.
        """
        return unseal(self.sealed_secret, destination(self.kind, self.settings))

    @secret.setter
    def secret(self, text: str) -> None:
        """Seal it for the destination the channel has now: set kind and settings first."""
        self.sealed_secret = seal(text, destination(self.kind, self.settings))
