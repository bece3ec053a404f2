"""The one restart loop of all parts that last, and the one log of what fails for a while."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from core.backoff import Backoff
from core.outage import Outage, lasted
from core.supervised import supervise

logger = logging.getLogger("a part")


class Part:
    """Each item of `fate` is what one run does: raises it, returns (None), or runs on (Ellipsis)."""

    def __init__(self, *fate: object) -> None:
        self.runs = 0
        self._fate: Iterator[object] = iter(fate)

    async def run(self) -> None:
        """One run of the part."""
        self.runs += 1
        fate = next(self._fate)
        if isinstance(fate, Exception):
            raise fate
        if fate is ...:
            await asyncio.Event().wait()


class Pauses:
    """Records how long the loop would wait, and waits for nothing."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Stand in for `asyncio.sleep`."""
        self.asked.append(seconds)
        await asyncio.sleep(0)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Log, line by line."""
    return [record.getMessage() for record in caplog.records if record.name == logger.name]


async def test_a_part_that_fails_or_returns_is_started_again_until_it_is_over() -> None:
    part, counters = Part(OSError("away"), None, ValueError("ours"), None), Counter[str]()
    await supervise("part", part.run, logger, counters, over=lambda: part.runs == 4, pause=Pauses())
    assert part.runs == 4
    assert counters == {"restarts": 3}, "the last run returned because it was over"


async def test_a_part_that_is_over_before_it_began_never_runs() -> None:
    part = Part()
    await supervise("part", part.run, logger, Counter(), over=lambda: True)
    assert part.runs == 0


async def test_the_pace_grows_up_to_its_ceiling_and_begins_again_after_a_healthy_run() -> None:
    part, pauses = Part(*[OSError("away")] * 9), Pauses()
    backoff = Backoff(1.0, 4.0, healthy_s=3600.0)
    await supervise(
        "part", part.run, logger, Counter(), over=lambda: part.runs == 9, pause=pauses, backoff=backoff
    )
    for asked, step in zip(pauses.asked, [1.0, 2.0, *[4.0] * 6], strict=True):
        assert step / 2 <= asked <= step
    part, pauses = Part(*[OSError("away")] * 9), Pauses()
    always = Backoff(1.0, 4.0, healthy_s=0.0)
    await supervise(
        "part", part.run, logger, Counter(), over=lambda: part.runs == 9, pause=pauses, backoff=always
    )
    assert max(pauses.asked) <= 1.0


async def test_one_kind_of_failure_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    part = Part(OSError("away"), OSError("away"), ValueError("ours"), ValueError("ours"))
    await supervise("part", part.run, logger, Counter(), over=lambda: part.runs == 4, pause=Pauses())
    assert said(caplog) == [
        "part failed and is started again: OSError('away')",
        "part failed and is started again: ValueError('ours')",
    ]
    assert all(record.exc_info for record in caplog.records)


async def test_its_end_is_logged_once_the_part_has_run_for_a_while_and_the_next_failure_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    ran = asyncio.Event()
    runs = 0

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            asyncio.get_running_loop().call_later(0.05, ran.set)
            await ran.wait()
        raise OSError("away")

    await supervise(
        "part", part, logger, Counter(), over=lambda: runs == 3, pause=Pauses(), backoff=Backoff(1, 4, 0.01)
    )
    first, again, second = said(caplog)
    assert first == second == "part failed and is started again: OSError('away')"
    assert again.startswith("part runs again (after 0.0 s")


async def test_cancelling_ends_it_within_a_run_and_within_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    for fate in (..., OSError("away")):
        part, counters = Part(fate, ...), Counter[str]()
        task = asyncio.create_task(supervise("part", part.run, logger, counters))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        assert task.cancelled()
        assert part.runs == 1
    assert len(said(caplog)) == 1, "a cancellation is no failure"


def test_an_outage_is_said_once_when_it_begins_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logger, logging.WARNING)
    outage.ends("nothing was wrong")
    assert outage.begins("no answer: %s", "refused")
    assert not outage.begins("no answer: %s", "refused")
    assert outage
    outage.ends("%s answers again", "it")
    assert not outage
    assert outage.begins("no answer: %s", "refused")
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING, logging.INFO, logging.WARNING]
    assert said(caplog)[1].startswith("it answers again (after 0.0 s")


def test_another_kind_of_failure_within_an_outage_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logger)
    assert [outage.begins("%s", kind, kind=kind) for kind in ("a", "a", "b", "b", "a")] == [
        True, False, True, False, True,
    ]  # fmt: skip
    assert said(caplog) == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.5, "59.5 s"),
        (60.0, "1 min 0 s"),
        (199.6, "3 min 20 s"),
        (3_599.0, "59 min 59 s"),
        (3_600.0, "1 h 0 min"),
        (7_500.0, "2 h 5 min"),
    ],
)
def test_how_long_it_lasted_is_said_in_seconds_then_minutes_then_hours(seconds: float, words: str) -> None:
    assert lasted(seconds) == words
