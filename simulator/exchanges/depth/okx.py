"""OKX: a whole book, then updates that name the one before; ids fall when the exchange begins again.

A book that has not changed for a minute is said to be unchanged by an update with its own id. Checksums are 0
since 2026-06. Source: PROTOCOLS2 A23, C0, C2, C5, C9.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth
from simulator.exchanges.perpetual import number_of
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Frame

if TYPE_CHECKING:
    from simulator.exchanges.okx import Okx

FIRST = -1


class OkxDepth(Depth):
    """`books` and `/api/v5/market/books`."""

    exchange: "Okx"
    paths = ("/api/v5/market/books", "/api/v5/market/books-full")
    parameter = "instId"
    usual, most = 1, 400
    budget = (40, 2.0)
    idle_s = 60.0

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """An update."""
        bids, asks = ladder.rows(change)
        signed = self.checksum(listing, ladder)
        return (self._frame(listing, "update", bids, asks, ladder, change.previous, signed),)

    def opening(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """A whole book."""
        view, signed = ladder.view(), self.checksum(listing, ladder, whole=True)
        return (self._frame(listing, "snapshot", view.bids, view.asks, ladder, FIRST, signed),)

    def idle(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """An update without levels, whose id is the one before."""
        return (self._frame(listing, "update", [], [], ladder, ladder.last, self.checksum(listing, ladder)),)

    def _frame(  # noqa: PLR0917
        self,
        listing: Listing,
        action: str,
        bids: Rows,
        asks: Rows,
        ladder: Ladder,
        previous: int,
        signed: int,
    ) -> Frame:
        return (
            f'{{"arg":{{"channel":"books","instId":"{self.exchange.native(listing)}"}},"action":"{action}",'
            f'"data":[{{"asks":{_levels(asks)},"bids":{_levels(bids)},"ts":"{ladder.ts_ms}",'
            f'"checksum":{signed},"prevSeqId":{previous},"seqId":{ladder.last}}}]}}'
        )

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """Without an id."""
        asks, bids = ([[*row, "0", "3"] for row in side] for side in (view.asks, view.bids))
        return self.exchange.envelope([{"asks": asks, "bids": bids, "ts": str(view.ts_ms)}])

    def levels(self, call: RestCall) -> int:
        """One by default."""
        return number_of(call, "sz", self.usual)

    def unknown(self, call: RestCall) -> RestReply:
        """Errors come with HTTP 200."""
        return RestReply(
            {
                "code": "51001",
                "data": [],
                "msg": "Instrument ID, Instrument ID code, or Spread ID doesn't exist.",
            }
        )

    def too_many(self) -> RestReply:
        """Without a time to wait."""
        return RestReply({"code": "50011", "data": [], "msg": "Too Many Requests"}, 429)


def _levels(rows: Rows) -> str:
    """Price, size, a zero and the number of orders, which is 0 of a level that is gone."""
    return (
        "["
        + ",".join([f'["{price}","{size}","0","{0 if size == "0" else 3}"]' for price, size in rows])
        + "]"
    )
