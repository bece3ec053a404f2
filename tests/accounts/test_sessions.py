"""Sessions: they end by themselves, are listed to their user, and can be ended."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from accounts.devices import device_of
from accounts.models import UserSession
from accounts.sessions import SessionStore, touch
from accounts.tasks import retain_sessions
from audit.models import Entry
from tests.accounts.test_groups import member
from tests.accounts.test_rights import cookie, tabs
from tests.support.authenticator import PASSWORD
from tests.support.live import Web, daphne

pytestmark = pytest.mark.django_db(transaction=True)

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LIST = "/accounts/sessions/"


def signed_in(user: User, at: str = "192.0.2.1", browser: str = FIREFOX) -> Client:
    client = Client(REMOTE_ADDR=at, HTTP_USER_AGENT=browser)
    assert (
        client.post("/accounts/login/", {"username": user.username, "password": PASSWORD}).status_code == 302
    )
    return client


def is_in(browser: Client) -> bool:
    return browser.get("/api/charts").status_code == 200


def record(browser: Client) -> UserSession:
    return UserSession.objects.get(session_id=browser.session.session_key)


def ends_in(browser: Client) -> float:
    row = Session.objects.get(pk=browser.session.session_key)
    return (row.expire_date - timezone.now()).total_seconds() / 3600


def seen_before(browser: Client, **ago: float) -> None:
    UserSession.objects.filter(pk=record(browser).pk).update(seen_at=timezone.now() - timedelta(**ago))


# --- by themselves -------------------------------------------------------------------------------


def test_a_session_that_nobody_uses_ends(operator: User) -> None:
    browser = signed_in(operator)
    assert ends_in(browser) == pytest.approx(12, abs=0.1)


def test_it_goes_on_while_it_is_used_but_not_by_what_pages_ask_by_themselves(operator: User) -> None:
    browser = signed_in(operator)
    Session.objects.update(expire_date=timezone.now() + timedelta(hours=1))
    seen_before(browser, hours=11)
    browser.get("/api/health/worst")
    browser.get("/api/charts")
    assert ends_in(browser) == pytest.approx(1, abs=0.1)
    browser.get("/scanner")
    assert ends_in(browser) == pytest.approx(12, abs=0.1)
    assert (timezone.now() - record(browser).seen_at).total_seconds() < 60


def test_it_ends_for_good_however_much_it_is_used(operator: User) -> None:
    browser = signed_in(operator)
    began = timezone.now() - timedelta(days=7) + timedelta(hours=2)
    UserSession.objects.update(began_at=began)
    seen_before(browser, hours=1)
    browser.get("/scanner")
    assert ends_in(browser) == pytest.approx(2, abs=0.1)
    password = {
        "old_password": PASSWORD,
        "new_password1": "another horse battery",
        "new_password2": "another horse battery",
    }
    browser.post("/accounts/password/", password)
    assert is_in(browser)
    assert ends_in(browser) == pytest.approx(2, abs=0.1), "another key is no other session"


def test_how_long_is_a_setting(operator: User, settings: Settings) -> None:
    settings.SESSION_IDLE_MINUTES = 30
    assert ends_in(signed_in(operator)) == pytest.approx(0.5, abs=0.1)
    settings.SESSION_COOKIE_AGE = 600
    assert ends_in(signed_in(operator)) == pytest.approx(1 / 6, abs=0.05)


def test_a_session_that_has_ended_opens_nothing(operator: User) -> None:
    browser = signed_in(operator)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not is_in(browser)
    assert browser.get("/")["Location"] == "/accounts/login/?next=/"


def test_a_session_from_before_there_were_records_goes_on_and_has_one(operator: User) -> None:
    browser = signed_in(operator)
    UserSession.objects.all().delete()
    assert browser.get("/scanner").status_code == 200
    assert record(browser).user == operator
    assert record(browser).confirmed_at is None


def test_a_session_that_django_itself_made_is_read(operator: User) -> None:
    """Sessions as they were before the desk had its own."""
    former = DatabaseStore()
    former.update(dict(signed_in(operator).session.items()))
    former.save()
    browser = Client()
    browser.cookies[settings.SESSION_COOKIE_NAME] = str(former.session_key)
    assert is_in(browser)


def test_a_clock_that_was_ahead_keeps_no_session_for_longer(operator: User) -> None:
    browser = signed_in(operator)
    Session.objects.update(expire_date=timezone.now() + timedelta(days=3))
    seen_before(browser, days=-2)
    browser.get("/scanner")
    assert ends_in(browser) == pytest.approx(12, abs=0.1)


def test_requests_at_the_same_time_undo_nothing(operator: User) -> None:
    """A session loaded before somebody signed out, or gave a code, is not written over it."""
    browser = signed_in(operator)
    seen_before(browser, hours=1)
    late: Any = RequestFactory().get("/")
    late.session = SessionStore(browser.session.session_key)
    assert late.session["_auth_user_id"] == str(operator.pk)
    UserSession.objects.update(verified_at=timezone.now())
    touch(late, operator)
    assert record(browser).verified_at is not None
    browser.post("/accounts/logout/")
    touch(late, operator)
    assert not Session.objects.exists()
    assert not UserSession.objects.exists()


def test_what_has_ended_is_cleared_away(operator: User) -> None:
    gone, there = signed_in(operator), signed_in(operator)
    Session.objects.filter(pk=gone.session.session_key).update(expire_date=timezone.now() - timedelta(days=1))
    retain_sessions()
    assert UserSession.objects.get() == record(there)


# --- the list ------------------------------------------------------------------------------------


def test_everybody_sees_their_own_sessions_and_nobody_elses(operator: User) -> None:
    viewer = User.objects.create_user("somebody", password=PASSWORD)
    signed_in(operator, at="198.51.100.77")
    here = signed_in(viewer)
    signed_in(viewer, at="198.51.100.9", browser="curl/8.1 <script>alert(1)</script>")
    page = here.get(LIST)
    text = page.content.decode()
    assert "Firefox on Linux" in text
    assert "192.0.2.1" in text
    assert "198.51.100.9" in text
    assert "curl" in text
    assert "<script>alert" not in text
    assert "198.51.100.77" not in text
    assert text.count("this session") == 1
    assert "no-store" in page["Cache-Control"]
    assert f'href="{LIST}"' in here.get("/").content.decode(), "the header leads there"


def test_one_ends_one_or_all_others(operator: User) -> None:
    start = timezone.now()
    here, one, two, three = (signed_in(operator, at=f"192.0.2.{number}") for number in range(4))
    here.post(f"{LIST}{record(one).pk}/end/")
    assert [is_in(each) for each in (here, one, two, three)] == [True, False, True, True]
    here.post(f"{LIST}end-others/")
    assert [is_in(each) for each in (here, one, two, three)] == [True, False, False, False]
    said: list[Any] = list(
        Entry.objects.filter(kind="session_ended", at__gte=start)
        .order_by("id")
        .values_list("after", flat=True)
    )
    assert [each["how"] for each in said] == ["listed", "others", "others"]
    assert said[0] == {
        "of": "operator",
        "device": "Firefox on Linux",
        "address": "192.0.2.1",
        "how": "listed",
    }


def test_nobody_ends_that_of_another_without_the_right(operator: User) -> None:
    theirs = signed_in(operator)
    viewer = User.objects.create_user("somebody", password=PASSWORD)
    browser = signed_in(viewer)
    assert browser.post(f"{LIST}{record(theirs).pk}/end/").status_code == 404
    assert browser.get(f"{LIST}{record(browser).pk}/end/").status_code == 405
    assert is_in(theirs)
    assert signed_in(with_password("viewer")).get("/admin/accounts/usersession/").status_code == 403


def with_password(group: str) -> User:
    user = member(group)
    user.set_password(PASSWORD)
    user.save()
    return user


def test_an_administrator_ends_those_of_others(operator: User) -> None:
    theirs, other = signed_in(operator), signed_in(operator)
    browser = signed_in(with_password("administrator"))
    page = browser.get("/admin/accounts/usersession/").content.decode()
    assert page.count('<td class="field-device">Firefox on Linux') == 3
    asked = {"action": "delete_selected", "_selected_action": [record(theirs).pk], "post": "yes"}
    browser.post("/admin/accounts/usersession/", asked)
    assert not is_in(theirs)
    browser.post(f"/admin/accounts/usersession/{record(other).pk}/delete/", {"post": "yes"})
    assert not is_in(other)
    assert is_in(browser)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("python-requests/2", "Python"),
        ("\u202e<b>", "unknown"),
        ("", "unknown"),
    ],
)
def test_devices_are_named_in_plain_words(said: str, words: str) -> None:
    assert device_of(said) == words


# --- what is open ends with it -------------------------------------------------------------------


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed")
    with daphne() as running:
        yield running


async def test_sockets_end_with_a_session_that_is_ended_from_the_list(
    web: Web, operator: User, operator_client: Client
) -> None:
    here = await database_sync_to_async(signed_in)(operator)
    number = await database_sync_to_async(lambda: record(operator_client).pk)()
    async with tabs(web, cookie(operator_client)) as gone, tabs(web, cookie(here)) as stay:
        began = time.monotonic()
        await database_sync_to_async(here.post)(f"{LIST}{number}/end/")
        for tab in gone:
            code, reason = await tab.closed_after(began)
            assert (code, "signed out" in reason) == (4401, True)
        assert {tab.ending() for tab in stay} == {None}


# --- one's own password --------------------------------------------------------------------------


def changed(browser: Client, old: str = PASSWORD, new: str = "another horse battery") -> Any:
    return browser.post(
        "/accounts/password/", {"old_password": old, "new_password1": new, "new_password2": new}
    )


def test_everybody_changes_their_own_password_and_stays_alone(operator: User) -> None:
    viewer = User.objects.create_user("somebody", password=PASSWORD)
    here, there = signed_in(viewer), signed_in(viewer)
    key = here.session.session_key
    assert "Change your password" in here.get("/accounts/password/").content.decode()
    assert changed(here)["Location"] == LIST
    assert [is_in(here), is_in(there)] == [True, False]
    assert here.session.session_key != key
    assert UserSession.objects.get(user=viewer) == record(here)
    assert User.objects.get(pk=viewer.pk).check_password("another horse battery")


def test_the_former_password_is_guessed_at_no_more_often_than_at_the_door(operator: User) -> None:
    browser = signed_in(operator)
    tries = [changed(browser, old="wrong wrong wrong").status_code for _ in range(7)]
    assert tries == [200, 200, 200, 200, 429, 429, 429]
    assert changed(browser).status_code == 429
    assert User.objects.get(pk=operator.pk).check_password(PASSWORD)


@pytest.mark.parametrize("new", ["short", "password1234", "operator1234", ""])
def test_a_weak_password_is_refused_in_words(operator: User, new: str) -> None:
    browser = signed_in(operator)
    answer = changed(browser, new=new)
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()
    assert User.objects.get(pk=operator.pk).check_password(PASSWORD)


def test_the_admins_page_of_it_is_the_same_one(operator_client: Client) -> None:
    assert operator_client.get("/admin/password_change/")["Location"] == "/accounts/password/"


def test_a_password_set_by_an_administrator_ends_what_is_open(
    operator: User, operator_client: Client
) -> None:
    viewer = User.objects.create_user("somebody", password=PASSWORD)
    there = signed_in(viewer)
    new = {
        "password1": "another horse battery",
        "password2": "another horse battery",
        "usable_password": "true",
    }
    assert operator_client.post(f"/admin/auth/user/{viewer.pk}/password/", new).status_code == 302
    assert not is_in(there)
    assert not UserSession.objects.filter(user=viewer).exists()
