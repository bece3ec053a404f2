"""Pages of the admin on which something is never done, whatever somebody's rights."""

from typing import Any, Final

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

EVERYTHING: Final = {"add", "change", "delete"}
NEVER: Final = {
    "accounts.usersession": {"add", "change"},
    "audit.entry": EVERYTHING,
    "history.maintenancerun": EVERYTHING,
    "history.retentionpolicy": {"add", "delete"},
    "markets.depthsettings": {"delete"},
    "markets.gatethresholds": {"delete"},
    "markets.identitycase": {"delete"},
    "markets.instrument": {"add", "delete"},
    "markets.pinnedchart": {"add", "change"},
    "markets.walletstatus": EVERYTHING,
    "monitoring.alert": EVERYTHING,
    "monitoring.delivery": EVERYTHING,
    "monitoring.healthlimits": {"delete"},
    "opportunities.opportunityepisode": EVERYTHING,
    "opportunities.verdictthresholds": {"delete"},
    "orderbook.storesettings": {"delete"},
    "realtime.apitoken": {"change"},
}


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password="a-superuser-of-tests")


def test_not_even_a_superuser_does_what_is_never_done(root: User) -> None:
    request = HttpRequest()
    request.user = root
    closed = {}
    for model, page in site._registry.items():
        may: dict[str, Any] = page.get_model_perms(request)
        if model._meta.app_label != "axes" and (never := EVERYTHING - {what for what in may if may[what]}):
            closed[model._meta.label_lower] = never
    assert closed == NEVER


@pytest.mark.parametrize("label", sorted(label for label, never in NEVER.items() if "add" in never))
def test_the_address_that_adds_is_refused(root: User, client: Client, label: str) -> None:
    client.force_login(root)
    assert client.post(reverse(f"admin:{label.replace('.', '_')}_add"), {}).status_code == 403
