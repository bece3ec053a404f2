"""Two factors: who needs the second, how it is set up, and that a code opens once."""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_in
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections
from django.test import Client
from pytest_django import Settings
from redis import Redis

from accounts.mfa import second_factor
from accounts.models import Authenticator, RecoveryCode, UserSession
from accounts.tokens.tokens import make_token
from audit.models import Entry
from tests.accounts.test_groups import member
from tests.accounts.test_rights import SOCKETS, bearer, cookie, tabs
from tests.accounts.test_rights_unknown import knock
from tests.support.authenticator import CHECK, PASSWORD, SET_UP, Clock, Phone, enrol, key_on, whole
from tests.support.live import Web, daphne

pytestmark = pytest.mark.django_db(transaction=True)

LOGIN = "/accounts/login/"
DOORS = (
    "/",
    "/scanner",
    "/opportunities",
    "/admin/",
    "/admin/auth/user/",
    "/accounts/sessions/",
    "/accounts/password/",
)


@pytest.fixture(autouse=True)
def _required(settings: Settings) -> None:
    settings.MFA = "required"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def recorded(kind: str) -> list[tuple[str, Any]]:
    """Entries of a kind in the audit: who did it, and with what."""
    return list(Entry.objects.filter(kind=kind).order_by("id").values_list("user_name", "after"))


def password_given(name: str = "operator", at: str = "192.0.2.1", next: str = "") -> Client:
    browser = Client(REMOTE_ADDR=at)
    answer = browser.post(LOGIN, {"username": name, "password": PASSWORD, "next": next})
    assert answer.status_code == 302, answer.content
    return browser


def is_in(browser: Client) -> bool:
    return browser.get("/api/charts").status_code == 200


# --- who needs one -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "extra", "needs"),
    [
        ("viewer", (), False),
        ("viewer", ("view_alertchannel", "view_user"), False),
        ("viewer", ("change_alertchannel",), True),
        ("viewer", ("add_exchange",), True),
        ("viewer", ("delete_group",), True),
        ("trader", (), True),
        ("operator", (), True),
        ("administrator", (), True),
    ],
)
def test_a_user_who_may_touch_secrets_or_people_needs_a_second_factor(
    group: str, extra: tuple[str, ...], needs: bool
) -> None:
    browser = Client()
    browser.force_login(member(group, "somebody", *extra))
    assert is_in(browser) is not needs


def test_without_it_a_session_opens_nothing_and_leads_to_the_set_up(operator: User) -> None:
    browser = password_given()
    assert browser.get("/", follow=True).redirect_chain[-1][0] == f"{SET_UP}?next=%2F"
    for path in DOORS:
        answer = browser.get(path, follow=True)
        assert answer.redirect_chain[-1][0].startswith(SET_UP), path
        assert browser.post(path).status_code in (302, 403, 405)
    assert browser.get("/api/charts").status_code == 401
    assert browser.post("/api/pins", "{}", content_type="application/json").status_code == 401
    assert "processes" not in browser.get("/api/health").json()
    assert browser.get("/health/").context["user"].is_anonymous
    assert User.objects.get(pk=operator.pk).check_password(PASSWORD)


def test_who_has_the_desk_to_themselves_need_not_have_one_but_may(settings: Settings, operator: User) -> None:
    settings.MFA = "optional"
    assert is_in(password_given())
    enrol(operator)
    assert not is_in(password_given())


def test_an_api_token_is_no_session(operator: User) -> None:
    head = {"Authorization": f"Bearer {make_token(operator)}"}
    assert Client().get("/api/charts", headers=head).status_code == 200


# --- setting up ----------------------------------------------------------------------------------


def test_the_first_sign_in_sets_it_up(operator: User, clock: Clock) -> None:
    browser = password_given(next="/scanner")
    page = browser.get("/scanner", follow=True)
    text = page.content.decode()
    assert re.search(r'<svg[^>]* viewBox="', text), "or a larger one is cut off"
    assert "http://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "https://" not in text
    assert "no-store" in page["Cache-Control"]
    phone = Phone(key_on(text))
    assert key_on(browser.get(SET_UP).content.decode()) == phone.key, "the same when loaded again"

    wrong = browser.post(SET_UP, {"code": phone.wrong(), "next": "/scanner"})
    assert "The code is wrong" in wrong.content.decode()
    assert not is_in(browser)

    done = browser.post(SET_UP, {"code": phone.code(), "next": "/scanner"})
    codes = done.context["codes"]
    assert len(set(codes)) == 10
    assert 'href="/scanner"' in done.content.decode()
    assert is_in(browser)
    assert recorded("second_factor_enrolled")[-1] == ("operator", {"of": "operator"})
    assert not is_in(password_given())


def test_nothing_of_it_lies_in_the_clear(operator: User, clock: Clock) -> None:
    browser = password_given()
    phone = Phone(key_on(browser.get(SET_UP).content.decode()))
    codes = browser.post(SET_UP, {"code": phone.code()}).context["codes"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM accounts_authenticator t")
        kept = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT row_to_json(t)::text FROM accounts_recoverycode t")
        kept += [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT row_to_json(t)::text FROM django_session t")
        kept += [row[0] for row in cursor.fetchall()]
    said = "\n".join(kept)
    assert len(kept) >= 12
    for secret in (phone.key, *codes, *(code.replace("-", "") for code in codes)):
        assert secret not in said


def test_a_key_serves_its_own_user_only(operator: User, clock: Clock) -> None:
    """A writer to the database does not become somebody else with a phone of their own."""
    phone = enrol(User.objects.create_user("thief"))
    enrol(operator)
    mine, theirs = Authenticator.objects.get(user__username="thief"), Authenticator.objects.get(user=operator)
    Authenticator.objects.filter(pk=theirs.pk).update(sealed_key=mine.sealed_key)
    browser = password_given()
    page = browser.post(CHECK, {"code": phone.code()}).content.decode()
    assert "use a recovery code" in page
    assert not is_in(browser)


def test_setting_up_another_app_ends_the_former_and_asks_the_other_sessions(
    operator: User, clock: Clock
) -> None:
    former = enrol(operator)
    here, there = password_given(), password_given()
    assert here.post(CHECK, {"code": former.code()}).status_code == 302
    clock.next_code()
    assert there.post(CHECK, {"code": former.code()}).status_code == 302
    assert is_in(here)
    assert is_in(there)
    fresh = Phone(key_on(here.get(SET_UP).content.decode()))
    clock.next_code()
    here.post(SET_UP, {"code": fresh.code()})
    assert is_in(here)
    assert not is_in(there)
    clock.next_code()
    assert there.post(CHECK, {"code": former.code()}).status_code == 200
    assert there.post(CHECK, {"code": fresh.code()}).status_code == 302
    assert is_in(there)


def test_a_session_that_lasts_is_asked_for_the_password_before_an_app_is_set_up(operator: User) -> None:
    """Else a finder of an open browser would sign in for ever."""
    browser = password_given()
    UserSession.objects.update(confirmed_at=None)
    answer = browser.get(SET_UP, follow=True)
    assert answer.redirect_chain[-1][0].startswith("/accounts/confirm/")
    back = browser.post("/accounts/confirm/", {"password": PASSWORD, "next": SET_UP})
    assert back["Location"] == SET_UP
    assert browser.get(SET_UP).status_code == 200


# --- signing in ----------------------------------------------------------------------------------


def test_nobody_is_signed_in_before_the_second_factor(operator: User, clock: Clock) -> None:
    phone, signed_in = enrol(operator), []

    def ear(user: User, **_: Any) -> None:
        signed_in.append(user)

    user_logged_in.connect(ear)
    try:
        browser = password_given(next="/scanner")
        assert not is_in(browser)
        assert not signed_in
        answer = browser.post(f"{CHECK}?next=/scanner", {"code": phone.code(), "next": "/scanner"})
    finally:
        user_logged_in.disconnect(ear)
    assert answer["Location"] == "/scanner"
    assert signed_in == [operator]
    assert is_in(browser)


@pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_a_code_leads_to_no_other_site(operator: User, clock: Clock, next: str) -> None:
    phone = enrol(operator)
    browser = password_given()
    assert browser.post(CHECK, {"code": phone.code(), "next": next})["Location"] == "/"


def test_a_code_opens_once(operator: User, clock: Clock) -> None:
    phone = enrol(operator)
    first, second = password_given(), password_given(at="192.0.2.2")
    assert first.post(CHECK, {"code": phone.code()}).status_code == 302
    assert second.post(CHECK, {"code": phone.code()}).status_code == 200
    assert second.post(CHECK, {"code": phone.code(-1)}).status_code == 200, "nor one from before it"
    assert not is_in(second)
    clock.next_code()
    assert second.post(CHECK, {"code": phone.code()}).status_code == 302


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_a_code_opens_once_also_at_the_same_moment(operator: User, clock: Clock, kind: str) -> None:
    phone = enrol(operator)
    code = phone.code() if kind == "app" else second_factor._renewed_codes(operator)[0]
    browsers = [password_given(at=f"192.0.2.{number}") for number in range(1, 5)]
    together, answers = threading.Barrier(len(browsers)), []

    def give(browser: Client) -> None:
        together.wait(20)
        answers.append(browser.post(CHECK, {"code": code}).status_code)
        connections.close_all()

    tries = [threading.Thread(target=give, args=(browser,)) for browser in browsers]
    for each in tries:
        each.start()
    for each in tries:
        each.join(60)
    assert sorted(answers) == [200, 200, 200, 302]


@pytest.mark.parametrize("steps", [-2, 2])
def test_an_old_code_and_one_to_come_open_nothing(operator: User, clock: Clock, steps: int) -> None:
    phone = enrol(operator)
    assert password_given().post(CHECK, {"code": phone.code(steps)}).status_code == 200


@pytest.mark.parametrize("shown", ["{0}", "{0} ", "{1} {2}", "{1}-{2}"])
def test_a_code_is_taken_as_people_type_it(operator: User, clock: Clock, shown: str) -> None:
    code = enrol(operator).code()
    assert password_given().post(CHECK, {"code": shown.format(code, code[:3], code[3:])}).status_code == 302


@pytest.mark.parametrize(
    "code", ["", "0", "12345", "1234567", "٠٠٠٠٠٠", "1e5000", "-00001", "a" * 41, "' OR 1=1"]
)
def test_what_is_no_code_is_refused_in_words(operator: User, clock: Clock, code: str) -> None:
    enrol(operator)
    answer = password_given().post(CHECK, {"code": code})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()


def test_a_recovery_code_opens_once_and_only_for_its_user(operator: User, clock: Clock) -> None:
    enrol(operator)
    enrol(User.objects.create_superuser("other", password=PASSWORD))
    code = second_factor._renewed_codes(operator)[3]
    assert password_given("other").post(CHECK, {"code": code}).status_code == 200
    assert password_given().post(CHECK, {"code": code.upper().replace("-", " ")}).status_code == 302
    assert second_factor.codes_left(operator) == 9
    assert password_given(at="192.0.2.2").post(CHECK, {"code": code}).status_code == 200


def test_a_sign_in_does_not_wait_for_ever(
    operator: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, browser = enrol(operator), password_given()
    monkeypatch.setattr("accounts.sign_in.pending.FOR_S", 0)
    assert browser.post(CHECK, {"code": phone.code()})["Location"] == f"{LOGIN}?next=/"
    assert not is_in(browser)


def test_another_password_meanwhile_ends_a_sign_in(operator: User, clock: Clock) -> None:
    phone, browser = enrol(operator), password_given()
    operator.set_password("another horse battery staple")
    operator.save()
    assert browser.post(CHECK, {"code": phone.code()})["Location"] == f"{LOGIN}?next=/"


# --- guessing ------------------------------------------------------------------------------------


def test_wrong_codes_are_failed_sign_ins_which_the_password_does_not_forgive(
    operator: User, clock: Clock
) -> None:
    phone = enrol(operator)
    tries = []
    for _ in range(5):
        browser = password_given()
        tries.append(browser.post(CHECK, {"code": phone.wrong()}).status_code)
        Authenticator.objects.update(throttling_failure_timestamp=None)
    assert tries == [200, 200, 200, 200, 429]
    late = browser.post(CHECK, {"code": phone.code()})
    assert late.status_code == 429
    assert int(late["Retry-After"]) > 0
    again = Client(REMOTE_ADDR="192.0.2.1").post(LOGIN, {"username": "operator", "password": PASSWORD})
    assert again.status_code == 429
    assert password_given(at="192.0.2.2").post(CHECK, {"code": phone.code()}).status_code == 302


def test_from_many_addresses_an_app_is_guessed_at_a_hundred_times_a_day_at_most(
    operator: User, clock: Clock
) -> None:
    phone = enrol(operator)
    said = [
        password_given(at=f"192.0.2.{number}").post(CHECK, {"code": phone.wrong()}).content.decode()
        for number in range(1, 4)
    ]
    assert ["too many wrong codes" in page for page in said] == [False, False, False]
    Authenticator.objects.update(throttling_failure_count=12)  # not over before the next line runs
    right = password_given(at="192.0.2.200").post(CHECK, {"code": phone.code()})
    assert right.status_code == 200, "nor is the right one looked at while it lasts"
    app = Authenticator.objects.get()
    for _ in range(40):
        app.throttle_increment()
    allowed, why = Authenticator.objects.get().verify_is_allowed()
    assert not allowed
    assert (why["locked_until"] - app.throttling_failure_timestamp).total_seconds() == 1024
    code = second_factor._renewed_codes(operator)[0]
    assert password_given(at="192.0.2.201").post(CHECK, {"code": code}).status_code == 302, (
        "its owner comes in"
    )


def test_a_code_that_failed_is_not_kept(operator: User, clock: Clock) -> None:
    from axes.models import AccessAttempt

    enrol(operator)
    code = second_factor._renewed_codes(operator)[0]
    password_given().post(CHECK, {"code": f"x{code}"})
    assert code not in AccessAttempt.objects.get().post_data


# --- a right that comes later --------------------------------------------------------------------


@pytest.mark.parametrize("way", ["group", "permission", "superuser"])
def test_who_just_got_a_right_is_asked_in_the_session_there_is(way: str) -> None:
    viewer = member("viewer", "somebody")
    browser = Client()
    browser.force_login(viewer)
    assert is_in(browser)
    match way:
        case "group":
            viewer.groups.add(Group.objects.get(name="operator"))
        case "permission":
            viewer.user_permissions.add(Permission.objects.get(codename="change_alertchannel"))
        case _:
            User.objects.update(is_superuser=True)
    assert not is_in(browser)
    assert browser.get("/", follow=True).redirect_chain[-1][0].startswith(SET_UP)


# --- lost ----------------------------------------------------------------------------------------


def test_an_administrator_resets_that_of_another_but_not_of_a_user_with_more_rights(
    operator: User, clock: Clock
) -> None:
    clerk = member("administrator", "clerk")
    lost = member("trader", "lost")
    for user in (clerk, lost, operator):
        enrol(user)
    theirs = Client()
    theirs.force_login(lost)
    browser = Client()
    browser.force_login(clerk)
    whole(browser)
    asked = {"action": "reset_second_factor", "_selected_action": [lost.pk, operator.pk]}
    page = browser.post("/admin/auth/user/", asked, follow=True).content.decode()
    assert "Not reset: operator has permissions that you lack" in page
    assert second_factor.authenticator_of(lost) is None
    assert second_factor.authenticator_of(operator) is not None
    assert not UserSession.objects.filter(user=lost).exists()
    assert recorded("second_factor_reset")[-1] == ("clerk", {"of": "lost", "what": "second factor"})


def test_a_locked_out_administrator_is_reset_by_a_command(
    operator: User, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    phone = enrol(operator)
    browser = password_given()
    browser.post(CHECK, {"code": phone.code()})
    assert is_in(browser)
    call_command("reset_mfa", "operator")
    assert "operator: the second factor is forgotten; 1 sessions ended" in capsys.readouterr().out
    assert not is_in(browser)
    assert password_given().get("/", follow=True).redirect_chain[-1][0].startswith(SET_UP)
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("reset_mfa", "nobody")


def test_without_it_go_only_users_who_need_not_have_one(clock: Clock) -> None:
    for name, group, left in (("viewer", "viewer", False), ("trader", "trader", True)):
        user = member(group, name)
        enrol(user)
        browser = Client()
        browser.force_login(user)
        whole(browser)
        browser.post("/accounts/second-factor/do-without/")
        assert (second_factor.authenticator_of(user) is not None) is left
        assert is_in(browser)


def test_other_recovery_codes_end_the_former(operator: User, clock: Clock) -> None:
    enrol(operator)
    former = second_factor._renewed_codes(operator)
    browser = Client()
    browser.force_login(operator)
    whole(browser)
    codes = browser.post("/accounts/second-factor/codes/").context["codes"]
    assert len(codes) == 10
    assert not set(codes) & set(former)
    assert RecoveryCode.objects.filter(user=operator).count() == 10
    UserSession.objects.update(confirmed_at=None)
    assert browser.post("/accounts/second-factor/codes/")["Location"].startswith("/accounts/confirm/")


# --- what is open --------------------------------------------------------------------------------


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed")
    with daphne(MFA="required") as running:
        yield running


async def test_sockets_end_when_their_user_needs_a_second_factor_from_now_on(web: Web) -> None:
    viewer = await database_sync_to_async(member)("viewer", "somebody")
    browser = Client()
    await database_sync_to_async(browser.force_login)(viewer)
    token = await database_sync_to_async(make_token)(viewer, 1)
    async with tabs(web, cookie(browser)) as gone, tabs(web, bearer(token)) as stay:
        began = time.monotonic()
        operators = await Group.objects.aget(name="operator")
        await database_sync_to_async(viewer.groups.add)(operators)
        for tab in gone:
            code, reason = await tab.closed_after(began)
            assert (code, "second factor" in reason) == (4401, True), reason
        # An operator sees more on the health page: its socket may be asked to connect again, none is refused.
        assert {tab.ending() for tab in stay} <= {None, (1012, "what you may see has changed: connect again")}
    for path in SOCKETS:
        assert (await knock(web, path, cookie(browser)))[0] == 4401
    await database_sync_to_async(whole)(browser)
    async with tabs(web, cookie(browser)):
        pass
