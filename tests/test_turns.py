"""A burst of requests costs who makes it time, and nobody else anything: pages, probes, strangers."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils.module_loading import import_string
from redis import Redis

from arbsite.tokens import make_token
from arbsite.turns import PER_ADDRESS, PER_USER, Known
from markets.connections import own_connection
from tests.live import Web, daphne
from tests.test_groups import signed_in

pytestmark = pytest.mark.django_db(transaction=True)

BURST = 40


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed", verbosity=0)
    with daphne() as running:
        yield running


def session(name: str) -> str:
    """The cookie of a superuser who has signed in."""
    user = User.objects.create_superuser(name, password="a long enough one")
    return signed_in(user).cookies[settings.SESSION_COOKIE_NAME].value


def asked(web: Web, path: str, key: str) -> HTTPConnection:
    """A request that was sent, with a session; its answer is not read yet."""
    connection = HTTPConnection("127.0.0.1", web.port, timeout=40)
    connection.request("GET", path, headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={key}"})
    return connection


def answered(connection: HTTPConnection) -> HTTPResponse:
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Every statement that reads the table waits, and holds its connection meanwhile."""
    with own_connection("a lock", 30) as other, other.transaction():
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def waiting_statements() -> int:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with own_connection("a look", 30) as looking:
        row = looking.execute(waiting).fetchone()
    assert row is not None
    return int(row[0])


def serves(web: Web, token: str) -> None:
    """Thrice each: nothing of a burst is in the way of another user, nor of a probe."""
    for _ in range(3):
        for path in ("/readyz", "/api/pins"):
            headers = {"Authorization": f"Bearer {token}"} if path != "/readyz" else {}
            answer = requests.get(web.url + path, headers=headers, timeout=40)
            assert answer.status_code == 200, (path, answer.text[:300])


@pytest.mark.parametrize("is_known", [True, False])
def test_a_burst_that_hangs_holds_up_nobody_else(web: Web, is_known: bool) -> None:
    """Forty requests at once, each of which waits for a lock: of a user, or with sessions somebody made up.

    They held all connections to the database: /readyz and what others asked for were 503.
    """
    token = make_token(User.objects.create_user("other"), 1)
    serves(web, token)
    keys = [session("one")] * BURST if is_known else [f"made{n}up{'0' * 20}" for n in range(BURST)]
    assert answered(asked(web, "/accounts/sessions/", keys[0])).status == (200 if is_known else 302)
    path, table, most = "/", "django_session", PER_ADDRESS
    if is_known:
        path, table, most = "/admin/auth/group/", "auth_group", PER_USER
    with locked(table):
        burst = [asked(web, path, key) for key in keys]
        serves(web, token)
        assert waiting_statements() <= most
    answers = [answered(each) for each in burst]
    assert {answer.status for answer in answers} <= {200, 302, 429, 503}
    assert all(each.getheader("Retry-After") for each in answers if each.status == 429)
    serves(web, token)


def test_all_of_a_burst_are_answered_in_turn(web: Web) -> None:
    """Sixty pages at once of one user were 503 for most of them."""
    key = session("one")
    assert answered(asked(web, "/", key)).status == 200
    burst = [asked(web, "/admin/markets/instrument/", key) for _ in range(60)]
    answers = [answered(each) for each in burst]
    assert {answer.status for answer in answers} <= {200, 429}
    assert sum(answer.status == 200 for answer in answers) >= PER_USER


def test_a_session_counts_as_its_users_only_once_it_was_good() -> None:
    """And what is remembered is bounded."""
    known = Known()
    assert known.user_of(b"a") is None
    known.learn(b"a", 1)
    assert known.user_of(b"a") == 1
    for n in range(20_000):
        known.learn(str(n).encode(), 2)
        assert known.user_of(b"a") == 1 or n < 1  # used, so kept
    assert known.user_of(b"0") is None
    known.forget(b"a")
    assert known.user_of(b"a") is None


def test_no_middleware_takes_the_others_off_the_event_loop() -> None:
    """One that is synchronous made all outside it so: nothing was released, patient or in turn there."""
    for name in settings.MIDDLEWARE:
        assert getattr(import_string(name), "async_capable", False), name
