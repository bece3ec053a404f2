"""The alert rules a new desk begins with; once there are any, they are the operator's."""

from typing import Any, Final

from django.db import transaction

from monitoring.models import AlertRule, Severity, What

_CRITICAL: Final = Severity.CRITICAL
_DAY_MINUTES: Final = 24 * 60

RULES: Final[tuple[dict[str, Any], ...]] = (
    {"name": "Redis is down", "what": What.REDIS, "severity": _CRITICAL, "for_s": 2},
    {"name": "PostgreSQL is down", "what": What.DATABASE, "severity": _CRITICAL, "for_s": 2},
    {"name": "A process is missing", "what": What.PROCESS_MISSING, "severity": _CRITICAL, "clear_after_s": 5},
    {"name": "Exchange silent for 5 min", "what": What.EXCHANGE_SILENT, "severity": _CRITICAL,
     "for_s": 300, "clear_after_s": 10},
    {"name": "Symbols silent for 5 min", "what": What.SYMBOL_SILENT, "for_s": 300, "clear_after_s": 30,
     "digest_minutes": 5},
    {"name": "A symbol is refused", "what": What.SYMBOL_REFUSED, "for_s": 300, "clear_after_s": 30,
     "digest_minutes": 5},
    {"name": "The wall clock was set", "what": What.CLOCK_JUMP},
    {"name": "Funding unknown", "what": What.FUNDING_UNKNOWN, "clear_after_s": 30, "digest_minutes": 5},
    {"name": "Requests about swaps fail", "what": What.POLLS_FAILED, "for_s": 300, "clear_after_s": 90},
    {"name": "Reconnect storm", "what": What.RECONNECTS, "for_s": 10, "clear_after_s": 60},
    {"name": "Clock offset", "what": What.CLOCK_OFFSET, "for_s": 10, "clear_after_s": 30},
    {"name": "Data comes late", "what": What.LATENCY, "for_s": 60, "clear_after_s": 60},
    {"name": "Bad frames", "what": What.BAD_FRAMES, "for_s": 10, "clear_after_s": 60},
    {"name": "Queue over 10,000", "what": What.QUEUE_FULL, "threshold": 10_000, "clear_after_s": 10},
    {"name": "Events are dropped", "what": What.DROPS, "severity": _CRITICAL, "clear_after_s": 60},
    {"name": "Memory over 80 %", "what": What.MEMORY, "threshold": 80, "for_s": 30, "clear_after_s": 30},
    {"name": "Over 10 full collections a minute", "what": What.GC, "threshold": 10, "for_s": 60,
     "clear_after_s": 60},
    {"name": "Event loop held up", "what": What.LOOP_LAG, "for_s": 30, "clear_after_s": 60},
    {"name": "Over 1,000 sockets", "what": What.SOCKETS, "threshold": 1_000, "clear_after_s": 60},
    {"name": "Nothing is collected", "what": What.NOTHING_COLLECTED, "severity": _CRITICAL,
     "clear_after_s": 5},
    {"name": "Two collectors on one shard", "what": What.TWO_COLLECTORS, "for_s": 30,
     "remind_minutes": _DAY_MINUTES},
    {"name": "Configuration not taken over", "what": What.CONFIGURATION, "for_s": 30},
    {"name": "Lake cannot be written", "what": What.LAKE_WRITE, "severity": _CRITICAL, "for_s": 5,
     "clear_after_s": 30},
    {"name": "Store not written", "what": What.STORE_WRITE, "for_s": 30, "clear_after_s": 30},
    {"name": "Upkeep of the store late", "what": What.STORE_UPKEEP, "remind_minutes": _DAY_MINUTES},
    {"name": "Maintenance late", "what": What.MAINTENANCE_LATE, "remind_minutes": _DAY_MINUTES},
    {"name": "Disk fills up", "what": What.DISK, "severity": _CRITICAL, "remind_minutes": _DAY_MINUTES},
    {"name": "Alert channel does not work", "what": What.ALERT_DELIVERY, "for_s": 30},
    # Off: how much is worth a message is the trader's to say.
    {"name": "Opportunities of 20 bps", "what": What.OPPORTUNITY, "severity": Severity.INFO,
     "min_edge_bps": 20, "enabled": False},
    {"name": "Funding spreads of 10 bps per 8 h", "what": What.FUNDING_SPREAD, "severity": Severity.INFO,
     "threshold": 10, "clear_below": 8, "enabled": False},
    {"name": "A funding interval changed", "what": What.FUNDING_INTERVAL, "severity": Severity.INFO},
)  # fmt: skip


@transaction.atomic
def seed_rules() -> int:
    """Write the default rules, without channels, unless there are rules; returns how many were written."""
    if AlertRule.objects.exists():
        return 0
    for fields in RULES:
        rule = AlertRule(**fields)
        rule.full_clean()
        rule.save()
    return len(RULES)
