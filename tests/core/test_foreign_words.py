"""Words of an exchange's server are a short harmless line wherever it is shown: logs, states, findings."""

import json
import logging
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection

from arbsite.logs import LONGEST, JsonFormatter, Repeats
from collectors.exchanges import CODECS
from collectors.exchanges.base import Control
from collectors.sockets.answers import LONGEST_SAID, foreign
from core.names.plain_names import unfit_character
from core.secrets.redaction import keep_secret
from tests.collectors.test_receive_socket import raw, read_all
from tests.monitoring.test_assess import REFUSAL
from tests.support.exchanges.codec_frames import SPOTS
from tests.support.exchanges.tiny_exchange import Running, TinyExchange, symbols, until
from tests.support.observed import NOW, S, found, with_collector, with_exchange

HTML = "<html><script>alert(1)</script><b>down</b></html>"
NASTY = {
    "control characters": "\x1b[2J\x1b[31mall is fine\x07\x00\r\nWARNING forged: line",
    "bidi": "limit \u202e56 ms\u202c \u2066x\u2069 \u200f\u061c",
    "zero width": "a\u200bb\ufeffc\u00ad\u2060",
    "line ends": "one\u2028two\u2029three\x85four\x0bfive",
    "surrogates": "a\ud800b",
    "HTML": HTML,
    "a megabyte": "no " * 350_000,
    "a megabyte of one word": "x" * 1_000_000,
    "a megabyte of escapes": "\x1b[2J" * 250_000,
}


def is_harmless(text: str, most: int = LONGEST_SAID + 100) -> bool:
    return unfit_character(text) == "" and len(text) <= most


@pytest.fixture
async def exchange() -> AsyncIterator[TinyExchange]:
    async with TinyExchange() as running:
        yield running


@pytest.mark.parametrize("kind", NASTY)
async def test_words_of_a_refusal(
    exchange: TinyExchange, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    exchange.why = NASTY[kind]
    exchange.refused.add("q:a")
    with caplog.at_level(logging.DEBUG):
        async with Running(exchange, "ab") as running:
            await until(lambda: running.recorder.up() == symbols("b"), 20.0)
            await until(lambda: running.feed.status()["refused"], 20.0)
            status = running.feed.status()
    assert all(is_harmless(reason) for *_, reason in running.recorder.states)
    assert all(is_harmless(text) for text in status["refused_topics"])
    assert all(is_harmless(text, 2 * LONGEST_SAID) for text in caplog.messages if "websockets" not in text)
    refused = next(reason for *_, reason in running.recorder.states if reason.startswith("refused"))
    if "megabyte of escapes" not in kind:
        assert len(refused) > len("refused: a"), "something of it is shown"


@pytest.mark.parametrize("kind", NASTY)
async def test_words_of_an_error_about_nothing_we_asked(
    exchange: TinyExchange, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with Running(exchange, "a") as running:
            await until(running.recorder.up, 20.0)
            await exchange.send({"error": "4711", "why": NASTY[kind]})
            await until(lambda: "the exchange reports an error" in caplog.text, 20.0)
    said = [text for text in caplog.messages if "the exchange reports an error" in text]
    assert all(is_harmless(text) for text in said)


@pytest.mark.parametrize("kind", NASTY)
async def test_words_of_a_goodbye(
    exchange: TinyExchange, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = NASTY[kind].encode("utf-8", "replace").decode()[:40].encode()[:120].decode("utf-8", "ignore")
    with caplog.at_level(logging.DEBUG):
        async with Running(exchange, "a") as running:
            await until(running.recorder.up, 20.0)
            for socket in list(exchange.sockets):
                await socket.close(4001, words)
            await until(lambda: "closed by the exchange (4001" in caplog.text, 20.0)
            await until(lambda: any(state == "down" for state, *_ in running.recorder.states), 20.0)
    assert all(is_harmless(reason) for *_, reason in running.recorder.states)
    assert all(is_harmless(text) for text in caplog.messages if "closed by the exchange" in text)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x88\x09\x0f\xa1\x1b[2Jbad", "closed by the exchange (4001 [2Jbad)"),
        (b"\x88\x09\x0f\xa1\xe2\x80\xae56ms", "closed by the exchange (4001 56ms)"),
        (b"\x88\x02\x0f\xa1", "closed by the exchange (4001)"),
        (b"\x88\x05\x0f\xa1\r\n\x00", "closed by the exchange (4001)"),
    ],
)
async def test_a_goodbye_is_a_line(frame: bytes, reason: str) -> None:
    reader = await read_all(raw(frame))
    assert reader.lost == [reason]


@pytest.mark.parametrize(
    "frame", [b"\x88\x04\x0f\xa1\xff\xfe", b"\x88\x01x", b"\x88\x7e\x01\x00" + b"x" * 256]
)
async def test_a_goodbye_that_breaks_the_protocol_is_harmless_too(frame: bytes) -> None:
    (reason,) = (await read_all(raw(frame))).lost
    assert is_harmless(reason)


async def test_a_welcome_of_nonsense_is_no_words_of_ours() -> None:
    async def talk(server: ServerConnection) -> None:
        await server.send(HTML)
        await server.close(1008, "\x1b]0;owned\x07")

    reader = await read_all(talk)
    assert reader.messages == [HTML]
    assert all(is_harmless(reason) for reason in reader.lost)


def test_secrets_that_a_server_repeats_are_hidden() -> None:
    keep_secret("a-token-of-the-exchange")
    assert "a-token" not in foreign("invalid token a-token-of-the-exchange")
    assert "hunter22" not in foreign("no access for https://me:hunter22@example.com/")


@pytest.mark.parametrize("key", SPOTS)
def test_every_codec_hands_words_to_one_place(key: str) -> None:
    """Whatever a codec takes for a message goes through `foreign` in the connection, not in each codec."""
    codec = CODECS[key]({})
    for frame in (HTML, json.dumps({"code": 1, "msg": HTML}), json.dumps({"event": "error", "msg": HTML})):
        for event in codec.decode(frame):
            if isinstance(event, Control):
                assert is_harmless(foreign(event.message))


# --- the log, whatever a line is made of ---------------------------------------------------------


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("collectors.x", logging.WARNING, "x.py", 1, "%s", (text,), None)


def test_the_log_neither_writes_nor_remembers_a_megabyte() -> None:
    long = record("x\x1b" * 500_000)
    assert len(JsonFormatter().format(long)) < 8 * LONGEST
    repeats = Repeats(lambda *_: None)
    assert repeats.is_news(long)
    assert max(len(str(part)) for key in repeats._said for part in key) <= LONGEST


def test_looking_at_a_megabyte_takes_no_longer_than_at_a_line() -> None:
    assert foreign("\x00" * 1_000_000) == ""
    assert foreign("y" * 1_000_000) == "y" * (LONGEST_SAID - 1) + "…"


# --- findings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["\u05e9\u05dc\u05d5\u05dd 56 ms", "\u202e56 ms", "\x1b[2Jno"])
def test_a_finding_keeps_an_exchanges_words_to_themselves(words: str) -> None:
    """Whatever collector wrote them; and the figures behind them stay behind them."""
    down = with_exchange(state="breaker open", since_us=NOW - 90 * S, reason=words, reconnects_per_min=100.0)
    refused = with_collector(exchanges={"okx": {"refusals": [{**REFUSAL, "reason": words}]}})
    for finding in [*found(down).values(), *found(refused).values()]:
        assert unfit_character(finding.words.replace("\u2068", "").replace("\u2069", "")) == ""
        if "\u05e9" in words and "\u05e9" in finding.words:
            assert f"\u2068{words}\u2069" in finding.words
