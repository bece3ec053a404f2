"""PostgreSQL or Redis stops in the middle of everything: pages answer in words, and come back."""

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlencode, urlsplit

import psutil
import psycopg
import psycopg_pool
import pytest
from psycopg.conninfo import make_conninfo

from arbsite.desk import embedded
from arbsite.desk.ports import free_port
from arbsite.environment import BASE_DIR
from arbsite.patient_postgres import TIMES, Asking, PatientConnection, PatientPool, _asking
from tests.support.live import promised

pytestmark = pytest.mark.timeout(300)

WITHIN_S = 10.0
PAGES = ("/", "/scanner", "/opportunities", "/accounts/login/", "/admin/", "/no-such-page", "/health/")
APIS = ("/api/charts", "/api/pins", "/api/rolling_window_data?filter=1", "/api/opportunities", "/api/health")
SET_UP = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.create_superuser("somebody"))
print("COOKIE", "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items()))
"""


@dataclass
class Answer:
    status: int
    text: str
    seconds: float


@dataclass
class Desk:
    """A web process with a PostgreSQL and a Redis of its own."""

    port: int
    cookie: str
    database_url: str
    servers: dict[str, psutil.Process]
    web: "subprocess.Popen[bytes]"

    def ask(self, path: str, fields: dict[str, str] | None = None, cookie: str = "") -> Answer:
        data = None if fields is None else urlencode(fields).encode()
        headers = {"Cookie": f"{self.cookie}; {cookie}", "Referer": f"http://127.0.0.1:{self.port}/"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return Answer(status, body.decode(), time.monotonic() - began)

    def ask_all(self, *paths: str) -> dict[str, Answer]:
        with ThreadPoolExecutor(len(paths)) as pool:
            return dict(zip(paths, pool.map(self.ask, paths), strict=True))

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        there = self.servers[name]
        stopped = [there, *there.children(recursive=True)]
        self._signal(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(stopped, signal.SIGCONT)

    @staticmethod
    def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # PostgreSQL's own helpers come and go
                process.send_signal(number)

    def comes_back(self) -> None:
        """All works again, without a restart."""
        deadline = time.monotonic() + promised(20.0)
        while {answer.status for answer in self.ask_all("/", "/api/pins", "/readyz").values()} != {200}:
            assert time.monotonic() < deadline, "it comes back by itself"
            time.sleep(0.2)
        assert self.web.poll() is None


def conninfo_of(url: str) -> str:
    """Django's URL of a server on a Unix socket, in libpq's words."""
    parts = urlsplit(url)
    folder, _, name = parts.path[1:].rpartition("/")
    return make_conninfo(host=unquote(folder), user=parts.username, dbname=name)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arbdesk-frozen-")))
        home.chmod(0o711)
        before = {process.pid for process in psutil.process_iter()}
        database = stack.enter_context(
            embedded.running(embedded.postgres(home, durable=False), home / "postgres.log")
        )
        redis = stack.enter_context(embedded.running(embedded.redis(home), home / "redis.log"))
        port = free_port()
        environment = {
            **os.environ, "ARB_HOME": str(home), "DATABASE_URL": database, "REDIS_URL": redis,
            "PORT": str(port), "SECRET_KEY": secrets.token_urlsafe(50),
        }  # fmt: skip

        def manage(*arguments: str) -> str:
            command = [sys.executable, "manage.py", *arguments]
            done = subprocess.run(
                command, cwd=BASE_DIR, env=environment, check=True, capture_output=True, text=True
            )
            return done.stdout

        manage("migrate", "-v0")
        manage("seed")
        cookie = re.search(r"COOKIE (.+)", manage("shell", "-c", SET_UP))
        assert cookie
        web = subprocess.Popen(
            [sys.executable, "-m", "arbsite.web", "-b", "127.0.0.1", "-p", str(port), "-v", "0",
             "arbsite.asgi:application"], cwd=BASE_DIR, env=environment,
        )  # fmt: skip
        stack.callback(web.wait, 20)
        stack.callback(web.terminate)
        servers = {
            "postgres" if process.info["name"] == "postgres" else "redis": process
            for process in psutil.process_iter(["ppid", "name"])
            if process.pid not in before
            and process.info["ppid"] == os.getpid()
            and process.info["name"] in ("postgres", "redis-server", "valkey-server")
        }
        made = Desk(port, cookie[1], conninfo_of(database), servers, web)
        deadline = time.monotonic() + 60
        while True:
            try:
                made.ask("/healthz")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        made.comes_back()
        yield made


def test_with_postgresql_frozen_every_page_says_so_within_ten_seconds(desk: Desk) -> None:
    desk.ask_all(*PAGES, *APIS)
    with desk.frozen("postgres"):
        for again in range(2):
            answers = desk.ask_all(*PAGES, *APIS, "/readyz", "/healthz")
            assert {path: a.seconds for path, a in answers.items() if a.seconds > promised(WITHIN_S)} == {}
            assert answers.pop("/healthz").status == 200
            assert answers.pop("/health/").status in (200, 503), "the word is said without PostgreSQL"
            assert answers.pop("/no-such-page").status in (404, 503)
            if not again:
                assert answers.pop("/readyz").status in (200, 503), "what was seen in the second before holds"
            assert {path: a.status for path, a in answers.items() if a.status != 503} == {}
            assert "A service the desk depends on does not respond" in answers["/"].text
            assert "a server is not reachable" in answers["/api/pins"].text
            assert "Traceback" not in "".join(a.text for a in answers.values())
    desk.comes_back()


def test_a_page_whose_query_is_under_way_is_answered_too(desk: Desk) -> None:
    with psycopg.connect(desk.database_url) as other, ThreadPoolExecutor(4) as pool:
        other.execute("LOCK TABLE markets_exchange IN ACCESS EXCLUSIVE MODE")
        asked = [pool.submit(desk.ask, path) for path in ("/", "/scanner", "/")]
        deadline = time.monotonic() + 10
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(desk.database_url, autocommit=True) as looking:
            while looking.execute(waiting).fetchone() == (0,):
                assert time.monotonic() < deadline, "a page waits for the lock"
                time.sleep(0.02)
        began = time.monotonic()
        with desk.frozen("postgres"):
            answers = [each.result() for each in asked]
            assert time.monotonic() - began < promised(WITHIN_S)
            assert [answer.status for answer in answers] == [503, 503, 503]
    desk.comes_back()


def test_a_page_that_waits_for_a_lock_is_answered_by_postgresql_itself(desk: Desk) -> None:
    with psycopg.connect(desk.database_url) as other:
        other.execute("LOCK TABLE markets_exchange IN ACCESS EXCLUSIVE MODE")
        answer = desk.ask("/")
    assert (answer.status, answer.seconds < promised(WITHIN_S)) == (503, True)
    desk.comes_back()


def test_with_redis_frozen_pages_are_served_and_what_needs_it_says_so(desk: Desk) -> None:
    form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', desk.ask("/").text)
    assert form
    token = f"csrftoken={'a' * 32}"
    fields = {"csrfmiddlewaretoken": "a" * 32, "action": "clean_now", "_selected_action": "quotes"}
    with desk.frozen("redis"):
        answers = desk.ask_all(*PAGES, *APIS, "/readyz")
        assert {path: a.seconds for path, a in answers.items() if a.seconds > promised(WITHIN_S)} == {}
        assert {answers[path].status for path in ("/", "/scanner", "/admin/", "/api/pins")} == {200}
        assert answers["/api/rolling_window_data?filter=1"].status == 503
        queued = desk.ask("/admin/history/retentionpolicy/", fields, token)
        assert queued.seconds < promised(WITHIN_S)
    desk.comes_back()


def test_statements_locks_and_idle_transactions_have_times(desk: Desk) -> None:
    with psycopg.connect(desk.database_url, autocommit=True) as looking:
        desk.ask_all("/", "/scanner", "/opportunities")
        options = looking.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchall()
        assert options
    with psycopg.connect(desk.database_url, options=TIMES, autocommit=True) as like_the_web:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert like_the_web.execute(f"SHOW {name}").fetchone() not in (("0",), None)
        with pytest.raises(psycopg.errors.QueryCanceled):
            like_the_web.execute("SELECT pg_sleep(60)")


# --- patience ------------------------------------------------------------------------------------------


def test_a_connection_whose_server_is_silent_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with PatientConnection.connect(desk.database_url, autocommit=True) as connection:
        monkeypatch.setattr(connection, "_patience_s", 0.3)
        with pytest.raises(psycopg.OperationalError, match=r"has not answered for 0\.3 s"):
            connection.cursor().execute("SELECT pg_sleep(30)")
        assert connection.closed


def test_a_request_that_was_not_answered_asks_no_more_and_the_next_one_does(desk: Desk) -> None:
    with PatientPool(
        desk.database_url, min_size=1, max_size=1, timeout=0.3, open=True, connection_class=PatientConnection
    ) as pool:
        asking = Asking()
        mark = _asking.set(asking)
        try:
            held = pool.getconn()
            with pytest.raises(psycopg_pool.PoolTimeout):
                pool.getconn()
            pool.putconn(held)
            with pytest.raises(psycopg_pool.PoolTimeout, match="this request was not answered before"):
                pool.getconn()
            asking.is_over = True  # what the request left running goes on
            pool.putconn(pool.getconn())
            _asking.set(Asking())
            pool.putconn(pool.getconn())
        finally:
            _asking.reset(mark)
