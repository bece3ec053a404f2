"""Ranking of the scanner's routes by edge: whose order books are worth following, where a rule says so."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.pricing import edge_bps, fee_factors
from engine.scan.identity import FAIL, VERDICTS
from engine.scan.scanner import Scanner
from realtime.depth.wire import Key

RANK_EVERY_S: Final = 5.0
QUOTED_WITHIN_NS: Final = 60 * 10**9
"""The edge of a leg that has said nothing for longer is none to follow a book for."""


class Ranking:
    """Legs of the routes with the highest edges, as the scanner holds them now."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._pairs: NDArray[np.int32] = np.empty((0, 2), np.int32)

    def configure(self) -> None:
        """Take over what the scanner was configured to compare."""
        scanner = self._scanner
        self._pairs = np.fromiter(scanner.pair_legs(), np.dtype(("<i4", 2)), len(scanner.pairs))

    def best(self, routes: int, now_mono_ns: int) -> list[Key]:
        """Return both legs of so many routes, the best first; coins that only share a name are none."""
        legs, pairs = self._scanner.legs, self._pairs
        if not routes or not len(pairs):
            return []
        since_ns = now_mono_ns - QUOTED_WITHIN_NS
        fresh = np.array([leg.received_mono_ns >= since_ns for leg in legs])
        bid, ask, fee_bps = (
            np.array([leg.bid for leg in legs]),
            np.array([leg.ask for leg in legs]),
            np.array([np.nan if leg.taker_fee_bps is None else leg.taker_fee_bps for leg in legs], float),
        )
        bid[~fresh] = ask[~fresh] = np.nan
        one, two = pairs[:, 0], pairs[:, 1]
        first, second = fee_factors(fee_bps[one] / 10_000, fee_bps[two] / 10_000)
        edge = np.fmax(edge_bps(bid[one], ask[two], first), edge_bps(bid[two], ask[one], second))
        codes = np.frombuffer(self._scanner.gatekeeper.identity.codes, np.uint8)
        edge[np.array(VERDICTS)[codes] == FAIL] = np.nan
        found = np.flatnonzero(~np.isnan(edge))
        if len(found) > routes:
            found = found[np.argpartition(-edge[found], routes)[:routes]]
        best = found[np.argsort(-edge[found], kind="stable")]
        return [(legs[leg].exchange, legs[leg].listing.symbol) for leg in pairs[best].ravel().tolist()]
