"""Before secrets or people are touched, the password is asked for again where it was given long ago."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import UserSession
from audit.models import Entry
from markets.models import Exchange
from monitoring.models import AlertChannel
from realtime.api_token import ApiToken
from tests.authenticator import PASSWORD, Clock, enrol, whole
from tests.test_groups import member, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

CONFIRM = "/accounts/confirm/"
TOKEN = {"name": "backup", "scope": "read", "days": "1"}


@pytest.fixture
def browser(operator_client: Client) -> Client:
    """A browser in which the operator signed in twenty minutes ago."""
    UserSession.objects.update(confirmed_at=timezone.now() - timedelta(minutes=20))
    return operator_client


def asks(answer: Any) -> bool:
    return bool(answer.status_code == 302 and answer["Location"].startswith(CONFIRM))


@pytest.fixture
def rows(operator: User) -> dict[str, Any]:
    channel = AlertChannel(name="hook", kind="webhook", settings={"url": "https://hook.example/x"})
    channel.secret = "a secret of the hook"
    channel.save()
    exchange = Exchange.objects.create(key="odd", name="Odd", taker_fee_bps=10, maker_fee_bps=10)
    return {
        "channel": channel,
        "exchange": exchange,
        "user": operator,
        "group": Group.objects.get(name="viewer"),
    }


GUARDED = [
    "/admin/monitoring/alertchannel/add/",
    "/admin/monitoring/alertchannel/{channel}/change/",
    "/admin/monitoring/alertchannel/{channel}/delete/",
    "/admin/markets/exchange/add/",
    "/admin/markets/exchange/{exchange}/change/",
    "/admin/markets/exchange/{exchange}/delete/",
    "/admin/realtime/apitoken/add/",
    "/admin/auth/user/add/",
    "/admin/auth/user/{user}/change/",
    "/admin/auth/user/{user}/password/",
    "/admin/auth/user/{user}/delete/",
    "/admin/auth/group/add/",
    "/admin/auth/group/{group}/change/",
    "/admin/auth/group/{group}/delete/",
    "/accounts/second-factor/set-up/",
]


@pytest.mark.parametrize("path", GUARDED)
def test_forms_of_secrets_and_people_ask_before_anything_is_typed(
    browser: Client, rows: dict[str, Any], path: str
) -> None:
    path = path.format(**{name: row.pk for name, row in rows.items()})
    assert asks(browser.get(path))
    assert asks(browser.post(path, {"name": "x"}))
    back = browser.post(CONFIRM, {"password": PASSWORD, "next": path})
    assert back["Location"] == path
    assert browser.get(path).status_code == 200
    UserSession.objects.update(confirmed_at=timezone.now() - timedelta(minutes=16))
    assert asks(browser.get(path))


@pytest.mark.parametrize(
    "path",
    [
        "/admin/", "/admin/auth/user/", "/admin/monitoring/alertchannel/", "/admin/markets/exchange/",
        "/admin/markets/symbol/", "/admin/markets/opportunityfilter/add/", "/admin/realtime/apitoken/", "/",
        "/accounts/sessions/", "/accounts/second-factor/", "/accounts/password/",
    ],
)  # fmt: skip
def test_nothing_else_asks(browser: Client, path: str) -> None:
    assert browser.get(path).status_code == 200


def test_nothing_is_changed_without_it(browser: Client, rows: dict[str, Any]) -> None:
    guest = User.objects.create_user("guest")
    for path, fields in (
        ("/admin/realtime/apitoken/add/", TOKEN),
        (f"/admin/auth/user/{guest.pk}/change/", {"username": "guest", "is_superuser": "on"}),
        ("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [guest.pk], "post": "yes"}),
        ("/admin/auth/user/", {"action": "reset_second_factor", "_selected_action": [guest.pk]}),
        (
            "/admin/auth/group/",
            {"action": "delete_selected", "_selected_action": [rows["group"].pk], "post": "yes"},
        ),
        (
            "/admin/monitoring/alertchannel/",
            {"action": "send_test", "_selected_action": [rows["channel"].pk]},
        ),
    ):
        assert asks(browser.post(path, fields)), path
    assert not ApiToken.objects.exists()
    assert not User.objects.get(pk=guest.pk).is_superuser
    assert Group.objects.filter(name="viewer").exists()
    page = browser.get(CONFIRM).content.decode()
    assert "Nothing was saved" in page


def test_who_just_signed_in_is_not_asked(operator_client: Client) -> None:
    assert operator_client.post("/admin/realtime/apitoken/add/", TOKEN).status_code == 200
    assert ApiToken.objects.count() == 1


def test_to_look_is_not_to_touch_and_to_revoke_or_to_switch_off_waits_for_nothing(
    browser: Client, rows: dict[str, Any]
) -> None:
    looker = signed_in(member("viewer"))
    UserSession.objects.update(confirmed_at=None)
    assert looker.get(f"/admin/markets/exchange/{rows['exchange'].pk}/change/").status_code == 200
    token = ApiToken.objects.create(
        user=rows["user"], name="x", digest="d", hint="h", fingerprint="f", expires_at=timezone.now()
    )
    browser.post(f"/admin/realtime/apitoken/{token.pk}/delete/", {"post": "yes"})
    assert not ApiToken.objects.exists()
    chosen = {"action": "delete_selected", "_selected_action": [rows["exchange"].pk], "post": "yes"}
    assert asks(browser.post("/admin/markets/exchange/", chosen)), "what goes with it is lost, its proxy too"
    browser.post("/admin/markets/exchange/", {"action": "disable", "_selected_action": [rows["exchange"].pk]})
    assert not Exchange.objects.get(key="odd").enabled


def test_a_wrong_password_confirms_nothing_and_is_a_failed_sign_in(browser: Client) -> None:
    tries = [browser.post(CONFIRM, {"password": f"guess {n}"}).status_code for n in range(6)]
    assert tries == [200, 200, 200, 200, 429, 429]
    assert browser.post(CONFIRM, {"password": PASSWORD}).status_code == 429
    assert asks(browser.get("/admin/auth/user/add/"))
    failed = Entry.objects.filter(kind="confirmation_failed").values_list("user_name", "after")
    assert failed[0] == ("operator", {"of": "operator", "what": "password"})


def test_the_password_of_another_confirms_nothing(browser: Client) -> None:
    User.objects.create_user("other", password="the password of another")
    fields = {"password": "the password of another", "username": "other"}
    assert browser.post(CONFIRM, fields).status_code == 200
    assert asks(browser.get("/admin/auth/user/add/"))


def test_with_a_second_factor_a_code_is_asked_for_too(
    browser: Client, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, phone = Clock(monkeypatch), enrol(operator)
    whole(browser)
    UserSession.objects.update(confirmed_at=None)
    assert browser.post(CONFIRM, {"password": PASSWORD}).status_code == 200
    assert browser.post(CONFIRM, {"password": "wrong", "code": phone.code()}).status_code == 200
    assert browser.post(CONFIRM, {"password": PASSWORD, "code": phone.wrong()}).status_code == 200
    assert asks(browser.get("/admin/auth/user/add/"))
    assert browser.post(CONFIRM, {"password": PASSWORD, "code": phone.code()}).status_code == 302
    assert browser.get("/admin/auth/user/add/").status_code == 200
    UserSession.objects.update(confirmed_at=None)
    assert browser.post(CONFIRM, {"password": PASSWORD, "code": phone.code()}).status_code == 200, (
        "used before"
    )
    clock.next_code()
    assert browser.post(CONFIRM, {"password": PASSWORD, "code": phone.code()}).status_code == 302


@pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example"])
def test_it_leads_to_no_other_site(browser: Client, next: str) -> None:
    assert browser.post(CONFIRM, {"password": PASSWORD, "next": next})["Location"] == "/accounts/sessions/"


def test_who_is_not_signed_in_has_nothing_to_confirm() -> None:
    assert Client().get(CONFIRM)["Location"] == f"/accounts/login/?next={CONFIRM}"


def test_a_password_that_is_hashed_better_from_now_on_signs_nobody_out(operator: User) -> None:
    User.objects.update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    browser = signed_in(User.objects.get())
    assert browser.post(CONFIRM, {"password": PASSWORD}).status_code == 302
    assert not User.objects.get().password.startswith("pbkdf2")
    assert browser.get("/accounts/sessions/").status_code == 200


def test_a_clock_that_was_ahead_makes_it_last_no_longer(browser: Client) -> None:
    UserSession.objects.update(confirmed_at=timezone.now() + timedelta(hours=3))
    assert asks(browser.get("/admin/auth/user/add/"))


def test_how_long_is_a_setting(browser: Client, settings: Settings) -> None:
    settings.CONFIRM_MINUTES = 30
    assert browser.get("/admin/auth/user/add/").status_code == 200
