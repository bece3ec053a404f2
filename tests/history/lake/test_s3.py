"""The lake in an object store: S3 on loopback, two collectors at once, and a store that goes away."""

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.request import Request, urlopen

import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from history.lake.tables import Lake
from history.write import sink as sink_module
from markets.config import Shard
from tests.support.lakes.lake import bids, lake_sink, rows


class Store:
    """A local S3 server with one bucket, which can go away and come back with all it had."""

    def __init__(self) -> None:
        self._port = 0
        self.start()
        self.options = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "desk",
            "AWS_SECRET_ACCESS_KEY": "not a secret",
        }
        urlopen(Request(f"{self.url}/moto-api/reset", method="POST"))
        urlopen(Request(f"{self.url}/bucket", method="PUT"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store()
    settings.LAKE_URL = "s3://bucket/desk"
    settings.LAKE_STORAGE_OPTIONS = store.options
    yield store
    store.stop()


async def test_two_collectors_at_once_lose_and_double_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "FLUSH_S", 0.02)
    async with lake_sink(shard=Shard(1, 2)) as one, lake_sink(shard=Shard(2, 2)) as other:
        for turn in range(10):
            one.quotes(50, first=1 + 50 * turn)
            other.quotes(50, first=1001 + 50 * turn)
            await one.until_written(50 * (turn + 1))
            await other.until_written(50 * (turn + 1))
        assert (await one.finish())["failures"] == (await other.finish())["failures"] == 0
    lake = Lake.from_settings()
    assert bids(lake) == [*range(1, 501), *range(1001, 1501)]
    started = rows(lake, "stream_states").filter(pl.col("state") == "up")
    assert len(started) == 2


async def test_a_store_that_goes_away_is_waited_for_and_its_absence_is_a_gap(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "FLUSH_S", 0.02)
    monkeypatch.setattr(sink_module, "RETRY_CEILING_S", 0.25)
    monkeypatch.setattr(sink_module, "FLUSH_ROWS", 1000)
    async with lake_sink(capacity=1000) as writing:
        writing.quotes(10)
        await writing.until_written(10)
        with ExitStack() as absence:
            store.stop()
            absence.callback(store.start)
            last = 10
            while not writing.channel.dropped:
                writing.quotes(100, first=last + 1)
                last += 100
                await writing.until(lambda stats: stats["pending_rows"])
            await writing.until(lambda stats: stats["problem"])
        await writing.until(lambda stats: not stats["problem"])
        stats = await writing.finish()
    lake = Lake.from_settings()
    there = bids(lake)
    assert len(there) == len(set(there)) == last - stats["events_lost"]
    gaps = rows(lake, "stream_states").filter(pl.col("state") == "gap")
    assert set(gaps["dropped"]) == {stats["events_lost"]}
