"""Refusals of an exchange: its own words, for people, and how long to stay away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from collectors.exchanges.kucoin import KuCoin
from collectors.sockets.answers import (
    BUSY_STATUS,
    MAX_RETRY_AFTER_S,
    plain,
    read_answer,
    refusal,
    retry_after,
    said,
)
from collectors.sockets.handshake import address, open_socket
from collectors.sockets.rest import ConnectFailed
from collectors.sockets.turns import Turns
from markets.config import ExchangeConfig
from tests.support.exchanges.tiny_exchange import TIMING, Running, TinyExchange, until

BINANCE_451 = (
    b'{"code":0,"msg":"Service unavailable from a restricted location according to \'b. Eligibility\'."}'
)
PAGE = b"<!DOCTYPE html><html><head><title>Attention &amp;\n Required!</title></head><body>x</body></html>"


@pytest.fixture(autouse=True)
def _simulated(settings: Settings) -> None:
    """Show a server's words: those of exchanges, and of such as are simulated on this machine."""
    settings.FEED = "sim"


@asynccontextmanager
async def answering(raw: bytes, pause_s: float = 0.0) -> AsyncIterator[ExchangeConfig]:
    """An exchange that answers every request with these bytes, head and body apart if there is a pause."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            head, blank, body = raw.partition(b"\r\n\r\n")
            writer.write(head + blank)
            if pause_s:
                await writer.drain()
                await asyncio.sleep(pause_s)
            writer.write(body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        base = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield ExchangeConfig("binance", "Binance", True, 10.0, 10.0, f"http://{base}", f"ws://{base}")


def http(status: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def handshake(raw: bytes) -> ConnectFailed:
    async with answering(raw) as config:
        with pytest.raises(ConnectFailed) as failed:
            await open_socket(config.ws_url + "/ws", TIMING, Turns(), config)
    return failed.value


async def token(raw: bytes) -> ConnectFailed:
    async with answering(raw) as config:
        with pytest.raises(ConnectFailed) as failed:
            await address(KuCoin.sheet, replace_name(config, "KuCoin"), TIMING)
    return failed.value


def replace_name(config: ExchangeConfig, name: str) -> ExchangeConfig:
    return ExchangeConfig(name.lower(), name, True, 10.0, 10.0, config.rest_url, config.ws_url)


REFUSALS = {
    "451": (
        http("451 Unavailable For Legal Reasons", BINANCE_451),
        "does not serve this location (HTTP 451: Service unavailable from a restricted location "
        "according to 'b. Eligibility'.)",
    ),
    "403 page": (
        http("403 Forbidden", PAGE),
        "refuses this address (HTTP 403: an HTML page, “Attention & Required!”)",
    ),
    "403 bare": (http("403 Forbidden", b""), "refuses this address (HTTP 403)"),
    "418": (
        http("418 I'm a teapot", b'{"code":-1003,"msg":"Way too much request weight used."}'),
        "has banned this address for a while (HTTP 418: -1003: Way too much request weight used.)",
    ),
    "429": (
        http("429 Too Many Requests", b'{"retCode":10006,"retMsg":"Too many visits!"}'),
        "was asked too often (HTTP 429: 10006: Too many visits!)",
    ),
    "http 1.0": (
        http("503 Service Unavailable", b"down for maintenance", version="1.0"),
        "is not available now (HTTP 503: down for maintenance)",
    ),
    "no such status": (http("520 ", b"unknown error"), "HTTP 520: unknown error"),
    "label": (
        http("400 Bad", b'{"label":"INVALID_ARGUMENT","message":"no"}'), "HTTP 400: INVALID_ARGUMENT: no",
    ),
    "nested": (http("400 Bad", b'{"error":{"code":2,"msg":"bad stream"}}'), "HTTP 400: 2: bad stream"),
    "control characters": (
        http("403 Forbidden", b"\x1b[31mno\x00\r\n\t  way\xe2\x80\xae\xff"), "(HTTP 403: [31mno way \ufffd)",
    ),
    "long": (http("403 Forbidden", b"x" * 5000), "x" * 199 + "…)"),
    "chunked": (
        b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nno wa\r\n1\r\ny\r\n0\r\n\r\n",
        "(HTTP 403: no way)",
    ),
    "cut short": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 900\r\n\r\nno way", "(HTTP 403: no way)"),
    "badly framed": (
        b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\nno way",
        "refuses this address (HTTP 403",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_refused_handshake_is_reported_in_the_exchanges_words(kind: str) -> None:
    raw, words = REFUSALS[kind]
    assert words in str(await handshake(raw))


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_refused_token_is_reported_in_the_exchanges_words(kind: str) -> None:
    raw, words = REFUSALS[kind]
    failed = str(await token(raw))
    assert failed.startswith("token request: ")
    assert words in failed


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"code":"429000","msg":"Too many requests"}', "KuCoin gives none: 429000: Too many requests"),
        (
            b'{"code":"400302","msg":"Our services are currently unavailable in the U.S."}',
            "400302: Our services",
        ),
        (PAGE, "KuCoin gives none: an HTML page, “Attention & Required!”"),
        (b"<html><body><h1>502</h1>bad <b>gateway</b></body></html>", "an HTML page, “502 bad gateway”"),
        (b"<html><script>var a;</script></html>", "an HTML page without words"),
        (b'{"code":"200000","data":{"token":"t"}}', 'KuCoin gives none: {"code": "200000"'),
        (b"[]", "KuCoin gives none: []"),
        (b"{", "KuCoin gives none: {"),
        (b"", "KuCoin answers nothing"),
        (b"\xff\xfe", "KuCoin gives none"),
    ],
)
async def test_a_token_reply_that_is_none_is_reported_in_its_own_words(body: bytes, words: str) -> None:
    assert words in str(await token(http("200 OK", body)))


async def test_something_else_than_a_websocket_is_reported() -> None:
    assert "Binance answers with something else (HTTP 200: an HTML page, “Attention" in str(
        await handshake(http("200 OK", PAGE))
    )
    assert "not an HTTP answer: SSH-2.0-x" in str(await handshake(b"SSH-2.0-x\r\n\r\n"))


async def test_words_that_come_after_the_head_are_waited_for_no_longer_than_the_library_does() -> None:
    async with answering(http("451 Unavailable", BINANCE_451), pause_s=0.1) as config:
        with pytest.raises(ConnectFailed, match=r"does not serve this location \(HTTP 451"):
            await open_socket(config.ws_url + "/ws", TIMING, Turns(), config)


async def test_the_reason_is_on_the_charts_and_in_the_status() -> None:
    async with (
        answering(http("451 Unavailable For Legal Reasons", BINANCE_451)) as config,
        TinyExchange() as exchange,
    ):
        running = Running(_at(exchange, config), "a")
        async with running:
            await until(lambda: running.recorder.states)
            assert running.recorder.states[0][2].startswith(
                "Tiny does not serve this location (HTTP 451: Service"
            )
            assert running.feed.status()["reason"].startswith("Tiny does not serve this location")


def _at(exchange: TinyExchange, config: ExchangeConfig) -> TinyExchange:
    exchange.port = int(config.ws_url.rpartition(":")[2])
    return exchange


class TestRetryAfter:
    @pytest.mark.parametrize("status", sorted(BUSY_STATUS))
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("17", 17.0),
            ("1.5", 1.5),
            (" 2. ", 2.0),
            (".5", 0.5),
            ("+3", 3.0),
            ("0", 0.0),
            ("-5", 0.0),
            ("-0.1", 0.0),
            ("99999999", MAX_RETRY_AFTER_S),
            ("9" * 15, MAX_RETRY_AFTER_S),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
            ("Thu, 01 Jan 1970 00:00:00", 0.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ],
    )
    def test_seconds_and_dates(self, status: int, value: str, seconds: float) -> None:
        assert retry_after(status, value) == seconds

    @pytest.mark.parametrize(
        "value",
        ["soon", "", " ", "nan", "inf", "-inf", "1e3", "²", "１２", "1,5", "0x10", "9" * 400, "1.5.2", "\x00",
         "GMT", "Mon, 99 Foo 99999 99:99:99 GMT", "Thu, 01 Jan 1970 00:00:00 +999999", "1 s"],
    )  # fmt: skip
    def test_nonsense_is_left_to_the_backoff(self, value: str) -> None:
        assert retry_after(429, value) is None

    @given(st.text() | st.floats().map(str) | st.integers().map(str))
    def test_it_never_raises_and_is_bounded(self, value: str) -> None:
        seconds = retry_after(429, value)
        assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER_S

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    @pytest.mark.parametrize("ask", [handshake, token])
    async def test_of_handshakes_and_tokens_in_any_version_of_http(self, version: str, ask: object) -> None:
        later = formatdate(time.time() + 90, usegmt=True)
        for status, value, least, most in (
            ("403 No", "1.5", 1.5, 1.5),
            ("429 No", later, 80, 90),
            ("418 No", "x", 0, 0),
        ):
            failed = await ask(http(status, b"no", f"Retry-After: {value}", version=version))  # type: ignore[operator]
            assert least <= (failed.retry_after_s or 0) <= most

    async def test_a_fraction_of_a_403_opens_the_breaker_for_so_long(self) -> None:
        async with TinyExchange() as exchange:
            exchange.turn_away = [(403, {"Retry-After": "0.5"})]
            started = time.monotonic()
            async with Running(exchange, "a", replace(TIMING, breaker_failures=1000)) as running:
                await until(lambda: running.feed.status()["state"] == "breaker open")
                assert running.feed.status()["next_try_s"] <= 0.5
                await until(running.recorder.up)
            assert time.monotonic() - started >= 0.5

    async def test_zero_does_not_keep_the_breaker_from_opening(self) -> None:
        async with TinyExchange() as exchange:
            exchange.turn_away = [(429, {"Retry-After": "0"})] * 100
            timing = replace(TIMING, breaker_failures=3, breaker_cool_down_s=60.0)
            async with Running(exchange, "a", timing) as running:
                await until(lambda: running.feed.status()["state"] == "breaker open")
            assert exchange.connects == 3


class TestWords:
    @given(st.binary(max_size=300))
    def test_any_body_is_said_in_one_printable_line(self, body: bytes) -> None:
        for words in (said(body), refusal("X", 403, body)):
            assert words.isprintable()

    @given(st.text())
    def test_a_line_is_printable_and_short(self, text: str) -> None:
        line = plain(text, 40)
        assert line.isprintable()
        assert len(line) <= 40

    @given(st.binary(max_size=200))
    def test_any_bytes_are_an_answer_or_a_value_error(self, raw: bytes) -> None:
        for each in (raw, b"HTTP/1.1 403 x\r\n" + raw):
            try:
                status, _, _ = read_answer(each)
            except ValueError:
                continue
            assert 100 <= status <= 999

    def test_deeply_nested_json_is_text(self) -> None:
        assert said(b"[" * 50_000).startswith("[[[")


@pytest.mark.parametrize("value", ["9" * 20, "9" * 30, "1" + "0" * 28 + ".5"])
def test_a_huge_retry_after_is_the_longest_there_is(value: str) -> None:
    assert retry_after(429, value) == MAX_RETRY_AFTER_S


async def test_a_token_refused_with_status_200_keeps_its_retry_after() -> None:
    body = b'{"code":"429000","msg":"Too many requests"}'
    failed = await token(http("200 OK", body, "Retry-After: 12.5"))
    assert failed.retry_after_s == 12.5
