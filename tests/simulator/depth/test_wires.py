"""The simulator's books as our codecs and our `Book` read them from its sockets: on every wire its own."""

from collections.abc import AsyncIterator

import pytest

from simulator.catalogue import MARKETS
from simulator.ladder import LEVELS
from simulator.server import Simulator
from tests.simulator.depth.follower import OTHERS, WIRES, Follower, Wire
from tests.support.exchanges.simulator_client import connect

UPDATES = 40


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Every market with two symbols, quoting fast."""
    async with Simulator(symbols=2, rate=50) as simulator:
        yield simulator


async def follows_exactly(sim: Simulator, key: str, wire: Wire) -> None:
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client, wire)
        await follower.follow()
        view = await follower.meet()
        assert follower.levels() == follower.same(view)
        await follower.until(lambda: follower.outcomes.count("applied") >= UPDATES)
        view = await follower.meet()
        assert follower.levels() == follower.same(view)
        assert len(view.bids) >= min(wire.shown, LEVELS)
        assert len(view.asks) >= min(wire.shown, LEVELS)
        assert "gap" not in follower.outcomes
        assert not +follower.codec.rejects


@pytest.mark.parametrize("key", MARKETS)
async def test_a_book_follows_the_simulators_own(sim: Simulator, key: str) -> None:
    await follows_exactly(sim, key, WIRES[key])


@pytest.mark.parametrize("name", OTHERS)
async def test_so_it_does_on_the_other_channels(sim: Simulator, name: str) -> None:
    await follows_exactly(sim, *OTHERS[name])
