"""`manage.py collect`: follows the admin without restart, waits for what is missing, stops cleanly."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection, connections
from pytest_django import Settings

from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from markets.config import Shard
from markets.follow.follower import Follower
from markets.follow.runtime import CollectorStatus, collector_statuses
from markets.models import Exchange, Symbol
from markets.seed import seed
from simulator.server import Simulator
from tests.collectors.test_supervisor import KeepingSink, kept
from tests.support.exchanges.tiny_exchange import TIMING, until
from tests.support.live import database_url, promised

BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE")
NOWHERE = "unix:///nonexistent/redis.sock"


@pytest.fixture
async def simulator(transactional_db: None) -> AsyncIterator[Simulator]:
    """Binance and MEXC on loopback, and a database set up for them with five symbols."""
    async with Simulator(exchanges=("binance", "mexc"), rate=20.0) as simulator:
        await sync_to_async(_set_up)(simulator.url)
        yield simulator


def _set_up(url: str) -> None:
    seed(url)
    Exchange.objects.exclude(key__in=("binance", "mexc")).update(enabled=False)
    Symbol.objects.exclude(base__in=BASES).update(enabled=False)
    connections.close_all()


@asynccontextmanager
async def collector(redis_url: str = "", poll_s: float = 60.0) -> AsyncIterator[tuple[Follower, Outlet]]:
    """A collector inside this process. It polls once a minute: what is quick came by the nudge."""
    outlet = Outlet(KeepingSink, Shard(), 100_000)
    supervisor = Supervisor(CODECS, [outlet], Shard(), timing=TIMING)
    follower = Follower(supervisor.apply, redis_url=redis_url, poll_s=poll_s)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(follower.run())
        collecting = tasks.create_task(supervisor.run(stop))
        try:
            yield follower, outlet
        finally:
            stop.set()
            await collecting
            watching.cancel()


def everything(*keys: str, bases: tuple[str, ...] = BASES) -> set[tuple[str, str]]:
    return {(key, f"{base}/USDT") for key in keys for base in bases}


async def enable(row: Exchange | Symbol, enabled: bool) -> None:
    """Enable as the operator does in the admin."""
    row.enabled = enabled
    await sync_to_async(row.save)()


class TestFollowingTheAdmin:
    async def test_disabling_a_symbol_unsubscribes_it_within_2_s_and_keeps_every_socket(
        self, simulator: Simulator
    ) -> None:
        async with collector() as (_, outlet):
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"))
            symbol = await Symbol.objects.aget(name="BTC/USDT")
            await enable(symbol, False)
            await until(lambda: "btcusdt@bookTicker" not in simulator.subscriptions("binance"), 2.0)
            await until(lambda: kept(outlet).up() == everything("binance", "mexc", bases=BASES[1:]), 2.0)
            assert len(simulator.subscriptions("binance")) == 2 * 4
            await enable(symbol, True)
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"), 2.0)
            assert simulator.counts("binance")["opened"] == simulator.counts("mexc")["opened"] == 1

    async def test_disabling_an_exchange_closes_its_sockets_only_and_enabling_brings_it_back(
        self, simulator: Simulator
    ) -> None:
        async with collector() as (_, outlet):
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"))
            mexc = await Exchange.objects.aget(key="mexc")
            await enable(mexc, False)
            await until(lambda: simulator.connections("mexc") == 0, 2.0)
            await until(lambda: kept(outlet).up() == everything("binance"), 2.0)
            assert "exchange disabled" in {why for key, _, _, why in kept(outlet).states if key == "mexc"}
            await enable(mexc, True)
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"), 2.0)
            assert simulator.counts("binance")["opened"] == 1

    async def test_without_redis_the_poll_follows(self, simulator: Simulator) -> None:
        async with collector(NOWHERE, poll_s=0.2) as (_, outlet):
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"))
            await enable(await Exchange.objects.aget(key="mexc"), False)
            await until(lambda: kept(outlet).up() == everything("binance"), 2.0)

    async def test_an_unusable_configuration_leaves_the_last_good_one_running(
        self, simulator: Simulator, settings: Settings
    ) -> None:
        async with collector() as (follower, outlet):
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"))
            good = follower.revision
            assert good is not None
            limit = settings.MAX_OPPORTUNITIES_PER_FILTER
            settings.MAX_OPPORTUNITIES_PER_FILTER = 1
            symbol = await Symbol.objects.aget(name="BTC/USDT")
            await enable(symbol, False)
            await until(lambda: follower.error, 2.0)
            assert f"saved revision {good + 1}" in follower.error
            assert f"running revision {good}" in follower.error
            assert follower.revision == good
            assert kept(outlet).up() == everything("binance", "mexc")
            settings.MAX_OPPORTUNITIES_PER_FILTER = limit
            await enable(symbol, True)
            await until(lambda: follower.revision == good + 2, 2.0)
            assert follower.error == ""

    async def test_an_exchange_that_cannot_be_collected_stops_nothing(self, simulator: Simulator) -> None:
        """An operator can add any exchange; without a codec there is just nothing to collect."""
        async with collector() as (follower, outlet):
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"))
            await Exchange.objects.acreate(key="kraken", name="Kraken", taker_fee_bps=10, maker_fee_bps=10)
            good = follower.revision or 0
            await until(lambda: (follower.revision or 0) > good, 2.0)
            assert follower.error == ""
        assert simulator.counts("binance")["opened"] == 1

    async def test_a_database_that_goes_away_stops_nothing(
        self, simulator: Simulator, unreachable: dict[str, str]
    ) -> None:
        async with collector(poll_s=0.1) as (follower, outlet):
            await until(lambda: kept(outlet).up() == everything("binance", "mexc"))
            unreachable["HOST"] = "/nonexistent"
            await until(lambda: "cannot read the configuration" in follower.error)
            seen = len(kept(outlet).events)
            await until(lambda: len(kept(outlet).events) > seen + 10)
            unreachable.clear()
            await until(lambda: follower.error == "")
        assert simulator.counts("binance")["opened"] == 1


@pytest.fixture
def unreachable() -> Iterator[dict[str, str]]:
    """Database settings laid over the real ones; gone again after the test."""

    class Overlay(dict[str, str]):
        def __setitem__(self, name: str, value: str) -> None:
            super().__setitem__(name, connection.settings_dict[name])
            connection.settings_dict[name] = value

        def clear(self) -> None:
            connection.settings_dict.update(self)
            super().clear()

    overlay = Overlay()
    yield overlay
    overlay.clear()


class TestOptions:
    @pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", ""])
    def test_a_bad_shard_is_refused_with_the_form_it_should_have(self, shard: str) -> None:
        with pytest.raises(CommandError, match=r"--shard takes i/n .* for example 1/4"):
            call_command("collect", "--shard", shard)

    def test_an_unknown_exchange_is_refused_with_those_that_are_known(self) -> None:
        with pytest.raises(CommandError, match=r"--exchanges: unknown kraken; known: binance, bybit"):
            call_command("collect", "--exchanges", "binance,kraken")

    def test_a_sink_that_cannot_be_imported_names_the_setting(self, settings: Settings) -> None:
        settings.COLLECTOR_SINKS = ["realtime.nothing.Here"]
        with pytest.raises(CommandError, match="setting COLLECTOR_SINKS: No module named"):
            call_command("collect")


class Process:
    """`manage.py collect` as an operator starts it."""

    def __init__(self, *options: str, **environment: str) -> None:
        self._options = options
        self._environment = environment
        self.output = ""

    async def __aenter__(self) -> "Process":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "manage.py", "collect", *self._options,
            cwd=django_settings.BASE_DIR, env=os.environ | self._environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *problem: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; returns the exit code and how many seconds it took."""
        started = time.monotonic()
        self._process.send_signal(number)
        code = await asyncio.wait_for(self._process.wait(), 10)
        return code, time.monotonic() - started

    def status(self) -> CollectorStatus | None:
        """Last report of the collector."""
        return next((each for each in collector_statuses() if each.pid == self._process.pid), None)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.output += line.decode()


class TestProcess:
    async def test_it_collects_reports_and_drains_on_sigterm(self, simulator: Simulator) -> None:
        async with Process(DATABASE_URL=database_url()) as process:
            await until(lambda: _states(process) == {"binance": "live", "mexc": "live"}, 20.0)
            status = process.status()
            assert status is not None
            assert (status.shard, status.error) == ("1/1", "")
            assert status.exchanges["binance"]["topics"] == 10
            assert status.exchanges["binance"]["refused_topics"] == []
            assert all(channel["dropped"] == 0 for channel in status.channels.values())
            code, seconds = await process.stop(signal.SIGTERM)
            await until(lambda: simulator.connections("binance") == 0)
        assert (code, seconds < promised(5)) == (0, True)
        assert "Collecting shard 1/1 of all enabled exchanges" in process.output

    async def test_it_waits_for_a_database_that_is_not_there_and_says_what_to_do(self) -> None:
        async with Process(
            DATABASE_URL="postgres:///nothing?host=/nonexistent", REDIS_URL=NOWHERE
        ) as process:
            await until(lambda: "manage.py migrate" in process.output, 20.0)
            await until(lambda: "Redis" in process.output)
            code, seconds = await process.stop(signal.SIGINT)
        assert (code, seconds < promised(5)) == (0, True)
        assert "Traceback" not in process.output
        assert process.output.count("cannot read the configuration") == 1


def _states(process: Process) -> dict[str, str]:
    status = process.status()
    return {key: each["state"] for key, each in status.exchanges.items()} if status else {}
