"""MEXC: deltas alone, whose versions are gapless: in protobuf on spot, as JSON numbers of swaps.

Of swaps `sub.depth` merges versions (`begin` to `end`), and says each alone where `compress` is false. Whole
books are asked for. Source: PROTOCOLS 3, PROTOCOLS2 C0, C2, C8.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth, numbers
from simulator.exchanges.perpetual import whole
from simulator.exchanges.protobuf import field
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Frame

if TYPE_CHECKING:
    from simulator.exchanges.mexc import Mexc, MexcSwap

CHANGES = "spot@public.aggre.depth.v3.api.pb"
RAW = "depth.raw"


class MexcDepth(Depth):
    """`spot@public.aggre.depth.v3.api.pb@100ms@` and `/api/v3/depth`."""

    exchange: "Mexc"
    paths = ("/api/v3/depth",)
    most = 5000
    budget = (500, 10.0)

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """publicAggreDepths is field 313 of the wrapper; versions are texts."""
        bids, asks = ladder.rows(change)
        body = b"".join(
            field(number, field(1, price) + field(2, size))
            for number, rows in ((1, asks), (2, bids))
            for price, size in rows
        )
        body += field(3, topic.rpartition("@")[0]) + field(4, str(change.first)) + field(5, str(change.last))
        return (self.exchange.wrap(topic, listing, change.ts_ms, 313, body),)

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """The time is that of the answer."""
        return {
            "lastUpdateId": view.last,
            "bids": view.bids,
            "asks": view.asks,
            "timestamp": self.exchange.now_ms(),
        }

    def unknown(self, call: RestCall) -> RestReply:
        """Invalid symbol."""
        return RestReply({"code": -1121, "msg": "Invalid symbol."}, 400)

    def too_many(self) -> RestReply:
        """Too many requests of one address."""
        return RestReply({"code": 429, "msg": "Too Many Requests"}, 429)


class MexcSwapDepth(Depth):
    """`sub.depth` and `/api/v1/contract/depth/<symbol>`."""

    exchange: "MexcSwap"
    usual = 1500
    most = 1500
    budget = (10, 2.0)

    def __init__(self, exchange: "MexcSwap") -> None:
        super().__init__(exchange)
        self.paths = tuple(f"/api/v1/contract/depth/{native}" for native in exchange.by_native)

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """Merged, or a frame to each version."""
        first, last, at_ms = change.first, change.last, change.ts_ms
        if not topic.startswith(RAW):
            bids, asks = ladder.rows(change)
            text = f'"begin":{first},"end":{last},"version":{last}'
            return (self._frame(topic, asks, bids, text, at_ms),)
        return [
            self._frame(topic, [] if is_bid else row, row if is_bid else [], f'"version":{number}', at_ms)
            for number, (price, size, is_bid) in enumerate(ladder.steps(change), first)
            for row in ([(price, size)],)
        ]

    def _frame(self, topic: str, asks: Rows, bids: Rows, ids: str, ts_ms: int) -> Frame:
        native = topic.partition(":")[2]
        data = f'{{"cts":{ts_ms},"asks":{_levels(asks)},"bids":{_levels(bids)},{ids}}}'
        return self.exchange.message(f"depth:{native}", data, ts_ms + 2)

    def listing_of(self, call: RestCall) -> Listing | None:
        """The path names it."""
        return self.exchange.find(call.path.rstrip("/").rpartition("/")[2])

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """Price, contracts and orders as numbers."""
        asks, bids = ([[*row, 1] for row in numbers(rows)] for rows in (view.asks, view.bids))
        data = {"asks": asks, "bids": bids, "version": view.last, "timestamp": view.ts_ms}
        return {"success": True, "code": 0, "data": data}

    def unknown(self, call: RestCall) -> RestReply:
        """Errors come with HTTP 200."""
        return RestReply({"success": False, "code": 1001, "message": "Contract does not exist!"})

    def too_many(self) -> RestReply:
        """Errors come with HTTP 200."""
        return RestReply({"success": False, "code": 510, "message": "Requests are too frequent!"})


def _levels(rows: Rows) -> str:
    """Price, contracts and orders, numbers, of a level that is gone 0 and 0."""
    return (
        "[" + ",".join([f"[{price},{whole(size)},{0 if size == '0' else 1}]" for price, size in rows]) + "]"
    )
