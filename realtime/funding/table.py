"""The matrix of funding: a row per coin, a cell per exchange, and the best two legs; filtered and sorted."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from core.names.market_keys import exchange_of
from core.web.refused import Refused
from engine.funding.net import DEFAULT_HOLDING_S
from engine.funding.rates import per_8h, per_day, per_hour, per_year
from engine.funding.settlements import S_US, FundingTerms, expected
from realtime.funding.wire import Snapshot, SwapRow
from realtime.scanner.wire import on_the_way_s

MAX_TEXT: Final = 100
MAX_HOURS: Final = 720
MAX_ROWS: Final = 200
SORTS: Final = ("coin", "spread", "held")
PER_CENT: Final = 100


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows to show, and their order. `sort` is a column: coin, spread, held, or an exchange's key.

    `exchanges`: only these are shown, and compared. `min_spread` is in per cent per 8 h. `hours` is how
    long a position is held, for `held`.
    """

    sort: Annotated[str, Meta(max_length=MAX_TEXT)] = "spread"
    descending: bool = True
    search: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    exchanges: Annotated[tuple[Annotated[str, Meta(max_length=MAX_TEXT)], ...], Meta(max_length=50)] = ()
    min_spread: float | None = None
    hours: Annotated[float, Meta(gt=0, le=MAX_HOURS)] = DEFAULT_HOLDING_S / 3600
    offset: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = 50


class Cell(Struct, frozen=True, omit_defaults=True):
    """Funding of one coin on one exchange; per cent, seconds. `held`: charged to a long within the time held.

    `age_ms` is as of the answer's time. None: unknown; `problem` says why, in words.
    """

    symbol: str
    rate: float | None = None
    per_8h: float | None = None
    per_hour: float | None = None
    per_day: float | None = None
    per_year: float | None = None
    interval_s: int | None = None
    derived: bool = False
    next: float | None = None
    cap: float | None = None
    floor: float | None = None
    settled_rate: float | None = None
    settled: float | None = None
    held: float | None = None
    age_ms: float | None = None
    problem: str = ""


class Best(Struct, frozen=True):
    """The two legs of a coin that are paid the most: long where funding is lowest, short where it is
    highest."""

    long: str
    short: str
    spread: float  # per cent per 8 h
    held: float  # per cent within the time held


class Row(Struct, frozen=True):
    """One coin."""

    coin: str
    cells: dict[str, Cell]
    best: Best | None


def matrix(snapshots: Iterable[Snapshot], query: Query, now_us: int) -> list[Row]:
    """The rows a query wants, in its order; what is unknown comes last."""
    wanted = set(query.exchanges)
    until_us = now_us + round(query.hours * 3600 * S_US)
    coins: dict[str, dict[str, Cell]] = {}
    for snapshot in sorted(snapshots, key=lambda each: each.ts_us):
        passed_ms = on_the_way_s(snapshot.ts_us, now_us) * 1000
        for swap in sorted(snapshot.rows, key=lambda each: each.symbol, reverse=True):
            exchange = exchange_of(swap.exchange)
            if not wanted or exchange in wanted:
                coins.setdefault(swap.coin, {})[exchange] = _cell(swap, passed_ms, now_us, until_us)
    words = query.search.upper().replace("-", "/").split()
    rows = [
        Row(coin, cells, _best(cells)) for coin, cells in coins.items() if all(word in coin for word in words)
    ]
    if query.min_spread is not None:
        rows = [row for row in rows if row.best and row.best.spread >= query.min_spread]
    return _sorted(rows, query)


def check_sort(query: Query, exchanges: Sequence[str]) -> None:
    """Raise Refused for a column there is not."""
    if query.sort not in (*SORTS, *exchanges):
        raise Refused(400, f"sort: {query.sort!r} must be one of {', '.join((*SORTS, *exchanges))}")


def _cell(swap: SwapRow, passed_ms: float, now_us: int, until_us: int) -> Cell:
    rate, interval_s, next_us = swap.rate, swap.interval_s, swap.next_ts_us
    cell = Cell(
        swap.symbol,
        rate=_pct(rate),
        interval_s=interval_s,
        derived=swap.is_derived,
        next=_s(next_us),
        cap=_pct(swap.cap),
        floor=_pct(swap.floor),
        settled_rate=_pct(swap.settled_rate),
        settled=_s(swap.settled_ts_us),
        age_ms=None if swap.age_ms is None else round(swap.age_ms + passed_ms),
        problem=swap.problem,
    )
    if swap.problem or rate is None or interval_s is None or next_us is None:
        return cell
    terms = FundingTerms(rate, next_us, interval_s, swap.cap, swap.floor)
    return structs.replace(
        cell,
        per_8h=_pct(per_8h(rate, interval_s)),
        per_hour=_pct(per_hour(rate, interval_s)),
        per_day=_pct(per_day(rate, interval_s)),
        per_year=_pct(per_year(rate, interval_s)),
        held=_pct(expected(terms, now_us, until_us)),
    )


def _best(cells: dict[str, Cell]) -> Best | None:
    """None where fewer than two exchanges' funding is known."""
    known = sorted((cell.per_8h, key) for key, cell in cells.items() if cell.per_8h is not None)
    if len(known) < 2:
        return None
    (low, long), (high, short) = known[0], known[-1]
    held = (cells[short].held or 0.0) - (cells[long].held or 0.0)
    return Best(long, short, round(high - low, 8), round(held, 8))


def _sorted(rows: list[Row], query: Query) -> list[Row]:
    rows.sort(key=lambda row: row.coin)
    if query.sort == "coin":
        return rows[::-1] if query.descending else rows
    valued = [(_value(row, query.sort), row) for row in rows]
    known: list[Any] = [each for each in valued if each[0] is not None]
    known.sort(key=lambda each: each[0], reverse=query.descending)
    return [row for _, row in known] + [row for value, row in valued if value is None]


def _value(row: Row, sort: str) -> float | None:
    if sort in SORTS:
        return getattr(row.best, sort, None)
    cell = row.cells.get(sort)
    return None if cell is None else cell.per_8h


def _pct(rate: float | None) -> float | None:
    return None if rate is None else round(rate * PER_CENT, 8)


def _s(ts_us: int | None) -> float | None:
    return None if ts_us is None else ts_us / 1e6
