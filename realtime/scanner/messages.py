"""Messages of the scanner to and from the browser; the contract is docs/messages.md."""

from collections.abc import Sequence
from itertools import count
from math import isnan
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct, structs

from core.web.acks import Ack
from core.web.closing import close_reason
from realtime.depth.sized import OF, Sized
from realtime.scanner.holding import DEFAULT_HOURS, NETS
from realtime.scanner.rows import Floats, Ints
from realtime.scanner.table import STATES, ScanTable
from realtime.scanner.view import Query, View, as_amount, as_edge, as_percent

MAX_ROWS: Final = 200
MAX_OFFSET: Final = 10_000_000
CELLS: Final = (
    "symbol", "exchange1", "exchange2", "volume1", "volume2", "sell", "edge", "size", "spread", "at1", "at2",
    "state1", "state2", "hour", "passed", "failed", "unknown", "blocked",
)  # fmt: skip
"""What a row says, in the order of its tuple."""
NET_CELLS: Final = (*NETS, "why1", "why2")
"""What it says more in a view with net columns; `why`: why a leg's funding is unknown."""
SIZE_CELLS: Final = (
    "at_edge", "at_profit", "at_zero", "at_reach", "at_of", "at_capped", "at_more", "at_why1", "at_why2",
)  # fmt: skip
"""What it says more in a view at a size; `at_why`: why a leg's book is unknown."""

Row = tuple[Any, ...]

_json = msgspec.json.Encoder()
_numbers = count()


class Show(Query, frozen=True, kw_only=True, tag="view"):
    """Show these rows of a query from now on."""

    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = 50

    @property
    def query(self) -> Query:
        """Query that decides rows and order: it is shared by all pages of it."""
        return Query(**{name: getattr(self, name) for name in structs.asdict(Query())})


ScanMessage = Ack | Show
_decoder: msgspec.json.Decoder[ScanMessage] = msgspec.json.Decoder(ScanMessage)


def decode_scan_message(text: str) -> ScanMessage:
    """Read what a browser sent; raises ValueError whose text fits a close frame's reason."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise ValueError(close_reason(f"{problem}; see docs/messages.md")) from problem


class Head(Struct):
    """Head of a message, beside its rows; `collectors` is how many are live now, `hold` for how many hours
    pairs are held, and `net` whether rows have net columns. `size` is of which they have columns, None: none.
    """

    total: int
    matches: int
    collectors: int
    hold: float = DEFAULT_HOURS
    net: bool = False
    size: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of what a row says, in the order of its tuple."""
        return CELLS + NET_CELLS * self.net + SIZE_CELLS * (self.size is not None)


class Page:
    """The rows of one page at one moment. It keeps what it differs in from earlier pages, for all who ask."""

    def __init__(self, head: Head, ids: list[str], rows: list[Row]) -> None:
        self.head = head
        self.ids = ids
        self.rows = dict(zip(ids, rows, strict=True))
        self._whole: bytes = b""
        self._number = next(_numbers)
        self._changes: dict[int, bytes] = {}

    def whole(self) -> bytes:
        """The fields of a `page` message."""
        if not self._whole:
            rows = [
                {"id": id, **dict(zip(self.head.cells, row, strict=True))} for id, row in self.rows.items()
            ]
            self._whole = _fields(structs.asdict(self.head) | {"rows": rows})
        return self._whole

    def changes(self, shown: "Page") -> bytes:
        """The fields of a `changes` message for a viewer of `shown`; empty when nothing differs."""
        kept = self._changes.get(shown._number)
        if kept is None:
            kept = self._changes[shown._number] = self._differing(shown)
        return kept

    def _differing(self, shown: "Page") -> bytes:
        fields: dict[str, Any] = {}
        if self.ids != shown.ids:
            fields["order"] = self.ids
        seen = shown.rows if shown.head.cells == self.head.cells else {}
        rows = [
            {"id": id, **_cells(self.head.cells, row, seen.get(id))}
            for id, row in self.rows.items()
            if row != seen.get(id)
        ]
        if not (fields or rows) and self.head == shown.head:
            return b""
        return _fields(structs.asdict(self.head) | fields | {"rows": rows})


def _cells(names: tuple[str, ...], row: Row, shown: Row | None) -> dict[str, Any]:
    """The cells that differ; all of a row that was not shown."""
    cells = zip(names, row, strict=True)
    if shown is None:
        return dict(cells)
    return {name: value for (name, value), old in zip(cells, shown, strict=True) if value != old}


def _fields(fields: dict[str, Any]) -> bytes:
    """JSON without its opening brace: type, seq and time are each socket's own."""
    return _json.encode(fields)[1:]


def message(kind: str, seq: int, time_us: int, fields: bytes) -> bytes:
    """A whole message for one socket; without fields a sign of life."""
    return b'{"type":"%b","seq":%d,"time":%.3f,' % (kind.encode(), seq, time_us / 1e6) + (
        fields or b'"rows":[]}'
    )


def make_page(view: View, place: slice, collectors: int, now_us: int) -> Page:
    """The rows at a place of a view's order; values rounded as they are shown."""
    table, rows = view.table, view.rows(place)
    start_us = round(now_us - table.now_s * 1e6)

    def column(name: str) -> Any:
        return view.column(name, place)

    columns: Sequence[list[Any]] = (
        [table.pairs[row].symbol for row in rows],
        [table.pairs[row].pair.exchange1 for row in rows],
        [table.pairs[row].pair.exchange2 for row in rows],
        _known(as_amount(column("volume1"))),
        _known(as_amount(column("volume2"))),
        np.where(column("sell_first"), 1, 2).tolist(),
        _known(as_edge(column("edge"))),
        _known(as_amount(column("size"))),
        _known(as_percent(column("spread"))),
        _stamps(start_us, column("born1")),
        _stamps(start_us, column("born2")),
        [STATES[state] for state in column("state1")],
        [STATES[state] for state in column("state2")],
        _counts(column("hour")),
        column("passed").tolist(),
        column("failed").tolist(),
        column("unknown").tolist(),
        column("blocked").tolist(),
    )
    if view.has_net:
        problems = [
            [table.funding.problem(leg) for leg in legs[rows].tolist()] for legs in (table.leg1, table.leg2)
        ]
        columns = (*columns, *map(_known, view.nets(place).values()), *problems)
    if view.size is not None:
        columns = (*columns, *_size_columns(view.sized(place), table, rows))
    head = Head(len(table), len(view), collectors, view.hours, view.has_net, view.size)
    return Page(head, [table.ids[row] for row in rows], list(zip(*columns, strict=True)))


def _size_columns(sized: Sized, table: ScanTable, rows: Ints) -> list[list[Any]]:
    """Columns of `SIZE_CELLS`."""
    problems = table.ladders.problems
    return [
        _known(as_edge(sized.edge)),
        *(_known(as_amount(amounts)) for amounts in (sized.profit, sized.zero, sized.reach)),
        [OF[of] for of in sized.of.tolist()],
        sized.is_capped.tolist(),
        sized.is_more.tolist(),
        *([problems.get(leg, "") for leg in legs[rows].tolist()] for legs in (table.leg1, table.leg2)),
    ]


def _known(values: Floats) -> list[float | None]:
    return [None if isnan(value) else value for value in values.tolist()]


def _counts(values: Floats) -> list[int | None]:
    return [None if isnan(value) else int(value) for value in values.tolist()]


def _stamps(start_us: int, born_s: Floats) -> list[int | None]:
    """Times when the quotes came, ms since the epoch by this process's clock, which began at `start_us`."""
    return [None if isnan(born) else round(start_us / 1000 + born * 1e3) for born in born_s.tolist()]
