"""Funding of the simulated swaps: a rate that moves towards each settlement, and what was settled.

Everything is a function of the seed, the market, the symbol and the exchange's clock, so the same seed
gives the same rates at the same time, whatever anybody asks. With `scale` an interval passes that much
faster by the clock, while the exchange still calls it by its name: 8 h is said, and passes in 29 s at 0.001;
working a settlement off takes a second of that at least, or a quarter of the interval.
"""

from typing import Final
from zlib import crc32

from msgspec import Struct, structs

from simulator.swaps import Terms

_HOUR_MS: Final = 3_600_000
_STEPS: Final = 480  # the forming rate moves once a minute of 8 h
_USUAL: Final = 1e-4
_HOT_ONE_IN: Final = 12
_HOT: Final = 15 * _USUAL
_RECOMPUTED: Final = 1.02
_DECIMALS: Final = 8
_LEAST_SETTLING_MS: Final = 1_000


class FundingState(Struct, frozen=True):
    """Funding of one swap at one moment, as its exchange would say it.

    `rate` is forming for the settlement at `next_ms`; `previous_rate` was charged at `previous_ms`, the last
    one. `settling`: a settlement is being worked off, and `rate` is still the old one. `interval_s` is the
    interval by name; None: the exchange does not say.
    """

    rate: float
    next_ms: int
    interval_s: int | None
    previous_rate: float
    previous_ms: int
    settling: bool
    cap: float
    floor: float

    @property
    def interval_h(self) -> int | None:
        """The interval by name, in hours."""
        return None if self.interval_s is None else self.interval_s // 3600

    @property
    def following_ms(self) -> int | None:
        """The settlement after the next one, by the interval's name."""
        return None if self.interval_s is None else self.next_ms + self.interval_s * 1000

    def changed(self, **fields: float | None) -> "FundingState":
        """The same with other values."""
        return structs.replace(self, **fields)


class FundingClock:
    """Funding of one market. `recomputed`: what is settled is not the last rate published, but near it."""

    def __init__(self, market: str, seed: int, scale: float, *, recomputed: bool, settling_s: float) -> None:
        self._name = f"{seed}/{market}"
        self._scale = scale
        self._recomputed = recomputed
        self._settling_ms = settling_s * 1000 * scale

    def state(self, symbol: str, terms: Terms, now_ms: int) -> FundingState:
        """Funding now, of terms whose interval may have changed."""
        length = terms.interval_h * _HOUR_MS * self._scale
        origin = terms.offset_h * _HOUR_MS * self._scale
        number = int((now_ms - origin) // length)
        begun_ms = round(origin + number * length)
        settling = now_ms - begun_ms < min(max(self._settling_ms, _LEAST_SETTLING_MS), length / 4)
        before, after = (self._published(symbol, terms, number - 1 + step) for step in (0, 1))
        phase = int((now_ms - begun_ms) / length * _STEPS) / _STEPS
        return FundingState(
            rate=before if settling else round(before + (after - before) * phase, _DECIMALS),
            next_ms=round(origin + (number + 1) * length),
            interval_s=terms.interval_h * 3600,
            previous_rate=self._settled(symbol, terms, number - 1),
            previous_ms=begun_ms,
            settling=settling,
            cap=terms.cap,
            floor=terms.floor,
        )

    def history(
        self, symbol: str, terms: Terms, start_ms: int, end_ms: int, limit: int
    ) -> list[tuple[int, float]]:
        """Settlements from `start_ms` to `end_ms`, at most `limit`, newest first: time in ms and rate."""
        length = terms.interval_h * _HOUR_MS * self._scale
        origin = terms.offset_h * _HOUR_MS * self._scale
        newest = int((end_ms - origin) // length)
        rows = ((round(origin + n * length), n) for n in range(newest, max(newest - limit, 0), -1))
        return [(at, self._settled(symbol, terms, n - 1)) for at, n in rows if start_ms <= at <= end_ms]

    def _settled(self, symbol: str, terms: Terms, number: int) -> float:
        rate = self._published(symbol, terms, number) * (_RECOMPUTED if self._recomputed else 1.0)
        return round(max(terms.floor, min(terms.cap, rate)), _DECIMALS)

    def _published(self, symbol: str, terms: Terms, number: int) -> float:
        """The last rate published for the settlement that ends interval `number`.

        A coin has its own level, each exchange moves around it, and a coin in a dozen is far off.
        """
        coin = symbol.partition("/")[0].lstrip("01")
        level = self._dice(coin) - 0.2
        hot = _HOT if self._dice("hot", coin) < 1 / _HOT_ONE_IN else _USUAL
        around = self._dice(self._name, symbol, number) - 0.5
        rate = (level * hot + around * _USUAL) * terms.interval_h / 8
        return round(max(terms.floor, min(terms.cap, rate)), _DECIMALS)

    @staticmethod
    def _dice(*words: object) -> float:
        """A number from 0 to 1, always the same for the same words."""
        return crc32("/".join(map(str, words)).encode()) / 2**32
