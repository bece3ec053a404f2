"""Two people, one row: pages that are no form of the admin, and forged claims of what a page showed."""

# ruff: noqa: F811 - fixtures come by import

import re
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from audit.guarded import GuardedAdmin
from audit.registry import audited
from markets.models import (
    IdentityCase,
    Instrument,
    Symbol,
)  # fmt: skip
from tests.audit.test_conflicts import CONFLICT, anna, bert, case, form_id, list_of, page_of, save  # noqa: F401
from tests.support.admin_forms import entered, opened

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]


# --- other pages that save ------------------------------------------------------------------------


def test_an_alias_for_a_case_that_was_decided_meanwhile(anna: Client, bert: Client) -> None:
    row = case()
    address = reverse("admin:markets_identitycase_alias", args=[row.pk])
    fields = opened(bert, address)
    anna.post(list_of(row), {"action": "split", "_selected_action": [row.pk]})
    listing = Instrument.objects.filter(symbol=row.symbol, exchange=row.exchange1)[0]
    mine = entered(fields, listing=listing.pk, symbol=row.symbol_id, multiplier="10")
    answer = bert.post(address, mine)
    assert answer.status_code == CONFLICT
    assert "anna" in answer.content.decode()
    assert IdentityCase.objects.get().verdict == "different"


def test_a_password_that_was_set_meanwhile_is_not_set_over(anna: Client, bert: Client) -> None:
    carl = User.objects.create_user("carl", password="the first horse")
    address = f"/admin/auth/user/{carl.pk}/password/"
    mine, theirs = opened(bert, address), opened(anna, address)
    ones, twos = "another horse battery", "still another battery"
    new = {"usable_password": "true", "set-password": "x"}
    anna.post(address, {**entered(theirs, password1=ones, password2=ones), **new})
    page = bert.post(address, {**entered(mine, password1=twos, password2=twos), **new}, follow=True)
    assert "Anna changed this at" in page.content.decode()
    assert User.objects.get(pk=carl.pk).check_password(ones)


@pytest.mark.django_db(transaction=True)
def test_saved_views_are_not_overwritten_by_another_window(operator_client: Client) -> None:
    path = "/api/scanner/views"

    def post(**body: Any) -> Any:
        return operator_client.post(path, body, content_type="application/json")

    assert post(name="mine", query="search=BTC", fresh=True).status_code == 200
    assert post(name="mine", query="search=ETH", seen="search=BTC").status_code == 200
    for body in ({"seen": "search=BTC"}, {"fresh": True}):
        refused = post(name="mine", query="search=SOL", **body)
        assert refused.status_code == CONFLICT
        assert "search=ETH" in refused.json()["error"]
        assert "search=SOL" in refused.json()["error"]
    assert post(name="other", was="mine", seen="search=BTC").status_code == CONFLICT
    assert operator_client.delete(f"{path}?name=mine&seen=search%3DBTC").status_code == CONFLICT
    assert operator_client.get(path).json()["views"] == [{"name": "mine", "query": "search=ETH"}]
    assert operator_client.delete(f"{path}?name=mine&seen=search%3DETH").json()["views"] == []
    assert post(name="mine", query="search=SOL", seen="search=ETH").status_code == CONFLICT


# --- forgeries, and what every page of the admin has -----------------------------------------------


@pytest.mark.parametrize("forged", ["", "x", "e30:1abc:def", "A" * 300_000])
def test_what_no_page_of_ours_said_is_believed_by_nobody(bert: Client, forged: str) -> None:
    row = Symbol.objects.get(name="BTC/USDT")
    fields = opened(bert, page_of(row), form_id(row))
    assert save(bert, page_of(row), fields, _seen=forged, enabled=None).status_code == CONFLICT
    assert Symbol.objects.get(pk=row.pk).enabled


def test_what_one_page_said_is_no_use_on_another(bert: Client) -> None:
    row, other = Symbol.objects.all()[:2]
    said = opened(bert, page_of(other), form_id(other))["_seen"]
    fields = opened(bert, page_of(row), form_id(row))
    assert save(bert, page_of(row), fields, _seen=said).status_code == CONFLICT


def test_every_page_of_the_admin_has_it_and_what_people_change_is_audited() -> None:
    """A new page of the admin begins with GuardedAdmin, a new model with audit.register."""
    for model, page in site._registry.items():
        assert isinstance(page, GuardedAdmin), f"{model._meta.label}: derive its page from audit.guarded"
        permissions = set(model._meta.default_permissions) & {"add", "change", "delete"}
        if permissions and "change" not in page.never and model._meta.app_label != "axes":
            assert audited(model), f"{model._meta.label}: register it with the audit"


def test_no_field_that_sounds_like_a_secret_is_audited_in_clear() -> None:
    said = re.compile("passw|secret|token|digest$|fingerprint|credential|proxy|private|sealed")
    for model in site._registry:
        if (of := audited(model)) is not None:
            names = {field.name for field in of.fields if said.search(field.name)}
            assert names <= of.secret.keys(), model
