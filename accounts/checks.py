"""Checks of accounts in `manage.py check --deploy`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def second_factor_is_required(**_: Any) -> list[CheckMessage]:
    """Warn of a desk where nobody has to have a second factor."""
    if settings.MFA == "required":
        return []
    words = "MFA=optional: a password alone opens secrets, people and live trading."
    return [Warning(words, hint="Set MFA=required.", id="accounts.W001")]
