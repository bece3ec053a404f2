"""One collector per shard: a second one stands by and takes over from one that ends, dies or hangs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from math import gcd
from pathlib import Path

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import connection, connections, transaction
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    WatchError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

import collectors.lease as lease_module
from collectors.lease import (
    HolderUnknown,
    Lease,
    LeaseLost,
    Outbid,
    is_gone,
    lease_name,
    own_place,
    why_not_written,
)
from history.lake.tables import Lake
from history.write.appending import Appender
from markets.config import Shard
from markets.leases import ShardLease
from opportunities.sink import Work, _write
from tests.history.lake.test_appending import quotes
from tests.support.lakes.lake import rows

ONE = Shard(1, 1)
FEW_S = 10.0
"""Takeover is promised within 5 s on a machine that has nothing else to do."""


# --- shards that overlap -------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_shards_overlap_where_there_is_a_number_that_both_own(
    one: int, two: int, data: st.DataObject
) -> None:
    first = Shard(data.draw(st.integers(1, one)), one)
    second = Shard(data.draw(st.integers(1, two)), two)
    both = any(n % one == first.index - 1 and n % two == second.index - 1 for n in range(one * two))
    assert first.overlaps(second) == second.overlaps(first) == both
    assert gcd(one, two) > 1 or both


# --- in words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (LeaseLost("another collector has taken over shard 1/1"), "another collector has taken over shard"),
        (HolderUnknown("PostgreSQL does not say who holds shard 1/1: x"), "PostgreSQL does not say who"),
        (WatchError("Watched variable changed."), "the lease was renewed or taken over that moment"),
        (RedisConnectionError("Connection refused"), "Redis does not answer (Connection refused)"),
        (TimeoutError(), "Redis does not answer (it takes too long)"),
        (ConnectionResetError(104, "Connection reset by peer"), "Redis does not answer ("),
        (OutOfMemoryError("command not allowed"), "Redis refuses (command not allowed)"),
        (ReadOnlyError("You can't write against a read only replica."), "Redis refuses (You can't write"),
        (NoPermissionError("no permissions to run the 'set' command"), "Redis refuses (no permissions"),
        (AuthenticationError("invalid username-password pair"), "Redis refuses (invalid username-password"),
        (BusyLoadingError("Redis is loading the dataset in memory"), "Redis refuses (Redis is loading"),
    ],
)  # fmt: skip
def test_what_keeps_a_write_out_of_redis_is_said_as_it_is(problem: Exception, words: str) -> None:
    assert why_not_written(problem, ONE).startswith(words)


# --- the lease, in PostgreSQL --------------------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[None]:
    """Leases look as if they were held on another machine: nobody can see whether their holders live."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease_module, "own_place", lambda: "elsewhere:1 1 1")
        yield


@pytest.mark.django_db(transaction=True)
class TestLease:
    def test_one_holds_it_and_the_other_learns_who(self, stranger: None) -> None:
        first, second = Lease(ONE), Lease(ONE)
        assert first.take() == ""
        assert f"process {os.getpid()} on" in second.take()
        first.keep()
        first.release()
        assert second.take() == ""
        assert second.token > first.token

    def test_other_shards_are_others_business_unless_they_overlap(self, stranger: None) -> None:
        leases = {text: Lease(Shard.parse(text)) for text in ("1/2", "2/2", "1/4", "4/4", "1/1")}
        assert leases["1/2"].take() == ""
        assert leases["2/2"].take() == ""
        for text in ("1/4", "4/4", "1/1"):
            assert "collects shard" in leases[text].take()

    def test_a_beat_that_stands_still_is_over_and_the_holder_learns_it(
        self, stranger: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        first, second = Lease(ONE, lambda: calls.append("lost")), Lease(Shard(1, 2))
        first.take()
        assert second.take()
        monkeypatch.setattr(lease_module, "SILENT_S", 0.3)
        deadline = time.monotonic() + FEW_S
        while second.take():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first._renew()
        assert calls == ["lost"]
        with pytest.raises(LeaseLost, match="another collector has taken over shard 1/1"):
            first.check()
        assert second.names == ("1/2", "1/1"), "nothing is written in the old one's name either"

    def test_a_beat_that_goes_on_is_not_over(self, stranger: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lease_module, "SILENT_S", 0.2)
        first, second = Lease(ONE), Lease(ONE)
        first.take()
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            first._renew()
            assert second.take()
            time.sleep(0.05)

    def test_while_the_waiting_one_stood_still_nobody_was_silent(
        self, stranger: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = Lease(ONE), Lease(ONE)
        first.take()
        assert second.take()
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s + 3600.0)
        assert second.take(), "it slept for an hour, or PostgreSQL did: that says nothing of the holder"

    @pytest.mark.parametrize("by_s", [-365 * 86_400.0, 365 * 86_400.0])
    def test_no_wall_clock_is_asked(
        self, stranger: None, monkeypatch: pytest.MonkeyPatch, by_s: float
    ) -> None:
        first, second = Lease(ONE), Lease(ONE)
        first.take()
        assert second.take()
        monkeypatch.setattr(time, "time", lambda: by_s)
        first._renew()
        assert second.take()
        assert not first.lost

    def test_tokens_rise_over_all_shards_and_survive_what_redis_forgets(self, stranger: None) -> None:
        tokens = []
        for shard in (Shard(1, 2), Shard(2, 2), Shard(1, 2)):
            lease = Lease(shard)
            lease.take()
            lease.keep()
            lease.release()
            tokens.append(lease.token)
        assert tokens == sorted(set(tokens))
        assert ShardLease.objects.filter(holder="").count() == 2

    def test_who_was_replaced_cannot_give_the_lease_back(self, stranger: None) -> None:
        first, second = Lease(ONE), Lease(ONE)
        first.take()
        ShardLease.objects.update(holder="")
        second.take()
        first.keep()
        first.release()
        assert "process" in Lease(ONE).take()

    def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(self) -> None:
        gone = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        pid_place = own_place().split(" ")[0], str(gone.pid), lease_module._started(gone.pid)
        ShardLease.objects.create(shard="1/1", token=7, holder="process 1 on it", place=" ".join(pid_place))
        assert Lease(ONE).take()
        gone.kill()
        deadline = time.monotonic() + FEW_S
        while not is_gone(" ".join(pid_place)):  # also before its parent has buried it
            assert time.monotonic() < deadline
        lease = Lease(ONE)
        assert lease.take() == ""
        assert lease.token == 8
        gone.wait()
        assert is_gone(" ".join(pid_place))

    @pytest.mark.parametrize("place", ["", "elsewhere:1 1 1", "nonsense", "a b c d", "x:y z"])
    def test_of_another_machine_it_is_unknown(self, place: str) -> None:
        assert not is_gone(place)
        assert not is_gone(own_place())
        machine, pid, _started = own_place().split(" ")
        assert is_gone(f"{machine} {pid} 1"), "another process has its number now"

    def test_a_row_that_was_deleted_ends_the_holder(self, stranger: None) -> None:
        lease = Lease(ONE)
        lease.take()
        ShardLease.objects.all().delete()
        lease._renew()
        assert lease.lost

    def test_episodes_are_not_written_by_a_replaced_collector(self, stranger: None) -> None:
        lease = Lease(ONE)
        lease.take()
        lease.keep()
        work = Work({}, {}, frozenset(), True, 0)
        try:
            assert _write(ONE, work) == 0
            ShardLease.objects.update(token=lease.token + 1)
            with pytest.raises(LeaseLost):
                _write(ONE, work)
        finally:
            lease.release()

    def test_nobody_takes_over_in_the_middle_of_a_write(self, stranger: None) -> None:
        first, second = Lease(ONE), Lease(ONE)
        first.take()
        with transaction.atomic():
            first.hold_in_database()
            with connection.cursor() as cursor:
                cursor.execute("SHOW idle_in_transaction_session_timeout")
                assert cursor.fetchone() == ("4s",)
            first._renew()  # a write that takes long is no silence
            assert not first.lost
            second._is_over = lambda row: True  # type: ignore[method-assign]
            with pytest.raises(psycopg.Error, match=r"lock timeout|statement timeout"):
                second.take()
        connections.close_all()


# --- where it is written ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestFences:
    async def test_redis_takes_nothing_from_a_replaced_collector(
        self, stranger: None, empty_redis: Redis
    ) -> None:
        first, second = Lease(ONE), Lease(ONE)
        await sync_to_async(first.take)()
        async with AsyncRedis.from_url(django_settings.REDIS_URL) as redis:
            await first.plant(redis)
            async with redis.pipeline() as pipe:
                await first.guard(pipe)
                pipe.set("x", "first")
                await pipe.execute()
            await ShardLease.objects.aupdate(holder="")
            await sync_to_async(second.take)()
            async with redis.pipeline() as pipe:
                await first.guard(pipe)
                pipe.set("x", "late")
                await second.plant(redis)  # in the middle of it
                with pytest.raises(WatchError):
                    await pipe.execute()
            async with redis.pipeline() as pipe:
                with pytest.raises(LeaseLost):
                    await first.guard(pipe)
            assert first.lost
            assert await redis.get("x") == b"first"
            assert await redis.get(lease_name("1/1")) == str(second.token).encode()

    async def test_a_token_of_another_database_is_gone_above(
        self, stranger: None, empty_redis: Redis
    ) -> None:
        """Redis and lake were kept, PostgreSQL started empty: its word goes."""
        lease = Lease(ONE)
        await sync_to_async(lease.take)()
        empty_redis.set(lease_name("1/1"), 1000)
        async with AsyncRedis.from_url(django_settings.REDIS_URL) as redis, redis.pipeline() as pipe:
            await lease.guard(pipe)
            pipe.set("x", "1")
            await pipe.execute()
        assert lease.token == 1001
        assert empty_redis.get(lease_name("1/1")) == b"1001"
        await sync_to_async(lease._renew)()
        assert not lease.lost

    def test_the_lake_takes_nothing_from_a_replaced_collector(self, stranger: None, tmp_path: Path) -> None:
        lake = Lake(str(tmp_path))
        first, second = Lease(ONE), Lease(ONE)
        first.take()
        old = Appender(lake, "quotes", "old", lease=first)
        old.append(quotes(1, 2, 3), 1)
        ShardLease.objects.update(holder="")
        second.take()
        new = Appender(lake, "quotes", "new", lease=second)
        new.begin()
        first._renewed_s -= 10.0  # it stood still
        for _ in range(2):
            with pytest.raises(LeaseLost):
                old.append(quotes(1, 2, 3), 2)
        with pytest.raises(LeaseLost):
            Appender(lake, "quotes", "older", lease=first).append(quotes(1, 2, 3), 1)
        new.append(quotes(1, 2, 3), 1)
        assert len(rows(tmp_path, "quotes")) == 6

    def test_a_lake_of_another_database_is_gone_above(self, stranger: None, tmp_path: Path) -> None:
        lake = Lake(str(tmp_path))
        first = Lease(ONE)
        first.take()
        first.token = 1000
        Appender(lake, "quotes", "before", lease=first).append(quotes(1, 2, 3), 1)
        ShardLease.objects.all().delete()
        lease = Lease(ONE)
        lease.take()
        assert lease.token == 1
        appender = Appender(lake, "quotes", "now", lease=lease)
        appender.begin()
        appender.append(quotes(1, 2, 3), 1)
        assert lease.token > 1000
        assert len(rows(tmp_path, "quotes")) == 6

    def test_without_postgresql_nobody_is_believed(
        self, stranger: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake = Lake(str(tmp_path))
        lease = Lease(ONE)
        lease.take()
        appender = Appender(lake, "quotes", "a", lease=lease)
        appender.append(quotes(1), 1)
        lease.token -= 1  # as if another had written

        def away(_name: str, _answer_s: int) -> None:
            raise psycopg.OperationalError("connection refused")

        with monkeypatch.context() as patch:
            patch.setattr(lease_module, "own_connection", away)
            with pytest.raises(OSError, match="PostgreSQL does not say who holds shard 1/1"):
                Appender(lake, "quotes", "b", lease=lease).append(quotes(1), 1)
        assert not lease.lost

    def test_without_a_lease_nothing_is_asked(self, tmp_path: Path) -> None:
        appender = Appender(Lake(str(tmp_path)), "quotes", "tool")
        appender.begin()
        appender.append(quotes(1), 1)
        assert len(rows(tmp_path, "quotes")) == 1

    def test_compare(self) -> None:
        with pytest.raises(Outbid):
            Lease(ONE).compare(1)
