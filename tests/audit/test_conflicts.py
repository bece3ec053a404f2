"""Two operators, one row: the second sees who changed what, and overwrites nothing unknowingly."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test import Client
from django.urls import reverse

from history.models import RetentionPolicy
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
from monitoring.health.limits import HealthLimits
from monitoring.models import AlertChannel, AlertRule, What
from opportunities.models import VerdictThresholds
from tests.support.admin_forms import Fields, entered, fields_of, opened

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
    "pair": (lambda: ExchangePair.objects.all()[0], {"tolerance_ms": "7"}, {"tolerance_ms": "8"}),
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
    assert "Load the current state" in page
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
    table = re.search(r"<tbody>(.*?)</tbody>", page[page.index("Fields that differ") :], re.S)
    assert table
    rows = [re.sub(r"<[^>]+>", "|", line) for line in table[1].split("</tr>") if "<td" in line]
    assert any("Name" in line and "Theirs" in line and "OKX" in line for line in rows)
    assert any("volume" in line and "123456" in line for line in rows)
    assert any("Taker fee" in line and "77.5" in line for line in rows)
    assert len(rows) == 3


def test_what_only_another_page_shows_is_said_as_well(anna: Client, bert: Client) -> None:
    """A note on a case that somebody has decided meanwhile: the form has no verdict, the panel has."""
    row = case()
    mine = opened(bert, page_of(row), form_id(row))
    anna.post(list_of(row), {"action": "split", "_selected_action": [row.pk]})
    answer = save(bert, page_of(row), mine, note="surely the same")
    page = answer.content.decode()
    assert answer.status_code == CONFLICT
    assert "quarantined" in page
    assert "different" in page


def test_both_having_entered_the_same_have_nothing_to_settle(anna: Client, bert: Client) -> None:
    row = Exchange.objects.get(key="okx")
    mine = opened(bert, page_of(row), form_id(row))
    save(anna, page_of(row), opened(anna, page_of(row), form_id(row)), name="Same")
    page = save(bert, page_of(row), mine, name="Same").content.decode()
    assert "there is nothing to save" in page
    assert "_over" not in page


def test_a_warned_user_is_warned_again_when_a_third_one_saves_before_they_decide(
    anna: Client, bert: Client
) -> None:
    row = Exchange.objects.get(key="okx")
    address = page_of(row)
    mine = opened(bert, address, form_id(row))
    save(anna, address, opened(anna, address, form_id(row)), name="First")
    page = save(bert, address, mine, name="Bert's").content.decode()
    save(anna, address, opened(anna, address, form_id(row)), name="Second")
    answer = bert.post(address, {**entered(fields_of(page, form_id(row))), "_over": over(page)})
    assert answer.status_code == CONFLICT
    assert "Second" in answer.content.decode()
    assert Exchange.objects.get(key="okx").name == "Second"


def test_what_machines_write_is_no_conflict(bert: Client) -> None:
    listed = Instrument.objects.filter(exchange__key="okx")[0]
    found, operator = case(), User.objects.create_user("carl")
    rule = AlertRule.objects.create(name="rule", what=What.DISK)
    pages = [(row, opened(bert, page_of(row), form_id(row))) for row in (listed, found, operator, rule)]
    Instrument.catalogue.filter(pk=listed.pk).update(last_price=7, status="x", active=False)
    IdentityCase.findings.filter(pk=found.pk).update(price_ratio=9.0, seen_at="2026-02-02T00:00Z")
    User.objects.filter(pk=operator.pk).update(last_login="2026-02-02T00:00Z")
    AlertRule._base_manager.filter(pk=rule.pk).update(changed_at="2026-02-02T00:00Z")
    for row, fields in pages:
        assert save(bert, page_of(row), fields).status_code == 302, row


def test_what_was_changed_in_the_database_itself_is_a_conflict_too(bert: Client) -> None:
    row = Symbol.objects.get(name="BTC/USDT")
    fields = opened(bert, page_of(row), form_id(row))
    Symbol.catalogue.filter(pk=row.pk).update(enabled=False)
    answer = save(bert, page_of(row), fields)
    assert answer.status_code == CONFLICT
    assert not Symbol.objects.get(pk=row.pk).enabled


def test_a_row_edited_beside_another_one_counts(anna: Client, bert: Client) -> None:
    """A fee schedule is edited on its own page, while somebody has its exchange's page open."""
    row = Exchange.objects.get(key="okx")
    fee = FeeSchedule.objects.create(
        exchange=row, tier="VIP 1", taker_fee_bps=5, maker_fee_bps=1, valid_from="2026-01-01"
    )
    mine = opened(bert, page_of(row), form_id(row))
    save(anna, page_of(fee), opened(anna, page_of(fee), form_id(fee)), taker_fee_bps="6")
    answer = save(bert, page_of(row), mine, name="OKX 2")
    page = answer.content.decode()
    assert answer.status_code == CONFLICT
    assert "VIP 1" in page
    assert FeeSchedule.objects.get().taker_fee_bps == 6
    assert "Taker fee" in page[page.index("Fields that differ") :]


def test_one_that_was_added_beside_it_is_nobodys_conflict_and_one_that_is_gone_is(
    anna: Client, bert: Client
) -> None:
    row = Exchange.objects.get(key="okx")
    terms = {"exchange": row, "taker_fee_bps": 5, "maker_fee_bps": 1, "valid_from": "2026-01-01"}
    fee = FeeSchedule.objects.create(tier="VIP 1", **terms)
    mine = opened(bert, page_of(row), form_id(row))
    FeeSchedule.objects.create(tier="VIP 2", **terms)
    assert save(bert, page_of(row), mine).status_code == 302
    mine = opened(bert, page_of(row), form_id(row))
    anna.post(page_of(fee, "delete"), {"post": "yes"})
    answer = save(bert, page_of(row), mine)
    assert answer.status_code == CONFLICT
    assert "deleted" in answer.content.decode()


def test_many_to_many_fields_count(anna: Client, bert: Client) -> None:
    row, hook = AlertRule.objects.create(name="rule", what=What.DISK), channel()
    mine = opened(bert, page_of(row), form_id(row))
    row.channels.add(hook)
    answer = save(bert, page_of(row), mine, for_s="7")
    assert answer.status_code == CONFLICT
    assert "hook" in answer.content.decode()
    assert list(AlertRule.objects.get().channels.all()) == [hook]


def test_secrets_are_only_said_to_have_changed(anna: Client, bert: Client) -> None:
    row = channel()
    mine = opened(bert, page_of(row), form_id(row))
    first, second = "whsec_Zmlyc3Qgc2VjcmV0", "whsec_c2Vjb25kIHNlY3JldA=="
    assert save(anna, page_of(row), opened(anna, page_of(row), form_id(row)), secret=first).status_code == 302
    answer = save(bert, page_of(row), mine, secret=second)
    page = answer.content.decode()
    assert answer.status_code == CONFLICT
    assert "secret changed" in page
    assert "another one, which you entered" in page
    for secret in (first, second, AlertChannel.objects.get().sealed_secret):
        assert secret not in page
    exchange = Exchange.objects.get(key="okx")
    mine = opened(bert, page_of(exchange), form_id(exchange))
    proxies = [f"socks5://me:{secret}@proxy.example.com:1080" for secret in ("hunter22222", "hunter33333")]
    save(anna, page_of(exchange), opened(anna, page_of(exchange), form_id(exchange)), proxy=proxies[0])
    answer = save(bert, page_of(exchange), mine, proxy=proxies[1])
    assert answer.status_code == CONFLICT
    panel = answer.content.decode().partition("audit-conflict")[2].partition("</section>")[0]
    assert "hunter" not in panel


@pytest.mark.django_db(transaction=True)
def test_of_two_who_save_at_the_same_moment_one_is_warned() -> None:
    seed()
    browsers = [signed_in(name) for name in ("anna", "bert")]
    row = Exchange.objects.get(key="okx")
    pages = [opened(browser, page_of(row), form_id(row)) for browser in browsers]
    together = Barrier(2)

    def send(number: int) -> int:
        together.wait(20)
        try:
            return int(save(browsers[number], page_of(row), pages[number], name=f"By {number}").status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        statuses = list(threads.map(send, range(2)))
    assert sorted(statuses) == [302, CONFLICT]
    assert Exchange.objects.get(key="okx").name == f"By {statuses.index(302)}"


# --- deleting ------------------------------------------------------------------------------------


def test_what_was_changed_after_the_question_is_asked_again_before_it_is_deleted(
    anna: Client, bert: Client
) -> None:
    row = Symbol.objects.create(name="NEW/USDT", base="NEW", quote="USDT")
    sure = opened(bert, page_of(row, "delete"))
    save(anna, page_of(row), opened(anna, page_of(row), form_id(row)), enabled="on")
    answer = bert.post(page_of(row, "delete"), sure)
    page = answer.content.decode()
    assert answer.status_code == CONFLICT
    assert "anna" in page
    assert Symbol.objects.filter(pk=row.pk).exists()
    assert bert.post(page_of(row, "delete"), fields_of(page)).status_code == 302
    assert not Symbol.objects.filter(pk=row.pk).exists()


def test_deleting_the_selected_ones_asks_again_too(anna: Client, bert: Client) -> None:
    rows = [Symbol.objects.create(name=f"NN{n}/USDT", base=f"NN{n}", quote="USDT") for n in range(2)]
    listed = opened(bert, list_of(Symbol), "changelist-form")
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "index": "0"}
    sure = fields_of(bert.post(list_of(Symbol), {**entered(listed), **chosen}).content.decode())
    save(anna, page_of(rows[0]), opened(anna, page_of(rows[0]), form_id(rows[0])), enabled="on")
    answer = bert.post(list_of(Symbol), sure)
    assert answer.status_code == CONFLICT
    assert "anna" in answer.content.decode()
    assert Symbol.objects.filter(name__startswith="NN").count() == 2
    assert bert.post(list_of(Symbol), fields_of(answer.content.decode())).status_code == 302
    assert not Symbol.objects.filter(name__startswith="NN").exists()


def test_saving_what_somebody_deleted_says_who_did(anna: Client, bert: Client) -> None:
    row = Symbol.objects.create(name="NEW/USDT", base="NEW", quote="USDT")
    mine = opened(bert, page_of(row), form_id(row))
    anna.post(page_of(row, "delete"), {"post": "yes"})
    page = bert.post(page_of(row), entered(mine), follow=True).content.decode()
    assert "Anna deleted “NEW/USDT” at" in page


# --- lists ---------------------------------------------------------------------------------------


def test_an_action_on_what_the_list_did_not_show_is_asked_for_again(anna: Client, bert: Client) -> None:
    row = case()
    listed = opened(bert, list_of(row), "changelist-form")
    anna.post(list_of(row), {"action": "split", "_selected_action": [row.pk]})
    chosen = {"action": "confirm", "_selected_action": [row.pk], "index": "0"}
    answer = bert.post(list_of(row), {**entered(listed), **chosen})
    page = answer.content.decode()
    assert answer.status_code == CONFLICT
    assert "anna" in page
    assert IdentityCase.objects.get().verdict == "different"
    assert bert.post(list_of(row), fields_of(page)).status_code == 302
    assert IdentityCase.objects.get().verdict == "confirmed"


def test_an_action_on_all_pages_of_a_list_counts_what_is_on_none(anna: Client, bert: Client) -> None:
    listed = opened(bert, list_of(Symbol), "changelist-form")
    row = Symbol.objects.get(name="BTC/USDT")
    anna.post(list_of(Symbol), {"action": "disable", "_selected_action": [row.pk]})
    everything = {"action": "enable", "_selected_action": [row.pk], "select_across": "1", "index": "0"}
    answer = bert.post(list_of(Symbol), {**entered(listed), **everything})
    assert answer.status_code == CONFLICT
    assert not Symbol.objects.get(pk=row.pk).enabled


def test_other_rows_of_the_list_are_nobodys_conflict(anna: Client, bert: Client) -> None:
    one, two = Symbol.objects.all()[:2]
    listed = opened(bert, list_of(Symbol), "changelist-form")
    anna.post(list_of(Symbol), {"action": "disable", "_selected_action": [one.pk]})
    chosen = {"action": "disable", "_selected_action": [two.pk], "index": "0"}
    assert bert.post(list_of(Symbol), {**entered(listed), **chosen}).status_code == 302
    assert not Symbol.objects.get(pk=two.pk).enabled


def test_a_list_that_is_edited_in_place_overwrites_nothing_unseen(anna: Client, bert: Client) -> None:
    """A user who saves such a list saves every row of it, also those they never touched."""
    RetentionPolicy.objects.update(days=None)
    row, other = RetentionPolicy.objects.order_by("table")[:2]
    listed = opened(bert, list_of(row), "changelist-form")
    place = next(name for name in listed if listed[name] == [str(row.pk)] and name.endswith("-id"))
    theirs = next(name for name in listed if listed[name] == [str(other.pk)] and name.endswith("-id"))
    mine, days = place.replace("-id", "-days"), theirs.replace("-id", "-days")
    save(anna, page_of(other), opened(anna, page_of(other), form_id(other)), days="11")

    answer = bert.post(list_of(row), {**entered(listed, **{mine: "22"}), "_save": "Save"})
    page = answer.content.decode()
    assert answer.status_code == CONFLICT
    assert "11" in page
    for each, kept in ((row, None), (other, 11)):
        each.refresh_from_db()
        assert each.days == kept
    again = fields_of(page, "changelist-form")
    assert (again[mine], again[days]) == (["22"], [""])
    assert bert.post(list_of(row), {**entered(again), "_over": over(page)}).status_code == 302
    assert RetentionPolicy.objects.get(pk=row.pk).days == 22


# --- settings of one row -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "field"),
    [(GateThresholds, "jump_pct"), (HealthLimits, "sockets"), (VerdictThresholds, "event_pct")],
)
def test_two_who_both_make_the_one_row_of_settings(
    anna: Client, bert: Client, model: Any, field: str
) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
    form = f"{model._meta.model_name}_form"
    mine, theirs = opened(bert, address, form), opened(anna, address, form)
    assert save(anna, address, theirs, **{field: "0.31" if field == "event_pct" else "31"}).status_code == 302
    answer = save(bert, address, mine, **{field: "0.32" if field == "event_pct" else "32"})
    assert answer.status_code == CONFLICT
    assert "anna" in answer.content.decode()
    assert f"{getattr(model.objects.get(), field):g}" in ("0.31", "31")
