"""Silence is tested before it is believed: only a connection that does not answer either is cut."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from collectors.exchanges import CODECS
from simulator.server import Simulator
from tests.collectors.test_connection_dialects import collecting
from tests.support.exchanges.codec_frames import SPOTS
from tests.support.exchanges.tiny_exchange import Running, TinyCodec, TinyExchange, until

SILENCE_S = 0.6


@pytest.fixture
async def exchange() -> AsyncIterator[TinyExchange]:
    async with TinyExchange() as exchange:
        yield exchange


def asked(running: Running) -> int:
    return int(running.feed.status()["counts"].get("silence_tests", 0))


class TestTinyExchange:
    async def test_a_quiet_exchange_that_answers_is_kept(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a", silence_s=SILENCE_S) as running:
            await until(running.recorder.up)
            await until(lambda: asked(running) >= 4)
            assert [state for state, _, _ in running.recorder.states] == ["up"]
        assert exchange.connects == 1

    async def test_one_that_does_not_is_cut_within_the_time_of_its_data_sheet(
        self, exchange: TinyExchange
    ) -> None:
        async with Running(exchange, "a", silence_s=SILENCE_S) as running:
            await until(running.recorder.up)
            await until(lambda: asked(running) >= 1)
            exchange.silent, since = True, time.monotonic()
            await until(lambda: len(running.recorder.states) > 1)
            assert time.monotonic() - since < SILENCE_S * 1.5
            assert running.recorder.states[1] == ("down", ("A/USDT",), f"nothing received for {SILENCE_S} s")

    async def test_while_data_comes_nothing_is_asked(self, exchange: TinyExchange) -> None:
        async with Running(exchange, "a", silence_s=SILENCE_S) as running:
            await until(running.recorder.up)
            for number in range(30):
                await exchange.quote("a", float(number + 1))
                await asyncio.sleep(SILENCE_S / 12)
            assert asked(running) == 0

    async def test_without_a_ping_of_its_own_a_topic_is_asked_for_again_and_its_no_changes_nothing(
        self, exchange: TinyExchange, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TinyCodec, "ping", lambda *_: None)
        async with Running(exchange, "a", silence_s=SILENCE_S) as running:
            await until(running.recorder.up)
            await until(lambda: len(exchange.asked("sub")) >= 3)
            assert exchange.asked("sub")[1:3] == [["q:a"], ["q:a"]]
            exchange.refused = {"q:a"}
            await until(lambda: asked(running) >= 5)
            assert [state for state, _, _ in running.recorder.states] == ["up"]
            assert running.feed.status()["refused"] == 0
        assert exchange.connects == 1

    @pytest.mark.parametrize("named", [True, False])
    async def test_a_no_that_comes_after_another_sign_of_life_changes_nothing_either(
        self, exchange: TinyExchange, monkeypatch: pytest.MonkeyPatch, named: bool
    ) -> None:
        monkeypatch.setattr(TinyCodec, "ping", lambda *_: None)
        async with Running(exchange, "a", silence_s=SILENCE_S) as running:
            await until(running.recorder.up)
            exchange.ignored = {"q:a"}
            await until(lambda: len(exchange.asked("sub")) == 2)
            await exchange.quote("a", 1.0)
            await until(lambda: running.recorder.quotes)
            asked_id = str(exchange.received[-1]["id"]) if named else None
            await exchange.send({"error": asked_id, "topics": ["q:a"], "why": "subscribed already"})
            await exchange.quote("a", 2.0)
            await until(lambda: len(running.recorder.quotes) == 2)
            assert running.feed.status()["refused"] == 0
            assert [state for state, _, _ in running.recorder.states] == ["up"]

    async def test_before_anything_is_subscribed_the_protocol_itself_pings(
        self, exchange: TinyExchange, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TinyCodec, "ping", lambda *_: None)
        exchange.refused = {"q:a", "t:a"}
        async with Running(exchange, "a", silence_s=SILENCE_S) as running:
            await until(lambda: asked(running) >= 3)
            assert running.feed.status()["state"] == "refused"
        assert exchange.connects == 1


@pytest.mark.parametrize("key", SPOTS)
async def test_every_exchange_is_asked_in_a_form_it_answers(key: str) -> None:
    sheet = replace(CODECS[key].sheet, silence_s=SILENCE_S, ping_s=None)
    codec = type("Impatient", (CODECS[key],), {"sheet": sheet})
    async with (
        Simulator(exchanges=(key,), rate=20.0) as simulator,
        collecting(key, simulator, {"BTC/USDT"}, codec) as (feed, recorder),
    ):
        await until(lambda: recorder.up() == {"BTC/USDT"} and recorder.quotes)
        simulator.inject(f"{key}:quiet")
        await until(lambda: feed.status()["counts"].get("silence_tests", 0) >= 4)
        assert simulator.counts(key)["opened"] == 1
        assert states(recorder.states) == ["up"]
        before = len(recorder.quotes)
        await asyncio.sleep(SILENCE_S / 4)
        assert len(recorder.quotes) == before
        since = time.monotonic()
        simulator.inject(f"{key}:silence")
        await until(lambda: states(recorder.states) == ["up", "down"])
        assert time.monotonic() - since < 2 * SILENCE_S
        simulator.heal()
        await until(lambda: recorder.up() == {"BTC/USDT"}, seconds=10)


def states(events: Sequence[tuple[str, tuple[str, ...], str]]) -> list[str]:
    return [state for state, _, _ in events]
