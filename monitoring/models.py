"""Alert rules, channels, incidents, and the outbox their messages leave through.

Rules and channels are the operator's; incidents and deliveries are written by the monitor only.
See docs/alerts.md.
"""

import zoneinfo
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from audit.querysets import AuditedManager
from core.names.plain_fields import LinesField, NameField
from core.names.plain_names import isolated
from markets.models import Exchange, OpportunityFilter
from monitoring.alerts.secrets import destination, seal, unseal
from monitoring.health.limits import HealthLimits  # noqa: F401 - a model of this app, in a module of its own
from monitoring.quality.latency import LONGEST_MS

OPPORTUNITY = "opportunity"
DAY_S = 24 * 3600
OPPORTUNITY_COOL_DOWN_S = 300
"""Of a rule on opportunities that names none."""


def _up_to(most: float) -> list[Any]:
    return [MinValueValidator(0), MaxValueValidator(most)]


class ChannelKind(models.TextChoices):
    """The protocols we speak."""

    TELEGRAM = "telegram", _("Telegram")
    SLACK = "slack", _("Slack-compatible webhook")
    WEBHOOK = "webhook", _("JSON webhook, signed")
    EMAIL = "email", _("e-mail")
    PAGERDUTY = "pagerduty", _("PagerDuty")


class Severity(models.TextChoices):
    """Severity of a finding or an opportunity."""

    INFO = "info", _("info")
    WARNING = "warning", _("warning")
    CRITICAL = "critical", _("critical")


class What(models.TextChoices):
    """Subject of a rule: opportunities, or one kind of finding (`core.health.findings.kinds`)."""

    OPPORTUNITY = OPPORTUNITY, _("an opportunity")
    FUNDING_SPREAD = "funding_spread", _("funding spread")
    FUNDING_INTERVAL = "funding_interval", _("funding interval changed")
    EXCHANGE_SILENT = "exchange_silent", _("exchange silent or down")
    SYMBOL_SILENT = "symbol_silent", _("symbol silent")
    SYMBOL_REFUSED = "symbol_refused", _("symbol refused by its exchange")
    FUNDING_UNKNOWN = "funding_unknown", _("funding unknown")
    POLLS_FAILED = "polls_failed", _("requests about swaps fail")
    RECONNECTS = "reconnects", _("reconnects, per minute")
    CLOCK_OFFSET = "clock_offset", _("clock offset")
    CLOCK_JUMP = "clock_jump", _("wall clock was set")
    LATENCY = "latency", _("latency")
    BAD_FRAMES = "bad_frames", _("bad frames, per minute")
    QUEUE_FULL = "queue_full", _("queue fills up")
    DROPS = "drops", _("queue drops")
    MEMORY = "memory", _("memory near its limit")
    GC = "gc", _("full garbage collections, per minute")
    LOOP_LAG = "loop_lag", _("event loop blocked")
    SOCKETS = "sockets", _("sockets of a web process")
    PROCESS_MISSING = "process_missing", _("process missing")
    NOTHING_COLLECTED = "nothing_collected", _("nothing is collected")
    TWO_COLLECTORS = "two_collectors", _("two collectors on one shard")
    CONFIGURATION = "configuration", _("configuration incomplete or not applied")
    LAKE_WRITE = "lake_write", _("lake cannot be written")
    MAINTENANCE_LATE = "maintenance_late", _("maintenance late or failing")
    REDIS = "redis", _("Redis does not respond")
    DATABASE = "database", _("PostgreSQL does not respond")
    DISK = "disk", _("disk fills up")
    ALERT_DELIVERY = "alert_delivery", _("alert channel accepts no messages")


class FundingUnit(models.TextChoices):
    """Unit of a threshold on funding."""

    EIGHT_HOURS = "8h", _("per 8 h")
    YEAR = "year", _("per year")


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


class AlertRule(models.Model):
    """Rule: conditions of an incident, and when which channels receive its alert."""

    name = NameField(_("name"), max_length=64, unique=True)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: its firing incidents are resolved.")
    )
    what = models.CharField(_("watches"), max_length=32, choices=What)
    severity = models.CharField(_("severity"), max_length=8, choices=Severity, default=Severity.WARNING)

    filter = models.ForeignKey(
        OpportunityFilter, models.PROTECT, null=True, blank=True, related_name="alert_rules",
        verbose_name=_("filter"), help_text=_("Opportunities of this filter. Empty: of every filter."),
    )  # fmt: skip
    min_edge_bps = models.FloatField(
        _("min edge, bps"), null=True, blank=True,
        help_text=_("After both taker fees, at the peak so far. Empty: whatever the filter opens at."),
    )  # fmt: skip
    min_size = models.FloatField(
        _("min size"), null=True, blank=True, validators=[MinValueValidator(0)],
        help_text=_("Executable at the peak so far, in USDT by the catalogue's last prices. Empty: as the "
                    "filter requires."),
    )  # fmt: skip

    exchange1 = models.ForeignKey(
        Exchange, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("between"),
        help_text=_("Funding spread of the swaps of these two. Empty: of the best two of each coin."),
    )  # fmt: skip
    exchange2 = models.ForeignKey(
        Exchange, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("and")
    )
    funding_unit = models.CharField(
        _("threshold is in bps"), max_length=4, choices=FundingUnit, default=FundingUnit.EIGHT_HOURS
    )

    subject = NameField(
        _("subject"), max_length=128, blank=True,
        help_text=_("A pattern, for example okx, BTC/* on *, collector * or BTC/USDT *. Of a funding spread: "
                    "of the coin, for example BTC/*. Empty: any."),
    )  # fmt: skip
    threshold = models.FloatField(
        _("threshold"), null=True, blank=True,
        help_text=_("Fires at this value or above, in the unit the health page shows. "
                    "Empty: as soon as the health page lists it."),
    )  # fmt: skip
    for_s = models.PositiveIntegerField(
        _("for at least, s"), default=0, validators=_up_to(DAY_S),
        help_text=_("How long it must last before it fires."),
    )  # fmt: skip

    clear_below = models.FloatField(
        _("clears below"), null=True, blank=True,
        help_text=_("Resolved only below this value. Empty: below the threshold."),
    )  # fmt: skip
    clear_after_s = models.PositiveIntegerField(
        _("clears after, s"), default=0, validators=_up_to(DAY_S),
        help_text=_("Resolved only after it was within its limit for this long."),
    )  # fmt: skip
    cool_down_s = models.PositiveIntegerField(
        _("cool-down, s"), null=True, blank=True, validators=_up_to(7 * DAY_S),
        help_text=_("For opportunities: at most one incident per coin in this time, counted from when it "
                    "fired. For health: after it was resolved, the same subject does not fire again for "
                    "this time. 0: none. Empty: 300 for opportunities, none for health."),
    )  # fmt: skip

    quiet_from = models.TimeField(
        _("quiet from"), null=True, blank=True,
        help_text=_("Nothing is sent from this time on; incidents still firing at the end are sent then."),
    )  # fmt: skip
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    quiet_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", help_text=_("For example Europe/Berlin.")
    )
    quiet_critical = models.BooleanField(
        _("quiet hours for critical, too"), default=False,
        help_text=_("Off: critical incidents are sent at any hour."),
    )  # fmt: skip
    digest_minutes = models.PositiveIntegerField(
        _("digest, minutes"), default=0, validators=_up_to(24 * 60),
        help_text=_("Collects incidents for this time and sends one message. 0: one message each, at once."),
    )  # fmt: skip
    tell_resolved = models.BooleanField(
        _("send “resolved”"), null=True, blank=True, choices=((True, _("yes")), (False, _("no"))),
        help_text=_("Whether a message is also sent when it is resolved. Empty: yes for health and funding "
                    "spreads, no for opportunities and changed intervals. PagerDuty always receives it, "
                    "or its incident would stay open."),
    )  # fmt: skip
    remind_minutes = models.PositiveIntegerField(
        _("remind every, minutes"), default=0, validators=_up_to(7 * 24 * 60),
        help_text=_("While it lasts. 0: never."),
    )  # fmt: skip
    channels = models.ManyToManyField(
        AlertChannel, blank=True, related_name="rules", verbose_name=_("channels"),
        help_text=_("None: shown only here and on the health page."),
    )  # fmt: skip
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = AuditedManager()

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(what__in=What.values), name="rule_what_known"),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="rule_severity_known"),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="rule_quiet_hours_whole",
            ),
            models.CheckConstraint(
                condition=Q(clear_below__isnull=True)
                | Q(threshold__isnull=False, clear_below__lte=F("threshold")),
                name="rule_clears_below_threshold",
            ),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    @property
    def of_opportunities(self) -> bool:
        """Whether it watches opportunities, not the desk's health."""
        return self.what == What.OPPORTUNITY

    @property
    def of_funding(self) -> bool:
        """Whether it watches what swaps pay, which is neither an opportunity nor the desk's health."""
        return self.what in (What.FUNDING_SPREAD, What.FUNDING_INTERVAL)

    @property
    def cools_down_s(self) -> int:
        """The cool-down in s: what was entered, or what is usual for what it watches."""
        if self.cool_down_s is not None:
            return self.cool_down_s
        return OPPORTUNITY_COOL_DOWN_S if self.of_opportunities else 0

    @property
    def tells_resolved(self) -> bool:
        """Whether people get a message when it is over: as entered, or as is usual for what it watches."""
        usual = self.what not in (What.OPPORTUNITY, What.FUNDING_INTERVAL)
        return usual if self.tell_resolved is None else self.tell_resolved

    def clean(self) -> None:
        """Check what belongs together."""
        errors = {
            **self._other_side_errors(), **self._unreachable_errors(), **self._clearing_errors(),
            **self._funding_errors(), **self._quiet_errors(),
        }  # fmt: skip
        if errors:
            raise ValidationError(errors)

    def _other_side_errors(self) -> dict[str, Any]:
        """Refuse what is only for opportunities, or only for health."""
        if self.of_opportunities:
            text = _("An opportunity ends when it closes: leave this empty.")
            return {name: text for name in ("threshold", "clear_below") if getattr(self, name) is not None}
        text = _("Only for opportunities: leave it empty.")
        names = ("filter", "min_edge_bps", "min_size")
        return {name: text for name in names if getattr(self, name) is not None}

    def _unreachable_errors(self) -> dict[str, Any]:
        """A threshold that nothing measured can reach."""
        if self.what != What.LATENCY or self.threshold is None or self.threshold <= LONGEST_MS:
            return {}
        return {"threshold": _("Latencies above %(most)d ms are not measured exactly: enter at most that.")
                % {"most": LONGEST_MS}}  # fmt: skip

    def _clearing_errors(self) -> dict[str, Any]:
        if self.of_opportunities or self.clear_below is None:
            return {}
        if self.threshold is None:
            return {"threshold": _("Enter a threshold, or clear “clears below”.")}
        if self.clear_below > self.threshold:
            return {"clear_below": _("It would clear above its threshold: enter less than %(threshold)s.")
                    % {"threshold": self.threshold}}  # fmt: skip
        return {}

    def _funding_errors(self) -> dict[str, Any]:
        chosen = {name: getattr(self, name) for name in ("exchange1", "exchange2")}
        if self.what != What.FUNDING_SPREAD:
            text = _("Only for a funding spread: leave it empty.")
            errors = {name: text for name, exchange in chosen.items() if exchange is not None}
            if self.what == What.FUNDING_INTERVAL and self.threshold is not None:
                errors["threshold"] = _("A change has no size: leave this empty.")
            return errors
        errors = {
            name: _("Enter a number above 0: a spread is never negative.")
            for name in ("threshold", "clear_below")
            if (value := getattr(self, name)) is not None and value <= 0
        }
        if self.threshold is None:
            errors["threshold"] = _("Enter the spread it fires at, in bps.")
        if None in chosen.values() and chosen["exchange1"] != chosen["exchange2"]:
            missing = next(name for name, exchange in chosen.items() if exchange is None)
            errors[missing] = _("Choose both exchanges, or neither for the best two of each coin.")
        elif chosen["exchange1"] is not None and chosen["exchange1"] == chosen["exchange2"]:
            errors["exchange2"] = _("A spread needs two exchanges: choose another one.")
        return errors

    def _quiet_errors(self) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        if (self.quiet_from is None) != (self.quiet_until is None):
            missing = "quiet_from" if self.quiet_from is None else "quiet_until"
            errors[missing] = _("Enter both ends of the quiet hours, or neither.")
        elif self.quiet_from is not None and self.quiet_from == self.quiet_until:
            errors["quiet_until"] = _(
                "Quiet hours start and end at the same time: enter another end, or clear both."
            )
        if self.quiet_zone not in zoneinfo.available_timezones():
            errors["quiet_zone"] = _("There is no such time zone: enter one like Europe/Berlin or UTC.")
        return errors


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
