"""Directions that the scanner compares: buy on one exchange, sell on another, after both taker fees.

Plain Python, no Django. The scanner makes directions, gates and lifecycle read them.
"""

from functools import lru_cache
from math import inf
from typing import Any, Final

from engine.pricing import BPS, edge_bps, fee_factor
from engine.scan.legs import Leg
from markets.config import FilterConfig
from markets.selection import ScanPair

_NS_PER_US: Final = 1_000

_ROUNDING: Final = 1 + 1e-12
"""The quick question never says no where the edge itself, rounded, is just at the threshold."""

shared_factor = lru_cache(maxsize=4096)(fee_factor)
"""`fee_factor`, one object for all directions with the same fees: 48 bytes less per pair."""


class Direction:
    """One way through a scanned pair: buy at one leg's ask, sell at the other's bid.

    `factor` holds the taker fees. `running` belongs to the lifecycle: what it follows here now. While
    there is any, every change of a leg is judged; otherwise only one that reaches the trigger. `index` is
    the place of the pair in the scanner's list, `context` what the gates know of it beforehand.
    """

    __slots__ = (
        "buy", "context", "factor", "filters", "index", "pair", "reach", "running", "sell",
    )  # fmt: skip

    def __init__(self, index: int, pair: ScanPair, buy: Leg, sell: Leg, factor: float) -> None:
        self.index = index
        self.pair = pair
        self.buy = buy
        self.sell = sell
        self.filters: tuple[FilterConfig, ...] = pair.filters
        self.factor = factor
        self.reach = _calm_reach(factor, self.trigger)  # bid * reach >= ask is the quick question
        self.running: Any = ()
        self.context: Any = None

    @property
    def trigger(self) -> float:
        """The lowest edge (bps) at which a filter may open an episode; infinite where none asks."""
        return min((f.min_edge_bps for f in self.filters if f.min_edge_bps is not None), default=inf)

    def edge_bps(self) -> float:
        """Edge after both taker fees, NaN while a leg has no usable quote."""
        found: float = edge_bps(self.sell.bid, self.buy.ask, self.factor)
        return found

    def size(self) -> float:
        """Size that both best levels can take, at the buying price, in quote currency."""
        return min(self.sell.bid_size, self.buy.ask_size) * self.buy.ask

    def value(self, size: float) -> float:
        """Worth of a size in the reference currency, in which least sizes are; NaN: not known."""
        return size * self.buy.worth

    def us_at(self, mono_ns: int) -> int:
        """The wall clock at a moment, from what was stamped with the newer of its quotes."""
        newest = max(self.buy, self.sell, key=lambda leg: leg.received_mono_ns + leg.late_ns)
        return newest.received_ts_us + (mono_ns - newest.received_mono_ns - newest.late_ns) // _NS_PER_US

    def watch(self) -> None:
        """Judge every change while something runs, and only what reaches the trigger while nothing does."""
        self.reach = inf if self.running else _calm_reach(self.factor, self.trigger)
        self.buy.set_reach()
        self.sell.set_reach()


@lru_cache(maxsize=4096)
def _calm_reach(factor: float, trigger: float) -> float:
    """Few different ones in all: remembered, they take no memory per direction."""
    least = trigger + BPS
    return factor / least * _ROUNDING if least > 0 else inf
