"""The data files a reader could not read: left out, named in its answer, and noted for the operator once."""

import threading
from typing import Final

from history.lake.quarantine import Note, now_us, say_once
from history.lake.tables import Lake
from history.read.scanning import Source, problem_of

_NOTED_AT_MOST: Final = 10_000
_noted: Final[set[tuple[str, str]]] = set()
"""File and what is wrong with it, so that a process checks once whether each is noted."""
_noting: Final = threading.Lock()


class LeftOut:
    """Files that one reader of a table left out."""

    def __init__(self, lake: Lake | None = None, table: str = "", said: dict[str, str] | None = None) -> None:
        """`said` is where what is left out is named besides, as `table/path`."""
        self.sources: list[Source] = []
        self._lake = lake
        self._table = table
        self._said = {} if said is None else said

    def add(self, source: Source, what: str) -> None:
        """A file that was left out."""
        root = "" if self._lake is None else f"{self._lake.uri(self._table)}/"
        path = source.uri.removeprefix(root)
        self.sources.append(source)
        self._said[f"{self._table}/{path}"] = what
        with _noting:
            if (source.uri, what) in _noted or len(_noted) >= _NOTED_AT_MOST:
                return
            _noted.add((source.uri, what))
        if self._lake is not None:
            say_once(self._lake, Note(self._table, path, what, now_us()))

    def passed_by(self, sources: list[Source]) -> list[Source]:
        """The sources without those of which it can be seen, unread, that they are damaged."""
        kept = []
        for source in sources:
            if problem := problem_of(source):
                self.add(source, problem)
            else:
                kept.append(source)
        return kept
