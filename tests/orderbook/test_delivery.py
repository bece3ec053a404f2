"""Batches on their way into the database: whatever becomes of it or of them, each row is there once."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from arbsite.desk import embedded
from orderbook.ingest.delivery import Delivery
from orderbook.ingest.events import StoreEvent
from orderbook.ingest.spill import Spill
from orderbook.store.plain import PlainEngine
from tests.orderbook.conftest import EMPTY, connect
from tests.orderbook.test_store import quote, rows, trade
from tests.support.live import until

pytestmark = pytest.mark.django_db(transaction=True)

ROOM = 10**9


class OwnServer:
    """A PostgreSQL of its own, to be killed and started again on the same data."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._server = embedded.postgres(home)
        self._running = ExitStack()
        self.start()
        with self.connect() as connection, connection.transaction():
            PlainEngine().create(connection)

    def start(self) -> None:
        self._running.enter_context(embedded.running(self._server, self._home / "log"))

    def stop(self) -> None:
        self._running.close()

    def kill(self) -> None:
        """Kill it as a machine that loses its power does."""
        pid = int((self._server.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self.stop()

    def connect(self) -> psycopg.Connection[Any]:
        socket_dir = embedded.run_dir(embedded.postgres_place(self._home, self._server.user)) / "postgres"
        return psycopg.connect(
            host=str(socket_dir), dbname="postgres", user="postgres", autocommit=True, connect_timeout=2
        )


@pytest.fixture
def server() -> Iterator[OwnServer]:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        server = OwnServer(Path(place))
        yield server
        server.stop()


def replayed(delivery: Delivery) -> bool:
    """Whether nothing waits on disk any more."""
    if delivery.can_replay:
        delivery.replay()
    return not delivery.spill


def test_nothing_is_lost_or_there_twice_while_the_database_is_away(server: OwnServer, tmp_path: Path) -> None:
    delivery = Delivery(server.connect, Spill(tmp_path, ROOM))
    delivery.put([quote(1), quote(2)])
    server.stop()
    delivery.put([quote(3)])
    delivery.put([quote(4)])
    stats = delivery.stats()
    assert (stats["spilled_events"], stats["dropped"]) == (2, 0)
    assert stats["problem"]
    server.start()
    until(lambda: replayed(delivery), "what waits on disk is written")
    delivery.put([quote(5)])
    stats = delivery.stats()
    assert (stats["rows"], stats["spilled_bytes"], stats["problem"]) == (5, 0, "")
    with server.connect() as store:
        assert len(rows(store, "book_ticker")) == 5
    delivery.close()


def test_a_database_that_is_killed_again_and_again_has_every_row_once(
    server: OwnServer, tmp_path: Path
) -> None:
    """Killed in the middle of batches, as a power cut would."""
    delivery = Delivery(server.connect, Spill(tmp_path, ROOM))
    put: list[int] = []
    end = threading.Event()

    def write() -> None:
        while not end.wait(0.01):
            batch = [quote(len(put) * 500 + number) for number in range(500)]
            delivery.put(batch)
            put.append(len(batch))
            replayed(delivery)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(3):
            before = len(put)
            until(lambda before=before: len(put) > before + 5, "it writes again")  # type: ignore[misc]
            server.kill()
            server.start()
    finally:
        end.set()
        writing.join()
    until(lambda: replayed(delivery), "what waits on disk is written")
    with server.connect() as store:
        [(count, distinct)] = store.execute(
            "SELECT count(*), count(DISTINCT received_at) FROM marketdata.book_ticker"
        ).fetchall()
    assert count == distinct == sum(put)
    delivery.close()


def test_what_a_process_has_left_on_disk_is_written_by_the_next(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    first = Delivery(_refused, Spill(tmp_path, ROOM))
    first.put([quote(1)])
    first.close()
    second = Delivery(connect, Spill(tmp_path, ROOM))
    second.adopt()
    second.put([quote(2)])
    until(lambda: replayed(second), "what waits on disk is written")
    assert len(rows(store, "book_ticker")) == 2
    second.close()


def _refused() -> psycopg.Connection[Any]:
    raise psycopg.OperationalError("nobody is there")


def test_a_row_that_postgresql_refuses_is_set_aside_and_the_rest_is_written(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    store.execute("ALTER TABLE marketdata.trades ADD CONSTRAINT small CHECK (price < 1000)")
    try:
        delivery = Delivery(connect, Spill(tmp_path, ROOM))
        delivery.put([trade(at, 2000 if at == 5 else 1, 1) for at in range(9)])
        stats = delivery.stats()
        assert (stats["rows"], stats["set_aside"]) == (8, {"refused (23514)": 1})
        assert (stats["spilled_events"], stats["problem"]) == (0, "")
        delivery.close()
    finally:
        store.execute("ALTER TABLE marketdata.trades DROP CONSTRAINT small")


def test_a_disk_that_is_full_loses_what_the_database_does_not_take_and_says_so(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    delivery = Delivery(_refused, Spill(in_the_way, ROOM))
    delivery.put([quote(1), quote(2)])
    stats = delivery.stats()
    assert stats["dropped"] == 2
    assert "the disk does not keep" in stats["problem"]
    delivery.close()


EVENTS: list[StoreEvent] = [
    quote(1), quote(1, bid=99.0), quote(2), trade(1, 5, 6), trade(2, 5, 6), quote(3), quote(60_000_001),
]  # fmt: skip


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.permutations(range(len(EVENTS))),
    st.lists(st.lists(st.integers(0, len(EVENTS) - 1), max_size=6), max_size=6),
    st.lists(st.booleans(), max_size=12),
)
def test_whatever_is_delivered_twice_or_out_of_order_the_table_is_that_of_once(
    store: psycopg.Connection[Any],
    tmp_path_factory: pytest.TempPathFactory,
    order: list[int],
    again: list[list[int]],
    away: list[bool],
) -> None:
    """Through the disk, too: before each batch the database may go, or come back."""
    store.execute(EMPTY)
    gone = [False]

    def reached() -> psycopg.Connection[Any]:
        return _refused() if gone[0] else connect()

    delivery = Delivery(reached, Spill(tmp_path_factory.mktemp("spill"), ROOM))
    batches = [[number] for number in order] + [batch for batch in again if batch]
    for number, batch in enumerate(batches):
        gone[0] = number < len(away) and away[number]
        if gone[0]:
            delivery.disconnect()
        delivery.put([EVENTS[each] for each in batch])
        replayed(delivery)
    gone[0] = False
    until(lambda: replayed(delivery), "what waits on disk is written")
    found = rows(store, "book_ticker", "received_at, bid"), rows(store, "trades", "received_at, price")
    assert [len(each) for each in found] == [5, 2]
    assert [bid for _at, bid in found[0]] == [99.0, 100.0, 100.0, 100.0, 100.0]
    delivery.close()
