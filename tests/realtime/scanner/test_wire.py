"""From the scanner's legs to the columns a web process reads: nothing is lost on the way."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import msgspec
import numpy as np
import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from arbsite.desk import embedded
from core.redis_client import async_redis
from engine.scan.legs import Leg
from markets.config import Shard
from realtime.scanner import wire as scan_wire
from realtime.scanner.columns import LegColumns
from realtime.scanner.publisher import ScanPublisher
from realtime.scanner.wire import Directory, Frame, LegName, ShardScan, State
from tests.support.scan.market import BOOT_NS, EXCHANGES, MS, Desk, config, everywhere, listing

BTC = "BTC/USDT"
PRICES = ("bid", "ask", "bid_size", "ask_size", "scale", "gap_ms")
events = st.tuples(
    st.integers(0, 4),
    st.sampled_from(["quote", "down", "up", "gap"]),
    st.floats(0.1, 1e6),
    st.integers(0, 500),
)


def assert_same(row: np.void, leg: Leg) -> None:
    for name in PRICES:
        assert row[name] == pytest.approx(getattr(leg, name), nan_ok=True)
    assert (row["up"], row["jumped"]) == (leg.up, leg.jumped)
    assert row["received_ts_us"] == leg.received_ts_us


class Reader:
    """State of a web process after the state and the frames, and the scanner that wrote them."""

    def __init__(self) -> None:
        listed = [*everywhere(BTC), listing("okx", "1000PEPE/USDT", counts_as="PEPE/USDT", multiplier=1e3),
                  listing("gate", "PEPE/USDT")]  # fmt: skip
        self.desk = Desk(config(listed))
        self.legs = self.desk.scanner.legs
        self.columns = LegColumns(self.legs)
        names = [LegName(leg.exchange, leg.listing.symbol, leg.listing.counts_as) for leg in self.legs]
        self.columns.update(self.desk.scanner.take_changed(), 1)
        pairs = np.array(list(self.desk.scanner.pair_legs()), "<i4").tobytes()
        self.directory = Directory("1/1", 7, 1, names, pairs)
        self.seq = 10
        self.scan = ShardScan(self.directory, self.state(1), None, 0, 0.0)

    def state(self, now_ns: int) -> State:
        return State(7, self.seq, 0, self.columns.all(now_ns).tobytes())

    def frame(self, now_ns: int) -> Frame:
        indices, rows = self.columns.update(self.desk.scanner.take_changed(), now_ns)
        self.seq += 1
        return Frame("1/1", 7, self.seq, self.seq - 1, 0, indices.tobytes(), rows.tobytes())


@given(st.lists(st.lists(events, max_size=6), max_size=6))
@settings(max_examples=60, deadline=None)
def test_state_and_frames_say_what_the_legs_are(batches: list[list[tuple[int, str, float, int]]]) -> None:
    reader = Reader()
    now_ms = 0
    now_ns = BOOT_NS
    for batch in batches:
        for chosen, kind, price, wait_ms in batch:
            now_ms += wait_ms
            leg = reader.legs[chosen % len(reader.legs)]
            if kind == "quote":
                reader.desk.quote(leg.exchange, leg.listing.symbol, price, price * 1.01, at_ms=now_ms)
            else:
                reader.desk.state(leg.exchange, kind, leg.listing.symbol, at_ms=now_ms)
        now_ns = BOOT_NS + now_ms * MS
        frame = reader.frame(now_ns)
        assert reader.scan.apply(scan_wire.decode_frame(scan_wire.encode(frame)), now_ms / 1e3)

    whole = ShardScan(reader.directory, reader.state(now_ns), None, 0, now_ms / 1e3)
    for row, same, leg in zip(reader.scan.legs, whole.legs, reader.legs, strict=True):
        assert_same(row, leg)
        assert_same(same, leg)
    ages = [(now_ns - leg.received_mono_ns) / 1e6 for leg in reader.legs]
    expected = [age if leg.received_mono_ns else np.nan for age, leg in zip(ages, reader.legs, strict=True)]
    for scan in (reader.scan, whole):
        np.testing.assert_allclose(scan.ages_ms(now_ms / 1e3), expected, atol=0.01)


def test_a_pair_names_its_two_legs_in_the_order_of_its_exchanges() -> None:
    reader = Reader()
    for pair, (one, two) in zip(reader.desk.scanner.pairs, reader.scan.pair_legs, strict=True):
        names = reader.directory.legs[one], reader.directory.legs[two]
        assert [name.exchange for name in names] == [pair.pair.exchange1, pair.pair.exchange2]
        assert {name.counts_as for name in names} == {pair.symbol}


def test_a_reader_notices_a_frame_it_missed_and_takes_none_twice() -> None:
    reader = Reader()
    reader.desk.quote("okx", BTC, 100.0, 100.1)
    first = reader.frame(BOOT_NS)
    reader.desk.quote("okx", BTC, 200.0, 200.1)
    second = reader.frame(BOOT_NS)

    assert not reader.scan.apply(second, 0.0), "the first is missing"
    assert reader.scan.apply(first, 0.0)
    assert reader.scan.apply(second, 0.0)
    assert reader.scan.apply(first, 0.0), "known already"
    (row,) = [
        n for n, name in enumerate(reader.directory.legs) if (name.exchange, name.symbol) == ("okx", BTC)
    ]
    assert reader.scan.legs["bid"][row] == 200.0
    other = msgspec.structs.replace(first, layout=8)
    assert not reader.scan.apply(other, 0.0), "another layout"


# --- through a real Redis ------------------------------------------------------------------------


@pytest.fixture
async def redis(empty_redis: Redis) -> AsyncIterator[AsyncRedis]:
    async with AsyncRedis.from_url(django_settings.REDIS_URL) as client:
        yield client


def published(desk: Desk, shard: Shard | None = None) -> ScanPublisher:
    publisher = ScanPublisher(shard or Shard(), desk.scanner)
    publisher.configure(revision=3)
    return publisher


def mids(scan: ShardScan) -> dict[str, float]:
    rows = zip(scan.directory.legs, scan.legs, strict=True)
    return {name.exchange: (row["bid"] + row["ask"]) / 2 for name, row in rows}


async def test_a_web_process_has_the_table_at_once_and_then_receives_what_changes(redis: AsyncRedis) -> None:
    desk = Desk(config(everywhere(BTC)))
    for exchange in EXCHANGES:
        desk.quote(exchange, BTC, 100.0, 102.0)
    publisher = published(desk)
    await publisher.flush()
    async with redis.pubsub() as frames:
        await frames.subscribe(scan_wire.FRAMES)
        assert await frames.get_message(timeout=5)
        (scan,) = (await scan_wire.read_scan(redis)).values()

        desk.quote("okx", BTC, 200.0, 202.0, at_ms=1)
        await publisher.flush()
        message = await frames.get_message(ignore_subscribe_messages=True, timeout=5)
        frame = scan_wire.decode_frame(message["data"])

    assert (scan.shard, scan.directory.revision, len(scan.pairs)) == ("1/1", 3, 6)
    assert mids(scan) == dict.fromkeys(EXCHANGES, 101.0)
    assert len(frame.rows) == scan_wire.LEG_ROW.itemsize, "one leg changed"
    assert scan.apply(frame, time.monotonic())
    assert mids(scan)["okx"] == 201.0
    await publisher.aclose()


async def test_while_nobody_listens_no_frame_is_made_and_nothing_is_lost(redis: AsyncRedis) -> None:
    desk = Desk(config(everywhere(BTC)))
    publisher = published(desk)
    await publisher.flush()
    desk.quote("okx", BTC, 200.0, 202.0)
    await publisher.flush()
    assert publisher.frames == 0

    async with redis.pubsub() as frames:
        await frames.subscribe(scan_wire.FRAMES)
        assert await frames.get_message(timeout=5)
        (scan,) = (await scan_wire.read_scan(redis)).values()
        await publisher.flush()
        message = await frames.get_message(ignore_subscribe_messages=True, timeout=5)

    assert scan.apply(scan_wire.decode_frame(message["data"]), time.monotonic())
    assert mids(scan)["okx"] == 201.0
    await publisher.aclose()


async def test_a_new_configuration_is_written_whole_at_once(redis: AsyncRedis) -> None:
    desk = Desk(config(everywhere(BTC)))
    publisher = published(desk)
    await publisher.flush()
    (before,) = (await scan_wire.read_scan(redis)).values()

    desk.configure(config(everywhere(BTC, "ETH/USDT")))
    publisher.configure(revision=4)
    await publisher.flush()

    (after,) = (await scan_wire.read_scan(redis)).values()
    assert (len(before.legs), len(after.legs), after.directory.revision) == (4, 8, 4)
    assert after.layout > before.layout
    assert after.seq > before.seq
    await publisher.aclose()


@pytest.mark.parametrize("ahead_s", [3600, -3600])
async def test_a_collector_that_starts_again_is_newer_than_the_one_before_whatever_their_clocks(
    redis: AsyncRedis, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    now_ns = time.time_ns()
    before, after = Desk(config(everywhere(BTC))), Desk(config(everywhere(BTC)))
    with monkeypatch.context() as earlier:
        earlier.setattr("realtime.scanner.publisher.time.time_ns", lambda: now_ns + ahead_s * 10**9)
        first = published(before)
        for at_ms in range(3):
            before.quote("okx", BTC, 100.0, 102.0, at_ms=at_ms)
            await first.flush()
    (old,) = (await scan_wire.read_scan(redis)).values()
    await first.aclose()

    second = published(after)
    await second.flush()
    (new,) = (await scan_wire.read_scan(redis)).values()
    assert (new.layout > old.layout, new.seq > old.seq) == (True, True)
    assert new.layout <= new.seq
    second.configure(revision=4)
    await second.flush()
    (newest,) = (await scan_wire.read_scan(redis)).values()
    assert newest.layout > new.seq
    await second.aclose()


async def test_a_redis_that_comes_back_gets_everything_again(
    settings: object, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path_factory.mktemp("redis")
    server = embedded.redis(home)
    settings.REDIS_URL = server.url  # type: ignore[attr-defined]
    desk = Desk(config(everywhere(BTC)))
    publisher = published(desk)
    with caplog.at_level(logging.INFO, "realtime.scanner.publisher"):
        for _ in range(3):
            await publisher.flush()
        assert publisher.failed == 3
        for lives in range(2):  # the second starts empty: it keeps nothing on disk
            desk.quote("okx", BTC, 200.0, 202.0, at_ms=lives)
            with embedded.running(server, home / "redis.log"):
                await publisher.flush()
                async with async_redis() as redis:
                    (scan,) = (await scan_wire.read_scan(redis)).values()
                assert mids(scan)["okx"] == 201.0
            await publisher.flush()
    assert [record.levelname for record in caplog.records].count("ERROR") == 3, "once per outage"
    await publisher.aclose()


async def test_a_shard_without_the_stablecoin_receives_its_rate_from_the_one_that_has_it(
    redis: AsyncRedis,
) -> None:
    market = config(
        [listing("binance", "BTC/USDC", counts_as=BTC), listing("okx", BTC), listing("gate", "USDC/USDT")]
    )
    one, two = Desk(config([])), Desk(config([]))
    one.scanner.configure(market, lambda symbol: symbol == BTC, 0, 0)
    two.scanner.configure(market, lambda symbol: symbol != BTC, 0, 0)
    two.quote("gate", "USDC/USDT", 0.5, 0.7)
    assert ([leg.exchange for leg in one.scanner.legs], two.scanner.legs) == (["binance", "okx"], [])
    writing, reading = published(two, Shard(2, 2)), published(one, Shard(1, 2))

    await writing.flush()
    await reading.flush()
    now_us = time.time_ns() // 1000
    one.scanner.tick(now_us, 0)

    assert one.scanner.rates.current == {("USDC", "USDT"): pytest.approx(0.6)}
    assert set(await scan_wire.read_scan(redis)) == {"1/2", "2/2"}
    await writing.aclose()
    await reading.aclose()


async def test_without_news_there_is_a_sign_of_life_once_a_second(redis: AsyncRedis) -> None:
    publisher = published(Desk(config(everywhere(BTC))))
    async with redis.pubsub() as frames:
        await frames.subscribe(scan_wire.FRAMES)
        assert await frames.get_message(timeout=5)
        await publisher.flush()
        await publisher.flush()
        assert publisher.frames == 1, "nothing changed"
        while publisher.frames < 2:
            await asyncio.sleep(0.05)
            await publisher.flush()
        await frames.get_message(ignore_subscribe_messages=True, timeout=5)
        message = await frames.get_message(ignore_subscribe_messages=True, timeout=5)
    assert scan_wire.decode_frame(message["data"]).rows == b""
    await publisher.aclose()
