"""Bitget v2: a whole book, then updates that name the one before; `pseq` 0 on an update means begin again.

There are no checksums since 2026-04. Levels are texts on the socket and numbers over REST of swaps. Source:
PROTOCOLS2 A21, C0, C2, C7, C9.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth, numbers, pairs
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Frame

if TYPE_CHECKING:
    from simulator.exchanges.bitget import Bitget

NONE_BEFORE = 0


class BitgetDepth(Depth):
    """`books` and `/api/v2/spot/market/orderbook`."""

    exchange: "Bitget"
    paths = ("/api/v2/spot/market/orderbook",)
    usual, most = 150, 150
    budget = (20, 1.0)

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """An update; the first after a restart names none before it."""
        bids, asks = ladder.rows(change)
        previous = NONE_BEFORE if change.restarted else change.previous
        return (self._frame("update", listing, bids, asks, ladder, previous, self.checksum(listing, ladder)),)

    def opening(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """A whole book."""
        view, signed = ladder.view(), self.checksum(listing, ladder, whole=True)
        return (self._frame("snapshot", listing, view.bids, view.asks, ladder, NONE_BEFORE, signed),)

    def _frame(  # noqa: PLR0917
        self,
        action: str,
        listing: Listing,
        bids: Rows,
        asks: Rows,
        ladder: Ladder,
        previous: int,
        signed: int,
    ) -> Frame:
        checksum = f'"checksum":{signed},' if signed else ""
        row = (
            f'{{"asks":{pairs(asks)},"bids":{pairs(bids)},{checksum}"ts":"{ladder.ts_ms}",'
            f'"seq":{ladder.last},"pseq":{previous}}}'
        )
        return self.exchange.message(action, "books", listing, row, ladder.ts_ms)

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """Without an id."""
        return self.exchange.done({"asks": view.asks, "bids": view.bids, "ts": str(view.ts_ms)})

    def unknown(self, call: RestCall) -> RestReply:
        """HTTP 400 and a code."""
        native = call.query.get("symbol", "")
        body = {**self.exchange.done(None), "code": "40034", "msg": f"Parameter {native} does not exist"}
        return RestReply(body, 400)

    def too_many(self) -> RestReply:
        """Too many requests of one address."""
        return RestReply({**self.exchange.done(None), "code": "429", "msg": "Too Many Requests"}, 429)


class BitgetSwapDepth(BitgetDepth):
    """`books` and `/api/v2/mix/market/merge-depth`."""

    paths = ("/api/v2/mix/market/merge-depth",)
    usual, most = 100, 100

    def listing_of(self, call: RestCall) -> Listing | None:
        """The product has to be the market's own."""
        product = call.query.get("productType", "").upper()
        return super().listing_of(call) if product == self.exchange.kind else None

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """Levels are numbers."""
        return self.exchange.done(
            {
                "asks": numbers(view.asks),
                "bids": numbers(view.bids),
                "ts": str(view.ts_ms),
                "scale": listing.tick_text,
                "precision": "scale0",
                "isMaxPrecision": "NO",
            }
        )
