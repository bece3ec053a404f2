"""Doors of the tools, who is let in, and that nobody can write there."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from accounts.tokens.model import ApiToken, Scope
from accounts.tokens.tokens import make_token
from agents.role import READER, readable
from arbsite.desk.ports import free_port
from core.secrets.sealed_columns import sealed_columns
from markets.config import MarketConfig
from tests.agents.conftest import Door, refused, said
from tests.orderbook.conftest import connect
from tests.support.live import START_S, database_url, wait_for_port

pytestmark = pytest.mark.django_db(transaction=True)


def mcp(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "mcp", *arguments],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DATABASE_URL": database_url()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def words_of(*arguments: str) -> str:
    """Last words of a start that is refused."""
    process = mcp(*arguments)
    _, said = process.communicate(timeout=START_S)
    assert process.returncode == 1
    assert b"Traceback" not in said
    return said.decode().splitlines()[-1]


class TestTheRole:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE markets_exchange SET enabled = false",
            "DELETE FROM realtime_opportunityepisode",
            "INSERT INTO marketdata.symbols (exchange, symbol) VALUES ('a', 'b')",
            "CREATE TABLE public.mine (id int)",
            "SELECT session_key FROM django_session",
            "SELECT * FROM audit_entry",
            "SELECT sealed_secret FROM monitoring_alertchannel",
            "SELECT * FROM accounts_authenticator",
            "SELECT * FROM accounts_recoverycode",
            "SELECT * FROM accounts_usersession",
            "SELECT pg_read_file('/etc/passwd')",
        ],
    )
    def test_it_neither_writes_nor_reads_what_lets_people_in(
        self, config: MarketConfig, statement: str
    ) -> None:
        with connect() as reader:
            reader.execute(f"SET ROLE {READER}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)

    def test_it_reads_what_is_listed_and_the_store(self, config: MarketConfig) -> None:
        with connect() as reader:
            reader.execute(f"SET ROLE {READER}")
            for table in [*readable(), "marketdata.book_ticker", "marketdata.bt_1s", "marketdata.symbols"]:
                reader.execute(f"SELECT count(*) FROM {table}")

    def test_no_table_with_a_secret_is_open_to_it_but_that_of_exchanges(self) -> None:
        """Of exchanges it needs names and fees; their proxies are sealed with a key that is elsewhere."""
        sealed = {column.model._meta.db_table for column in sealed_columns}
        assert sealed & set(readable()) == {"markets_exchange"}

    def test_a_process_that_took_it_can_write_nothing(self, config: MarketConfig) -> None:
        tried = subprocess.run(
            [sys.executable, "-c", WRITE], cwd=settings.BASE_DIR, timeout=START_S,
            env=os.environ | {"DATABASE_URL": database_url()}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "read before" in tried.stdout
        assert "InsufficientPrivilege" in tried.stdout or "ReadOnlySqlTransaction" in tried.stdout, tried


WRITE = """
import os, django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")
django.setup()
from agents.role import become_reader
from markets.models import Exchange
become_reader()
assert Exchange.objects.count() > 0
print("read before")
try:
    Exchange.objects.update(enabled=False)
except Exception as problem:
    print(type(problem.__cause__).__name__)
"""


class TestStdio:
    def test_it_asks_on_whose_behalf_where_there_are_several(self, config: MarketConfig) -> None:
        User.objects.create_user("analyst", password="correct horse battery staple")
        User.objects.create_user("trader", password="correct horse battery staple")
        assert words_of() == "CommandError: --user: on whose behalf? there are analyst, trader"
        assert "there is no active user 'anna'; there are analyst" in words_of("--user", "anna")

    def test_without_anybody_it_says_how_to_make_one(self, config: MarketConfig) -> None:
        assert "there are none: `manage.py createsuperuser`" in words_of()

    async def test_a_user_who_is_deactivated_is_answered_no_more(
        self, agent: Door, operator: User, config: MarketConfig
    ) -> None:
        async with agent() as client:
            await said(client, "exchanges")
            operator.is_active = False
            await operator.asave()
            assert "is not active any more" in await refused(client, "exchanges")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--http", "8100"), "--http: '8100' is no HOST:PORT, like 127.0.0.1:8100"),
            (("--http", "127.0.0.1:0"), "is no HOST:PORT"),
            (("--http", "127.0.0.1:8100", "--user", "anna"), "--user: over HTTP the token says who asks"),
            (("--public-url", "https://desk"), "--public-url: it goes with --http"),
            (("--http", "127.0.0.1:8100", "--public-url", "desk"), "--public-url: it begins with https://"),
        ],
    )
    def test_options_that_make_no_sense_are_named(
        self, config: MarketConfig, operator: User, arguments: tuple[str, ...], words: str
    ) -> None:
        assert words in words_of(*arguments)


class Http:
    """`manage.py mcp --http`, running."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.process = mcp("--http", f"127.0.0.1:{self.port}")
        wait_for_port(self.port, self.process)

    def status(self, **headers: str) -> int:
        """Status of a POST of a request without meaning."""
        request = urllib.request.Request(
            self.url, b"{}", {"Content-Type": "application/json", "Accept": "application/json"} | headers
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as problem:
            return problem.code

    def client(self, token: str) -> Client:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
        return Client(streamable_http_client(self.url, http_client=http), read_timeout_seconds=60)


@pytest.fixture
def http(config: MarketConfig) -> Iterator[Http]:
    """The server, which ends within its patience when it is asked to."""
    server = Http()
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=START_S)


class TestHttp:
    def test_without_a_good_token_nobody_is_answered(self, http: Http, operator: User) -> None:
        assert http.status() == 401
        assert http.status(Authorization="Bearer arb_nonsense") == 401
        assert http.status(Authorization="Basic b3BlcmF0b3I6eA==") == 401

    def test_another_sites_page_is_refused(self, http: Http, operator: User) -> None:
        token = make_token(operator, days=1)
        said = {"Authorization": f"Bearer {token}"}
        assert http.status(**said, Host="evil.example") in (400, 421)
        assert http.status(**said, Origin="https://evil.example") == 403

    async def test_a_token_that_may_read_opens_every_tool(
        self, http: Http, operator: User, config: MarketConfig
    ) -> None:
        token = await database_sync_to_async(make_token)(operator, days=1, scope=Scope.READ)
        async with http.client(token) as client:
            assert (await said(client, "exchanges"))["exchanges"]
            assert (await said(client, "symbols", limit=2))["next"]
            health = await said(client, "health")
            assert health["status"] in ("degraded", "down"), "no collector runs"
            assert health["database"] == "ok"
            (missing,) = health["missing"]
            assert "no monitor has measured" in missing, "nothing is closed to it that it needs"

    def test_a_revoked_token_ends_at_the_next_question(self, http: Http, operator: User) -> None:
        said = {"Authorization": f"Bearer {make_token(operator, days=1)}"}
        assert http.status(**said) != 401
        ApiToken.objects.all().delete()
        assert http.status(**said) == 401

    def test_a_port_that_is_taken_is_named(self, http: Http, operator: User) -> None:
        address = f"127.0.0.1:{http.port}"
        words = words_of("--http", address)
        assert words.startswith(f"CommandError: --http: cannot listen on {address}: Address already in use")

    def test_sigterm_ends_it(self, http: Http) -> None:
        http.process.send_signal(signal.SIGTERM)
        assert http.process.wait(START_S) in (0, -signal.SIGTERM)
