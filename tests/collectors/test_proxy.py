"""Everything to an exchange goes out through its proxy, and nobody ever reads the proxy's credentials."""

import asyncio
import datetime
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings
from msgspec import structs
from websockets.asyncio.server import ServerConnection, serve

from arbsite.desk.probe import any_answers
from collectors.exchanges import CODECS
from collectors.feed import Feed
from collectors.sockets.handshake import address, open_socket
from collectors.sockets.rest import ConnectFailed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from collectors.supervisor import Outlet, Supervisor
from core.errors import InvalidConfig
from core.proxies import no_proxy_problem, proxy_for, proxy_problem, secrets_of, shown
from core.secrets.redaction import redacted
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Shard
from markets.models import Exchange
from markets.selectors import load_config
from markets.sync import catalogue, wallet_answers
from markets.sync.rest_proxy import way_out
from simulator.server import Simulator
from tests.support.desk.tiny_proxy import Kind, Mode, TinyProxy
from tests.support.exchanges.tiny_exchange import (
    TIMING,
    Recorder,
    TinyExchange,
    codec_type,
    instruments,
    until,
)

KINDS: tuple[Kind, ...] = ("http", "socks5", "socks5h")
SECRET = "hush-hush-hush"
UNREACHED = "192.0.2.1"  # TEST-NET: no way there but through a proxy


@pytest.fixture
async def exchange() -> AsyncIterator[TinyExchange]:
    async with TinyExchange() as exchange:
        yield exchange


def through(config: ExchangeConfig, proxy: str, *no_proxy: str) -> ExchangeConfig:
    return structs.replace(config, proxy=proxy, no_proxy=no_proxy)


async def failing(config: ExchangeConfig, timing: Timing = TIMING) -> str:
    with pytest.raises(ConnectFailed) as failed:
        await open_socket(config.ws_url + "/stream", timing, Turns(), config)
    return str(failed.value)


class TestSockets:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("user", ["", "desk"])
    async def test_a_feed_goes_through_it(self, exchange: TinyExchange, kind: Kind, user: str) -> None:
        async with TinyProxy(kind, user, SECRET if user else "") as proxy:
            recorder = Recorder()
            feed = Feed(codec_type(), through(exchange.config, proxy.url), recorder, TIMING, Turns())
            feed.apply(instruments("a"))
            task = asyncio.create_task(feed.run())
            await until(recorder.up)
            await exchange.quote("a", 5.0)
            await until(lambda: recorder.quotes)
            await exchange.drop()
            await until(lambda: exchange.connects == 2)
            feed.stop("test over")
            await asyncio.wait_for(task, 5)
        assert proxy.asked == [("127.0.0.1", exchange.port)] * 2

    @pytest.mark.parametrize("kind", KINDS)
    async def test_names_are_looked_up_by_the_proxy(self, exchange: TinyExchange, kind: Kind) -> None:
        async with TinyProxy(kind) as proxy:
            config = through(exchange.config, proxy.url)
            url = f"ws://stream.exchange.test:{exchange.port}/tiny/stream"
            socket = await open_socket(url, TIMING, Turns(), config)
            await socket.close(1.0)
        assert proxy.asked == [("stream.exchange.test", exchange.port)]

    @pytest.mark.parametrize("kind", KINDS)
    async def test_wss_is_encrypted_to_the_exchange_itself(
        self, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate, key = _certificate(tmp_path, "stream.exchange.test")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        async def hold(socket: ServerConnection) -> None:
            await socket.wait_closed()

        async with (
            serve(hold, "127.0.0.1", 0, ssl=context) as server,
            TinyProxy(kind, "desk", SECRET) as proxy,
        ):
            port = next(iter(server.sockets)).getsockname()[1]
            config = ExchangeConfig("tiny", "Tiny", True, 1.0, 1.0, proxy=proxy.url)
            socket = await open_socket(f"wss://stream.exchange.test:{port}/", TIMING, Turns(), config)
            await socket.close(1.0)
            with pytest.raises(ConnectFailed, match="hostname mismatch"):
                await open_socket(f"wss://other.exchange.test:{port}/", TIMING, Turns(), config)
        assert proxy.asked == [("stream.exchange.test", port), ("other.exchange.test", port)]

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    @pytest.mark.parametrize(
        ("mode", "http", "socks5"),
        [
            ("407", "407 Proxy Authentication Required", "No acceptable authentication methods"),
            ("502", "502 Bad Gateway", "SOCKS version"),
            ("html", "nvalid status line", "SOCKS version"),
            ("refuses", "403 Forbidden", "not allowed"),
            ("hangs", "timed out", "timed out"),
            ("closes", "", ""),
        ],
    )
    async def test_its_failure_is_its_own_and_not_the_exchanges(
        self, exchange: TinyExchange, kind: Kind, mode: Mode, http: str, socks5: str
    ) -> None:
        async with TinyProxy(kind, "desk", SECRET) as proxy:
            proxy.mode = mode
            said = await failing(through(exchange.config, proxy.url), replace(TIMING, open_s=0.5))
        assert said.startswith(f"proxy {proxy.shown}: ")
        assert (http if kind == "http" else socks5) in said
        assert SECRET not in said
        assert "Tiny" not in said
        assert exchange.connects == 0

    @pytest.mark.parametrize(("mode", "words"), [("banner", "Invalid status code"), ("words", "500 Internal"),
                                                 ("html", "Invalid status line")])  # fmt: skip
    async def test_nothing_it_says_is_shown(self, exchange: TinyExchange, mode: Mode, words: str) -> None:
        """It may be any server within reach, and no proxy: its banner is for nobody."""
        async with TinyProxy("http", "desk", SECRET) as proxy:
            proxy.mode = mode
            said = await failing(through(exchange.config, proxy.url))
        assert words in said
        assert "inner.db7" not in said
        assert "Hotel" not in said

    @pytest.mark.parametrize("kind", KINDS)
    async def test_one_that_is_not_there_is_named(self, exchange: TinyExchange, kind: Kind) -> None:
        async with TinyProxy(kind, "desk", SECRET) as proxy:
            pass
        said = await failing(through(exchange.config, proxy.url))
        assert said.startswith(f"proxy {proxy.shown}: ")
        assert "Could not connect to proxy" in said

    @pytest.mark.parametrize("kind", KINDS)
    async def test_wrong_credentials_are_reported_without_showing_them(
        self, exchange: TinyExchange, kind: Kind
    ) -> None:
        async with TinyProxy(kind, "desk", "another") as proxy:
            wrong = proxy.url.replace("another", SECRET)
            said = await failing(through(exchange.config, wrong))
        assert said.startswith(f"proxy {proxy.shown}: ")
        assert SECRET not in said

    async def test_credentials_may_hold_any_character(self, exchange: TinyExchange) -> None:
        for kind in ("http", "socks5"):
            async with TinyProxy(kind, "de:sk" if kind == "socks5" else "desk", "p@ss/w:rd%") as proxy:
                user = "de%3Ask" if kind == "socks5" else "desk"
                url = f"{kind}://{user}:p%40ss%2Fw%3Ard%25@127.0.0.1:{proxy.port}"
                socket = await open_socket(
                    exchange.config.ws_url + "/stream", TIMING, Turns(), through(exchange.config, url)
                )
                await socket.close(1.0)
                assert proxy.asked

    async def test_what_the_exchange_itself_refuses_is_still_the_exchanges(
        self, exchange: TinyExchange
    ) -> None:
        exchange.turn_away = [(451, {})]
        async with TinyProxy() as proxy:
            said = await failing(through(exchange.config, proxy.url))
        assert said == "Tiny does not serve this location (HTTP 451)"

    async def test_loopback_is_no_exception_but_what_is_named_is(self, exchange: TinyExchange) -> None:
        async with TinyProxy() as proxy:
            config = through(exchange.config, proxy.url, "127.0.0.1")
            socket = await open_socket(exchange.config.ws_url + "/stream", TIMING, Turns(), config)
            await socket.close(1.0)
        assert proxy.asked == []

    async def test_another_proxy_begins_another_connection(self, exchange: TinyExchange) -> None:
        recorder = Recorder()
        supervisor = Supervisor({"tiny": codec_type()}, list[Outlet](), Shard(1, 1), timing=TIMING)
        supervisor.emit = recorder  # type: ignore[method-assign]
        stop = asyncio.Event()
        async with TinyProxy() as one, TinyProxy("socks5") as two:

            def config(proxy: str, revision: int) -> MarketConfig:
                return MarketConfig(
                    revision=revision, exchanges=(through(exchange.config, proxy),),
                    instruments=instruments("a"), opportunities=(),
                )  # fmt: skip

            supervisor.apply(config(one.url, 1))
            task = asyncio.create_task(supervisor.run(stop))
            await until(lambda: one.asked and recorder.up())
            supervisor.apply(config(two.url, 2))
            await until(lambda: two.asked)
            stop.set()
            await asyncio.wait_for(task, 5)
        assert len(one.asked) == 1


class TestTokens:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_the_token_and_the_socket_go_through_it(self, kind: Kind) -> None:
        async with (
            Simulator(exchanges=("kucoin",), rate=50.0) as simulator,
            TinyProxy(kind, "d", SECRET) as proxy,
        ):
            recorder = Recorder()
            base = simulator.rest_url("kucoin"), simulator.ws_url("kucoin")
            config = ExchangeConfig("kucoin", "KuCoin", True, 10.0, 10.0, *base, proxy=proxy.url)
            feed = Feed(CODECS["kucoin"], config, recorder, Timing(), Turns())
            feed.apply(frozenset({_instrument()}))
            task = asyncio.create_task(feed.run())
            await until(lambda: recorder.quotes)
            feed.stop("test over")
            await asyncio.wait_for(task, 5)
            assert [port for _, port in proxy.asked] == [simulator.port] * 2

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    @pytest.mark.parametrize("mode", ["407", "502", "html", "refuses", "hangs", "closes"])
    async def test_a_proxy_that_fails_is_named(self, kind: Kind, mode: Mode) -> None:
        async with TinyProxy(kind, "desk", SECRET) as proxy:
            proxy.mode = mode
            rest_url = f"http://{UNREACHED}:9"
            config = ExchangeConfig("kucoin", "KuCoin", True, 10.0, 10.0, rest_url, "", proxy=proxy.url)
            with pytest.raises(ConnectFailed) as failed:
                await address(CODECS["kucoin"].sheet, config, TIMING)
        assert str(failed.value).startswith(f"token request: proxy {proxy.shown}: ")
        assert SECRET not in str(failed.value)


class Dropping(TinyProxy):
    """Drops each answer after its first hundred bytes."""

    async def _tunnel(
        self, to: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, away = await asyncio.open_connection(*to)
        away.write(await reader.read(65536))
        writer.write(await there.readexactly(100))
        await writer.drain()
        away.close()


class TestRest:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_catalogue_and_wallets_go_through_it(self, kind: Kind) -> None:
        async with Simulator(exchanges=("gate",)) as simulator, TinyProxy(kind, "desk", SECRET) as proxy:
            for fetch in (catalogue.fetch, wallet_answers.fetch):
                asked = len(proxy.asked)
                url = simulator.rest_url("gate").replace("127.0.0.1", "gate.test")
                if kind == "http":  # requests asks an HTTP proxy for http:// without CONNECT
                    with pytest.raises(catalogue.CatalogueError):
                        await asyncio.to_thread(fetch, "gate", url, proxy.url)
                    assert proxy.authorised
                else:
                    await asyncio.to_thread(fetch, "gate", url, proxy.url)
                    assert len(proxy.asked) > asked

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    @pytest.mark.parametrize("fetch", [catalogue.fetch, wallet_answers.fetch])
    async def test_a_proxy_that_is_not_there_is_named(self, kind: Kind, fetch: object) -> None:
        async with TinyProxy(kind, "desk", SECRET) as proxy:
            pass
        with pytest.raises(catalogue.CatalogueError) as failed:
            await asyncio.to_thread(fetch, "gate", f"http://{UNREACHED}:9", proxy.url)  # type: ignore[arg-type]
        assert str(failed.value).startswith(f"proxy {proxy.shown.replace('socks5:', 'socks5h:')}: ")
        assert SECRET not in str(failed.value)

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    @pytest.mark.parametrize("fetch", [catalogue.fetch, wallet_answers.fetch])
    @pytest.mark.parametrize("mode", ["407", "502", "html", "refuses", "closes"])
    async def test_a_proxy_that_fails_is_named_in_words(self, kind: Kind, mode: Mode, fetch: Any) -> None:
        """An HTTP proxy answers a plain request in its own name: the way taken says it may be to blame."""
        async with TinyProxy(kind, "desk", SECRET) as proxy:
            proxy.mode = mode
            with pytest.raises(catalogue.CatalogueError) as failed:
                await asyncio.to_thread(fetch, "gate", f"http://{UNREACHED}:9", proxy.url)
        said = str(failed.value)
        assert f"proxy {proxy.shown.replace('socks5:', 'socks5h:')}" in said
        assert SECRET not in said
        assert "Pool(" not in said
        assert "object at" not in said
        if mode == "407" and kind == "http":
            assert said.endswith(": 407 Proxy Authentication Required")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("mode", ["banner", "words", "html"])
    async def test_nothing_it_says_is_shown(self, mode: Mode, scheme: str) -> None:
        async with TinyProxy("http", "desk", SECRET) as proxy:
            proxy.mode = mode
            with pytest.raises(catalogue.CatalogueError) as failed:
                await asyncio.to_thread(catalogue.fetch, "gate", f"{scheme}://{UNREACHED}:9", proxy.url)
        assert proxy.shown in str(failed.value)
        assert "inner.db7" not in str(failed.value)
        assert "Hotel" not in str(failed.value)

    @pytest.mark.parametrize("kind", ["http", "socks5"])
    async def test_a_proxy_that_drops_an_answer_is_named_and_keeps_its_credentials(self, kind: Kind) -> None:
        async with (
            Simulator(exchanges=("gate",)) as simulator,
            Dropping(kind, "desk", SECRET) as proxy,
        ):
            with pytest.raises(catalogue.CatalogueError) as failed:
                await asyncio.to_thread(catalogue.fetch, "gate", simulator.rest_url("gate"), proxy.url)
        said = str(failed.value)
        assert f"proxy {proxy.shown.replace('socks5:', 'socks5h:')}" in said
        assert SECRET not in said

    async def test_the_search_for_exchanges_takes_the_same_way(self, exchange: TinyExchange) -> None:
        url = f"ws://exchange.test:{exchange.port}/tiny/stream"
        assert not await any_answers([url], timeout_s=1.0)
        for kind in KINDS:
            async with TinyProxy(kind) as proxy:
                assert await any_answers([url], proxy=proxy.url)
                assert proxy.asked == [("exchange.test", exchange.port)]


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "proxy", "no_proxy", "chosen"),
        [
            ("wss://a.example/x", "", (), False),
            ("wss://a.example/x", "direct", (), False),
            ("wss://a.example/x", "http://p:1", (), True),
            ("wss://a.example/x", "http://p:1", ("a.example",), False),
            ("wss://A.Example/x", "http://p:1", (" .EXAMPLE ",), False),
            ("wss://a.example/x", "http://p:1", ("example",), False),
            ("wss://aexample/x", "http://p:1", ("example",), True),
            ("wss://a.example/x", "http://p:1", ("*",), False),
            ("wss://a.example/x", "http://p:1", ("", "b.example"), True),
            ("ws://127.0.0.1:9/x", "http://p:1", (), True),
            ("ws://[::1]:9/x", "http://p:1", ("::1",), False),
            ("ws://[::1]:9/x", "http://p:1", ("[::1]",), False),
            ("wss://a.example/x", "http://p:1", ("*.example",), False),
            ("wss://aexample/x", "http://p:1", ("*.example",), True),
        ],
    )
    def test_which_way_is_taken(self, url: str, proxy: str, no_proxy: tuple[str, ...], chosen: bool) -> None:
        assert proxy_for(url, proxy, no_proxy) == (proxy if chosen else "")

    @pytest.mark.parametrize(
        "url",
        ["ftp://h:1", "h:1", "http://h", "http://:1", "http://h:x", "http://h:99999", "http://h:1/path", "http://h:1?q",
         "http://h:0", "socks4://h:1", "http://h h:1", "https://h:1",
         f"ftp://u:{SECRET}@h:1", f"http://u:{SECRET}@h", "http://["],
    )  # fmt: skip
    def test_what_is_no_proxy_is_refused_without_repeating_it(self, url: str) -> None:
        assert proxy_problem(url)
        assert SECRET not in proxy_problem(url)

    @pytest.mark.parametrize(
        "name",
        ["127.0.0.0/8", "a.example:443", "a.*.example", "http://a.example", "a b", "<local>", "ex*mple"],
    )
    def test_what_no_host_fits_is_refused_and_not_passed_over(self, name: str) -> None:
        assert name in no_proxy_problem(name)
        done = subprocess.run(
            [sys.executable, "-c", "import arbsite.settings"],
            cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
            env={**os.environ, "OUTBOUND_NO_PROXY": f"127.0.0.1,{name}"},
        )  # fmt: skip
        assert f"OUTBOUND_NO_PROXY: “{name}” is no host" in done.stderr

    @pytest.mark.parametrize(
        "name", ["", "*", "localhost", "127.0.0.1", "::1", "[::1]", ".lan", "*.lan", "api_1.a-b.example"]
    )
    def test_hosts_endings_and_all_are_taken(self, name: str) -> None:
        assert no_proxy_problem(name) == ""

    def test_a_password_is_kept_from_the_log_as_it_is_written_and_as_it_is_meant(self) -> None:
        assert {"s3cr%2Fet", "s3cr/et"} <= set(secrets_of("http://u:s3cr%2Fet@h:1"))

    @pytest.mark.parametrize(
        ("url", "seen"),
        [
            ("http://h:1", "http://h:1"),
            (f"http://u:{SECRET}@h:1", "http://•••@h:1"),
            ("socks5://u@h:1", "socks5://•••@h:1"),
            ("socks5h://u:p@[::1]:1", "socks5h://•••@[::1]:1"),
            ("direct", "direct"),
            ("", ""),
            (SECRET, "•••"),
            (f"http://[{SECRET}", "•••"),
        ],
    )
    def test_it_is_shown_without_credentials(self, url: str, seen: str) -> None:
        assert shown(url) == seen
        config = ExchangeConfig("okx", "OKX", True, 1.0, 1.0, proxy=url)
        assert SECRET not in repr(config)
        assert f"proxy={seen!r}" in repr(config)

    def test_an_exchanges_own_goes_before_the_processs(self) -> None:
        with override_settings(OUTBOUND_PROXY=f"http://u:{SECRET}@p:1", OUTBOUND_NO_PROXY=("a",)):
            assert way_out("") == (f"http://u:{SECRET}@p:1", ("a",))
            assert way_out("socks5://q:2") == ("socks5://q:2", ())
            assert way_out("direct") == ("", ())
        assert way_out("") == ("", ())
        assert SECRET not in redacted(f"could not: {SECRET}")


@pytest.mark.django_db
class TestAdmin:
    def test_credentials_are_taken_and_never_shown_again(
        self, operator: User, operator_client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        row = Exchange.objects.create(key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8)
        page = f"/admin/markets/exchange/{row.pk}/change/"
        url = f"socks5://desk:{SECRET}@10.0.0.1:1080"

        def save(proxy: str) -> str:
            form = {
                "name": "OKX", "enabled": "on", "taker_fee_bps": "10", "maker_fee_bps": "8", "proxy": proxy,
                "fee_schedules-TOTAL_FORMS": "0", "fee_schedules-INITIAL_FORMS": "0",
            }  # fmt: skip
            answer = operator_client.post(page, form, follow=True).content.decode()
            row.refresh_from_db()
            return answer

        save(url)
        assert row.proxy == url
        assert SECRET not in operator_client.get(page).content.decode()
        assert (
            "socks5://•••@10.0.0.1:1080" in operator_client.get("/admin/markets/exchange/").content.decode()
        )
        save("socks5://•••@10.0.0.1:1080")
        assert row.proxy == url
        assert "Enter the proxy" in save("socks5://•••@10.0.0.2:1080")
        assert row.proxy == url
        wrong = save(f"ftp://desk:{SECRET}-2@10.0.0.1:1")
        assert "begins with one of" in wrong
        assert row.proxy == url
        assert load_config().exchanges[0].proxy == url
        save("")
        assert row.proxy == ""
        assert (
            SECRET not in operator_client.get(f"/admin/markets/exchange/{row.pk}/history/").content.decode()
        )
        assert SECRET not in caplog.text

    def test_a_proxy_that_is_none_makes_no_configuration(self) -> None:
        Exchange.objects.create(
            key="okx", name="OKX", taker_fee_bps=10, maker_fee_bps=8, proxy=f"ftp://u:{SECRET}@h:1"
        )
        with pytest.raises(InvalidConfig, match="Exchange “okx”, proxy") as refused:
            load_config()
        assert SECRET not in str(refused.value)


def _instrument() -> InstrumentConfig:
    return InstrumentConfig("kucoin", "BTC/USDT", "BTC-USDT")


def _certificate(home: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    (home / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return home / "certificate.pem", home / "key.pem"
