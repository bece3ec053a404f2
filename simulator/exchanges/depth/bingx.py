"""BingX: `incrDepth`, a whole book and updates whose ids rise and skip without loss; whole books otherwise.

Asks come worst first. On spot `incrDepth` is documented and not seen live. Source: PROTOCOLS2 A19, A20, C0 to
C2, C8.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestReply
from simulator.exchanges.depth.base import Depth, pairs
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Channel, Frame

if TYPE_CHECKING:
    from simulator.exchanges.bingx import Bingx

CHANGES, WHOLE = "incrDepth", "depth"
CHANNELS: dict[str, Channel] = {
    CHANGES: "depth",
    **{
        f"{WHOLE}{levels}{interval}": "depth"
        for levels in (5, 10, 20, 50, 100)
        for interval in ("", "@100ms", "@200ms", "@500ms")
    },
}
ASKED = (5, 10, 20, 50, 100, 500, 1000)


class BingxDepth(Depth):
    """`@incrDepth`, `@depth20` and `/openApi/spot/v1/market/depth`."""

    exchange: "Bingx"
    gone = "0.0000"
    paths = ("/openApi/spot/v1/market/depth",)
    budget = (500, 10.0)

    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """An update; of the other channels a whole book each time."""
        if not topic.endswith(CHANGES):
            return self.opening(topic, variant, listing, ladder)
        return (self._change(topic, "update", *ladder.rows(change), ladder),)

    def opening(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """A whole book."""
        if topic.endswith(CHANGES):
            view = ladder.view()
            return (self._change(topic, "all", view.bids, view.asks, ladder),)
        view = ladder.view(int(topic.partition("@")[2].removeprefix(WHOLE).partition("@")[0]))
        data = f'{{"bids":{pairs(view.bids)},"asks":{pairs(view.asks[::-1])}}}'
        return (self.exchange.encode(f'{{"code":0,"dataType":"{topic}","ts":{view.ts_ms},"data":{data}}}'),)

    def _change(self, topic: str, action: str, bids: Rows, asks: Rows, ladder: Ladder) -> Frame:
        return self.exchange.encode(
            f'{{"code":0,"dataType":"{topic}","data":{{"action":"{action}","lastUpdateId":{ladder.last},'
            f'"time":{ladder.ts_ms},"bids":{pairs(bids)},"asks":{pairs(asks[::-1])}}}}}'
        )

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """Asks are descending, though documented otherwise."""
        data = {"bids": view.bids, "asks": view.asks[::-1], "ts": view.ts_ms}
        return {"code": 0, "timestamp": self.exchange.now_ms(), "data": data}

    def unknown(self, call: RestCall) -> RestReply:
        """Errors come with HTTP 200."""
        return RestReply({"code": 100400, "msg": "symbol not exist", "timestamp": self.exchange.now_ms()})

    def too_many(self) -> RestReply:
        """The message names how long to wait."""
        message = "rate limited: the endpoint's frequency limit is triggered, please retry after 5 minutes"
        return RestReply({"code": 100410, "msg": message, "data": {}}, 429)


class BingxSwapDepth(BingxDepth):
    """`@incrDepth`, `@depth20` and `/openApi/swap/v2/quote/depth`."""

    paths = ("/openApi/swap/v2/quote/depth",)
    usual = 20

    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """Both in the market's unit and in coins, which are the same of these swaps."""
        if self.levels(call) not in ASKED:
            return RestReply({"code": 109400, "msg": "limit must be one of 5,10,20,50,100,500,1000"})
        asks = view.asks[::-1]
        data = {
            "T": view.ts_ms, "bids": view.bids, "asks": asks, "bidsCoin": view.bids, "asksCoin": asks,
        }  # fmt: skip
        return {"code": 0, "msg": "", "data": data}
