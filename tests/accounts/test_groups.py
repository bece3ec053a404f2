"""Rights of the four groups, and that nobody gives themselves more than they have."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from pytest_django import Settings
from redis import Redis

from accounts.access.groups import GROUPS, set_up
from accounts.mfa import second_factor
from accounts.tokens.model import ApiToken
from core.health.findings import Finding
from core.process.heartbeat import Heartbeat
from core.secrets.sealed_columns import sealed_columns
from markets.models import Exchange
from monitoring.health.observed import Answer, Observed
from monitoring.models import AlertChannel
from monitoring.pages.veil import veiled

pytestmark = pytest.mark.django_db(transaction=True)

USERS = "/admin/auth/user/"
NEW = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "is_active": "on"}


def member(group: str, name: str = "", *extra: str) -> User:
    user = User.objects.create_user(name or group, password="a long enough one", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    user.user_permissions.set(Permission.objects.filter(codename__in=extra))
    return user


def signed_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def names(group: str) -> set[str]:
    return set(Group.objects.get(name=group).permissions.values_list("codename", flat=True))


def test_each_group_has_more_than_the_one_before_and_none_everything() -> None:
    viewer, trader, operator, administrator = map(names, GROUPS)
    assert viewer < trader < operator < administrator
    assert all(name.startswith("view_") for name in viewer)
    assert "view_alertchannel" not in trader
    assert {"see_processes", "read_metrics", "change_exchange"} <= operator - trader
    assert {"change_user", "change_group"} <= administrator - operator
    assert not {"add_session", "change_session", "delete_logentry", "add_permission"} & administrator


def test_migrate_sets_the_groups_right_again_and_leaves_others_alone() -> None:
    Group.objects.get(name="viewer").permissions.add(Permission.objects.get(codename="change_user"))
    own = Group.objects.create(name="own")
    own.permissions.add(Permission.objects.get(codename="change_exchange"))
    set_up()
    assert "change_user" not in names("viewer")
    assert names("own") == {"change_exchange"}


@pytest.mark.parametrize("group", ["viewer", "trader"])
def test_who_may_only_look_at_an_exchange_does_not_read_its_proxys_credentials(group: str) -> None:
    row = Exchange.objects.create(
        key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8, proxy="http://planted:hunter2hunter2@p.example:3128"
    )  # fmt: skip
    browser = signed_in(member(group))
    for page in ("", f"{row.pk}/change/", f"{row.pk}/history/"):
        text = browser.get(f"/admin/markets/exchange/{page}").content.decode()
        assert "OKX" in text
        assert "planted" not in text
        assert "hunter2" not in text
    assert (
        "http://•••@p.example:3128"
        in browser.get(f"/admin/markets/exchange/{row.pk}/change/").content.decode()
    )


def test_no_page_shows_a_secret_to_a_user_who_may_only_read() -> None:
    """Every model that has a secret, whichever right to look somebody was given."""
    rows: dict[str, Any] = {
        "auth.user": User.objects.create_user("somebody", password="not to be read by anybody"),
        "markets.exchange": Exchange.objects.create(
            key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8, proxy="http://me:planted@p.example:3128"
        ),
        "monitoring.alertchannel": AlertChannel.objects.create(
            name="phones", kind="webhook", settings={"url": "https://hooks.example.com/"}
        ),
    }  # fmt: skip
    rows["monitoring.alertchannel"].secret = "planted"
    rows["monitoring.alertchannel"].save()
    browser = signed_in(member("viewer", "looking", "view_user", "view_alertchannel"))
    for label, row in rows.items():
        page = browser.get(f"/admin/{label.replace('.', '/')}/{row.pk}/change/")
        assert page.status_code == 200, label
        text = page.content.decode()
        assert "planted" not in text, label
        assert "pbkdf2" not in text, label
        assert "md5" not in text, label


# --- nobody gives what they lack -----------------------------------------------------------------


def changed(browser: Client, user: User, **fields: Any) -> User:
    browser.post(f"{USERS}{user.pk}/change/", {"username": user.username, "is_staff": "on", **NEW, **fields})
    return User.objects.get(pk=user.pk)


def right(codename: str) -> str:
    return str(Permission.objects.get(codename=codename).pk)


@pytest.mark.parametrize("group", ["administrator", "viewer"])
def test_who_may_change_users_does_not_make_themselves_more(group: str) -> None:
    clerk = member(group, "clerk", "change_user", "view_user")
    before = clerk.get_all_permissions()
    browser = signed_in(clerk)
    everything = str(Group.objects.create(name="everything").pk)
    Group.objects.get(name="everything").permissions.set(Permission.objects.all())
    for fields in (
        {"is_superuser": "on"},
        {"user_permissions": [right("change_session")]},
        {"groups": [everything]},
        {"is_superuser": "on", "user_permissions": list(Permission.objects.values_list("pk", flat=True))},
    ):
        after = changed(browser, clerk, groups=fields.pop("groups", []), **fields)
        assert not after.is_superuser
        assert after.get_all_permissions() <= before


def test_an_administrator_does_give_what_they_have() -> None:
    browser = signed_in(member("administrator"))
    guest = User.objects.create_user("guest")
    after = changed(browser, guest, groups=[str(Group.objects.get(name="trader").pk)], first_name="G")
    assert (after.first_name, [group.name for group in after.groups.all()]) == ("G", ["trader"])


@pytest.mark.parametrize("active", [True, False])
def test_who_has_more_is_not_touched(operator: User, active: bool) -> None:
    clerk = member("viewer", "clerk", "change_user", "view_user", "delete_user")
    browser = signed_in(clerk)
    chief = member("administrator", "chief")
    User.objects.exclude(pk=clerk.pk).update(is_active=active)
    for target in (operator, chief):
        password = target.password
        changed(browser, target, username="mine", email="me@example.com")
        new = {"password1": "another horse battery", "password2": "another horse battery"}
        browser.post(f"{USERS}{target.pk}/password/", {**new, "usable_password": "true"})
        browser.post(f"{USERS}{target.pk}/delete/", {"post": "yes"})
        browser.post(USERS, {"action": "delete_selected", "_selected_action": [target.pk], "post": "yes"})
        after = User.objects.get(pk=target.pk)
        assert (after.username, after.password, after.email) == (target.username, password, target.email)


def test_a_superuser_still_makes_superusers(operator_client: Client) -> None:
    guest = User.objects.create_user("guest")
    assert changed(operator_client, guest, is_superuser="on").is_superuser


def test_a_group_is_no_way_round() -> None:
    clerk = member("viewer", "clerk", "change_group", "view_group", "add_group", "delete_group")
    browser = signed_in(clerk)
    viewer, chiefs = Group.objects.get(name="viewer"), Group.objects.get(name="administrator")
    for group in (viewer, chiefs):
        before = names(group.name)
        path = f"/admin/auth/group/{group.pk}/"
        browser.post(f"{path}change/", {"name": group.name, "permissions": [right("change_user")]})
        assert names(group.name) == before
    browser.post(f"/admin/auth/group/{chiefs.pk}/delete/", {"post": "yes"})
    assert Group.objects.filter(name="administrator").exists()
    browser.post("/admin/auth/group/add/", {"name": "new", "permissions": [right("change_user")]})
    assert not Group.objects.filter(name="new").exists()


# --- health and metrics --------------------------------------------------------------------------

ALLOWED = {"viewer": False, "trader": False, "operator": True, "administrator": True}


@pytest.mark.parametrize(("group", "sees"), ALLOWED.items())
def test_processes_and_metrics_are_for_operators(empty_redis: Redis, group: str, sees: bool) -> None:
    browser = signed_in(member(group))
    detail = browser.get("/api/health").json()
    assert "findings" in detail
    assert ("processes" in detail, "collectors" in detail, "web" in detail) == (sees, sees, sees)
    assert browser.get("/metrics").status_code == (200 if sees else 403)
    assert (browser.get("/api/health/graph?graph=memory").status_code == 403) is not sees
    assert browser.get("/api/health/worst").status_code == 200


def test_a_veiled_finding_names_no_host() -> None:
    beat = Heartbeat("web", "web secret-host:4711", "secret-host", 4711, 0, 0)
    other = Heartbeat("collector", "collector 1/1", "secret-host", 4712, 0, 0)
    now = Observed(at_us=0, redis=Answer(True), database=Answer(True), heartbeats=(beat, other))
    findings = [
        Finding("process_missing", beat.name, "critical", 0, "(process 4711 on secret-host)", "Look."),
        Finding("queue", "collector 1/1 recent points", "warning", 0, "it is full, pid 4712", "Look."),
        Finding("memory", "x", "warning", 0, "words", "on secret-host"),
        Finding("exchange", "okx", "warning", 0, "okx is silent", "Look."),
    ]
    found = veiled(now, findings)
    assert found[3] == findings[3]
    assert "secret-host" not in repr(found)
    assert "471" not in repr(found)
    assert [each.severity for each in found] == [each.severity for each in findings]


def test_a_right_to_change_what_holds_a_secret_takes_a_second_factor(settings: Settings) -> None:
    settings.MFA = "required"
    guarded = {column.model for column in sealed_columns} | {ApiToken, User, Group}
    assert {Exchange, AlertChannel} < guarded
    rights = Permission.objects.filter(content_type__in=ContentType.objects.get_for_models(*guarded).values())
    for right in rights:
        holder = User.objects.create_user(f"has-{right.codename}", password="a long enough one")
        holder.user_permissions.add(right)
        assert second_factor.is_required_of(holder) == (not right.codename.startswith("view_")), right
    bystander = User.objects.create_user("bystander", password="a long enough one")
    bystander.user_permissions.add(Permission.objects.get(codename="change_opportunityfilter"))
    assert not second_factor.is_required_of(bystander)
