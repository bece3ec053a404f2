"""Where the desk opens connections to: private networks only by a setting, checked as it connects."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from arbsite.environment import ports
from collectors.exchanges import CODECS
from collectors.own_addresses import is_own
from collectors.sockets.handshake import address, open_socket
from collectors.sockets.rest import ConnectFailed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from core import targets
from core.targets import REFUSED, allowed, host_problem, networks
from markets.config import ExchangeConfig, base_url_problem
from markets.models import Exchange
from markets.sync.catalogue import CatalogueError, fetch
from markets.sync.wallet_answers import fetch as fetch_wallets
from monitoring.alerts.channels.parcels import Parcel, Target
from monitoring.alerts.channels.sending import sender
from monitoring.alerts.messages import Message

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::",
    "ff02::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1", "0.1.2.3", "198.18.0.1",
    "2001:0:7f00:1::", "64:ff9b::a9fe:a9fe", "2002:a00:1::", "fe80::1%1", "240.0.0.1", "192.0.0.1", "100::1",
]  # fmt: skip
SPELLINGS = [
    "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "a.localhost", "LOCALHOST.", "0x7f.1",
    "017700000001", "①②⑦.0.0.1", "１２７.0.0.1", "127。0。0。1", "127.0.0.1.", "[::ffff:7f00:1]",
]  # fmt: skip
MESSAGE = Message("t", "w", "info", "test", (), "", "k", 0)


@pytest.fixture
def _closed(settings: Any) -> None:
    """Set the desk up as it goes live: no private network is opened."""
    settings.PRIVATE_TARGETS = settings.EXCHANGE_TARGETS = ()


@pytest.mark.parametrize("ip", INSIDE)
def test_addresses_within_are_refused_unless_their_network_is_named(ip: str) -> None:
    assert not allowed(ip, ())
    assert host_problem(ip, ()) == REFUSED
    assert not allowed(ip, networks(["192.0.2.0/24"]))


@pytest.mark.parametrize("name", SPELLINGS)
def test_other_spellings_of_this_machine_are_refused(name: str) -> None:
    assert host_problem(name, ()) == REFUSED
    assert not host_problem(name, networks(["127.0.0.0/8"]))


@pytest.mark.parametrize(
    "host", ["1.1.1.1", "2606:4700::1111", "api.binance.com", "64:ff9b::101:101", "10.example"]
)
def test_the_internet_is_not(host: str) -> None:
    assert not host_problem(host, ())


@asynccontextmanager
async def listening(answer: bytes = b"") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server within, and what reached it."""
    reached: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(b"")
        writer.write(answer)
        await writer.drain()
        reached.append(await reader.read(65536))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], reached


@pytest.fixture
def rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the Internet whose look-up says this machine."""
    real = socket.getaddrinfo

    def looked_up(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == "rebound.example.com" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


HOSTS = ["127.0.0.1", "localhost", "rebound.example.com", "2130706433"]


def exchange(key: str, host: str, port: int) -> ExchangeConfig:
    """Exchange whose addresses lie within."""
    return ExchangeConfig(key, key, True, 10, 10, f"http://{host}:{port}", f"ws://{host}:{port}")


@pytest.mark.usefixtures("_closed", "rebound")
@pytest.mark.parametrize("host", HOSTS)
class TestNothingWithinIsReached:
    """Neither by name nor by number, nor by a name that changes its answer."""

    async def test_by_a_socket(self, host: str) -> None:
        async with listening() as (port, reached):
            with pytest.raises(ConnectFailed, match="private network"):
                await open_socket(f"ws://{host}:{port}/", Timing(), Turns(), exchange("okx", host, port))
        assert not reached

    async def test_by_a_token(self, host: str) -> None:
        async with listening() as (port, reached):
            with pytest.raises(ConnectFailed, match="private network"):
                await address(CODECS["kucoin"].sheet, exchange("kucoin", host, port), Timing())
        assert not reached

    async def test_by_a_catalogue(self, host: str) -> None:
        async with listening() as (port, reached):
            with pytest.raises(CatalogueError, match=r"private network|PRIVATE_TARGETS|reach|answer|connect"):
                await asyncio.to_thread(fetch, "okx", f"http://{host}:{port}")
        assert not reached

    @pytest.mark.parametrize(
        ("kind", "fields", "secret"),
        [
            ("webhook", {"url": "http://{}/x"}, "key"),
            ("slack", {}, "http://{}/x"),
            ("telegram", {"chat_id": "1", "base_url": "http://{}"}, "1:x"),
            ("pagerduty", {"base_url": "http://{}"}, "key"),
            ("email", {"sender": "a@example.com", "recipients": ["b@example.com"], "security": "none"}, ""),
        ],
    )
    async def test_by_an_alert(self, host: str, kind: str, fields: dict[str, Any], secret: str) -> None:
        async with listening(b"220 within\r\n") as (port, reached), sender() as sending:
            at = f"{host}:{port}"
            filled = {k: v.format(at) if isinstance(v, str) else v for k, v in fields.items()}
            if kind == "email":
                filled |= {"host": host, "port": str(port)}
            answer = await sending.send(Target(kind, filled, secret.format(at)), Parcel("k", MESSAGE))
        assert (answer.outcome, reached) == ("broken", [])
        assert answer.words == REFUSED or host.isdigit()  # aiohttp reads no address out of one number


@pytest.fixture
def turns_around(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """A name that leads to an opened address when it is asked for first, and to a closed one from then on."""
    settings.PRIVATE_TARGETS = settings.EXCHANGE_TARGETS = networks(["127.0.0.2"])
    real, asked = socket.getaddrinfo, []

    def looked_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "turns.example.com":
            asked.append(host)
            host = "127.0.0.2" if len(asked) == 1 else "127.0.0.1"
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    return asked


class TestWhatANameStandsForIsAskedOnce:
    """The address that was checked is the one connected to: a second answer is not asked for."""

    async def test_of_sockets_tokens_catalogues_and_alerts(self, turns_around: list[str]) -> None:
        async with listening() as (port, reached), sender() as sending:
            host = "turns.example.com"
            config = exchange("kucoin", host, port)
            with pytest.raises(ConnectFailed):
                await open_socket(f"ws://{host}:{port}/", Timing(), Turns(), config)
            assert len(turns_around) == 1
            for ask in (
                lambda: address(CODECS["kucoin"].sheet, config, Timing()),
                lambda: asyncio.to_thread(fetch, "okx", f"http://{host}:{port}"),
                lambda: sending.send(
                    Target("webhook", {"url": f"http://{host}:{port}/"}, "key"), Parcel("k", MESSAGE)
                ),
            ):
                turns_around.clear()
                with suppress(ConnectFailed, CatalogueError):
                    await ask()
                assert turns_around
        assert not reached, "nobody listens at the opened address, and the closed one was not asked"


class TestNobodysWordsAreShown:
    """Of an answer by a server other than the exchange's own only the fact is shown."""

    SECRET = "the-inner-secret"
    PAGES = (
        f"HTTP/1.1 500 Oops {SECRET}\r\nX-A: {SECRET}\r\nContent-Length: {len(SECRET)}\r\n\r\n{SECRET}",
        f'HTTP/1.1 403 No\r\nContent-Type: application/json\r\n\r\n{{"msg": "{SECRET}", "code": 1}}',
        f"HTTP/1.1 200 OK\r\n\r\n<html><title>{SECRET}</title>",
        f"HTTP/1.1 200 OK\r\n\r\n{SECRET}",
        f'HTTP/1.1 200 OK\r\n\r\n{{"data": [{{"instId": "{SECRET}", "state": 1}}], "{SECRET}": 1}}',
        f'HTTP/1.1 200 OK\r\n\r\n{{"code": "5", "msg": "{SECRET}"}}',
        f"HTTP/1.1 302 Found\r\nLocation: http://{SECRET}.example/\r\n\r\n",
        f"SSH-2.0-{SECRET}\r\n",
        f"-ERR unknown command {SECRET}\r\n",
        f"HTTP/1.1 {SECRET}\r\n\r\n",
    )

    @pytest.mark.parametrize("page", PAGES)
    async def test_in_any_reason(self, page: str) -> None:
        said: list[str] = []
        async with listening(page.encode()) as (port, _reached), sender() as sending:
            config = exchange("kucoin", "127.0.0.1", port)
            try:
                await open_socket(f"ws://127.0.0.1:{port}/", Timing(), Turns(), config)
            except ConnectFailed as failed:
                said.append(str(failed))
            try:
                await address(CODECS["kucoin"].sheet, config, Timing())
            except ConnectFailed as failed:
                said.append(str(failed))
            for ask in (fetch, fetch_wallets):
                try:
                    found: Any = await asyncio.to_thread(ask, "okx", f"http://127.0.0.1:{port}")
                    said.append(str(getattr(found, "problems", getattr(found, "problem", ""))))
                except CatalogueError as failed:
                    said.append(str(failed))
            for kind, fields, secret in (
                ("webhook", {"url": f"http://127.0.0.1:{port}/"}, "key"),
                ("slack", {}, f"http://127.0.0.1:{port}/"),
                ("telegram", {"chat_id": "1", "base_url": f"http://127.0.0.1:{port}"}, "1:x"),
                ("pagerduty", {"base_url": f"http://127.0.0.1:{port}"}, "key"),
            ):
                answer = await sending.send(Target(kind, fields, secret), Parcel("k", MESSAGE))
                said.append(f"{answer.words} {answer.receipt}")
        assert len(said) == 8
        assert self.SECRET not in " ".join(said), said


def test_an_opened_network_does_not_open_our_own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_OWN_PORTS", set())
    targets.keep_off(ports("6390", "redis://127.0.0.1:6391/0", "redis+socket:///x", None, ""))
    opened = networks(["127.0.0.0/8"])
    for port in (6390, 6391):
        with pytest.raises(targets.RefusedTarget):
            targets.connect("127.0.0.1", port, 1, opened)
    targets.check((None, None, 0, "", ("1.1.1.1", 6390)), opened)
    targets.check((None, None, 0, "", ("127.0.0.1", 6392)), opened)


class TestRedirects:
    """Nothing is followed: it would lead wherever the other side points."""

    async def test_of_sockets_and_tokens_and_catalogues(self) -> None:
        async with listening() as (inside, reached):
            to = f"HTTP/1.1 302 Found\r\nLocation: {{}}://127.0.0.1:{inside}/x\r\nContent-Length: 0\r\n\r\n"
            async with listening(to.format("ws").encode()) as (port, _):
                with pytest.raises(ConnectFailed):
                    await open_socket(f"ws://127.0.0.1:{port}/", Timing(), Turns())
            async with listening(to.format("http").encode()) as (port, _):
                with pytest.raises(ConnectFailed):
                    await address(CODECS["kucoin"].sheet, exchange("kucoin", "127.0.0.1", port), Timing())
                with pytest.raises(CatalogueError):
                    await asyncio.to_thread(fetch, "okx", f"http://127.0.0.1:{port}")
        assert not reached


# --- as entered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://user:sesame@x.example", "http://user@x.example/a", "http://@x.example"]
)
def test_addresses_with_a_user_name_are_refused_and_not_repeated(url: str) -> None:
    problem = base_url_problem(url, ("http", "https"))
    assert "no user name or password" in problem
    assert "sesame" not in problem


@pytest.mark.django_db
@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "localhost", "0x7f000001"])
def test_the_forms_refuse_addresses_within(operator_client: Client, host: str) -> None:
    row = Exchange.objects.create(key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8)
    form = {
        "name": "OKX", "enabled": "on", "taker_fee_bps": "10", "maker_fee_bps": "8",
        "fee_schedules-TOTAL_FORMS": "0", "fee_schedules-INITIAL_FORMS": "0",
        "rest_url": f"http://{host}:1/", "ws_url": f"ws://{host}:1/",
    }  # fmt: skip
    page = operator_client.post(
        f"/admin/markets/exchange/{row.pk}/change/", form, follow=True
    ).content.decode()
    assert page.count("within a private network") == 2
    row.refresh_from_db()
    assert (row.rest_url, row.ws_url) == ("", "")
    channel = {
        "name": "w", "kind": "webhook", "enabled": "on", "url": f"http://{host}/", "secret": "a key",
        "per_second": "1", "per_minute": "20",
    }  # fmt: skip
    page = operator_client.post(reverse("admin:monitoring_alertchannel_add"), channel).content.decode()
    assert "within a private network" in page


# --- the banner --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "url", "own"),
    [
        ("binance", "", True),
        ("binance", "wss://data-stream.binance.com:443/x", True),
        ("gate", "https://api.gateio.ws", True),
        ("binance", "ws://stream.binance.com:9443", False),
        ("binance", "wss://stream.binance.com.evil.example", False),
        ("binance", "wss://notbinance.com", False),
        ("binance", "wss://stream.bybit.com", False),
        ("nobody", "wss://nobody.example", False),
        ("okx", "http://127.0.0.1:8900/okx", False),
    ],
)
def test_which_addresses_are_an_exchanges_own(key: str, url: str, own: bool) -> None:
    assert is_own(key, url) is own


@pytest.mark.django_db
def test_pages_wear_a_banner_while_an_exchange_is_read_from_elsewhere(
    operator: User, operator_client: Client, settings: Any
) -> None:
    row = Exchange.objects.create(key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8)
    pages = ["/", "/scanner", "/health/", "/admin/"]

    def says(path: str) -> bool:
        page = operator_client.get(path, follow=True)
        assert page.status_code == 200, path
        return "Not connected to the exchange’s own address: OKX." in page.content.decode()

    assert not any(map(says, pages))
    Exchange.objects.update(ws_url="wss://feed.example.com")
    assert [path for path in pages if not says(path)] == []
    Exchange.objects.update(enabled=False)
    assert not any(map(says, pages))
    Exchange.objects.update(enabled=True)
    settings.FEED = "sim"
    assert not any(map(says, pages))
    assert row.pk
