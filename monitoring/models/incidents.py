"""Incidents, and the outbox their messages leave through. Only the monitor writes them."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField, NameField
from monitoring.models.channels import AlertChannel
from monitoring.models.choices import Severity
from monitoring.models.rules import AlertRule


class Alert(models.Model):
    """One incident of one rule: from the firing until it is resolved. Only the monitor writes it.

    It names its rule in plain text, too, so that history survives what the operator deletes.
    """

    class State(models.TextChoices):
        """Whether it goes on."""

        FIRING = "firing", _("firing")
        RESOLVED = "resolved", _("resolved")

    class Told(models.TextChoices):
        """State of what has been put into the outbox so far."""

        NOTHING = "nothing", _("nothing yet")
        FIRING = "firing", _("that it is firing")
        RESOLVED = "resolved", _("that it is resolved")
        FIRED = "fired", _("that it fired, not that it is over")
        SILENT = "silent", _("nobody")

    rule = models.ForeignKey(
        AlertRule, models.SET_NULL, null=True, related_name="alerts", verbose_name=_("rule"),
        help_text=_("Empty: the rule was deleted."),
    )  # fmt: skip
    rule_name = NameField(_("rule name"), max_length=64)
    key = models.CharField(
        _("key"), max_length=255, help_text=_("Names what is wrong; the same while it lasts.")
    )
    subject = NameField(_("subject"), max_length=200)
    episode = models.UUIDField(_("opportunity"), null=True, help_text=_("The route it fired for."))
    move = models.UUIDField(
        _("move"), null=True, help_text=_("The move whose routes it covers. Empty: one route.")
    )
    coin = NameField(_("coin"), max_length=64, blank=True, help_text=_("The coin whose cool-down it starts."))
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.FIRING)
    severity = models.CharField(_("severity"), max_length=8, choices=Severity)
    since = models.DateTimeField(_("since"), help_text=_("When the condition was first met."))
    fired_at = models.DateTimeField(_("fired"), help_text=_("When the condition had lasted long enough."))
    resolved_at = models.DateTimeField(_("resolved"), null=True)
    title = NameField(_("title"), max_length=200)
    words = LinesField(_("what is wrong"))
    remedy = LinesField(_("what to do"), blank=True)
    value = models.FloatField(_("value"), null=True)
    limit = models.FloatField(_("limit"), null=True)
    facts = models.JSONField(_("facts"), default=list)
    path = models.CharField(_("page"), max_length=300, blank=True)
    resolved_why = LinesField(_("why it is resolved"), blank=True)
    told = models.CharField(_("notified"), max_length=8, choices=Told, default=Told.NOTHING)
    told_at = models.DateTimeField(_("last notified"), null=True)
    reminders = models.PositiveIntegerField(_("reminders"), default=0)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ["-fired_at", "-id"]
        indexes = [
            models.Index(fields=["-fired_at"], name="alert_newest"),
            models.Index(fields=["rule", "coin", "-fired_at"], name="alert_last_of_coin"),
            models.Index(fields=["rule", "move"], name="alert_of_move"),
            models.Index(fields=["rule"], condition=Q(state="firing"), name="alert_firing"),
            models.Index(
                fields=["fired_at"],
                condition=Q(told="nothing") | Q(told="firing", state="resolved"),
                name="alert_untold",
            ),
        ]
        constraints = [
            # Whatever is evaluated twice, after a crash or by two monitors, makes one incident.
            models.UniqueConstraint(
                fields=["rule", "key"], condition=Q(state="firing"), name="alert_one_firing_per_key"
            ),
            models.UniqueConstraint(
                fields=["rule", "episode"], condition=Q(episode__isnull=False), name="alert_one_per_episode"
            ),
            models.CheckConstraint(
                condition=Q(state="firing", resolved_at__isnull=True)
                | Q(state="resolved", resolved_at__isnull=False),
                name="alert_resolved_has_time",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Delivery(models.Model):
    """One message to one channel: the outbox. Written with its incident in one transaction."""

    class Kind(models.TextChoices):
        """Reason why a message is sent."""

        FIRING = "firing", _("firing")
        REMINDER = "reminder", _("reminder")
        RESOLVED = "resolved", _("resolved")
        DIGEST = "digest", _("digest")
        TEST = "test", _("test")

    class State(models.TextChoices):
        """Progress of a delivery."""

        QUEUED = "queued", _("waiting")
        SENDING = "sending", _("being sent")
        SENT = "sent", _("sent")
        GROUPED = "grouped", _("sent in another message")
        GIVEN_UP = "given_up", _("given up")

    alert = models.ForeignKey(
        Alert, models.CASCADE, null=True, related_name="deliveries", verbose_name=_("incident")
    )
    channel = models.ForeignKey(
        AlertChannel, models.CASCADE, related_name="deliveries", verbose_name=_("channel")
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    message = models.JSONField(_("message"), help_text=_("The message as it is handed to the channel."))
    idempotency_key = models.CharField(_("idempotency key"), max_length=100, unique=True)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.QUEUED)
    created_at = models.DateTimeField(_("queued"), auto_now_add=True)
    next_try_at = models.DateTimeField(_("next try"))
    claimed_at = models.DateTimeField(_("claimed"), null=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    tries = models.PositiveIntegerField(_("tries"), default=0)
    last_error = LinesField(_("last error"), blank=True)
    receipt = NameField(
        _("receipt"), max_length=200, blank=True, help_text=_("The id that the channel gave it.")
    )
    grouped_into = models.ForeignKey("self", models.SET_NULL, null=True, related_name="grouped")

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at"], name="delivery_newest"),
            models.Index(fields=["channel", "-created_at"], name="delivery_of_channel"),
            models.Index(
                fields=["channel", "next_try_at"],
                condition=Q(state__in=("queued", "sending")),
                name="delivery_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} → {self.channel}"


class DeliveryAttempt(models.Model):
    """One try to hand a message over: when, how long it took, what the channel said."""

    delivery = models.ForeignKey(
        Delivery, models.CASCADE, related_name="attempts", verbose_name=_("delivery")
    )
    at = models.DateTimeField(_("at"))
    took_ms = models.FloatField(_("took, ms"))
    ok = models.BooleanField(_("accepted"))
    code = models.IntegerField(_("answer code"), null=True)
    words = LinesField(_("answer"), blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.words}"
