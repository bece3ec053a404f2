"""Reading a bulk answer of an exchange row by row: a row that cannot be read costs itself and no other.

ccxt parses an answer as a whole and fails with it. So the HTTP answers are kept, and where parsing fails
they are parsed again without the rows that break it, which are found by halving. No Django.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from html import unescape
from typing import Any, TypeVar

from msgspec import Struct

from core.names.plain_names import plain

T = TypeVar("T")
Path = tuple[Any, ...]  # number of the answer, then keys and indices, the last one of the row itself

DEEPEST = 3  # how far into an answer its rows are searched for
PATIENCE_S = 30.0  # to find the rows that cannot be read
MOST_BROKEN = 0.5  # of an answer in which more than this cannot be read nothing is believed
NAME_FIELDS = (
    "symbol", "instId", "id", "currency_pair", "name", "coin", "currency", "ccy", "chain", "network",
    "chainId", "chainName", "s",
)  # fmt: skip
SHOWN_CHARS = 200
# What ccxt falls over where an answer is not what it expects.
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class CatalogueError(Exception):
    """An exchange's catalogue could not be had; the message is for the operator."""


class Skipped(Struct, frozen=True):
    """A row that could not be read: what it calls itself (empty when it does not say), and why."""

    name: str
    reason: str


def read(
    exchange: Any,
    ask: Callable[[], T],
    *,
    inside: bool = False,
    named: Callable[[T], Collection[str]] | None = None,
) -> tuple[T, list[Skipped]]:
    """Return what a ccxt client answers to `ask`, and the rows left out because they cannot be read.

    With `inside`, rows within a row are left out before the row is: a coin stays without its one broken
    network. With `named`, which says what the things found are called, rows that ccxt passed over without a
    word are left out, too. Raises CatalogueError for an answer that is no JSON, is of another kind, or of
    which hardly anything can be read, and ccxt's errors where no row is to blame.
    """
    answers = _Answers(exchange)
    try:
        found, skipped = _read(answers, ask, inside)
    finally:
        answers.close()
    if named is not None:
        skipped += answers.passed_over(named(found), [row.name for row in skipped])
    return found, skipped


def _read(answers: "_Answers", ask: Callable[[], T], inside: bool) -> tuple[T, list[Skipped]]:
    try:
        return ask(), []
    except Exception as error:
        if answers.failed or not answers.kept:
            raise
        try:
            return _without_broken(answers, ask, error, inside)
        except _UNREADABLE as unread:
            said = _line(json.dumps(answers.kept[-1], ensure_ascii=False))
            raise CatalogueError(f"its answer is of another kind than usual: “{said}”") from unread


def not_json(text: str) -> str:
    """Kind of an answer that is no JSON, in words: the title of a page, else how it begins."""
    plain = text.strip()
    if not plain:
        return "an empty answer instead of JSON"
    if not re.match(r"(?is)<!doctype html|<html|<head|<body", plain):
        return f"text instead of JSON: “{_line(plain)}”"
    title = re.search(r"(?is)<title[^>]*>(.*?)</title>", plain)
    heading = (
        title[1]
        if title and title[1].strip()
        else re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", plain)
    )
    return f"HTML instead of JSON: “{_line(unescape(heading))}”"


def _json_after_all(text: str) -> Any:
    """An answer that ccxt's reader takes for none: half a character in one name costs that row, not all."""
    try:
        return json.loads(text)
    except ValueError:
        raise CatalogueError(not_json(text)) from None


def _line(text: str) -> str:
    return " ".join(text.split())[:SHOWN_CHARS]


class _Answers:
    """Stands between a ccxt client and the network: keeps what came, and answers from it once replaying."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self._fetch, self._limited = exchange.fetch, exchange.enableRateLimit
        exchange.fetch = self._first_time
        self.kept: list[Any] = []
        self.failed = False  # the request itself, not the reading of its answer

    def close(self) -> None:
        self._exchange.fetch, self._exchange.enableRateLimit = self._fetch, self._limited

    def _first_time(self, url: str, *arguments: Any, **named: Any) -> Any:
        try:
            answer = self._fetch(url, *arguments, **named)
            if isinstance(answer, str):
                answer = _json_after_all(answer)
        except UnicodeDecodeError as error:
            self.failed = True
            raise CatalogueError("bytes that are no text instead of JSON") from error
        except Exception:
            self.failed = True
            raise
        self.kept.append(answer)
        return answer

    def rows(self) -> list[Path]:
        """Path to the rows of each answer."""
        return [path for number, answer in enumerate(self.kept) for path in _rows(answer, (number,), DEEPEST)]

    def passed_over(self, names: Collection[str], known: Collection[str]) -> list[Skipped]:
        """Rows of lists with `names` that have another name, or none, but for those that are known."""
        beside: defaultdict[Path, list[str]] = defaultdict(list)
        for path in self.rows():
            beside[path[:-1]].append(_name(_at(self.kept, path)))
        lists = [rows for rows in beside.values() if any(row in names for row in rows)]
        lost = (row for rows in lists for row in rows if row not in names and row not in known)
        return [Skipped(row, "it lacks what a market needs") for row in lost]

    def again(self, ask: Callable[[], T], dropped: frozenset[Path]) -> T:
        """Ask as if the rows had never been there."""
        pruned = iter([_pruned(answer, (number,), dropped) for number, answer in enumerate(self.kept)])

        def fetch(*arguments: Any, **named: Any) -> Any:
            for answer in pruned:
                return answer
            return self._first_time(*arguments, **named)  # parsing had failed before it was asked for

        self._exchange.fetch = fetch
        self._exchange.enableRateLimit = False  # mostly nobody is asked
        return ask()


def _rows(node: Any, path: Path, deeper: int) -> Iterator[Path]:
    if isinstance(node, list):
        yield from ((*path, place) for place in range(len(node)))
    elif isinstance(node, dict) and deeper:
        for key, child in node.items():
            yield from _rows(child, (*path, key), deeper - 1)


def _pruned(node: Any, path: Path, dropped: frozenset[Path]) -> Any:
    """A copy without the dropped rows; what is not on the way to one is the same object."""
    way = frozenset(each for each in dropped if each[: len(path)] == path)
    if not way:
        return node
    if isinstance(node, list):
        by_place: dict[int, set[Path]] = {}
        for each in way:
            by_place.setdefault(each[len(path)], set()).add(each)
        return [
            _pruned(child, (*path, place), frozenset(by_place.get(place, ())))
            for place, child in enumerate(node)
            if (*path, place) not in way
        ]
    return {key: _pruned(child, (*path, key), way) for key, child in node.items()}


def _without_broken(
    answers: _Answers, ask: Callable[[], T], error: Exception, inside: bool
) -> tuple[T, list[Skipped]]:
    search = _Search(answers, ask, error)
    if not search.every or not search.reads([]):
        raise error
    if len(answers.kept) > search.asked:  # the first answer had kept others from being asked for
        search = _Search(answers, ask, error)
    every = answers.rows()
    broken = search.broken(every)
    if inside:
        broken = [part for row in broken for part in _inner(answers, search, row)]
    found = answers.again(ask, frozenset(broken))
    rows = [(_at(answers.kept, path), search.reasons[path]) for path in broken]
    return found, [Skipped(_name(row), _reason(row, error)) for row, error in rows]


class _Search:
    """Finds by halving which rows break the reading."""

    def __init__(self, answers: _Answers, ask: Callable[[], Any], error: Exception) -> None:
        self.every = frozenset(answers.rows())
        self.asked = len(answers.kept)
        self.reasons: dict[Path, Exception] = {}
        self._answers, self._ask, self._error = answers, ask, error
        self._until = time.monotonic() + PATIENCE_S

    def reads(self, kept: Sequence[Path], among: frozenset[Path] | None = None) -> bool:
        """Whether it can be read with only these rows, `among` all or some."""
        if time.monotonic() > self._until:
            raise self._error
        try:
            self._answers.again(self._ask, (self.every if among is None else among) - frozenset(kept))
        except Exception as error:
            self._error = error
            return False
        return True

    def broken(self, rows: Sequence[Path], among: frozenset[Path] | None = None) -> list[Path]:
        """Rows that cannot be read even alone."""
        if self.reads(rows, among):
            return []
        if len(rows) == 1:
            self.reasons[rows[0]] = self._error
            if len(self.reasons) > MOST_BROKEN * len(self.every):
                reason = _reason(_at(self._answers.kept, rows[0]), self._error)
                raise CatalogueError(f"most of its {len(self.every)} rows cannot be read: {reason}")
            return list(rows)
        half = len(rows) // 2
        return self.broken(rows[:half], among) + self.broken(rows[half:], among)


def _inner(answers: _Answers, search: _Search, row: Path) -> list[Path]:
    """The rows within a row that break it; the row itself where they are not to blame."""
    parts = list(_rows(_at(answers.kept, row), row, DEEPEST))
    among = (search.every - {row}) | frozenset(parts)
    if not parts or not search.reads([], among):
        return [row]
    return search.broken(parts, among)


def _at(kept: Sequence[Any], path: Path) -> Any:
    node: Any = kept
    for key in path:
        node = node[key]
    return node


def _name(row: Any) -> str:
    if not isinstance(row, dict):
        return ""
    return next(
        (row[field][:64] for field in NAME_FIELDS if row.get(field) and isinstance(row[field], str)), ""
    )


def _reason(row: Any, error: Exception) -> str:
    """Why a row cannot be read: what it is instead, since what ccxt falls over speaks of its own code."""
    if not isinstance(error, _UNREADABLE):
        return _line(str(error)) or type(error).__name__
    said = _line(json.dumps(row, ensure_ascii=False))
    if isinstance(row, dict):
        return f"its fields are not what they usually are: “{said}”" if row else "it is empty"
    return f"it is no object but “{said}”"


def in_words(skipped: Sequence[Skipped], what: str, shown: int = 5, *, quoted: bool = True) -> str:
    """How many rows were left out; where they may be `quoted`, which, and why the first. Empty for none."""
    if not skipped:
        return ""
    if not quoted:
        return f"{what}: {len(skipped)} not readable, left out"
    names = ", ".join(row.name or "one without a name" for row in skipped[:shown])
    more = f" and {len(skipped) - shown} more" if len(skipped) > shown else ""
    return plain(f"{what}: {len(skipped)} not readable, left out: {names}{more} ({skipped[0].reason})")
