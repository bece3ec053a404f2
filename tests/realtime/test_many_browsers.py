"""Health of a web process with a thousand browsers: sharing, bounds, and sockets that do not read."""

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import RedisError

from accounts.tokens.tokens import make_token
from arbsite.daphne.crowds import with_backlog
from arbsite.daphne.sockets import frame_head, unmasked
from core.names.chart_ids import parts_of
from core.web import acks, closing
from core.web.closing import Closed
from core.web.pipe import AsgiPipe
from engine.charts.pending import Pending
from engine.charts.points import POINT_COLUMNS, ChartDelta, Points
from markets.config import MarketConfig
from markets.selectors import load_config
from realtime.charts import outlet, wire
from realtime.charts.book import ChartBook
from realtime.charts.recent import Snapshot, Stored, Tail, stamped
from realtime.charts.shared_reads import SharedReads
from realtime.charts.viewer import Viewer
from realtime.charts.waiting import Portion
from tests.support.live import Web, browser, daphne, desk, eventually, promised

BTC, ETH = "BTC/USDT|binance|bybit", "ETH/USDT|binance|bybit"


def points(*stamps_us: float) -> Points:
    rows = np.ones((len(stamps_us), len(POINT_COLUMNS)))
    rows[:, 0] = stamps_us
    return rows


def delta(id: str, *stamps_us: float) -> ChartDelta:
    return chart_message(id, points(*stamps_us))


def chart_message(id: str, rows: Points) -> wire.ChartMessage:
    return wire.ChartMessage(id, *parts_of(id), "live", "", rows)


class Socket:
    """A pipe that keeps what it is given; `ready` says whether the browser takes more."""

    def __init__(self) -> None:
        self.ready = True
        self.sent: list[bytes] = []

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def message(self, number: int = -1) -> dict[str, Any]:
        return dict(json.loads(self.sent[number]))


async def empty(chart_ids: Sequence[str]) -> Snapshot:
    """A store without charts."""
    return Snapshot({}, {})


def watching(pipe: Socket) -> tuple[Viewer, list[Closed]]:
    """A viewer of BTC and ETH whose socket is open, and what it was closed with."""
    closed: list[Closed] = []
    viewer = Viewer(1, pipe, SharedReads(ChartBook(), empty), closed.append)
    viewer.charts = frozenset([BTC, ETH])
    return viewer, closed


# --- one batch, many sockets ---------------------------------------------------------------------


def test_sockets_that_keep_up_share_one_encoding() -> None:
    sockets = [Socket() for _ in range(3)]
    portion = Portion([delta(BTC, 1), delta(ETH, 1)])
    for each in sockets:
        watching(each)[0].push(portion)
    assert sockets[0].sent[0] is sockets[1].sent[0] is sockets[2].sent[0]
    assert [chart["id"] for chart in sockets[0].message()["charts"]] == [BTC, ETH]


def test_one_message_is_out_until_it_is_acked_and_the_next_brings_every_point_since() -> None:
    pipe = Socket()
    viewer, _ = watching(pipe)
    viewer.push(Portion([delta(BTC, 1e6)]))
    viewer.acked(pipe.message()["seq"])
    viewer.push(Portion([delta(BTC, 2e6)]))
    for second in range(3, 10):
        viewer.push(Portion([delta(BTC, second * 1e6), delta(ETH, second * 1e6)]))
    assert len(pipe.sent) == 2, "the second is not acked yet"
    viewer.acked(pipe.message()["seq"])
    stamps = {chart["id"]: chart["timestamps"] for chart in pipe.message()["charts"]}
    assert stamps == {BTC: [*range(3, 10)], ETH: [*range(3, 10)]}


def test_an_ack_of_what_was_never_sent_opens_nothing() -> None:
    pipe = Socket()
    viewer, _ = watching(pipe)
    viewer.push(Portion([delta(BTC, 1)]))
    viewer.acked(pipe.message()["seq"])
    viewer.acked(10**15)
    viewer.push(Portion([delta(BTC, 2)]))
    viewer.push(Portion([delta(BTC, 3)]))
    assert len(pipe.sent) == 2


def test_nothing_is_written_to_a_socket_that_is_backed_up_and_it_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe = Socket()
    viewer, _ = watching(pipe)
    viewer.push(Portion([delta(BTC, 1)]))
    pipe.ready = False
    monkeypatch.setattr(outlet, "NEVER_ACKED_EVERY_S", 0.0)
    for stamp in range(2, 50):
        viewer.push(Portion([delta(BTC, stamp)]))
        viewer.check()
    assert len(pipe.sent) == 1, "it has never acked, but its transport is full"
    monkeypatch.setattr(acks, "ACK_TIMEOUT_S", 0.0)
    with pytest.raises(Closed, match="nothing was read for") as closed:
        viewer.check()
    assert closed.value.code == closing.CLOSE_NO_ACK


def test_who_never_acks_but_reads_is_served_now_and_then_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Socket()
    viewer, _ = watching(pipe)
    viewer.push(Portion([delta(BTC, 1)]))
    viewer.push(Portion([delta(BTC, 2)]))
    viewer.check()
    assert len(pipe.sent) == 1, "half a second has not passed"
    monkeypatch.setattr(outlet, "NEVER_ACKED_EVERY_S", 0.0)
    monkeypatch.setattr(acks, "ACK_TIMEOUT_S", 0.0)
    viewer.check()
    assert len(pipe.sent) == 2


def test_complaints_wait_for_room_and_do_not_pile_up() -> None:
    pipe = Socket()
    viewer, _ = watching(pipe)
    pipe.ready = False
    for number in range(1000):
        viewer.complain("unknown_chart", str(number))
    pipe.ready = True
    for _ in range(1000):
        viewer.advance()
    assert [json.loads(text)["message"] for text in pipe.sent] == [str(n) for n in range(990, 1000)]


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 40)), max_size=300))
def test_what_waits_for_one_socket_is_bounded_over_all_its_charts(adds: list[tuple[int, int]]) -> None:
    pending = Pending(cap=400, cap_in_all=600)
    stamp = added = 0
    newest: dict[str, float] = {}
    for chart, count in adds:
        id = f"C{chart}|a|b"
        pending.add(delta(id, *range(stamp, stamp + count)))
        stamp, added = stamp + count, added + count
        newest[id] = stamp - 1
    waiting = pending.take()
    kept = sum(len(one.points) for one in waiting)
    assert kept + pending.thinned == added
    assert kept <= 2 * 600
    assert added > 400 or not pending.thinned, "every point is kept up to the cap"
    assert {one.id: one.points[-1, 0] for one in waiting} == newest


# --- reads of the store, shared ------------------------------------------------------------------


class Desk:
    """A store that holds the same points of every chart, and a book; counts how often the store is read."""

    def __init__(self) -> None:
        self.book = ChartBook()
        self.reads = SharedReads(self.book, self.read)
        self.asked: list[list[str]] = []
        self.fails = False
        self.flush_us = 900
        self.flush(1000)

    def flush(self, flush_us: int, *charts: ChartDelta) -> None:
        """A batch comes; without charts it is a heartbeat."""
        batch = wire.Batch("1/1", flush_us, self.flush_us, [wire.pack(each) for each in charts])
        self.book.follow(batch)
        self.book.apply(batch)
        self.flush_us = flush_us

    async def read(self, chart_ids: Sequence[str]) -> Snapshot:
        self.asked.append(list(chart_ids))
        await asyncio.sleep(0)
        if self.fails:
            raise RedisError("gone")
        rows = stamped(points(*range(900, 1000)), self.flush_us)
        tail = Tail("", "", "", "live", "", "1/1", b"")
        found = Snapshot({id: Stored(tail, rows) for id in chart_ids}, {})
        self.book.learn(found)
        return found


async def test_a_storm_of_the_same_question_is_one_read_and_one_encoding() -> None:
    desk = Desk()
    answers = await asyncio.gather(*(desk.reads.fetch({BTC: 0, ETH: 0}) for _ in range(200)))
    assert desk.asked == [[BTC, ETH]]
    assert len({id(answer[BTC].chart) for answer in answers}) == 1


async def test_a_viewer_that_has_what_was_read_gets_what_came_since_and_not_the_same_nothing() -> None:
    desk = Desk()
    first = await desk.reads.fetch({BTC: 0})
    desk.flush(2000)
    again = await desk.reads.fetch({BTC: first[BTC].as_of})
    assert (again[BTC].as_of, len(desk.asked)) == (2000, 2)
    await asyncio.gather(*(desk.reads.fetch({BTC: 2000}) for _ in range(50)))
    assert len(desk.asked) == 2, "who has the newest flush needs no read of its own"


async def test_different_questions_about_a_chart_share_its_read() -> None:
    desk = Desk()
    answers = await asyncio.gather(*(desk.reads.fetch({BTC: after}) for after in range(0, 2000, 10)))
    assert desk.asked == [[BTC]]
    assert [len(answer[BTC].chart.points) for answer in answers] == [100] * 100 + [0] * 100


async def test_a_store_that_fails_is_asked_once_and_not_by_everybody_in_turn() -> None:
    desk = Desk()
    desk.fails = True
    answers = await asyncio.gather(*(desk.reads.fetch({BTC: 0}) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(answer, RedisError) for answer in answers)
    assert len(desk.asked) == 1


async def test_batches_missed_in_the_middle_of_a_read_cost_another_read_and_no_answer() -> None:
    desk = Desk()
    fetching = asyncio.create_task(desk.reads.fetch({BTC: 0, ETH: 0}))
    await eventually(lambda: BTC in desk.reads._reads, "the first read")
    desk.reads.forget()
    assert set(await fetching) == {BTC, ETH}
    assert desk.asked[1:] in ([], [[ETH]], [[BTC], [ETH]])


async def test_what_followed_a_shared_read_comes_out_of_memory() -> None:
    desk = Desk()
    first = await desk.reads.fetch({BTC: 0})
    desk.flush(1050, delta(BTC, 1010, 1020))
    again = await desk.reads.fetch({BTC: 0})
    assert again[BTC].as_of == first[BTC].as_of == 1000, "the same read serves, and says how old it is"
    rest = await desk.reads.fetch({BTC: again[BTC].as_of})
    assert rest[BTC].chart.points[:, 0].tolist() == [1010, 1020]
    assert rest[BTC].as_of == 1050
    assert len(desk.asked) == 1


# --- the way to the socket -----------------------------------------------------------------------


@given(st.binary(max_size=125), st.binary(min_size=4, max_size=4))
def test_a_short_masked_frame_is_read_as_the_standard_says(payload: bytes, key: bytes) -> None:
    masked = bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
    assert unmasked(bytes((0x81, 0x80 | len(payload))) + key + masked) == payload


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "8100"), (125, "817d"), (126, "817e007e"), (65_535, "817effff"), (65_536, "817f0000000000010000")],
)
def test_a_frame_begins_with_its_length_in_the_shortest_form(size: int, head: str) -> None:
    assert frame_head(size).hex() == head


def test_every_browser_that_waits_to_be_accepted_has_room() -> None:
    assert with_backlog("tcp:port=8000:interface=127.0.0.1").endswith(":backlog=1024")
    assert with_backlog("tcp:port=8000:backlog=7") == "tcp:port=8000:backlog=7"
    assert with_backlog("unix:/run/desk.sock") == "unix:/run/desk.sock"


async def test_through_plain_asgi_messages_go_one_after_the_other() -> None:
    room = asyncio.Event()
    taken: list[str] = []
    ready: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        await room.wait()
        taken.append(message["text"])

    pipe = AsgiPipe(send, lambda: ready.append(len(taken)))
    pipe.send(b"one")
    pipe.send(b"two")
    assert not pipe.ready
    room.set()
    await eventually(lambda: ready, "the pipe is ready again")
    assert (taken, ready, pipe.ready) == (["one", "two"], [2], True)


# --- on a real Daphne ----------------------------------------------------------------------------


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def web(seeded: MarketConfig) -> Iterator[Web]:
    with daphne(REALTIME_SOCKETS_PER_USER="1000") as running:
        yield running


def deaf(web: Web, token: str) -> socket.socket:
    """A socket that shakes hands and then reads nothing, into a small window."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    plug.connect(("127.0.0.1", web.port))
    plug.sendall(
        f"GET /ws/realtime_charts HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Origin: {web.url}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    return plug


@pytest.mark.django_db(transaction=True)
async def test_browsers_that_do_not_read_leave_the_others_their_points(
    web: Web, seeded: MarketConfig, operator: User
) -> None:
    token = await database_sync_to_async(make_token)(operator, days=1)
    plugs = [deaf(web, token) for _ in range(20)]
    try:
        async with desk(seeded) as running, browser(web, token) as page:
            await page.next()
            for step in range(300):
                running.quote("bybit", 100.0)
                running.quote("binance", 100.0 + step / 100)
                await asyncio.sleep(0.002)
            running.quote("binance", 107.0)
            await page.until(
                lambda p: 7.0 in [round(s or 0, 6) for s in p.spreads(BTC)], "the last quote's point"
            )
            assert len([s for s in page.spreads(BTC) if s is not None]) >= 600
    finally:
        for plug in plugs:
            plug.close()


@pytest.mark.django_db(transaction=True)
async def test_a_crowd_that_comes_at_once_is_served(web: Web, seeded: MarketConfig, operator: User) -> None:
    token = await database_sync_to_async(make_token)(operator, days=1)

    async def one() -> str:
        async with browser(web, token, open_timeout=promised(30)) as page:
            return str((await page.next(seconds=promised(30)))["type"])

    async with desk(seeded):
        assert await asyncio.gather(*(one() for _ in range(150))) == ["snapshot"] * 150
