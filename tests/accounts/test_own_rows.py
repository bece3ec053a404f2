"""Rows that belong to users are shown to those users; settings of one row stay, or their defaults hold."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import UserSession
from accounts.tokens.model import ApiToken
from accounts.tokens.tokens import make_token
from audit.guarded import OneRowAdmin
from engine.deviation import DeviationTerms
from history.lake.tables import Lake
from history.maintenance import retention
from history.models import RetentionPolicy
from markets.config import GateTerms
from markets.models import DepthSettings, ExchangePair, GateThresholds, PinnedChart, Symbol
from markets.selectors import gate_terms
from monitoring.health.limits import HealthLimits, load_limits
from monitoring.health.observed import Limits
from opportunities.models import VerdictThresholds
from opportunities.statistics import verdict_terms
from orderbook.models import StoreSettings
from tests.accounts.test_groups import member, signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_redis")]

PINS = "/admin/markets/pinnedchart/"
TOKENS = "/admin/realtime/apitoken/"


@pytest.fixture
def pins() -> dict[str, PinnedChart]:
    """A pin of each of three people."""
    call_command("seed", verbosity=0)
    names = {"viewer": "BTC/USDT", "trader": "ETH/USDT", "operator": "SOL/USDT"}
    return {
        group: PinnedChart.objects.create(
            user=member(group), symbol=Symbol.objects.get(name=name), pair=ExchangePair.objects.all()[0]
        )
        for group, name in names.items()
    }


def of(group: str) -> Client:
    return signed_in(User.objects.get(username=group))


def page(browser: Client, address: str) -> str:
    answer = browser.get(address, follow=True)
    assert answer.status_code == 200, address
    return answer.content.decode()


# --- pins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["viewer", "trader"])
def test_who_only_looks_sees_their_own_pins(pins: dict[str, PinnedChart], group: str) -> None:
    browser, own = of(group), pins[group]
    listed = page(browser, PINS)
    assert "1 pinned chart" in listed
    assert own.symbol.name in listed
    for other in pins.values():
        if other is own:
            assert browser.get(f"{PINS}{own.pk}/change/").status_code == 200
            continue
        assert other.symbol.name not in listed
        assert other.user.username not in listed
        for which in ("change", "history"):
            answer = browser.get(f"{PINS}{other.pk}/{which}/", follow=True)
            assert other.symbol.name not in answer.content.decode()
        assert "1 pinned chart" not in page(browser, f"{PINS}?q={other.symbol.name[:3]}")
        assert browser.get(f"{PINS}?user__id__exact={other.user.pk}").status_code in (302, 400)


def test_who_may_take_pins_down_sees_everybodys(pins: dict[str, PinnedChart]) -> None:
    listed = page(of("operator"), PINS)
    assert "3 pinned charts" in listed
    browser = of("operator")
    browser.post(f"{PINS}{pins['viewer'].pk}/delete/", {"post": "yes"})
    assert set(PinnedChart.objects.values_list("user__username", flat=True)) == {"trader", "operator"}


def test_every_admin_of_rows_with_a_user_shows_ones_own_or_is_closed_to_a_viewer(
    pins: dict[str, PinnedChart],
) -> None:
    """So that a new one does not show everybody's unseen."""
    viewer, stranger = of("viewer"), member("viewer", "stranger")
    request: Any = type("Request", (), {"user": User.objects.get(username="viewer"), "GET": {}})()
    owned = [
        (model, each)
        for model, each in admin.site._registry.items()
        if any(field.name == "user" and field.related_model is User for field in model._meta.fields)
    ]
    assert {model for model, _ in owned} == {PinnedChart, ApiToken, UserSession}
    signed_in(stranger)
    make_token(stranger)
    for model, each in owned:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        if viewer.get(address).status_code == 403:
            continue
        users = set(each.get_queryset(request).values_list("user__username", flat=True))
        assert users <= {"viewer"}, model


# --- what is no more -----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["change", "delete", "history"])
def test_nobody_learns_of_deleted_rows_that_they_could_not_see(
    pins: dict[str, PinnedChart], which: str
) -> None:
    stranger = User.objects.create_user("stranger-name")
    make_token(stranger, name="stranger-token")
    token, pin = ApiToken.objects.get(), pins["operator"]
    gone = {
        PINS: pin.pk, TOKENS: token.pk, "/admin/auth/user/": stranger.pk,
        "/admin/monitoring/alertchannel/": None,
    }  # fmt: skip
    channel: Any = apps.get_model("monitoring", "AlertChannel")
    row = channel.objects.create(name="stranger-channel", kind="slack")
    gone["/admin/monitoring/alertchannel/"] = row.pk
    for each in (pin, token, stranger, row):
        each.delete()
    for group in ("viewer", "trader"):
        for address, pk in gone.items():
            said = of(group).get(f"{address}{pk}/{which}/", follow=True).content.decode()
            assert "stranger-" not in said, (group, address)
            assert "SOL/USDT" not in said, (group, address)
            assert " deleted “" not in said, (group, address)
    said = of("operator").get(f"{PINS}{gone[PINS]}/change/", follow=True).content.decode()
    assert "SOL/USDT" in said


# --- settings of one row -------------------------------------------------------------------------

SETTINGS = [DepthSettings, HealthLimits, GateThresholds, StoreSettings, VerdictThresholds]


def test_all_settings_of_one_row_are_tried() -> None:
    there = {model for model, each in admin.site._registry.items() if isinstance(each, OneRowAdmin)}
    single = {
        model
        for model in admin.site._registry
        if getattr(model._meta.pk, "default", None) == 1 and not model._meta.pk.editable
    }
    assert there == single == set(SETTINGS)


@pytest.mark.parametrize("model", SETTINGS)
def test_nobody_deletes_the_one_row(operator_client: Client, model: Any) -> None:
    row = model.objects.create()
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for browser in (operator_client, signed_in(member("operator", "op")), signed_in(member("administrator"))):
        form = page(browser, f"{address}{row.pk}/change/")
        assert "deletelink" not in form
        assert browser.post(f"{address}{row.pk}/delete/", {"post": "yes"}).status_code == 403
        browser.post(address, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
        assert model.objects.exists()


@pytest.mark.parametrize("model", SETTINGS)
def test_without_the_row_the_defaults_hold_and_the_page_says_so(operator_client: Client, model: Any) -> None:
    name = str(model._meta.verbose_name)
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    words = f"The {name} were never changed: the defaults apply."
    assert words in page(operator_client, address)
    assert words in page(signed_in(member("viewer")), address), "who may not save them learns it, too"
    form = page(operator_client, address)
    assert 'name="_save"' in form
    assert 'name="_addanother"' not in form
    model.objects.create()
    assert words not in page(operator_client, address)


def test_what_reads_settings_goes_by_their_defaults(tmp_path: Any) -> None:
    assert load_limits() == Limits()
    assert gate_terms() == GateTerms()
    assert verdict_terms() == DeviationTerms()


def test_a_table_without_a_policy_is_kept(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A row that SQL took away is no order to delete anything."""
    import datetime

    RetentionPolicy.objects.all().delete()
    assert retention.plan(Lake(str(tmp_path)), "quotes", datetime.date(2026, 1, 1)) == []
    assert "quotes has no policy: all of it is kept" in caplog.text
    retention.create_policies()
    assert RetentionPolicy.objects.get(table="quotes").days == 30
