"""Everything that can be broken on purpose breaks as ordered, and heals."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import aiohttp
import pytest

from simulator.faults import Fault, FaultError, parse
from simulator.server import Simulator
from tests.support.exchanges.simulator_client import Client, Closed, best, connect, subscribe_quotes


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Three exchanges, quoting fast."""
    async with Simulator(exchanges=["okx", "gate", "bybit"], rate=50) as simulator:
        yield simulator


async def raw_quotes(client: Client, count: int) -> list[str]:
    """The next frames of the socket that are not acks."""
    frames: list[str] = []
    async with asyncio.timeout(10):
        while len(frames) < count:
            frame = await client.text()
            if '"event":"subscribe"' not in frame:
                frames.append(frame)
    return frames


async def quiet(client: Client, seconds: float = 0.15) -> bool:
    """Whether nothing comes for a while (several times the spacing of quotes)."""
    try:
        await client.raw(seconds)
    except TimeoutError:
        return True
    return False


def test_faults_are_read_as_they_are_written() -> None:
    spec = (
        "okx:silence@30+20, bybit:drop@60,mexc:malformed=0.01,gate:slow=500ms,kucoin:skew=+3s,all:storm@90+10"
    )
    assert [(f.exchange, f.kind, f.value, f.start, f.duration) for f in parse(spec)] == [
        ("okx", "silence", 0.0, 30.0, 20.0),
        ("bybit", "drop", 0.0, 60.0, None),
        ("mexc", "malformed", 0.01, 0.0, None),
        ("gate", "slow", 0.5, 0.0, None),
        ("kucoin", "skew", 3.0, 0.0, None),
        (None, "storm", 1.0, 90.0, 10.0),
    ]
    assert parse("gate/BTC/USDT:delist")[0].symbol == "BTC/USDT"
    assert parse("kucoin:skew=-250ms+5")[0] == Fault(
        "skew", "kucoin", None, -0.25, 0.0, 5.0, "kucoin:skew=-250ms+5"
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("okx", "write exchange[/SYMBOL]:kind"),
        ("nope:drop", "no exchange 'nope'; there are all, binance"),
        ("okx:nope", "no kind 'nope'; there are drop"),
        ("okx:slow", "slow needs a value"),
        ("okx:slow=fast", "'fast' is not a number"),
        ("okx:drop=3", "drop takes no value"),
        ("okx:malformed=2", "share above 0 up to 1"),
        ("okx:refuse=200", "status from 400 to 599"),
        ("okx:storm=0", "a time above 0"),
        ("okx:delist", "delist needs a symbol"),
        ("okx/BTC/USDT:drop", "breaks a whole exchange"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_the_remedy(spec: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        parse(spec)
    assert words in str(caught.value)
    assert repr(spec) in str(caught.value)


async def test_drop_cuts_without_a_close_frame_and_only_that_exchange(sim: Simulator) -> None:
    async with connect(sim, "okx") as okx, connect(sim, "gate") as gate:
        await subscribe_quotes(gate, "gate")
        sim.inject("okx:drop")
        assert (await okx.end()).code == 1006
        await raw_quotes(gate, 3)
    async with connect(sim, "okx") as again:
        await subscribe_quotes(again, "okx")
        await raw_quotes(again, 1)


async def test_drop_with_a_duration_cuts_new_connections_too(sim: Simulator) -> None:
    faults = sim.inject("okx:drop+60")
    async with connect(sim, "okx") as client:
        assert (await client.end()).code == 1006
    sim.heal(faults)
    async with connect(sim, "okx") as client:
        await subscribe_quotes(client, "okx")
        await raw_quotes(client, 1)


async def test_silence_keeps_the_socket_open_and_answers_nothing(sim: Simulator) -> None:
    async with connect(sim, "okx") as client:
        await subscribe_quotes(client, "okx")
        await raw_quotes(client, 3)
        sim.inject("okx:silence+0.5")
        while not await quiet(client, 0.1):
            pass
        await client.send("ping")
        assert await quiet(client)
        await raw_quotes(client, 1)  # it ends by itself
        assert sim.connections("okx") == 1


async def test_one_symbol_can_be_silent(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        sim.inject("gate/BTC/USDT:silence")
        await subscribe_quotes(client, "gate", "ETH/USDT")
        await subscribe_quotes(client, "gate", "BTC/USDT")
        frames = await raw_quotes(client, 20)
        first = json.loads(frames[0])["result"]["s"]
        assert first in ("ETH_USDT", "BTC_USDT")
        assert [json.loads(frame)["result"]["s"] for frame in frames].count("BTC_USDT") <= 1  # the greeting


async def test_slow_delays_every_frame(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        sim.inject("gate:slow=300ms")
        began = time.monotonic()
        await subscribe_quotes(client, "gate")
        frame = json.loads((await raw_quotes(client, 1))[0])
        assert 0.3 <= time.monotonic() - began < 2
        assert time.time() - frame["result"]["t"] / 1000 >= 0.3


async def test_malformed_frames_are_a_share(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        sim.inject("gate:malformed=0.5")
        await subscribe_quotes(client, "gate")
        whole = 0
        for frame in await raw_quotes(client, 60):
            with contextlib.suppress(ValueError):
                whole += bool(json.loads(frame))
        assert 10 < whole < 50


async def test_duplicates_come_twice_and_out_of_order_ones_after_their_successor(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        await subscribe_quotes(client, "gate")
        faults = sim.inject("gate:duplicate=1")
        frames = await raw_quotes(client, 24)
        assert len(set(frames)) <= 14
        sim.heal(faults)
        sim.inject("gate:out-of-order=0.5")
        numbers = [json.loads(frame)["result"]["u"] for frame in await raw_quotes(client, 40)]
        later = [b - a for a, b in pairwise(numbers)]
        assert -1 in later
        assert min(later) == -1


_BROKEN: dict[str, Callable[[dict[str, str]], bool]] = {
    "gate:crossed=1": lambda row: float(row["b"]) > float(row["a"]),
    "gate:zero=1": lambda row: (row["b"], row["B"]) == ("0", "0"),
    "gate:one-sided=1": lambda row: (row["b"], row["B"]) == ("", ""),
}


async def test_crossed_zero_and_one_sided_quotes(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        await subscribe_quotes(client, "gate")
        await raw_quotes(client, 2)
        for spec, broken in _BROKEN.items():
            faults = sim.inject(spec)
            while not broken((await client.until(lambda f: f["event"] == "update"))["result"]):
                pass
            sim.heal(faults)
    async with connect(sim, "okx") as client:
        sim.inject("okx:one-sided=1")
        await subscribe_quotes(client, "okx")
        frame = await client.until(lambda f: "data" in f and not f["data"][0]["bids"])
        assert len(frame["data"][0]["asks"]) == 1


async def test_the_clock_can_be_wrong_and_a_book_frozen(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        await subscribe_quotes(client, "gate")
        faults = sim.inject("gate:skew=-30s")
        await client.until(lambda f: f["event"] == "update" and f["time_ms"] / 1000 < time.time() - 25)
        sim.heal(faults)
        sim.inject("gate:frozen=1320s")
        frame = await client.until(
            lambda f: f["event"] == "update" and f["time_ms"] - f["result"]["t"] > 1_300_000
        )
        assert abs(frame["time_ms"] / 1000 - time.time()) < 10


async def test_a_storm_cuts_again_and_again(sim: Simulator) -> None:
    sim.inject("okx:storm=50ms")
    for _ in range(3):
        async with connect(sim, "okx") as client:
            assert (await client.end()).code == 1006
    sim.heal()
    async with connect(sim, "okx") as client:
        assert await quiet(client)


async def test_a_delisted_symbol_goes_quiet_and_cannot_be_subscribed(sim: Simulator) -> None:
    async with connect(sim, "okx") as client:
        await subscribe_quotes(client, "okx")
        await raw_quotes(client, 2)
        sim.inject("okx/BTC/USDT:delist")
        while not await quiet(client):
            pass
        await subscribe_quotes(client, "okx")
        assert (await client.json())["code"] == "60018"


async def test_refuse_answers_with_the_status_and_when_to_come_back(sim: Simulator) -> None:
    sim.inject("okx:refuse=429+30")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connect(sim, "okx"):
            pass
    assert caught.value.status == 429
    assert caught.value.headers is not None
    assert 25 <= int(caught.value.headers["Retry-After"]) <= 30
    async with (
        aiohttp.ClientSession() as http,
        http.get(sim.rest_url("okx") + "/api/v5/public/time") as response,
    ):
        assert response.status == 429


async def test_faults_can_be_given_and_healed_over_http(sim: Simulator) -> None:
    address = sim.url + "/control/faults"
    async with aiohttp.ClientSession() as http, connect(sim, "okx") as client:
        async with http.post(address, data='{"faults": "okx:silence"}') as response:
            assert await response.json() == {"faults": ["okx:silence"]}
        await subscribe_quotes(client, "okx")
        assert await quiet(client)
        async with http.delete(address) as response:
            assert await response.json() == {"faults": []}
        await subscribe_quotes(client, "okx")
        await raw_quotes(client, 1)
        async with http.post(address, data='{"faults": "okx:nope"}') as response:
            assert response.status == 400
            assert "no kind 'nope'" in (await response.json())["error"]
        async with http.post(address, data="nonsense") as response:
            assert response.status == 400
        async with http.delete(address, headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403


async def test_faults_given_at_the_start_begin_when_they_should() -> None:
    async with (
        Simulator(exchanges=["okx"], rate=50, faults="okx:drop@0.4") as sim,
        connect(sim, "okx") as client,
    ):
        began = time.monotonic()
        await subscribe_quotes(client, "okx")
        await raw_quotes(client, 3)
        assert (await client.end()).code == 1006
        assert time.monotonic() - began < 3


async def test_the_other_exchanges_do_not_notice(sim: Simulator) -> None:
    async with connect(sim, "bybit") as client:
        sim.inject("okx:silence,okx:malformed=1,gate:storm=50ms,gate:crossed=1")
        await subscribe_quotes(client, "bybit")
        for frame in await raw_quotes(client, 10):
            numbers = best("bybit", frame)
            assert numbers is None or numbers[0] < numbers[2]
        with pytest.raises(TimeoutError):
            await client.end(0.3)


async def test_closed_is_distinguished_from_silence(sim: Simulator) -> None:
    async with connect(sim, "okx") as client:
        sim.inject("okx:drop")
        with pytest.raises(Closed):
            await client.raw()
