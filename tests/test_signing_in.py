"""The door: right passwords come in, guesses are locked out, a rush costs nobody else, all leave traces."""

import asyncio
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

import accounts.signing_in as signing_in
from accounts.signing_in import client_address
from monitoring.probes import FRESH_S
from monitoring.tasks import retain_alerts
from monitoring.traffic import traffic
from tests.live import START_S, daphne, eventually

PASSWORD = "correct horse battery staple"
DOORS = ("/accounts/login/", "/admin/login/")


@pytest.fixture(autouse=True)
def no_sign_ins_yet() -> Iterator[None]:
    traffic.sign_ins.clear()
    yield
    traffic.sign_ins.clear()


def attempt(password: str, *, name: str = "operator", door: str = DOORS[0], at: str = "192.0.2.1") -> int:
    answer = Client().post(door, {"username": name, "password": password}, REMOTE_ADDR=at)
    if answer.status_code in (429, 503):
        assert int(answer["Retry-After"]) > 0
    return answer.status_code


@pytest.mark.parametrize("door", DOORS)
def test_a_name_is_locked_out_at_an_address_after_its_failures_right_password_or_not(
    operator: User, door: str
) -> None:
    tries = [attempt("wrong", door=door) for _ in range(7)]
    assert tries == [200, 200, 200, 200, 429, 429, 429]
    assert attempt(PASSWORD, door=door) == 429
    assert attempt(PASSWORD, door=door, at="192.0.2.2") == 302, "its owner comes in from elsewhere"


def test_another_name_at_the_address_may_still_come_in(operator: User) -> None:
    for _ in range(6):
        attempt("wrong", name="somebody")
    assert attempt(PASSWORD) == 302


def test_an_address_that_tries_many_names_is_locked_out(operator: User) -> None:
    tries = [attempt("wrong", name=f"name{number}") for number in range(25)]
    assert tries[:19] == [200] * 19
    assert set(tries[19:]) == {429}
    assert attempt(PASSWORD) == 429


def test_a_success_forgets_the_failures_before_it(operator: User) -> None:
    for _ in range(3):
        assert [attempt("wrong") for _ in range(4)] == [200] * 4
        assert attempt(PASSWORD) == 302


def test_a_lock_out_ends(operator: User) -> None:
    for _ in range(6):
        attempt("wrong")
    AccessAttempt.objects.update(attempt_time="2026-01-01T00:00:00Z")
    assert attempt(PASSWORD) == 302


@pytest.mark.parametrize("ahead_s", [60, 3600, 10 * 365 * 86_400])
@pytest.mark.parametrize("name", ["operator", ""], ids=["a name", "an address"])
def test_a_lock_out_ends_though_the_clock_was_set_back(operator: User, ahead_s: int, name: str) -> None:
    for number in range(21):
        attempt("wrong", name=name or f"name{number}")
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(seconds=ahead_s))
    assert [attempt("wrong") for _ in range(4)] == [200] * 4, "counted from one again"
    assert attempt(PASSWORD) == 302


def test_clocks_of_two_web_processes_that_differ_a_little_lock_out_all_the_same(operator: User) -> None:
    for _ in range(5):
        attempt("wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(seconds=3))
    assert attempt(PASSWORD) == 429


def test_a_lock_out_is_not_made_longer_by_going_on(operator: User) -> None:
    for _ in range(5):
        attempt("wrong")
    before = AccessAttempt.objects.get()
    assert attempt("wrong") == 429
    after = AccessAttempt.objects.get()
    assert after.attempt_time == before.attempt_time
    assert after.failures_since_start == before.failures_since_start
    assert PASSWORD not in after.post_data


@pytest.mark.parametrize("name", ["", "a" * 10_000, "' OR 1=1 --", "operator\n!", "\u202eoperator"])
def test_no_name_is_an_error(operator: User, name: str) -> None:
    assert attempt(PASSWORD, name=name) == 200


def test_a_name_with_nul_is_wrong_input(operator: User) -> None:
    assert attempt(PASSWORD, name="\0") == 400


# --- whose address -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind_proxy", "peer", "forwarded", "seen"),
    [
        (False, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (True, "127.0.0.1", "198.51.100.7", "198.51.100.7"),
        (True, "127.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (True, "127.0.0.1", "", "127.0.0.1"),
        (True, "127.0.0.1", "nonsense", None),
        (True, "127.0.0.1", "203.0.113.9, 198.51.100.7:40312", "198.51.100.7"),
        (True, "127.0.0.1", "[2001:db8:1:2:3:4:5:6]:40312", "2001:db8:1:2::"),
        (True, "127.0.0.1", "[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::"),
        (True, "127.0.0.1", "2001:db8:1:2::7", "2001:db8:1:2::"),
        (True, "127.0.0.1", "::1", "::"),
        (True, "127.0.0.1", "198.51.100.7:http", None),
        (False, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"),
        (False, "::ffff:192.0.2.1", "", "192.0.2.1"),
        (False, "", "", None),
    ],
)
def test_the_address_is_what_a_trusted_party_says(
    settings: Settings, behind_proxy: bool, peer: str, forwarded: str, seen: str | None
) -> None:
    settings.BEHIND_PROXY = behind_proxy
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == seen


def test_made_up_forwarding_headers_do_not_escape_the_lock_out(operator: User) -> None:
    for number in range(6):
        answers = {"username": "operator", "password": "wrong"}
        Client().post(DOORS[0], answers, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
    assert attempt(PASSWORD) == 429


# --- traces --------------------------------------------------------------------------------------


def test_sign_ins_and_refusals_are_logged_counted_and_kept(
    operator: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "accounts.signing_in"):
        assert attempt(PASSWORD) == 302
        for _ in range(6):
            attempt("hunter2 hunter2", name="hunter2 hunter2")
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "operator signed in from 192.0.2.1" in text
    assert "a sign-in from 192.0.2.1 was refused" in text
    assert "sign-ins from 192.0.2.1 are locked out" in text
    assert "hunter2" not in text, "people type passwords into the field of the name"
    assert traffic.sign_ins["accepted"] == 1
    assert traffic.sign_ins["refused"] == 6
    assert traffic.sign_ins["locked_out"] >= 1
    assert AccessLog.objects.filter(ip_address="192.0.2.1").get().username == "operator"


def test_old_sign_ins_are_deleted(operator: User) -> None:
    attempt(PASSWORD)
    AccessLog.objects.update(attempt_time="2020-01-01T00:00:00Z")
    attempt(PASSWORD)
    retain_alerts()
    assert AccessLog.objects.filter(ip_address="192.0.2.1").count() == 1


# --- a rush at the door --------------------------------------------------------------------------


def test_who_comes_to_a_full_door_is_asked_to_come_again(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_in, "WAITING", -signing_in.HASHED_AT_ONCE)
    assert [attempt(PASSWORD, door=door) for door in DOORS] == [503, 503]
    assert traffic.sign_ins["busy"] == 2
    monkeypatch.undo()
    assert attempt(PASSWORD) == 302


@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
async def test_forty_guesses_at_once_leave_the_desk_answering(tmp_path: Path) -> None:
    """While none of them can come to its end: as many are hashed as may be, and no connection is held."""
    waiting = {"DJANGO_SETTINGS_MODULE": "tests.waiting_settings", "WAITING_HASHER": str(tmp_path)}
    with daphne(None, None, **waiting) as web:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(b"GET /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        cookie = re.search(r"Set-Cookie: (\w+=\w+)", page)
        assert form
        assert cookie
        body = f"csrfmiddlewaretoken={form[1]}&username=operator&password=wrong"
        guess = (
            f"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie[1]}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        guesses = [asyncio.create_task(asked(web.port, guess)) for _ in range(40)]

        def hashing() -> int:
            return len(list(tmp_path.glob("hashing-*")))

        await eventually(lambda: hashing() == signing_in.HASHED_AT_ONCE, "they are hashed", START_S)
        answers = [0]
        while answers.count(200) < 3:  # a busy machine may be late once; held connections stay held
            answers.append(await asked(web.port, b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
            assert len(answers) < 50, answers
            await asyncio.sleep(FRESH_S)  # the next one asks PostgreSQL again
        assert hashing() == signing_in.HASHED_AT_ONCE
        assert not any(task.done() for task in guesses)
        (tmp_path / "go").touch()
        assert {await task for task in guesses} <= {200, 429, 503}
        assert hashing() > signing_in.HASHED_AT_ONCE, "the others had their turn"


async def asked(port: int, request: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n")
    writer.close()
    return int(head.split()[1])
