"""Two operators, one row: the second is told who changed what, and overwrites nothing unknowingly."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from history.models import RetentionPolicy, VerdictThresholds
from markets.models import (
    Exchange,
    ExchangePair,
    FeeSchedule,
    GateThresholds,
    IdentityCase,
    Instrument,
    OpportunityFilter,
    Symbol,
)  # fmt: skip
from markets.seed import seed
from monitoring.limits import HealthLimits
from monitoring.models import AlertChannel, AlertRule, What
from tests.admin_forms import Fields, entered, fields_of, opened

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

CONFLICT = 409
Making = Callable[[], Any]


def signed_in(name: str) -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser(name))
    return browser


@pytest.fixture
def anna() -> Client:
    seed()
    return signed_in("anna")


@pytest.fixture
def bert(anna: Client) -> Client:
    return signed_in("bert")


def page_of(row: Any, what: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{what}", args=[row.pk])


def list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def form_id(row: Any) -> str:
    return f"{row._meta.model_name}_form"


def save(browser: Client, address: str, fields: Fields, **changes: Any) -> Any:
    return browser.post(address, {**entered(fields, **changes), "_continue": "1"})


def over(page: str) -> str:
    """The value of the button that saves over what is there."""
    found = re.search(r'name="_over" value="([^"]+)"', page)
    assert found, "no way to save over it"
    return found[1]


def channel() -> AlertChannel:
    row = AlertChannel(name="hook", kind="webhook", settings={"url": "https://example.com/in"})
    row.secret = "whsec_bm9ib2R5IHJlYWRzIHRoaXM="
    row.save()
    return row


def case() -> IdentityCase:
    two = Exchange.objects.order_by("pk")[:2]
    return IdentityCase.objects.create(
        symbol=Symbol.objects.get(name="BTC/USDT"), exchange1=two[0], exchange2=two[1], price_ratio=3.0,
        found_at="2026-01-01T00:00Z", seen_at="2026-01-01T00:00Z",
    )  # fmt: skip


FORMS: dict[str, tuple[Making, dict[str, Any], dict[str, Any]]] = {
    "exchange": (lambda: Exchange.objects.get(key="okx"), {"name": "Theirs"}, {"taker_fee_bps": "7"}),
    "symbol": (lambda: Symbol.objects.get(name="BTC/USDT"), {"enabled": None}, {"enabled": "on"}),
    "instrument": (lambda: Instrument.objects.filter(exchange__key="okx").first(), {"enabled": None}, {}),
    "pair": (ExchangePair.objects.first, {"tolerance_ms": "7"}, {"tolerance_ms": "8"}),
    "filter": (lambda: OpportunityFilter.objects.get(name="Majors"), {"name": "Theirs"}, {"min_volume": "5"}),
    "fee schedule": (
        lambda: FeeSchedule.objects.create(
            exchange=Exchange.objects.get(key="okx"), tier="VIP 1", taker_fee_bps=5, maker_fee_bps=1,
            valid_from="2026-01-01",
        ),
        {"taker_fee_bps": "6"}, {"taker_fee_bps": "7"},
    ),
    "gates": (GateThresholds.objects.create, {"jump_pct": "11"}, {"jump_pct": "12"}),
    "identity": (case, {"note": "theirs"}, {"note": "ours"}),
    "rule": (
        lambda: AlertRule.objects.create(name="rule", what=What.DISK), {"severity": "info"}, {"for_s": "9"},
    ),
    "channel": (channel, {"per_minute": "30"}, {"per_minute": "40"}),
    "limits": (HealthLimits.objects.create, {"sockets": "11"}, {"sockets": "12"}),
    "verdicts": (VerdictThresholds.objects.create, {"event_pct": "0.35"}, {"event_pct": "0.36"}),
    "policy": (lambda: RetentionPolicy.objects.get(table="quotes"), {"days": "5"}, {"days": "6"}),
    "user": (lambda: User.objects.create_user("carl"), {"first_name": "Theirs"}, {"first_name": "Ours"}),
    "group": (lambda: Group.objects.create(name="own"), {"name": "theirs"}, {"name": "ours"}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_second_to_save_is_shown_what_the_first_changed_and_nothing_is_overwritten(
    form: str, anna: Client, bert: Client
) -> None:
    making, theirs, ours = FORMS[form]
    row = making()
    address = page_of(row)
    mine, first = opened(bert, address, form_id(row)), opened(anna, address, form_id(row))
    assert save(anna, address, first, **theirs).status_code == 302
    kept = type(row)._base_manager.filter(pk=row.pk).values().get()

    answer = save(bert, address, mine, **ours)
    page = answer.content.decode()

    assert answer.status_code == CONFLICT
    assert type(row)._base_manager.filter(pk=row.pk).values().get() == kept
    assert "anna changed this at" in page
    assert "Load the present state" in page
    again = save(bert, address, fields_of(page, form_id(row)))
    assert again.status_code == CONFLICT, "the same button again is no consent"
    consent = bert.post(address, {**entered(fields_of(page, form_id(row))), "_over": over(page)})
    assert consent.status_code == 302
    after = type(row)._base_manager.filter(pk=row.pk).values().get()
    assert after != kept


def test_both_sides_stand_side_by_side(anna: Client, bert: Client) -> None:
    row = Exchange.objects.get(key="okx")
    address = page_of(row)
    mine = opened(bert, address, form_id(row))
    save(anna, address, opened(anna, address, form_id(row)), name="Theirs", min_volume="123456")
    page = save(bert, address, mine, taker_fee_bps="77.5").content.decode()
    table = re.search(r"<tbody>(.*?)</tbody>", page[page.index("Where the two of you differ") :], re.S)
    assert table
    rows = [re.sub(r"<[^>]+>", "|", line) for line in table[1].split("</tr>") if "<td" in line]
    assert any("Name" in line and "Theirs" in line and "OKX" in line for line in rows)
    assert any("volume" in line and "123456" in line for line in rows)
    assert any("Taker fee" in line and "77.5" in line for line in rows)
    assert len(rows) == 3
