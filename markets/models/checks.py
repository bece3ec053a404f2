"""Checks that fields of several models share; every problem names the field and the remedy."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from core.proxies import DIRECT, proxy_problem
from core.targets import host_problem
from markets.config import REST_SCHEMES, WS_SCHEMES, base_url_problem

key_validator = RegexValidator(
    r"^[a-z][a-z0-9]*$", _("Use the exchange's lower-case ccxt id, letters and digits only, like “binance”.")
)


def validate_rest_url(url: str) -> None:
    """Refuse what is no http(s) base URL."""
    if problem := base_url_problem(url, REST_SCHEMES) or _host_problem(url):
        raise ValidationError(_("REST base URL: %(problem)s."), params={"problem": problem})


def validate_ws_url(url: str) -> None:
    """Refuse what is no ws(s) base URL."""
    if problem := base_url_problem(url, WS_SCHEMES) or _host_problem(url):
        raise ValidationError(_("WebSocket base URL: %(problem)s."), params={"problem": problem})


def _host_problem(url: str) -> str:
    return host_problem(urlsplit(url).hostname or "", settings.EXCHANGE_TARGETS)


def validate_proxy(url: str) -> None:
    """Refuse what is no address of a proxy, without saying its credentials again."""
    if url != DIRECT and (problem := proxy_problem(url)):
        raise ValidationError(_("Proxy: %(problem)s."), params={"problem": problem})


MAX_RISK_TIERS = 200
RISK_TIER_FIELDS = frozenset({"from", "to", "leverage"})


def validate_risk_tiers(tiers: Any) -> None:
    """Refuse what is no short list of steps, each of `from`, `to` and `leverage`."""
    is_list = isinstance(tiers, list) and len(tiers) <= MAX_RISK_TIERS
    if not (is_list and all(isinstance(each, dict) and each.keys() <= RISK_TIER_FIELDS for each in tiers)):
        raise ValidationError(_("Risk limits: enter a list of at most %(most)d steps of from, to, leverage."),
                              params={"most": MAX_RISK_TIERS})  # fmt: skip


def limits(low: float, high: float) -> list[Any]:
    return [MinValueValidator(low), MaxValueValidator(high)]


def volume_field(label: Any, help_text: Any) -> "models.DecimalField[Any, Decimal | None]":
    return models.DecimalField(
        label, max_digits=24, decimal_places=2, null=True, blank=True, help_text=help_text
    )


def edge_field(label: Any, help_text: Any, **options: Any) -> "models.DecimalField[Any, Decimal | None]":
    """Return the field of an edge in bps that an operator may leave open."""
    return models.DecimalField(
        label, max_digits=8, decimal_places=3, null=True, blank=True, help_text=help_text, **options
    )


def money_field(label: Any, help_text: Any, least: Any = 0) -> "models.DecimalField[Any, Decimal | None]":
    """Return the field of an amount of money that an operator may leave open."""
    return models.DecimalField(
        label, max_digits=18, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(least)],
        help_text=help_text,
    )  # fmt: skip


def volume_constraints(prefix: str) -> list[models.CheckConstraint]:
    """Volume bounds of a table: none negative, minimum not above maximum; open ends pass."""
    return [
        models.CheckConstraint(
            condition=(Q(min_volume__isnull=True) | Q(min_volume__gte=0))
            & (Q(max_volume__isnull=True) | Q(max_volume__gte=0)),
            name=f"{prefix}_volume_not_negative",
        ),
        models.CheckConstraint(
            condition=Q(min_volume__isnull=True)
            | Q(max_volume__isnull=True)
            | Q(min_volume__lte=F("max_volume")),
            name=f"{prefix}_min_volume_lte_max",
        ),
    ]


def volume_errors(row: Any) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    for name in ("min_volume", "max_volume"):
        value = getattr(row, name)
        if value is not None and value < 0:
            errors[name] = _("A volume cannot be negative: enter 0 or more, or leave it empty for no limit.")
    low, high = row.min_volume, row.max_volume
    if not errors and low is not None and high is not None and low > high:
        errors["max_volume"] = _(
            "The maximum (%(high)s) is below the minimum (%(low)s): raise it, or leave it empty for no limit."
        ) % {"high": high, "low": low}
    return errors
