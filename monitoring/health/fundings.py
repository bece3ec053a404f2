"""Funding as the monitor sees it: every swap that is followed, for how long it is unknown, and what changed.

| key | what |
|---|---|
| `monitoring:fundings` | the `Remembered` swaps, as MessagePack: a monitor that starts goes on from them |

So a changed interval is seen though collectors or the monitor were down meanwhile, and a swap of which
nothing is said any more is unknown, not gone, for a while.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct, structs
from redis.asyncio import Redis

from core.clock.moments import is_over
from engine.funding.rates import per_8h
from engine.funding.settlements import S_US
from markets.follow.fundings import Snapshot, SwapRow

KEY: Final = "monitoring:fundings"
CHANGE_REPORTED_S: Final = 3_600
GONE_AFTER_S: Final = 600
"""A swap that no collector names for so long is followed no more."""

FORGOTTEN_AFTER_S: Final = 7 * 86_400
MAX_REMEMBERED: Final = 50_000
"""Eight exchanges list some 5,000 swaps; the ones seen longest ago are forgotten first."""

UNSAID: Final = "no collector says anything of it"

Key = tuple[str, str]
"""Market and symbol."""


class Swap(Struct, frozen=True):
    """One swap. `per_8h` is a fraction; None: unknown, `problem` says why, `unknown_s` for how long."""

    exchange: str
    symbol: str
    coin: str
    per_8h: float | None
    interval_s: int | None
    problem: str = ""
    unknown_s: float = 0.0


class IntervalChange(Struct, frozen=True):
    """The newest change of a swap's interval, in s, when it was seen."""

    exchange: str
    symbol: str
    coin: str
    from_s: int
    to_s: int
    at_us: int


class Fundings(Struct, frozen=True):
    """All swaps by coin and market, and the intervals that changed within the hour."""

    coins: dict[str, dict[str, Swap]]
    changes: tuple[IntervalChange, ...] = ()


class Remembered(Struct, array_like=True, frozen=True):
    """A swap that was seen: its last known interval, and how that changed last."""

    exchange: str
    symbol: str
    coin: str
    seen_us: int
    interval_s: int | None = None
    was_s: int | None = None
    changed_us: int | None = None


class FundingMemory:
    """Folds what collectors publish, observation by observation. No clock of its own."""

    def __init__(self, remembered: Iterable[Remembered] = ()) -> None:
        self._known: dict[Key, Remembered] = {(each.exchange, each.symbol): each for each in remembered}
        self._unknown_since_s: dict[Key, float] = {}

    @property
    def remembered(self) -> list[Remembered]:
        """State that the next monitor goes on from."""
        return list(self._known.values())

    def take(self, snapshots: Sequence[Snapshot], now_us: int, now_s: float) -> Fundings:
        """Funding now, by the wall clock and the monotonic one."""
        rows = {
            (row.exchange, row.symbol): row
            for snapshot in sorted(snapshots, key=lambda each: each.ts_us)
            for row in snapshot.rows
        }
        for key, row in rows.items():
            self._known[key] = _seen(self._known.get(key), row, now_us)
        self._forget(now_us)
        swaps = [_swap(row) for row in rows.values()]
        swaps += [
            Swap(each.exchange, each.symbol, each.coin, None, each.interval_s, UNSAID)
            for key, each in self._known.items()
            if key not in rows and not is_over((now_us - each.seen_us) / S_US, GONE_AFTER_S)
        ]
        return Fundings(_by_coin(self._dated(swaps, now_s)), tuple(self._changes(now_us)))

    def _forget(self, now_us: int) -> None:
        old = [
            key
            for key, each in self._known.items()
            if is_over((now_us - each.seen_us) / S_US, FORGOTTEN_AFTER_S)
        ]
        if (more := len(self._known) - len(old) - MAX_REMEMBERED) > 0:
            old += sorted(self._known.keys() - set(old), key=lambda key: self._known[key].seen_us)[:more]
        for key in old:
            del self._known[key]

    def _dated(self, swaps: Iterable[Swap], now_s: float) -> list[Swap]:
        before, self._unknown_since_s = self._unknown_since_s, {}
        return [self._as_old_as_it_is(swap, before, now_s) for swap in swaps]

    def _as_old_as_it_is(self, swap: Swap, before: dict[Key, float], now_s: float) -> Swap:
        if swap.per_8h is not None:
            return swap
        key = swap.exchange, swap.symbol
        since_s = self._unknown_since_s[key] = before.get(key, now_s)
        return structs.replace(swap, unknown_s=now_s - since_s)

    def _changes(self, now_us: int) -> Iterable[IntervalChange]:
        for each in self._known.values():
            if each.changed_us is None or each.was_s is None or each.interval_s is None:
                continue
            if not is_over((now_us - each.changed_us) / S_US, CHANGE_REPORTED_S):
                yield IntervalChange(
                    each.exchange, each.symbol, each.coin, each.was_s, each.interval_s, each.changed_us
                )


def _seen(before: Remembered | None, row: SwapRow, now_us: int) -> Remembered:
    """Memory of a swap after a row; an interval that is unknown now is the one it was."""
    if before is None:
        return Remembered(row.exchange, row.symbol, row.coin, now_us, row.interval_s)
    now = structs.replace(
        before, coin=row.coin, seen_us=now_us, interval_s=row.interval_s or before.interval_s
    )
    if before.interval_s is None or now.interval_s == before.interval_s:
        return now
    return structs.replace(now, was_s=before.interval_s, changed_us=now_us)


def _swap(row: SwapRow) -> Swap:
    if row.problem or row.rate is None or row.interval_s is None:
        return Swap(row.exchange, row.symbol, row.coin, None, row.interval_s, row.problem)
    return Swap(row.exchange, row.symbol, row.coin, per_8h(row.rate, row.interval_s), row.interval_s)


def _by_coin(swaps: Iterable[Swap]) -> dict[str, dict[str, Swap]]:
    """Of one market with two of a coin the one whose symbol comes first, as on the funding page."""
    coins: dict[str, dict[str, Swap]] = {}
    for swap in sorted(swaps, key=lambda each: each.symbol, reverse=True):
        coins.setdefault(swap.coin, {})[swap.exchange] = swap
    return coins


async def read_remembered(redis: "Redis") -> list[Remembered]:
    """Swaps another monitor saw; none where it kept nothing that can be read. Raises RedisError."""
    value = await redis.get(KEY)
    try:
        return [] if value is None else msgspec.msgpack.decode(bytes(value), type=list[Remembered])  # type: ignore[arg-type]
    except msgspec.MsgspecError:  # of another version, during an update
        return []


async def write_remembered(redis: "Redis", remembered: Sequence[Remembered]) -> None:
    """Keep them for the next monitor. Raises RedisError."""
    await redis.set(KEY, msgspec.msgpack.encode(remembered), ex=FORGOTTEN_AFTER_S)
