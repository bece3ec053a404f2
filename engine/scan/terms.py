"""Terms of a filter for an edge to open and close an opportunity, complete without a look-up.

Plain Python, no Django.
"""

from math import inf, nan
from typing import Final

from msgspec import Struct

from engine.gates.checks import most_unproven_bps
from engine.gates.depth import Asked, asked_of
from engine.scan.directions import Direction
from markets.config import FilterConfig, GateTerms

_NS_PER_MS: Final = 1_000_000


class Terms(Struct, frozen=True):
    """A filter's terms of opening and closing, with nothing left to be looked up."""

    open_bps: float
    close_bps: float
    hold_ns: int
    min_size: float  # in the reference currency
    wallets_open: bool
    doubted_bps: float  # above this edge the gates, and the net edge, are asked at every quote
    held: tuple[float | bool | str | None, ...]  # what is asked of a position that is held
    depth: Asked | None  # what is asked at a size of the filter's own

    @classmethod
    def of(cls, follows: FilterConfig, gates: GateTerms) -> "Terms":
        """The terms of a filter that has a minimum edge."""
        opens = nan if follows.min_edge_bps is None else follows.min_edge_bps
        return cls(
            open_bps=opens,
            close_bps=opens if follows.close_edge_bps is None else follows.close_edge_bps,
            hold_ns=follows.min_duration_ms * _NS_PER_MS,
            min_size=gates.min_size if follows.min_size is None else follows.min_size,
            wallets_open=follows.wallets_open,
            doubted_bps=-inf if follows.min_net_edge_bps is not None else most_unproven_bps(gates, follows),
            held=(
                follows.min_net_edge_bps, follows.holding_hours, follows.exit_assumption,
                follows.settlement_wanted,
            ),
            depth=asked_of(follows, gates),
        )  # fmt: skip

    def is_enough(self, direction: Direction, size: float) -> bool:
        """Whether a size, in quote currency, is worth the least; unknown is not, unless nothing is asked."""
        return size >= 0 if self.min_size <= 0 else direction.value(size) >= self.min_size
