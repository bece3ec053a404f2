"""Every symbol on every enabled pair, and what the configuration alone says of it: legs, fees, gates.

Pure: numpy over a configuration. What the collectors' legs add is in `table`.
"""

import numpy as np
from numpy.typing import NDArray

from core.names.market_keys import SWAP, market_of
from core.names.symbols import quote_of
from engine.gates import checks as gates
from engine.pricing import fee_factors
from markets.config import MarketConfig
from markets.fees.book import Fees
from markets.selection import ScanPair, scan_pairs
from markets.worth.reference import is_dollar

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class ScanRows:
    """Rows of one configuration, with the columns that no quote changes."""

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.pairs: list[ScanPair] = scan_pairs(config)
        self.ids = [pair.id for pair in self.pairs]
        self.row = {id: row for row, id in enumerate(self.ids)}
        listings = {(leg.exchange, leg.symbol): leg for p in self.pairs for leg in (p.listing1, p.listing2)}
        self.listings = list(listings.values())
        self._place = {key: place for place, key in enumerate(listings)}
        self.leg1, self.leg2 = self._leg_places()
        self.exchanges = sorted({leg.exchange for leg in self.listings})
        self.exchange1, self.exchange2 = self._exchange_places()
        self.volume1, self.volume2 = self._volumes()
        self.taker_fee = self._taker_fees()
        self._costs = fee_factors(self.taker_fee[self.leg1], self.taker_fee[self.leg2])
        self._beforehand = self._gates_beforehand()
        self._multiplier = np.array([leg.multiplier for leg in self.listings], float)
        self._converted = np.array([leg.quote != quote_of(leg.counts_as) for leg in self.listings], bool)
        self.symbol_place = self._symbol_places()
        self.of_filter = self._of_filters()
        is_swap = np.array([market_of(key) == SWAP for key in self.exchanges], bool)
        self.has_swap = (
            (is_swap[self.exchange1] | is_swap[self.exchange2]) if self.pairs else np.zeros(0, bool)
        )
        self.most_age_ms = np.array(
            [gates.most_age_ms(config.gates, pair, None) for pair in self.pairs], float
        )
        self.is_swap = np.array([market_of(leg.exchange) == SWAP for leg in self.listings], bool)
        self.with_swap = self.is_swap[self.leg1] | self.is_swap[self.leg2]
        self._expires_us = np.array(
            [np.inf if leg.expires_us is None else leg.expires_us for leg in self.listings], float
        )
        self._least_volume = np.array([gates.least_volume(leg, config.gates) for leg in self.listings], float)
        self._in_dollars = np.array([is_dollar(quote_of(pair.symbol)) for pair in self.pairs], bool)

    def __len__(self) -> int:
        return len(self.pairs)

    def _leg_places(self) -> tuple[Ints, Ints]:
        place = self._place
        return (
            np.array([place[p.listing1.exchange, p.listing1.symbol] for p in self.pairs], np.int64),
            np.array([place[p.listing2.exchange, p.listing2.symbol] for p in self.pairs], np.int64),
        )

    def _exchange_places(self) -> tuple[Ints, Ints]:
        number = {key: place for place, key in enumerate(self.exchanges)}
        of_leg = self._leg_exchange = np.array([number[leg.exchange] for leg in self.listings], np.int64)
        return of_leg[self.leg1], of_leg[self.leg2]

    def _volumes(self) -> tuple[Floats, Floats]:
        of_leg = np.array([np.nan if leg.volume is None else leg.volume for leg in self.listings], float)
        return of_leg[self.leg1], of_leg[self.leg2]

    def _taker_fees(self) -> Floats:
        """Of every leg, as fractions; NaN where its exchange is not known."""
        fees, known = Fees(self.config), {row.key for row in self.config.exchanges}
        return np.array(
            [
                fees.taker(leg.exchange, leg.symbol) if leg.exchange in known else np.nan
                for leg in self.listings
            ],
            float,
        )

    def _gates_beforehand(self) -> tuple[gates.Bits, gates.Bits]:
        """Gate bits of every row and direction that no quote changes."""
        facts = gates.Facts(self.config)
        both = [(pair, pair.listing1, pair.listing2) for pair in self.pairs]
        sell_first = [facts.beforehand(pair, buy=two, sell=one) for pair, one, two in both]
        sell_second = [facts.beforehand(pair, buy=one, sell=two) for pair, one, two in both]
        return np.array(sell_first, np.uint32), np.array(sell_second, np.uint32)

    def needs_rates(self, row: int) -> bool:
        """Whether prices of this row are converted, or what its sizes are worth is."""
        converted = self._converted[self.leg1[row]] or self._converted[self.leg2[row]]
        return bool(converted or not self._in_dollars[row])

    def _symbol_places(self) -> Ints:
        places: dict[str, int] = {}
        rows = np.array([places.setdefault(pair.symbol, len(places)) for pair in self.pairs], np.int64)
        self._leg_symbol = np.array([places[leg.counts_as] for leg in self.listings], np.int64)
        self.symbols = list(places)
        return rows

    def _of_filters(self) -> dict[int, Ints]:
        """The rows of the pairs whose episodes a filter opens, and of those it gives a chart, by its id."""
        found: dict[int, list[int]] = {}
        for row, pair in enumerate(self.pairs):
            for each in pair.filters:
                found.setdefault(each.id, []).append(row)
        for chart in self.config.opportunities:
            if (charted := self.row.get(chart.id)) is not None:
                for id in chart.filters:
                    found.setdefault(id, []).append(charted)
        return {id: np.array(rows, np.int64) for id, rows in found.items()}
