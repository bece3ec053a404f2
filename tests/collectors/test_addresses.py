"""An exchange that has its channels at several addresses: an instrument's topics go to each of them."""

import json
from collections.abc import Sequence
from typing import Any

from collectors.exchanges import CODECS
from collectors.exchanges.base import Decoded
from markets.events import Funding, MarkPrice
from tests.support.exchanges.tiny_exchange import (
    Running,
    TinyCodec,
    TinyExchange,
    instruments,
    symbols,
    until,
)

OTHER = "wss://tiny.example/other"
SPLIT: dict[str, Any] = {"ws_urls": {"trade": OTHER}}


def subscribed(exchange: TinyExchange) -> list[tuple[str, list[str]]]:
    """The path and the topics of every socket."""
    return sorted(
        (socket.request.path, sorted(topics)) for socket, topics in exchange.sockets.items() if socket.request
    )


async def test_each_topic_is_asked_for_at_its_channels_address() -> None:
    async with TinyExchange() as exchange, Running(exchange, "ab", **SPLIT) as running:
        await until(lambda: len(exchange.topics) == 4)
        assert subscribed(exchange) == [("/tiny/other", ["t:a", "t:b"]), ("/tiny/stream", ["q:a", "q:b"])]
        await until(lambda: running.feed.status()["state"] == "live")
        assert running.feed.status()["topics"] == 4
        assert running.recorder.up() == symbols("ab")


async def test_an_address_without_quotes_takes_no_symbol_down() -> None:
    async with TinyExchange() as exchange, Running(exchange, "a", **SPLIT) as running:
        await until(lambda: len(exchange.topics) == 2)
        (other,) = [each for each in exchange.sockets if each.request and each.request.path == "/tiny/other"]
        other.transport.abort()
        await until(lambda: exchange.connects == 3 and len(exchange.topics) == 2)
        await until(lambda: running.feed.status()["state"] == "live")
        assert [state for state, *_ in running.recorder.states] == ["up"]
        assert running.feed.states()[0].state == "up"


async def test_trades_that_are_refused_leave_the_quotes_up() -> None:
    async with TinyExchange() as exchange:
        exchange.refused = {"t:a"}
        async with Running(exchange, "a", **SPLIT) as running:
            await until(lambda: running.feed.status()["refused"] == 1)
            await until(lambda: running.recorder.up() == symbols("a"))
            assert running.feed.status()["refused_topics"] == ["t:a: unknown pair"]
            assert [state.state for state in running.feed.states()] == ["up"]


async def test_every_address_has_as_many_connections_as_its_topics_need() -> None:
    async with TinyExchange() as exchange, Running(exchange, "abc", topics_per_connection=2, **SPLIT):
        await until(lambda: len(exchange.topics) == 6)
        assert [path for path, _ in subscribed(exchange)] == ["/tiny/other"] * 2 + ["/tiny/stream"] * 2
        assert all(len(topics) <= 2 for _, topics in subscribed(exchange))


async def test_what_is_wanted_no_more_leaves_every_address() -> None:
    async with TinyExchange() as exchange, Running(exchange, "ab", **SPLIT) as running:
        await until(lambda: len(exchange.topics) == 4)
        running.feed.apply(instruments("b"))
        await until(lambda: exchange.topics == {"q:b", "t:b"})
        running.feed.apply(instruments())
        await until(lambda: not exchange.sockets)


async def test_an_exchanges_headers_are_sent_when_connecting() -> None:
    headers = CODECS["gate:swap"].sheet.headers
    assert headers == {"X-Gate-Size-Decimal": "1"}
    async with TinyExchange() as exchange, Running(exchange, "a", headers=headers):
        await until(lambda: exchange.sockets)
        (socket,) = exchange.sockets
        assert socket.request is not None
        assert socket.request.headers["X-Gate-Size-Decimal"] == "1"


async def test_mark_prices_and_funding_are_handed_on_as_they_were_stamped(monkeypatch: Any) -> None:
    usual = TinyCodec.push

    def push(codec: TinyCodec, frame: bytes | str, ts_us: int, mono_ns: int) -> Sequence[Decoded]:
        if "said" not in json.loads(frame):
            return usual(codec, frame, ts_us, mono_ns)
        stamps = (None, ts_us, mono_ns)
        return [
            MarkPrice("tiny", "A/USDT", 1.0, 2.0, *stamps),
            Funding("tiny", "A/USDT", 0.0001, received_ts_us=ts_us, received_mono_ns=mono_ns),
        ]

    monkeypatch.setattr(TinyCodec, "push", push)
    async with TinyExchange() as exchange, Running(exchange, "a") as running:
        await until(lambda: running.recorder.up() == symbols("a"))
        await exchange.send({"said": 1})
        await until(lambda: any(isinstance(event, Funding) for event in running.recorder.events))
        mark, funding = running.recorder.events[-2:]
        assert isinstance(mark, MarkPrice)
        assert isinstance(funding, Funding)
        assert mark.received_mono_ns == funding.received_mono_ns > 0


def test_all_addresses_of_binances_swaps_are_its_own() -> None:
    sheet = CODECS["binance:swap"].sheet
    assert sheet.urls == (
        "wss://fstream.binance.com/public/stream",
        "wss://fstream.binance.com/market/stream",
    )
    assert [sheet.url_of(topic.channel) for topic in CODECS["binance:swap"]({}).topics("BTCUSDT")] == [
        sheet.urls[0], sheet.urls[1], sheet.urls[1],
    ]  # fmt: skip
