"""Parts of every simulated swap market beside those of spot: contract sizes, mark and index price, funding.

An exchange's file adds its swap dialect to this and to the exchange's own class, so that what its two
dialects share stands once.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from typing import Any, ClassVar, NamedTuple

from msgspec import structs

from simulator.catalogue import Listing
from simulator.exchanges.base import Book, RestCall, SimulatedExchange, Source
from simulator.funding import FundingClock, FundingState
from simulator.session import Frame, Session, Topic
from simulator.swaps import terms_of

HISTORY_USUAL, HISTORY_MOST, HISTORY_KEPT = 100, 1_000, 1_000
SIZES, PAGES = ("limit", "pageSize", "page_size"), ("pageNo", "page_num")
LEVERAGE = 75
TIERS = ((1_000_000, LEVERAGE), (5_000_000, 50), (20_000_000, 20))
"""Notional up to which so much leverage is allowed, of every swap."""


class Status(NamedTuple):
    """Mark and index price as the exchange prints them, and the funding."""

    mark_price: str
    index_price: str
    funding: FundingState


class Perpetuals(SimulatedExchange):
    """A market of linear perpetual swaps. Topics of the channel `status` are pushed every `beat_s`.

    `settling_s`: how long after a settlement the old rate stands under the new time; `recomputed`: whether
    another rate than the last one published is settled (PROTOCOLS2 A25). Both before `funding_scale`.
    """

    beat_s: ClassVar[float] = 1.0
    settling_s: ClassVar[float] = 5.0
    recomputed: ClassVar[bool] = False
    history_most: ClassVar[int] = HISTORY_MOST  # settlements in one answer

    def __init__(
        self, listings: Sequence[Listing], source: Source, time_scale: float, seed: int, funding_scale: float
    ) -> None:
        super().__init__(listings, source, time_scale)
        self._clock = FundingClock(
            self.key, seed, funding_scale, recomputed=self.recomputed, settling_s=self.settling_s
        )
        self._stuck: dict[str, tuple[Book, tuple[float, float]]] = {}

    # --- the dialect -----------------------------------------------------------------------------

    @abstractmethod
    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """The frames of a topic about mark price, index price or funding that are due at a beat.

        Beats count from 1; 0 is the moment of subscribing.
        """

    def tick(self, beat: int) -> None:
        """Push what the exchange says of all its swaps at a beat."""

    # --- shared ----------------------------------------------------------------------------------

    def greet(self, session: Session, topic: Topic) -> None:
        """Subscribe, and push the current book or status at once."""
        super().greet(session, topic)
        if topic.channel == "status" and not self.quiet:
            listing = self.listings[topic.symbol]
            for frame in self.status_frames(topic.name, session.variant, listing, 0):
                session.push(frame)

    def contract_size(self, listing: Listing) -> str:
        """Coins per contract, another one by a fault."""
        changed = self.fault("contract-size", listing)
        return listing.contract if changed is None else f"{Decimal(str(changed)):f}".removesuffix(".0")

    def size_text(self, listing: Listing, coins: float) -> str:
        """A size in contracts, where the market counts in them."""
        return super().size_text(listing, coins / float(self.contract_size(listing)))

    def delisting(self, listing: Listing) -> bool:
        """Whether the swap is being delisted, its prices standing still."""
        return self.fault("delisting", listing) is not None

    def as_quoted(self, listing: Listing, book: Book) -> Book:
        """A book, of a swap that is being delisted with the prices it had when that began."""
        if not self.delisting(listing):
            self._stuck.pop(listing.symbol, None)
            return book
        if listing.symbol not in self._stuck:
            self._stuck[listing.symbol] = (book, self.source.prices(self, listing))
        return structs.replace(self._stuck[listing.symbol][0], ts_ms=book.ts_ms, n=book.n)

    def status(self, listing: Listing) -> Status:
        """Mark, index and funding now, spoilt as the active faults say."""
        self.quote(listing)  # notices that prices stand still
        stuck = self._stuck.get(listing.symbol)
        mark, index = stuck[1] if stuck else self.source.prices(self, listing)
        decimals = listing.price_decimals + 1
        return Status(self.number(mark, decimals), self.number(index, decimals), self._funding(listing))

    def settlements(self, listing: Listing, call: RestCall, start: str, end: str) -> list[tuple[int, float]]:
        """Settled rates of the range a call names in ms by these parameters, newest first, page by page."""
        now = self.now_ms()
        since, until = number_of(call, start, 0), min(now, number_of(call, end, now))
        terms = terms_of(self.exchange, listing.base)
        count, page = _first(call, SIZES, HISTORY_USUAL), max(_first(call, PAGES, 1), 1)
        count = min(count, self.history_most)
        rows = self._clock.history(listing.symbol, terms, since, until, min(count * page, HISTORY_KEPT))
        return rows[count * (page - 1) :]

    def asked(self, call: RestCall, name: str = "symbol") -> list[Listing]:
        """The listings a call is about: the one it names, none for an unknown one, all when it names none."""
        native = call.query.get(name)
        if native is None:
            return list(self.listings.values())
        listing = self.by_native.get(native)
        return [] if listing is None else [listing]

    def _funding(self, listing: Listing) -> FundingState:
        terms = terms_of(self.exchange, listing.base)
        hours = self.fault("funding-interval", listing)
        if hours is not None:
            terms = structs.replace(terms, interval_h=int(hours))
        now_ms = self.now_ms()
        state = self._clock.state(listing.symbol, terms, now_ms)
        rate, late_s = self.fault("funding-rate", listing), self.fault("funding-late", listing)
        if rate is not None:
            state = state.changed(rate=rate)
        if late_s is not None:
            state = state.changed(next_ms=now_ms - int(late_s * 1000))
        return state.changed(interval_s=None) if self.fault("no-interval", listing) is not None else state


def _first(call: RestCall, names: Sequence[str], otherwise: int) -> int:
    """The first of these parameters that a call has, as a whole number."""
    return next((number_of(call, name, otherwise) for name in names if name in call.query), otherwise)


def number_of(call: RestCall, name: str, otherwise: int) -> int:
    """A whole number of a call's query."""
    text = call.query.get(name, "")
    return int(text) if text.isdecimal() else otherwise


def rate_text(rate: float) -> str:
    """A funding rate as text without an exponent: `0.0001`, `-0.00007512`."""
    text = f"{rate:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def seconds(ms: int) -> int:
    """Milliseconds as whole seconds, never earlier."""
    return ceil(ms / 1000)


def whole(size: str) -> str:
    """A size as a JSON number: a count of contracts without a fraction of zero (`1335.0` in a recording)."""
    text = size.rstrip("0").rstrip(".") if "." in size else size
    return text or "0"


def compact(value: Any) -> str:
    """JSON text as exchanges send it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def known(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are known."""
    return {name: value for name, value in fields.items() if value is not None}
