"""Choice of the order books a process follows: by hand, by the scanner's best routes, within a budget."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from collectors.books.live import BookKey
from markets.config import DepthConfig, InstrumentConfig


class Chosen(Struct, frozen=True):
    """Books to follow, and those the budget has no room for, the most important first."""

    followed: tuple[InstrumentConfig, ...] = ()
    refused: tuple[InstrumentConfig, ...] = ()


class Choice:
    """Chooses among the instruments that are collected here; `choose` may be called at any time.

    A leg of a best route stays for `stay_s` after it was one last, so that a book does not come and go with
    every quote; what was chosen by hand goes first, then what was among the best most lately.
    """

    def __init__(self) -> None:
        self._config = DepthConfig()
        self._collected: dict[BookKey, InstrumentConfig] = {}
        self._among_best: dict[BookKey, float] = {}  # when it was last, monotonic s

    def configure(self, config: DepthConfig, collected: Iterable[Iterable[InstrumentConfig]]) -> None:
        """Take over what is wanted, and what is collected of each market: nothing else can be followed."""
        self._config = config
        self._collected = {(each.exchange, each.symbol): each for market in collected for each in market}

    @property
    def most(self) -> int:
        """The budget."""
        return self._config.most

    def choose(self, ranked: Sequence[BookKey], now_s: float) -> Chosen:
        """Return what to follow now; `ranked` has the two legs of each of the best routes, the best first."""
        config, known = self._config, self._collected
        for key in ranked[: 2 * config.top]:
            if key in known:
                self._among_best[key] = now_s
        self._among_best = {
            key: last
            for key, last in self._among_best.items()
            if config.top and key in known and now_s - last <= config.stay_s
        }
        by_rule = sorted(self._among_best, key=lambda key: (-self._among_best[key], key))
        wanted = dict.fromkeys([key for key in config.instruments if key in known] + by_rule)
        found = tuple(known[key] for key in wanted)
        return Chosen(found[: config.most], found[config.most :])
