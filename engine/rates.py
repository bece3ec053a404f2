"""Rates of one currency in another: so that BTC/USDC and BTC/USDT can be compared, and so that a least
size means the same money everywhere.

Plain Python, no Django. A rate is the median mid of a symbol such as USDC/USDT over the exchanges that quote
it in this shard, or what the shard that owns that symbol said lately. It ages like a leg: a quote older than
`max_age_ms` says no rate, nor does one of an interrupted stream or one that is not believed. A rate is as old
as the newest of its quotes, and without one it is unknown. Where nobody says a currency's own rate, two rates
over a bridge say it (`engine.conversions`), each of which ages so.
"""

from collections.abc import Iterable, Mapping
from math import inf, isnan, nan, prod
from statistics import median
from typing import Final

from core.clock.moments import Ages
from core.names.symbols import quote_of
from engine.conversions import Conversion, saying, symbols_of, ways
from engine.scan.legs import Leg
from markets.config import GateTerms, ListingConfig
from markets.worth.reference import REFERENCE, is_dollar

RECEIVED_FOR_S: Final = 10.0
"""How long another shard's word holds: it only says what is fresh there, every second. By our own clock, as
that shard's may be another; a word from ahead of now is believed when the next one follows it."""


def conversion(listing: ListingConfig) -> Conversion | None:
    """Conversion of prices there, if the symbol it counts as is quoted otherwise."""
    wanted = quote_of(listing.counts_as)
    return None if listing.quote == wanted else (listing.quote, wanted)


class Rates:
    """The rates a configuration needs, in any shard. `legs` quote them in this one, by symbol."""

    def __init__(self) -> None:
        self.needed: set[Conversion] = set()
        self.legs: dict[str, list[Leg]] = {}
        self.current: dict[Conversion, float] = {}
        """How much of the second currency one of the first is worth, as of `reckon`; NaN: nobody says."""
        self.worths: dict[str, float] = {}
        """What one of each quote currency is worth in the reference currency; NaN: nobody says."""
        self._received: dict[str, tuple[float, int]] = {}
        self._ages = Ages(unknown_s=inf)
        self._max_age_ns = 0.0
        self._now_ns = 0

    def configure(self, listings: Iterable[ListingConfig], terms: GateTerms) -> None:
        """Know what is needed, and how old it may be; the legs are to be set again."""
        self._max_age_ns = terms.max_age_ms * 1e6
        listings = list(listings)
        self.needed = {needed for listing in listings if (needed := conversion(listing))}
        quotes = {quote_of(listing.counts_as) for listing in listings}
        self.worths = {quote: nan for quote in quotes if not is_dollar(quote)}
        asked = self.needed | {(quote, REFERENCE) for quote in self.worths}
        self.legs = {symbol: [] for needed in asked for symbol in saying(needed)}

    def receive(self, said: Mapping[str, tuple[float, int]]) -> None:
        """Apply what other shards publish: symbol -> rate and when it held, µs."""
        self._received = dict(said)

    def own(self) -> dict[str, float]:
        """Rates that this shard's exchanges quote, by symbol, as of the last `reckon`."""
        return {symbol: rate for symbol, (rate, _) in self.quoted().items()}

    def quoted(self) -> dict[str, tuple[float, float]]:
        """The same, with the age of the newest quote, ms."""
        found = {}
        for symbol, legs in self.legs.items():
            ages = {leg: max(0, self._now_ns - leg.received_mono_ns) for leg in legs if _says(leg)}
            mids = [(leg.bid + leg.ask) / 2 for leg, age in ages.items() if age <= self._max_age_ns]
            if mids:
                found[symbol] = median(mids), min(ages.values()) / 1e6
        return found

    def reckon(self, now_us: int, now_mono_ns: int) -> None:
        """Know every rate that is needed as of now; this shard's own quotes go before what others say."""
        self._now_ns = now_mono_ns
        stamps_us = {symbol: ts_us for symbol, (_, ts_us) in self._received.items()}
        ages_s = self._ages.take(stamps_us, now_us, now_mono_ns / 1e9)
        known = {s: rate for s, (rate, _) in self._received.items() if ages_s[s] <= RECEIVED_FOR_S}
        known |= self.own()
        self.current = {needed: _convert(needed, known) for needed in self.needed}
        self.worths = {quote: _convert((quote, REFERENCE), known) for quote in self.worths}


def _says(leg: Leg) -> bool:
    return not (isnan(leg.bid) or leg.jumped)


def _convert(needed: Conversion, known: Mapping[str, float]) -> float:
    """Convert by the first way of which every rate is known."""
    found = (prod(_rate(step, known) for step in way) for way in ways(needed))
    return next((rate for rate in found if not isnan(rate)), nan)


def _rate(step: Conversion, known: Mapping[str, float]) -> float:
    straight, inverse = (known.get(symbol) for symbol in symbols_of(step))
    if straight is not None:
        return straight
    return nan if inverse is None else 1 / inverse
