"""Each fault of depth makes the `Book` that is fed from the socket begin again, and then be right."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from django.conf import settings

from core.names.market_keys import exchange_of
from engine.books.book import MOST_SILENT_NS
from simulator.catalogue import MARKETS
from simulator.faults import KINDS, FaultError, parse
from simulator.server import Simulator
from tests.simulator.depth.follower import WIRES, Follower
from tests.support.exchanges.simulator_client import Closed, connect, subscribe_quotes

SKIPPING = [key for key in MARKETS if exchange_of(key) in ("bybit", "bingx")]
"""Their ids skip without loss, so that only a crossed book shows one."""
CHAINED = [key for key in MARKETS if key not in SKIPPING]
SIGNED = [key for key in MARKETS if exchange_of(key) in ("okx", "bitget")]
ASKED = [key for key in MARKETS if WIRES[key].rest]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Every market with two symbols, quoting fast."""
    async with Simulator(symbols=2, rate=50) as simulator:
        yield simulator


@asynccontextmanager
async def following(sim: Simulator, key: str) -> AsyncIterator[Follower]:
    """A live book."""
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client)
        await follower.follow()
        yield follower


@contextmanager
def broken(sim: Simulator, spec: str) -> Iterator[None]:
    """Something is broken in the meantime."""
    faults = sim.inject(spec)
    yield
    sim.heal(faults)


@pytest.mark.parametrize("key", CHAINED)
async def test_a_lost_change_is_a_gap(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        with broken(sim, f"{key}:depth-gap=1"):
            await follower.moved()
        await follower.until(lambda: "gap" in follower.outcomes)
        assert follower.book.counts["gap"] == 1
        assert follower.book.top(1) is None
        await follower.mended()


@pytest.mark.parametrize("key", SKIPPING)
async def test_where_ids_skip_lost_changes_cross_the_book(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        with broken(sim, f"{key}:depth-gap=0.5"):
            await follower.until(lambda: "gap" in follower.outcomes, 60)
        assert follower.book.counts["crossed"] == 1
        await follower.mended()


@pytest.mark.parametrize("key", MARKETS)
async def test_a_crossed_book_begins_again(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        with broken(sim, f"{key}:depth-crossed=1"):
            await follower.until(lambda: "gap" in follower.outcomes)
        assert follower.book.counts["crossed"] == 1
        assert follower.book.top(1) is None
        await follower.mended()


@pytest.mark.parametrize("key", SIGNED)
async def test_a_wrong_checksum_is_noticed_and_a_right_one_is_right(sim: Simulator, key: str) -> None:
    with broken(sim, f"{key}:depth-checksum=1e-12"):
        async with following(sim, key) as follower:
            signed = [update.checksum for _ in range(20) for update in await follower.read()]
            assert all(signed)
            assert "gap" not in follower.outcomes
            with broken(sim, f"{key}:depth-checksum=1"):
                sim.heal([fault for fault in sim.board.all() if fault.value < 1])
                await follower.until(lambda: "gap" in follower.outcomes)
    async with following(sim, key) as follower:
        with broken(sim, f"{key}:depth-checksum=0.5"):
            await follower.begin_again()
            await follower.until(lambda: follower.book.counts["checksum"])
            assert follower.book.top(1) is None
        await follower.mended()
        assert [update.checksum for update in await follower.read()] == [0 if "okx" in key else None]


@pytest.mark.parametrize("key", MARKETS)
async def test_silence_of_depth_leaves_the_quotes(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        await subscribe_quotes(follower.client, key)
        await follower.until(lambda: follower.quotes)
        with broken(sim, f"{key}:depth-silence"):
            quotes = follower.quotes  # what was on its way comes before the next ones
            await follower.until(lambda: follower.quotes >= quotes + 5)
            seen, quotes = len(follower.outcomes), follower.quotes
            await follower.until(lambda: follower.quotes >= quotes + 10)
            assert len(follower.outcomes) == seen
            assert follower.book.expire(follower.book.updated_mono_ns + MOST_SILENT_NS + 1)
            assert follower.book.counts["silent"] == 1
        await follower.mended()


@pytest.mark.parametrize("key", SIGNED)
async def test_ids_may_begin_again(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        sim.inject(f"{key}:depth-restart")
        if "okx" in key:  # whose ids fall while the book goes on
            last = follower.book.last_seq or 0
            await follower.until(lambda: (follower.book.last_seq or last) < last)
            assert "gap" not in follower.outcomes
        else:
            await follower.until(lambda: "gap" in follower.outcomes)
            await follower.begin_again()
        view = await follower.meet()
        assert follower.levels() == follower.same(view)


@pytest.mark.parametrize("key", ["bybit", "bybit:swap"])
async def test_after_a_restart_bybit_says_the_whole_book_with_id_1(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        sim.inject(f"{key}:depth-restart")
        await follower.until(lambda: follower.book.counts["snapshots"] == 2)
        assert (follower.book.last_seq or 0) < 100
        view = await follower.meet()
        assert follower.levels() == follower.same(view)


async def test_ids_of_all_begin_again_where_they_do_and_go_on_elsewhere(sim: Simulator) -> None:
    async with following(sim, "gate") as gate, following(sim, "bybit") as bybit:
        sim.inject("all:depth-restart")
        await bybit.until(lambda: bybit.book.counts["snapshots"] == 2)
        await gate.until(lambda: gate.outcomes.count("applied") >= 20)
        assert gate.book.counts["gap"] == 0
        view = await gate.meet()
        assert gate.levels() == gate.same(view)


@pytest.mark.parametrize("key", ["okx:swap", "gate:swap", "kucoin:swap", "mexc:swap"])
async def test_a_book_is_sized_in_new_contracts_at_once(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        before = await follower.meet()
        sim.inject(f"{key}/{follower.symbol}:contract-size={follower.coins * 1_000}")
        await follower.moved()
        after = await follower.meet()
        assert max(float(size) for _, size in after.bids) < min(float(size) for _, size in before.bids)
        assert follower.levels() == follower.same(after)


def test_every_fault_is_in_the_document() -> None:
    text = (settings.BASE_DIR / "docs" / "simulator.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


@pytest.mark.parametrize("key", ASKED)
async def test_changes_wait_for_an_answer_that_comes_late(sim: Simulator, key: str) -> None:
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client)
        await follower.subscribe()
        await follower.until(lambda: "waiting" in follower.outcomes)
        with broken(sim, f"{key}:depth-slow=300ms"):
            asked = asyncio.create_task(follower.ask())
            waiting = follower.outcomes.count("waiting")
            await follower.until(asked.done)
            assert await asked == 200
        assert follower.outcomes.count("waiting") > waiting
        assert "gap" not in follower.outcomes
        view = await follower.meet()
        assert follower.levels() == follower.same(view)


@pytest.mark.parametrize("key", ASKED)
async def test_an_answer_that_is_older_than_the_changes_is_no_beginning(sim: Simulator, key: str) -> None:
    async with following(sim, key) as first:
        with broken(sim, f"{key}:depth-stale"):
            assert await first.ask() == 200
            await first.moved()
            async with connect(sim, key) as client:
                second = Follower(sim, key, client)
                await second.subscribe()
                await second.until(lambda: "waiting" in second.outcomes)
                assert await second.ask() == 200
                assert second.outcomes[-1] == "gap"
                assert second.book.top(1) is None
                await first.meet()
                assert await first.ask() == 200
                assert first.outcomes[-1] == "ignored"  # a live book is newer
                sim.heal()
                await second.mended()


@pytest.mark.parametrize("key", ASKED)
async def test_requests_for_books_alone_can_be_refused(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        with broken(sim, f"{key}/{follower.symbol}:depth-refuse"):
            assert await follower.ask() == 429
        with broken(sim, f"{key}:depth-refuse=418"):
            assert await follower.ask() == 418
        await follower.mended()


@pytest.mark.parametrize("key", MARKETS)
async def test_no_level_survives_a_connection_that_is_cut(sim: Simulator, key: str) -> None:
    async with following(sim, key) as first:
        sim.inject(f"{key}:drop")
        with pytest.raises(Closed):
            await first.until(lambda: False)
    async with connect(sim, key) as client:
        second = Follower(sim, key, client, before=first)
        second.book.restart(second.epoch)
        assert second.book.top(1) is None
        await second.follow()
        view = await second.meet()
        assert second.levels() == second.same(view)


@pytest.mark.parametrize("key", CHAINED)
async def test_a_frame_that_cannot_be_read_is_a_gap(sim: Simulator, key: str) -> None:
    async with following(sim, key) as follower:
        with broken(sim, f"{key}:malformed=1"):
            await follower.moved()
        await follower.until(lambda: "gap" in follower.outcomes)
        await follower.mended()


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("gate:depth-checksum=0.1", "depth-checksum is of bitget, okx"),
        ("bingx:swap:depth-restart", "depth-restart is of bitget, bybit, okx"),
        ("okx:depth-gap", "needs a value"),
        ("okx:depth-gap=2", "a share above 0 up to 1"),
        ("okx:depth-slow=0s", "a time above 0"),
        ("okx:depth-refuse=200", "an HTTP status"),
        ("okx:depth-silence=1", "takes no value"),
    ],
)
def test_faults_that_cannot_be_are_named(spec: str, problem: str) -> None:
    with pytest.raises(FaultError, match=problem):
        parse(spec)
