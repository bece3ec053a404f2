"""Outcomes of the worker's tasks, counted where they run and read where they are asked for.

Tasks run in children of the worker, which are replaced again and again; metrics are read in the worker
itself. Both share a piece of memory that the worker makes before it forks. Every child writes the row of
its own place in the pool and nothing else, so no lock is needed that a killed child could keep. The last
row is the worker's own: it alone knows of tasks whose child was killed.
"""

import mmap
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.process.histogram import SECONDS, Buckets

Outcome = Literal["succeeded", "failed", "retried"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("succeeded", "failed", "retried")
_BUCKETS: Final = len(SECONDS) + 1
_SUM: Final = len(OUTCOMES) + _BUCKETS
_COLUMNS: Final = _SUM + 1


class TaskBook:
    """Counts by task; `places` is how many children run at once. Make it before they are forked."""

    def __init__(self, tasks: Iterable[str], places: int) -> None:
        self.tasks = sorted(tasks)
        shape = places + 1, len(self.tasks), _COLUMNS
        self._shared = mmap.mmap(
            -1, max(1, int(np.prod(shape))) * 8
        )  # anonymous: forked children write it too
        self._cells: NDArray[Any] = np.frombuffer(self._shared, np.float64).reshape(shape)
        self._numbers = {task: number for number, task in enumerate(self.tasks)}

    def ran(self, place: int, task: str, outcome: Outcome, seconds: float) -> None:
        """A child at this place has come to the end of a task."""
        row = self._row(place, task)
        if row is not None:
            row[OUTCOMES.index(outcome)] += 1
            row[len(OUTCOMES) + bisect_left(SECONDS, seconds)] += 1
            row[_SUM] += seconds

    def lost(self, task: str) -> None:
        """A task failed without its child: the child was killed, or the task had its time. For the worker."""
        row = self._row(-1, task)
        if row is not None:
            row[OUTCOMES.index("failed")] += 1

    def outcomes(self, task: str) -> dict[Outcome, int]:
        """Number of tasks that came to each end."""
        sums = self._cells[:, self._numbers[task]].sum(axis=0)
        return {outcome: int(sums[number]) for number, outcome in enumerate(OUTCOMES)}

    def durations(self, task: str) -> Buckets:
        """Durations of tasks, whatever their outcome."""
        sums = self._cells[:, self._numbers[task]].sum(axis=0)
        return Buckets([int(count) for count in sums[len(OUTCOMES) : _SUM]], float(sums[_SUM]))

    def _row(self, place: int, task: str) -> NDArray[Any] | None:
        number = self._numbers.get(task)
        if number is None or place >= len(self._cells):
            return None
        row: NDArray[Any] = self._cells[place, number]
        return row


queued: Final[Counter[str]] = Counter()
"""Tasks this process has put into Celery's queue."""

_books: list[TaskBook] = []


def open_book(tasks: Iterable[str], places: int) -> TaskBook:
    """The book of this worker and its children."""
    _books[:] = [TaskBook(tasks, places)]
    return _books[0]


def book() -> TaskBook | None:
    """The book of this process; None where no tasks run."""
    return _books[0] if _books else None
