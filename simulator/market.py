"""The seeded market behind the simulated exchanges: one price path per symbol, a basis per exchange.

Everything moves on a fixed grid of STEP_S, drawn from one generator in a fixed order, so the
same seed gives the same paths whatever clients subscribe to.

    log mid     a random walk with rare jumps, pulled weakly to the listing's price
    log basis   per exchange and symbol an Ornstein-Uhlenbeck process (2.5 bps wide, 8 s memory)
                with rare shocks of 40-80 bps: larger than two taker fees, so arbitrage exists
                until it decays
    log shown   what an exchange quotes: it follows mid + basis with the exchange's own lag, and
                now and then stands still for seconds

Swap markets follow the same mid, with such a basis of their own and a slow one beside it (5 bps wide, 10
minutes of memory), from a generator of their own: what spot shows does not depend on them. A swap's index
price is the mid, its mark price that with the slow basis.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.catalogue import Listing

STEP_S = 0.1
BPS = 1e-4

WALK = 0.35 * BPS
PULL = 2e-5
JUMP_CHANCE = STEP_S / 240
JUMP = 12 * BPS
BASIS_DECAY = STEP_S / 8
BASIS_NOISE = 2.5 * BPS * np.sqrt(2 * BASIS_DECAY)
SHOCK_CHANCE = STEP_S / 2400
SHOCK_MIN, SHOCK_MAX = 40 * BPS, 80 * BPS
STALL_CHANCE = STEP_S / 600
STALL_STEPS = 30
CATCH_UP_STEPS = 6_000

SLOW_WIDTH = 5 * BPS
SLOW_DECAY = STEP_S / 600
SLOW_NOISE = SLOW_WIDTH * np.sqrt(2 * SLOW_DECAY)
_SWAPS = 1  # of the generators of one seed, the swaps'

Floats = NDArray[np.float64]


class Market:
    """Price paths of `listings` on `exchanges`; `shown[v][s]` is exchange v's middle price of symbol s.

    `swaps_shown` is the same of the exchanges' swap markets, with their `marks` and, by symbol, the `index`.
    """

    def __init__(
        self, exchanges: Sequence[str], listings: Sequence[Listing], seed: int, swaps: Sequence[str] = ()
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._reference: Floats = np.log([listing.price for listing in listings])
        self._mid = self._reference.copy()
        self._spot = _Quoted(len(exchanges), self._mid, self._rng)
        self._swap_rng = np.random.default_rng([seed, _SWAPS])
        self._slow: Floats = self._swap_rng.standard_normal((len(swaps), len(listings))) * SLOW_WIDTH
        self._swaps = _Quoted(len(swaps), self._mid + self._slow, self._swap_rng)
        self.step = 0
        self._show()

    def advance(self, elapsed_s: float) -> None:
        """Move to the grid point at `elapsed_s`; after a long pause it skips rather than races."""
        target = int(elapsed_s / STEP_S)
        if target - self.step > CATCH_UP_STEPS:
            self.step = target - CATCH_UP_STEPS
        if target <= self.step:
            return
        while self.step < target:
            self._advance_once()
        self._show()

    def _show(self) -> None:
        self.shown: list[list[float]] = np.exp(self._spot.log_shown).tolist()
        self.swaps_shown: list[list[float]] = np.exp(self._swaps.log_shown).tolist()
        self.marks: list[list[float]] = np.exp(self._mid + self._slow).tolist()
        self.index: list[float] = np.exp(self._mid).tolist()

    def _advance_once(self) -> None:
        self._move_mid()
        self._spot.advance(self._mid)
        if self._slow.size:
            noise = self._swap_rng.standard_normal(self._slow.shape)
            self._slow += noise * SLOW_NOISE - SLOW_DECAY * self._slow
            self._swaps.advance(self._mid + self._slow)
        self.step += 1

    def _move_mid(self) -> None:
        rng, count = self._rng, len(self._mid)
        jumps = (rng.random(count) < JUMP_CHANCE) * rng.standard_normal(count) * JUMP
        self._mid += rng.standard_normal(count) * WALK + jumps + PULL * (self._reference - self._mid)


class _Quoted:
    """Quotes of some exchanges around a middle price: their bases, lags and pauses."""

    def __init__(self, rows: int, mid: Floats, rng: np.random.Generator) -> None:
        self._rng = rng
        self._shape = (rows, mid.shape[-1])
        self._basis: Floats = rng.standard_normal(self._shape) * 2.5 * BPS
        self._lag: Floats = np.linspace(0.9, 0.25, rows)[:, None]
        self._stall = np.zeros(self._shape, dtype=np.int64)
        self.log_shown: Floats = mid + self._basis

    def advance(self, mid: Floats) -> None:
        """One step later, when the middle price is `mid`."""
        self._move_basis()
        self._follow(mid)

    def _move_basis(self) -> None:
        rng = self._rng
        shock = rng.uniform(SHOCK_MIN, SHOCK_MAX, self._shape) * rng.choice((-1, 1), self._shape)
        self._basis += rng.standard_normal(self._shape) * BASIS_NOISE - BASIS_DECAY * self._basis
        self._basis += (rng.random(self._shape) < SHOCK_CHANCE) * shock

    def _follow(self, mid: Floats) -> None:
        stalls = self._rng.random(self._shape) < STALL_CHANCE
        self._stall = np.where(stalls, STALL_STEPS, np.maximum(self._stall - 1, 0))
        step = self._lag * (mid + self._basis - self.log_shown)
        self.log_shown += np.where(self._stall > 0, 0.0, step)
