"""Choices of alert rules and channels."""

from django.db import models
from django.utils.translation import gettext_lazy as _

OPPORTUNITY = "opportunity"
DAY_S = 24 * 3600
OPPORTUNITY_COOL_DOWN_S = 300
"""Of a rule on opportunities that names none."""


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
    STORE_UPKEEP = "store_upkeep", _("upkeep of the store late")
    STORE_WRITE = "store_write", _("store not written whole and in time")
    MAINTENANCE_LATE = "maintenance_late", _("maintenance late or failing")
    REDIS = "redis", _("Redis does not respond")
    DATABASE = "database", _("PostgreSQL does not respond")
    DISK = "disk", _("disk fills up")
    ALERT_DELIVERY = "alert_delivery", _("alert channel accepts no messages")


class ProfitSize(models.IntegerChoices):
    """Sizes in USDT at which the profit of an opportunity is kept, as `markets.events.PROFIT_SIZES`."""

    HUNDRED = 100, _("100 USDT")
    THOUSAND = 1_000, _("1,000 USDT")
    TEN_THOUSAND = 10_000, _("10,000 USDT")


class FundingUnit(models.TextChoices):
    """Unit of a threshold on funding."""

    EIGHT_HOURS = "8h", _("per 8 h")
    YEAR = "year", _("per year")
