"""The one follower of the configuration: nudged or polled, the last good one kept, a trouble said once."""

import asyncio
import logging

import pytest
from asgiref.sync import sync_to_async
from redis import Redis

from core.errors import InvalidConfig
from core.supervised import end
from markets.config import MarketConfig
from markets.follow.follower import Follower
from markets.models import Symbol
from markets.selectors import load_config
from tests.support.live import eventually

pytestmark = pytest.mark.django_db(transaction=True)


class Loads:
    """Loads the configuration, counts how often, and refuses it as long as there is an objection."""

    def __init__(self, objection: Exception | None = None) -> None:
        self.objection = objection
        self.count = 0

    def __call__(self) -> MarketConfig:
        """Stand in for `load_config`."""
        self.count += 1
        if self.objection is not None:
            raise self.objection
        return load_config()


def ignore(_config: MarketConfig) -> None:
    """Take a configuration over, and do nothing with it."""


async def save() -> None:
    """Change a row as an operator does in the admin."""
    number = await Symbol.objects.acount()
    await sync_to_async(Symbol.objects.create)(name=f"A{number}/B", base=f"A{number}", quote="B")


async def test_the_first_question_loads_once_for_all_that_ask() -> None:
    loads, applied = Loads(), list[MarketConfig]()
    follower = Follower(applied.append, load=loads)
    configs = await asyncio.gather(*(follower.current() for _ in range(5)))
    assert loads.count == 1
    assert [id(config) for config in configs] == [id(applied[0])] * 5


async def test_where_none_can_be_loaded_the_question_says_why() -> None:
    loads = Loads(InvalidConfig("filters: too many"))
    follower = Follower(ignore, load=loads)
    for _ in range(2):
        with pytest.raises(InvalidConfig, match="filters: too many"):
            await follower.current()
    loads.objection = None
    assert (await follower.current()).revision == follower.revision


async def test_a_revision_is_taken_over_at_the_nudge_and_loaded_once(empty_redis: Redis) -> None:
    loads = Loads()
    follower = Follower(ignore, load=loads, poll_s=60.0)
    following = asyncio.create_task(follower.run())
    await eventually(lambda: follower.revision is not None, "the first one")
    await eventually(lambda: empty_redis.pubsub_numsub("markets.revision")[0][1], "listens")
    before = follower.revision or 0
    await save()
    await eventually(lambda: follower.revision == before + 1, "the nudge")
    assert loads.count == 2
    await end(following)


async def test_a_refused_revision_leaves_the_last_good_one_and_is_tried_again_after_a_while() -> None:
    loads = Loads()
    follower = Follower(ignore, load=loads, refused_again_s=60.0)
    await follower.check()
    good = follower.revision
    loads.objection = InvalidConfig("fees: none hold yet")
    await save()
    for _ in range(3):
        await follower.check()
        assert follower.error == (
            f"saved revision {(good or 0) + 1} cannot be used: fees: none hold yet (running revision {good})"
        )
    assert (loads.count, follower.revision) == (2, good)
    loads.objection = None
    await save()
    await follower.check()
    assert (follower.error, follower.revision) == ("", (good or 0) + 2)


async def test_without_a_wait_a_refused_revision_is_tried_at_every_poll_until_its_fees_hold() -> None:
    loads = Loads(InvalidConfig("fees: none hold yet"))
    follower = Follower(ignore, load=loads)
    await save()
    await follower.check()
    loads.objection = None
    await follower.check()
    assert follower.error == ""
    assert loads.count == 2


async def test_a_fault_of_ours_is_logged_once_with_its_traceback_and_what_runs_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "markets.follow.follower")
    faulty = True

    def apply(_config: MarketConfig) -> None:
        if faulty:
            raise KeyError("okx")

    follower = Follower(apply)
    await follower.check()
    await follower.check()
    assert (follower.config, follower.revision) == (None, None)
    faulty = False
    await follower.check()
    fault, taken, again = [record for record in caplog.records if record.name == "markets.follow.follower"]
    assert fault.getMessage() == "configuration: not taken over, running revision 0: KeyError('okx')"
    assert fault.exc_info
    assert taken.getMessage().startswith("configuration: revision ")
    assert again.getMessage().startswith("configuration: valid again (after ")


async def test_starting_over_hands_on_what_there_is_once_more() -> None:
    applied = list[MarketConfig]()
    follower = Follower(applied.append)
    await follower.check()
    await follower.check()
    assert len(applied) == 1
    follower.start_over()
    await follower.check()
    assert [config.revision for config in applied] == [follower.revision] * 2
