"""The matrix of funding: a row per coin, a cell per exchange, and the best two legs; filtered and sorted."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from core.names.market_keys import exchange_of
from core.web.refused import Refused
from engine.funding.net import DEFAULT_HOLDING_S
from engine.funding.rates import per_8h, per_day, per_hour, per_year
from engine.funding.settlements import S_US, FundingTerms, expected
from markets.follow.fundings import Snapshot, SwapRow
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


class _Found(Struct, frozen=True):
    """A swap in a snapshot, which is so old, and its funding per 8 h as a fraction, None: unknown."""

    swap: SwapRow
    passed_ms: float
    per_8h: float | None


class _Coin(Struct, frozen=True):
    """One coin's swaps by exchange, and the legs of lowest and highest funding (None: fewer than two)."""

    coin: str
    found: dict[str, _Found]
    legs: tuple[str, str] | None

    @property
    def spread(self) -> float | None:
        """Highest less lowest funding per 8 h, as a fraction."""
        if self.legs is None:
            return None
        low, high = (self.found[leg].per_8h or 0.0 for leg in self.legs)
        return high - low


class Matrix:
    """The rows a query wants, in its order; what is unknown comes last. Cells are made of what is shown."""

    def __init__(self, snapshots: Iterable[Snapshot], query: Query, now_us: int) -> None:
        self._now_us = now_us
        self._until_us = now_us + round(query.hours * 3600 * S_US)
        self._coins = self._sorted(_wanted(_coins(snapshots, query, now_us), query), query)

    def __len__(self) -> int:
        return len(self._coins)

    def rows(self, part: slice = slice(None)) -> list[Row]:
        """Some of the rows."""
        return [self._row(coin) for coin in self._coins[part]]

    def _row(self, coin: _Coin) -> Row:
        cells = {key: self._cell(found) for key, found in coin.found.items()}
        spread, held = coin.spread, self._held(coin)
        if coin.legs is None or spread is None or held is None:
            return Row(coin.coin, cells, None)
        return Row(coin.coin, cells, Best(*coin.legs, round(spread * PER_CENT, 8), round(held * PER_CENT, 8)))

    def _held(self, coin: _Coin) -> float | None:
        """Funding that the best two legs are paid while they are held, as a fraction."""
        if coin.legs is None:
            return None
        long, short = (self._charged(coin.found[leg].swap) for leg in coin.legs)
        return None if long is None or short is None else short - long

    def _charged(self, swap: SwapRow) -> float | None:
        rate, interval_s, next_us = swap.rate, swap.interval_s, swap.next_ts_us
        if swap.problem or rate is None or interval_s is None or next_us is None:
            return None
        terms = FundingTerms(rate, next_us, interval_s, swap.cap, swap.floor)
        return expected(terms, self._now_us, self._until_us)

    def _cell(self, found: _Found) -> Cell:
        swap = found.swap
        cell = Cell(
            swap.symbol,
            rate=_pct(swap.rate),
            interval_s=swap.interval_s,
            derived=swap.is_derived,
            next=_s(swap.next_ts_us),
            cap=_pct(swap.cap),
            floor=_pct(swap.floor),
            settled_rate=_pct(swap.settled_rate),
            settled=_s(swap.settled_ts_us),
            age_ms=None if swap.age_ms is None else round(swap.age_ms + found.passed_ms),
            problem=swap.problem,
        )
        if found.per_8h is None:
            return cell
        rate, interval_s = swap.rate, swap.interval_s
        return structs.replace(
            cell,
            per_8h=_pct(found.per_8h),
            per_hour=_pct(per_hour(rate, interval_s)),
            per_day=_pct(per_day(rate, interval_s)),
            per_year=_pct(per_year(rate, interval_s)),
            held=_pct(self._charged(swap)),
        )

    def _sorted(self, coins: list[_Coin], query: Query) -> list[_Coin]:
        coins.sort(key=lambda coin: coin.coin)
        if query.sort == "coin":
            return coins[::-1] if query.descending else coins
        valued = [(self._value(coin, query.sort), coin) for coin in coins]
        known: list[Any] = [each for each in valued if each[0] is not None]
        known.sort(key=lambda each: each[0], reverse=query.descending)
        return [coin for _, coin in known] + [coin for value, coin in valued if value is None]

    def _value(self, coin: _Coin, sort: str) -> float | None:
        if sort == "held":
            return self._held(coin)
        if sort == "spread":
            return coin.spread
        return coin.found[sort].per_8h if sort in coin.found else None


def check_sort(query: Query, exchanges: Sequence[str]) -> None:
    """Raise Refused for a column there is not."""
    if query.sort not in (*SORTS, *exchanges):
        raise Refused(400, f"sort: {query.sort!r} must be one of {', '.join((*SORTS, *exchanges))}")


def _coins(snapshots: Iterable[Snapshot], query: Query, now_us: int) -> list[_Coin]:
    chosen = set(query.exchanges)
    coins: dict[str, dict[str, _Found]] = {}
    for snapshot in sorted(snapshots, key=lambda each: each.ts_us):
        passed_ms = on_the_way_s(snapshot.ts_us, now_us) * 1000
        for swap in sorted(snapshot.rows, key=lambda each: each.symbol, reverse=True):
            exchange = exchange_of(swap.exchange)
            if not chosen or exchange in chosen:
                found = _Found(swap, passed_ms, _per_8h(swap))
                coins.setdefault(swap.coin, {})[exchange] = found
    return [_Coin(coin, found, _legs(found)) for coin, found in coins.items()]


def _per_8h(swap: SwapRow) -> float | None:
    if swap.problem or swap.rate is None or swap.interval_s is None:
        return None
    return float(per_8h(swap.rate, swap.interval_s))


def _legs(found: dict[str, _Found]) -> tuple[str, str] | None:
    known = sorted((each.per_8h, key) for key, each in found.items() if each.per_8h is not None)
    return (known[0][1], known[-1][1]) if len(known) > 1 else None


def _wanted(coins: list[_Coin], query: Query) -> list[_Coin]:
    words = query.search.upper().replace("-", "/").split()
    least = None if query.min_spread is None else query.min_spread / PER_CENT
    return [
        coin
        for coin in coins
        if all(word in coin.coin for word in words)
        and (least is None or (coin.spread is not None and coin.spread >= least))
    ]


def _pct(rate: float | None) -> float | None:
    return None if rate is None else round(rate * PER_CENT, 8)


def _s(ts_us: int | None) -> float | None:
    return None if ts_us is None else ts_us / 1e6
