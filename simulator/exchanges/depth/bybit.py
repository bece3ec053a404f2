"""Bybit: a whole book, then deltas; `u` rises with every frame, 1 means that the service began again.

What leaves the levels of a topic is said to be gone. Source: PROTOCOLS2 A8, C0, C4.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth, pairs
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Frame

if TYPE_CHECKING:
    from simulator.exchanges.bybit import Bybit


class BybitDepth(Depth):
    """`orderbook.50.`, `.200.`, `.1000.` and `/v5/market/orderbook`."""

    exchange: "Bybit"
    paths = ("/v5/market/orderbook",)
    usual = 25
    budget = (600, 5.0)

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """A delta; after a restart a whole book."""
        if change.restarted:
            return self.opening(topic, variant, listing, ladder)
        bids, asks = ladder.rows(change, levels_of(topic))
        return (self._frame(topic, "delta", listing, bids, asks, ladder),)

    def opening(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """A whole book."""
        view = ladder.view(levels_of(topic))
        return (self._frame(topic, "snapshot", listing, view.bids, view.asks, ladder),)

    def _frame(  # noqa: PLR0917
        self, topic: str, kind: str, listing: Listing, bids: Rows, asks: Rows, ladder: Ladder
    ) -> Frame:
        """`ts` stands before `type` on spot alone."""
        head = [f'"type":"{kind}"', f'"ts":{ladder.ts_ms + 2}']
        if self.exchange.category == "spot":
            head.reverse()
        return (
            f'{{"topic":"{topic}",{",".join(head)},"data":{{"s":"{self.exchange.native(listing)}",'
            f'"b":{pairs(bids)},"a":{pairs(asks)},"u":{ladder.number},"seq":{ladder.last}}},'
            f'"cts":{ladder.ts_ms}}}'
        )

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """`u` is that of the stream of 1,000 levels."""
        return self.exchange.envelope(
            {
                "s": self.exchange.native(listing),
                "b": view.bids,
                "a": view.asks,
                "ts": view.ts_ms + 2,
                "u": view.number,
                "seq": view.last,
                "cts": view.ts_ms,
            }
        )

    def unknown(self, call: RestCall) -> RestReply:
        """Errors come with HTTP 200."""
        return RestReply(
            {
                "retCode": 10001,
                "retMsg": "params error: Symbol Invalid",
                "result": {},
                "retExtInfo": {},
                "time": self.exchange.now_ms(),
            }
        )

    def too_many(self) -> RestReply:
        """HTTP 403, on the real one for ten minutes."""
        return RestReply({"retCode": 10006, "retMsg": "access too frequent", "result": {}}, 403)

    def listing_of(self, call: RestCall) -> Listing | None:
        """The category has to be the market's own."""
        return super().listing_of(call) if call.query.get("category") == self.exchange.category else None


def levels_of(topic: str) -> int:
    """`orderbook.50.BTCUSDT`."""
    return int(topic.split(".")[1])
