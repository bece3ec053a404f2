"""Alert rules, channels, incidents, and the outbox their messages leave through.

Rules and channels are the operator's; incidents and deliveries are written by the monitor only.
See docs/alerts.md.
"""

from monitoring.health.limits import HealthLimits
from monitoring.models.channels import AlertChannel
from monitoring.models.choices import (
    DAY_S,
    OPPORTUNITY,
    OPPORTUNITY_COOL_DOWN_S,
    ChannelKind,
    FundingUnit,
    Severity,
    What,
)
from monitoring.models.incidents import Alert, Delivery, DeliveryAttempt
from monitoring.models.rules import AlertRule

__all__ = [
    "DAY_S",
    "OPPORTUNITY",
    "OPPORTUNITY_COOL_DOWN_S",
    "Alert",
    "AlertChannel",
    "AlertRule",
    "ChannelKind",
    "Delivery",
    "DeliveryAttempt",
    "FundingUnit",
    "HealthLimits",
    "Severity",
    "What",
]
