"""Reading what the collectors found: lists, counts and distributions of opportunities."""

import datetime
from itertools import pairwise
from math import isnan
from typing import Any, Final, Literal
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import (
    Case,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    FloatField,
    Func,
    Max,
    Min,
    Q,
    QuerySet,
    Sum,
    TextField,
    Value,
    When,
)  # fmt: skip
from django.db.models.expressions import OrderBy
from django.db.models.functions import Coalesce, Concat, ExtractHour
from django.db.models.lookups import Exact, In
from django.utils import timezone
from msgspec import Struct

from core.clock.moments import lately
from core.names.chart_ids import chart_id_of
from core.names.market_keys import SWAP_SUFFIX
from core.names.symbols import searched
from markets.config import PairKind
from markets.models import Symbol
from markets.worth.reference import DOLLARS
from markets.worth.worths import Worths
from opportunities.models import OpportunityEpisode

CONSIDERED: Final = 100_000
"""Distributions are of this many of the newest that match, at most."""

DURATION_EDGES_MS: Final = (
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
)  # fmt: skip
Sort = Literal["started", "duration", "symbol", "peak", "mean", "size", "profit"]

_COLUMNS: Final[dict[str, str]] = {
    "started": "started_at",
    "duration": "duration_ms",
    "symbol": "symbol",
    "peak": "peak_edge_bps",
    "mean": "mean_edge_bps",
    "profit": "peak_best_profit",
}
_MAY_BE_UNKNOWN: Final = ("size", "profit")
"""Columns that are null where nobody knows; others only where it is still open."""

_QUOTE: Final = Func(
    Func(F("symbol"), Value("/"), Value(2), function="split_part", output_field=TextField()),
    Value(":"), Value(1), function="split_part", output_field=TextField(),
)  # fmt: skip
_BEST: Final = ("-peak_edge_bps", "started_at", "id")
_MOVE: Final = Coalesce("move", "id")
PEAK_EDGES_BPS: Final = (0, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 100, 200)


class Asked(Struct, frozen=True):
    """Selection of opportunities; what is None or empty does not matter.

    `symbol` is a part of its name in any case, in quotes exactly as written. One of `exchanges`: the pairs
    it is part of; several: the pairs among them. `kind` as `markets.config.pair_kind` has it. What is open
    has lasted until now. The period is of the start, its end excluded.
    """

    symbol: str = ""
    exchange1: str = ""
    exchange2: str = ""
    exchanges: tuple[str, ...] = ()
    kind: Literal["", PairKind] = ""
    filter_id: int | None = None
    min_peak_bps: float | None = None
    min_duration_ms: float | None = None
    min_profit: float | None = None
    open_only: bool = False
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None


class Histogram(Struct, frozen=True):
    """`counts[n]` are from `edges[n - 1]` to below `edges[n]`; the first and the last are open-ended."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Distributions(Struct, frozen=True):
    """Distributions of moves: duration, peak, and hour of the beginning.

    Of the newest CONSIDERED at most; `hours` are 24 counts. What is open has no duration yet. `routes` are
    those of the moves considered, which have one and the same book level in common.
    """

    considered: int
    routes: int
    durations_ms: Histogram
    peaks_bps: Histogram
    hours: tuple[int, ...]


def episodes(asked: Asked) -> QuerySet[OpportunityEpisode]:
    """Episodes that match, newest first."""
    wanted: dict[str, Any] = {
        "exchange1": asked.exchange1,
        "exchange2": asked.exchange2,
        "filter_id": asked.filter_id,
        "peak_edge_bps__gte": asked.min_peak_bps,
        "peak_best_profit__gte": asked.min_profit,
        "started_at__gte": asked.since,
        "started_at__lt": asked.until,
    }
    found = OpportunityEpisode.objects.filter(
        **{name: value for name, value in wanted.items() if value not in ("", None)}
    )
    for literally, word in searched(asked.symbol):
        found = found.filter(**{f"symbol__{'contains' if literally else 'icontains'}": word})
    if asked.exchanges:
        found = found.filter(_among(asked.exchanges))
    if asked.kind:
        found = found.filter(_of_kind(asked.kind))
    if asked.min_duration_ms:
        found = found.filter(_lasted(asked.min_duration_ms))
    return found.filter(closed_at=None) if asked.open_only else found


def _among(exchanges: tuple[str, ...]) -> Q:
    first, second = Q(exchange1__in=exchanges), Q(exchange2__in=exchanges)
    return first & second if len(exchanges) > 1 else first | second


def _of_kind(kind: PairKind) -> Q:
    one, two = Q(exchange1__endswith=SWAP_SUFFIX), Q(exchange2__endswith=SWAP_SUFFIX)
    suffix = Value(SWAP_SUFFIX)
    basis = Q(exchange1=Concat("exchange2", suffix)) | Q(exchange2=Concat("exchange1", suffix))
    kinds: dict[PairKind, Q] = {
        "spot-spot": ~one & ~two,
        "swap-swap": one & two,
        "spot-swap": (one & ~two | ~one & two) & ~basis,
        "basis": basis,
    }
    return kinds[kind]


def _lasted(at_least_ms: float) -> Q:
    """Filter by duration: an open episode that began ahead of now has an unknown one, and is among them."""
    young = Q(started_at__range=lately(timezone.now(), datetime.timedelta(milliseconds=at_least_ms)))
    return Q(duration_ms__gte=at_least_ms) | Q(closed_at=None) & ~young


def peak_worth() -> Case:
    """Worth in USDT of what was executable at the peak, by the catalogue's last prices; null: unknown."""
    worths, quotes = Worths(), Symbol.objects.order_by().values_list("quote", flat=True).distinct()
    known = {quote: worths.of(quote) for quote in quotes}
    return Case(
        When(In(_QUOTE, sorted(DOLLARS)), then=F("peak_size")),
        *(
            When(Exact(_QUOTE, Value(quote)), then=F("peak_size") * worth)
            for quote, worth in known.items()
            if not (quote in DOLLARS or isnan(worth))
        ),
        default=None,
        output_field=FloatField(),
    )


def in_order(
    found: QuerySet[OpportunityEpisode], sort: Sort, descending: bool
) -> QuerySet[OpportunityEpisode]:
    """Sorted by a column, the newest first where that is the same; what is open lasts longest.

    Sizes by their worth, since a thousand is much of one currency and little of another; unknown ones last.
    """
    if sort == "size":
        found = found.alias(by=peak_worth())
    order = _order(F(_COLUMNS.get(sort, "by")), descending, open_first=sort not in _MAY_BE_UNKNOWN)
    return found.order_by(order, "-started_at", "id")


def _order(column: F, descending: bool, open_first: bool) -> OrderBy:
    """Order: null, because it is open or because it is not known, stands at one end or always last."""
    if not descending:
        return column.asc(nulls_last=True)
    return column.desc(nulls_first=True) if open_first else column.desc(nulls_last=True)


def moves(asked: Asked) -> QuerySet[Any, Any]:
    """The moves with a route that matches, of the routes that match, as dictionaries in no order.

    `of` is the move, or the episode where its move is not known. It goes from its earliest start to its
    latest close, and is open while any route is; `routes` counts a route under two filters once.
    """
    grouped: QuerySet[Any, Any] = episodes(asked).order_by().annotate(of=_MOVE).values("of")
    found: QuerySet[Any, Any] = grouped.annotate(
        started=Min("started_at"),
        last_close=Max("closed_at"),
        going=Count("pk", filter=Q(closed_at=None)),
        highest=Max("peak_edge_bps"),
        routes=Count(Concat("symbol", "buy_on", "sell_on"), distinct=True),
    ).annotate(
        lasted=Case(
            When(going=0, then=ExpressionWrapper(F("last_close") - F("started"), DurationField())),
            output_field=DurationField(),
        )
    )
    return found


def moves_in_order(asked: Asked, sort: Sort, descending: bool) -> QuerySet[Any, Any]:
    """Sorted like `in_order`; mean, size and profit are those of the best route, which is what is shown."""
    found = moves(asked)
    columns = {"started": "started", "duration": "lasted", "peak": "highest"}
    if sort == "symbol":
        found = found.annotate(by=Min("symbol"))
    elif sort not in columns:
        found = found.annotate(by=_of_the_best(peak_worth() if sort == "size" else F(_COLUMNS[sort])))
    order = _order(F(columns.get(sort, "by")), descending, open_first=sort not in _MAY_BE_UNKNOWN)
    return found.order_by(order, "-started", "of")


def _of_the_best(column: F | Case) -> Func:
    return Func(ArrayAgg(column, order_by=_BEST), template="(%(expressions)s)[1]", output_field=FloatField())


def routes_of(asked: Asked, wanted: list[UUID]) -> dict[UUID, list[OpportunityEpisode]]:
    """The routes that match of some moves, by the move, best first; a route that opened several times, or
    under several filters, once, at its best. The prices of both sides are left out.
    """
    route = ("of", "symbol", "buy_on", "sell_on")
    of_moves = episodes(asked).filter(Q(move__in=wanted) | Q(move=None, pk__in=wanted)).annotate(of=_MOVE)
    rows = of_moves.order_by(*route, *_BEST).distinct(*route).defer("at_open", "at_peak", "at_close")
    found: dict[UUID, list[OpportunityEpisode]] = {}
    for row in sorted(rows, key=lambda row: (-row.peak_edge_bps, row.started_at, row.id)):
        found.setdefault(row.move or row.id, []).append(row)
    return found


def counted(asked: Asked, at_most: int) -> tuple[int, int]:
    """Number of moves, and of their routes, that match; counting ends at `at_most`."""
    found = episodes(asked).order_by().annotate(of=_MOVE)
    routes = found.values("of", "symbol", "buy_on", "sell_on").distinct()
    return found.values("of").distinct()[:at_most].count(), routes[:at_most].count()


def counts_per_pair(since: datetime.datetime) -> dict[str, int]:
    """Number of moves that began on each pair since a time, by the pair's id (`BTC/USDT|binance|bybit`)."""
    pairs = (
        OpportunityEpisode.objects.filter(started_at__gte=since)
        .order_by()
        .values_list("symbol", "exchange1", "exchange2")
        .annotate(count=Count(_MOVE, distinct=True))
    )
    return {chart_id_of(symbol, one, two): count for symbol, one, two, count in pairs}


def distributions(asked: Asked, zone: datetime.tzinfo = datetime.UTC) -> Distributions:
    """Histograms of the moves that match; hours are those of `zone`."""
    newest = moves(asked).annotate(hour=ExtractHour("started", tzinfo=zone)).order_by("-started", "of")
    durations = tuple(datetime.timedelta(milliseconds=edge) for edge in DURATION_EDGES_MS)
    found = newest[:CONSIDERED].aggregate(
        considered=Count("of"),
        of_routes=Sum("routes", default=0),
        **_buckets("lasted", durations),
        **_buckets("highest", PEAK_EDGES_BPS),
        **{f"hour_{hour}": Count("of", filter=Q(hour=hour)) for hour in range(24)},
    )
    return Distributions(
        considered=found["considered"],
        routes=found["of_routes"],
        durations_ms=_histogram(found, "lasted", DURATION_EDGES_MS),
        peaks_bps=_histogram(found, "highest", PEAK_EDGES_BPS),
        hours=tuple(found[f"hour_{hour}"] for hour in range(24)),
    )


def _buckets(column: str, edges: tuple[Any, ...]) -> dict[str, Count]:
    ranges = [
        Q(**{f"{column}__lt": edges[0]}),
        *(Q(**{f"{column}__gte": low, f"{column}__lt": high}) for low, high in pairwise(edges)),
        Q(**{f"{column}__gte": edges[-1]}),
    ]
    return {f"{column}_{place}": Count("of", filter=each) for place, each in enumerate(ranges)}


def _histogram(found: dict[str, Any], column: str, edges: tuple[float, ...]) -> Histogram:
    return Histogram(edges, tuple(found[f"{column}_{place}"] for place in range(len(edges) + 1)))
