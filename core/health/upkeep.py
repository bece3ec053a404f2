"""The upkeep of a desk, as PostgreSQL has it: recurring work, rows that ought to be gone, what is lacking.

Each app registers questions about its own tables when Django is ready; the monitor asks them all. A question
may raise DatabaseError.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from django.db.models import Min
from msgspec import Struct

from core.health.findings import Lack

RETAINED_WITHIN_DAYS: Final = 2.0
"""What deletes runs once a day, and a run may have been missed."""


class LastRun(Struct, frozen=True):
    """How a recurring piece of work went last: `compact quotes`, `market sync okx`.

    `done_us` is when it last came to a good end, `due_every_s` how often it ought to.
    """

    job: str
    state: str  # running, done, partial, stopped, failed, died
    tried_us: int
    done_us: int | None
    due_every_s: float
    error: str = ""


class Overdue(Struct, frozen=True):
    """Rows that a daily task (`retain episodes`) ought to have deleted days ago; how old the oldest is."""

    job: str
    oldest_us: int
    keep_days: int


RunsQuestion = Callable[[], Iterable[LastRun]]
OverdueQuestion = Callable[[datetime], Iterable[Overdue]]
LacksQuestion = Callable[[], Iterable[tuple[str, Lack]]]

runs: Final[list[RunsQuestion]] = []
overdue: Final[list[OverdueQuestion]] = []
"""Each is asked as of a time (UTC)."""

lacks: Final[list[LacksQuestion]] = []

Question = TypeVar("Question", RunsQuestion, OverdueQuestion, LacksQuestion)


def asked_in(questions: list[Question]) -> Callable[[Question], Question]:
    """Register a question with `runs`, `overdue` or `lacks`."""

    def register(question: Question) -> Question:
        questions.append(question)
        return question

    return register


def kept_too_long(job: str, keep_days: int, now: datetime, *rows: tuple[Any, str]) -> list[Overdue]:
    """Rows in the database that a working daily task would have deleted days ago.

    These tasks keep no record of their runs as the lake's do, and need none: the rows show it. `rows` are
    querysets (or managers), each with the column that says how old a row is.
    """
    before = now - timedelta(days=keep_days + RETAINED_WITHIN_DAYS)
    oldest = [
        moment
        for each, column in rows
        if (moment := each.filter(**{f"{column}__lt": before}).aggregate(oldest=Min(column))["oldest"])
    ]
    return [Overdue(job, us_of(min(oldest)), keep_days)] if oldest else []


def us_of(moment: datetime) -> int:
    """µs since the epoch."""
    return int(moment.timestamp() * 1e6)
