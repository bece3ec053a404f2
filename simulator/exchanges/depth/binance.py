"""Binance: `U` and `u` count what changed; on spot they may overlap, of swaps `pu` chains and ids skip.

A stream has deltas alone: a whole book is asked for. Source: PROTOCOLS2 A5, C0, C2, C3.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth, pairs
from simulator.ladder import Change, Ladder, View
from simulator.session import Frame

if TYPE_CHECKING:
    from simulator.exchanges.binance import Binance

OVERLAPS = 16  # one update in so many begins with the last change of the one before
SKIPPED = 3  # of a swap's ids: of so many only one is ours, the others are other symbols'


class BinanceDepth(Depth):
    """`<s>@depth`, `@depth@100ms` and `/api/v3/depth`."""

    exchange: "Binance"
    gone = "0.00000000"
    paths = ("/api/v3/depth",)
    most = 5000
    budget = (6000, 60.0)
    weights: ClassVar[tuple[tuple[int, int], ...]] = ((100, 5), (500, 25), (1000, 50), (5000, 250))

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """depthUpdate."""
        bids, asks = ladder.rows(change)
        native, first = self.exchange.native(listing), change.first - (change.number % OVERLAPS == 0)
        return (
            self.exchange.wrap(
                topic,
                variant,
                f'{{"e":"depthUpdate","E":{change.ts_ms + 1},"s":"{native}",'
                f'"U":{first},"u":{change.last},"b":{pairs(bids)},"a":{pairs(asks)}}}',
            ),
        )

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """No time on spot."""
        return {"lastUpdateId": view.last, "bids": view.bids, "asks": view.asks}

    def unknown(self, call: RestCall) -> RestReply:
        """Invalid symbol."""
        return RestReply({"code": -1121, "msg": "Invalid symbol."}, 400)

    def too_many(self) -> RestReply:
        """Retry-After is in seconds; who does not wait is banned, which this one does not do."""
        message = "Too much request weight used; current limit is {} request weight per 1 MINUTE."
        body = {"code": -1003, "msg": message.format(self.budget[0])}
        return RestReply(body, 429, {"Retry-After": "10"})

    def cost(self, call: RestCall) -> int:
        """By levels."""
        levels = self.levels(call)
        return next((weight for most, weight in self.weights if levels <= most), self.weights[-1][1])


class BinanceSwapDepth(BinanceDepth):
    """`<s>@depth`, `@depth@100ms`, `@depth@500ms` on `/public`, and `/fapi/v1/depth`."""

    gone = "0"
    paths = ("/fapi/v1/depth",)
    usual, most = 500, 1000
    budget = (2400, 60.0)
    weights = ((50, 2), (100, 5), (500, 10), (1000, 20))

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """`U` may be more than one above `pu`."""
        bids, asks = ladder.rows(change)
        native, previous = self.exchange.native(listing), change.previous * SKIPPED
        return (
            self.exchange.wrap(
                topic,
                variant,
                f'{{"e":"depthUpdate","E":{change.ts_ms + 2},"T":{change.ts_ms},"s":"{native}",'
                f'"ps":"{native}","U":{previous + 2},"u":{change.last * SKIPPED},"pu":{previous},'
                f'"b":{pairs(bids)},"a":{pairs(asks)},"st":1}}',
            ),
        )

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """With the push time and the matching engine's."""
        return {
            "lastUpdateId": view.last * SKIPPED,
            "E": view.ts_ms + 2,
            "T": view.ts_ms,
            "bids": view.bids,
            "asks": view.asks,
        }
