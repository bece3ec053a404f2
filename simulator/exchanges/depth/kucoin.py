"""KuCoin classic: deltas alone; a sequence counts every changed level, of swaps one to a frame.

Whole books of 100 levels are asked for without a key; the one of all levels needs one on spot. A level of
price 0 only moves the sequence. Sizes of swaps are lots, JSON numbers in whole books. Source: PROTOCOLS 5,
PROTOCOLS2 C0, C2, C7.
"""

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth
from simulator.exchanges.perpetual import whole
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Frame

if TYPE_CHECKING:
    from simulator.exchanges.kucoin import Kucoin

MOVES = 8  # in one update of so many a level only moves the sequence
KEYED = "/api/v3/market/orderbook/level2"


class KucoinDepth(Depth):
    """`/market/level2:` and `/api/v1/market/orderbook/level2_100`."""

    exchange: "Kucoin"
    paths = ("/api/v1/market/orderbook/level2_20", "/api/v1/market/orderbook/level2_100", KEYED)
    budget = (500, 30.0)

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """One frame, a sequence to each level."""
        bids, asks = ladder.rows(change)
        if change.number % MOVES == 0:
            asks = [*asks, ("0", "0")]
        numbers = count(change.first)
        a, b = (_rows(rows, numbers, change.last) for rows in (asks, bids))
        return (
            f'{{"topic":"{topic}","type":"message","subject":"trade.l2update","data":{{"changes":{{'
            f'"asks":{a},"bids":{b}}},"sequenceStart":{change.first},"sequenceEnd":{change.last},'
            f'"symbol":"{self.exchange.native(listing)}","time":{change.ts_ms}}}}}',
        )

    def levels(self, call: RestCall) -> int:
        """The path says how many."""
        tail = call.path.rstrip("/").rpartition("level2_")[2]
        return int(tail) if tail.isdecimal() else self.most

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """The sequence is a text on spot."""
        if call.path.rstrip("/") == KEYED:
            message = "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP"
            return RestReply({"code": "400001", "msg": message}, 401)
        return _ok({"time": view.ts_ms, "sequence": str(view.last), "bids": view.bids, "asks": view.asks})

    def unknown(self, call: RestCall) -> RestReply:
        """Errors usually come with HTTP 200."""
        return RestReply({"code": "400100", "msg": f"Symbol [{call.query.get('symbol', '')}] not found"})

    def too_many(self) -> RestReply:
        """Too many requests of the public pool."""
        return RestReply({"code": "429000", "msg": "Too Many Requests"}, 429)


class KucoinSwapDepth(KucoinDepth):
    """`/contractMarket/level2:` and `/api/v1/level2/snapshot`."""

    paths = ("/api/v1/level2/snapshot", "/api/v1/level2/depth20", "/api/v1/level2/depth100")

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """A frame to each level."""
        return [
            f'{{"topic":"{topic}","type":"message","subject":"level2","sn":{number},"data":{{'
            f'"sequence":{number},"change":"{price},{"buy" if is_bid else "sell"},{whole(size)}",'
            f'"timestamp":{change.ts_ms}}}}}'
            for number, (price, size, is_bid) in enumerate(ladder.steps(change), change.first)
        ]

    def levels(self, call: RestCall) -> int:
        """The path says how many."""
        tail = call.path.rstrip("/").rpartition("depth")[2]
        return int(tail) if tail.isdecimal() else self.most

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """The time is in ns."""
        asks, bids = ([[price, int(float(size))] for price, size in rows] for rows in (view.asks, view.bids))
        return _ok(
            {
                "symbol": self.exchange.native(listing),
                "sequence": view.last,
                "asks": asks,
                "bids": bids,
                "ts": view.ts_ms * 1_000_000,
            }
        )


def _rows(rows: Rows, numbers: "count[int]", last: int) -> str:
    return (
        "[" + ",".join([f'["{price}","{size}","{min(next(numbers), last)}"]' for price, size in rows]) + "]"
    )


def _ok(data: dict[str, Any]) -> dict[str, Any]:
    return {"code": "200000", "data": data}
