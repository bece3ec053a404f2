"""BingX: spot, and USDT- and USDC-margined perpetual swaps.

Facts: BingX api-ai-skills (2026-04) and live probes. Every server frame is gzipped JSON, numbers as
numbers or text. In `bookTicker` lower case is the price and upper case the quantity (in `@ticker`
it is the other way round). A frozen stream repeats a book that is minutes old under a fresh event
time, so quotes with E - T over 5 s are dropped, where both can be times. The server pings; any spelling of
it must be answered. Swaps have sizes in coins, several trades in a frame and those without ids, and a channel
of the mark price alone: what is due as funding, only REST says.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, Decoded
from collectors.exchanges.binance import taker_by_maker
from collectors.exchanges.depth import book_update
from collectors.exchanges.reading import (
    books,
    compact,
    is_no,
    plain_text,
    readable,
    request_id,
    table,
    tables,
    text,
    why,
)
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import HOURS, SwapCodec
from collectors.exchanges.times import FAR_US, Millis, moment_us
from collectors.exchanges.wire import NOT_EMPTY, FastId, FastPathKey, FastText, Positive
from engine.books.sequences import Rising
from markets.events import BookUpdate, Quote, Terms, Trade

QUOTES, TRADES, MARKS, TICKERS = "bookTicker", "trade", "markPrice", "ticker"
QUOTE: FastPathKey = f'@{QUOTES}"'.encode()
TRADE: FastPathKey = f'@{TRADES}"'.encode()
CHANGES, WHOLE_BOOKS = "incrDepth", "depth"
FROZEN_AFTER_MS = 5000
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31
LARGEST_FRAME = 4 * 1024 * 1024  # inflated; a quote is 200 bytes
FAST_PATH_FRAME = 512
SMALL_FRAME = LARGEST_FRAME // 1032  # deflate cannot do better than that


class _Quote(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path, fields in the order of the wire."""

    E: Millis
    s: str
    b: Positive
    B: Positive
    a: Positive
    A: Positive
    T: Millis | None = None
    u: FastId = 0


class _QuotePush(Struct, gc=False):
    data: _Quote


class _Trade(Struct, gc=False):
    s: str
    t: FastText
    p: Positive
    q: Positive
    T: Millis
    m: bool


class _TradePush(Struct, gc=False):
    data: _Trade


class _SwapTrade(Struct, gc=False):
    q: Positive
    p: Positive
    T: Millis
    m: bool
    s: str
    t: FastText | None = None


class _SwapTradePush(Struct, gc=False):
    data: Annotated[list[_SwapTrade], NOT_EMPTY]


class _Answer(Struct):
    id: Any = None
    code: Any = None
    msg: Any = None
    success: Any = None
    dataType: str | None = None
    data: Any = None
    ping: Any = None
    time: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class BingX(Codec):
    """BingX's codec: one topic per request."""

    sheet = DataSheet(
        key="bingx",
        name="BingX",
        ws_url="wss://open-api-ws.bingx.com/market",
        rest_url="https://open-api.bingx.com",
        topics_per_connection=200,
        topics_per_request=1,
        requests_per_second=8,  # fewer than 10
        silence_s=20,  # the server pings every 5 s
        binary=True,
        depth=Depth("{id}@incrDepth"),
    )
    kinds: ClassVar[frozenset[str]] = frozenset((QUOTES, TRADES))
    book_rule = Rising(falls="gap")

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._quote = self.fast_path(_QuotePush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """`dataType` names."""
        return (
            Topic("quote", native_id, f"{native_id}@{QUOTES}"),
            Topic("trade", native_id, f"{native_id}@{TRADES}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """A batch is one topic."""
        return compact({"id": str(request_id), "reqType": "sub", "dataType": topics[0].name})

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return compact({"id": str(request_id), "reqType": "unsub", "dataType": topics[0].name})

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            text = inflated(frame)
            if QUOTE in text:
                quote = self._quote(text).data
                is_fresh = quote.T is None or quote.E - quote.T <= FROZEN_AFTER_MS
                if is_fresh and quote.b <= quote.a:
                    return self.take(
                        Quote(
                            self._key, self.symbols[quote.s], quote.b, quote.B, quote.a, quote.A,
                            quote.E * 1000, received_ts_us, received_mono_ns,
                        ),
                        quote.u,
                    )  # fmt: skip
            elif TRADE in text:
                return self._fast_trades(text, received_ts_us, received_mono_ns)
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def _fast_trades(
        self, text: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        trade = self._trade(text).data
        return (
            self.dated(Trade(
                self._key, self.symbols[trade.s], trade.p, trade.q, "sell" if trade.m else "buy",
                trade.t, trade.T * 1000, received_ts_us, received_mono_ns,
            )),
        )  # fmt: skip

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """Spot sends one trade per frame, other markets a list; both are taken."""
        push = self.load(inflated(frame))
        name, _, kind = text(push.get("dataType")).partition("@")
        data = push.get("data")
        if kind.startswith((CHANGES, WHOLE_BOOKS)) and isinstance(data, dict) and data:
            return self._depth(push, name, data, received_ts_us, received_mono_ns)
        if kind not in self.kinds or (not data and ("id" in push or is_no(push.get("code")))):
            return self.answer(frame)
        events: list[Decoded] = []
        rows = data if isinstance(data, list) else [data]
        for row in books(rows) if kind == QUOTES else tables(rows):
            native_id = self.known(row.get("s"), name)
            events += self._row(kind, native_id, row, received_ts_us, received_mono_ns)
        return events

    def _row(
        self, kind: str, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        take = self._quote_of if kind == QUOTES else self._trade_of
        return take(native_id, row, received_ts_us, received_mono_ns)

    def _quote_of(
        self, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        pushed_us, book_us = moment_us(row.get("E")), moment_us(row.get("T"))
        behind_us, time = pushed_us - book_us if pushed_us and book_us else 0, row.get("E")
        if behind_us >= FAR_US:  # one of them is none
            self.skip("bad_time")
            time = readable(received_ts_us, time, row.get("T"))
        elif behind_us > FROZEN_AFTER_MS * 1000 and native_id in self.symbols:
            behind = f"its book is {behind_us / 1e6:.0f} s old"
            return self.no_quote(self.symbols[native_id], "frozen", behind, received_ts_us, received_mono_ns)
        return self.quote(
            native_id, row.get("b"), row.get("B"), row.get("a"), row.get("A"), time,
            received_ts_us, received_mono_ns, row.get("u"),
        )  # fmt: skip

    def _depth(
        self,
        push: dict[str, Any],
        name: str,
        data: dict[str, Any],
        received_ts_us: int,
        received_mono_ns: int,
    ) -> Sequence[Decoded]:
        """Asks come worst first; only changes name what they are."""
        time = readable(
            received_ts_us, data.get("time"), data.get("timestamp"), data.get("T"), push.get("ts"),
            push.get("timestamp"),
        )  # fmt: skip
        return book_update(
            self, "delta" if data.get("action") == "update" else "snapshot", name,
            data.get("bids"), data.get("asks"), time, received_ts_us, received_mono_ns,
            last=data.get("lastUpdateId"),
        )  # fmt: skip

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """Of a swap both in its unit and, as `bidsCoin` and `asksCoin`, in coins."""
        data = table(answer.get("data"))
        bids, asks = (data.get(f"{side}Coin") or data.get(side) for side in ("bids", "asks"))
        time = readable(received_ts_us, data.get("T"), data.get("ts"), answer.get("timestamp"))
        return book_update(
            self, "snapshot", native_id, bids, asks, time, received_ts_us, received_mono_ns,
            last=data.get("lastUpdateId"),
        )  # fmt: skip

    def _trade_of(
        self, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        return self.trade(
            native_id, row.get("p"), row.get("q"), taker_by_maker(row.get("m")), row.get("t"), row.get("T"),
            received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """`Ping` in any case is answered `Pong`, a JSON ping by the same with pong."""
        frame = inflated(frame)
        if plain_text(frame).strip().lower() == "ping":
            return (Control("ping", reply="Pong"),)
        answer = decode_answer(frame)
        if answer.ping is not None:
            return (Control("ping", reply=_pong(answer.ping, answer.time)),)
        topics = (answer.dataType,) if answer.dataType else ()
        if is_no(answer.code) or answer.success is False:
            return (Control("error", request_id(answer.id), topics, why(answer.code, answer.msg)),)
        if answer.id is not None and not answer.data:
            return (Control("ack", request_id(answer.id), topics),)
        ours = (answer.dataType or "").partition("@")[2] in self.kinds
        return self.skip("malformed" if ours else "unknown_kind")


class BingXSwap(SwapCodec, BingX):
    """The swap socket, which speaks as that of spot."""

    sheet = replace(
        BingX.sheet,
        key="bingx:swap",
        name="BingX swap",
        ws_url="wss://open-api-swap.bingx.com/swap-market",
        polled=("/openApi/swap/v2/quote/premiumIndex",),
    )
    kinds = BingX.kinds | {MARKS, TICKERS}

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._swap_trade = self.fast_path(_SwapTradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Those of spot, and the mark price."""
        return (*super().topics(native_id), Topic("funding", native_id, f"{native_id}@{MARKS}"))

    def _fast_trades(
        self, text: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        key, symbols = self._key, self.symbols
        return [
            self.dated(Trade(
                key, symbols[row.s], row.p, row.q, "sell" if row.m else "buy", row.t, row.T * 1000,
                received_ts_us, received_mono_ns,
            ))
            for row in self._swap_trade(text).data
        ]  # fmt: skip

    def _row(
        self, kind: str, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        if kind == MARKS:
            return self.mark(native_id, row.get("p"), None, row.get("E"), received_ts_us, received_mono_ns)
        if kind == TICKERS and not self.is_alone:
            return self.skip("unchanged")
        if kind == TICKERS:  # here upper case is the price
            return self.quote(
                native_id, row.get("B"), row.get("b"), row.get("A"), row.get("a"), row.get("E"),
                received_ts_us, received_mono_ns,
            )  # fmt: skip
        return super()._row(kind, native_id, row, received_ts_us, received_mono_ns)

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """Funding, of which no channel says anything; `updateTime` is that of the last settlement."""
        return self.funding(
            row.get("symbol"), row.get("lastFundingRate"), row.get("nextFundingTime"),
            row.get("fundingIntervalHours"), HOURS, None, received_ts_us, received_mono_ns,
        )  # fmt: skip


def inflated(frame: bytes | str) -> bytes | str:
    """The text inside a gzip member; other frames as they are. Raises ValueError for a bad member."""
    if isinstance(frame, str) or frame[:2] != GZIP_MAGIC:
        return frame
    try:
        if len(frame) <= SMALL_FRAME:
            return zlib.decompress(frame, GZIP_WINDOW, FAST_PATH_FRAME)
        member = zlib.decompressobj(GZIP_WINDOW)
        text = member.decompress(frame, LARGEST_FRAME)
    except zlib.error as error:
        raise ValueError(f"bad gzip: {error}") from error
    if not member.eof:
        raise ValueError("gzip member cut short or too large")
    return text


def _pong(ping: Any, time: Any) -> str:
    return compact({"pong": ping} if time is None else {"pong": ping, "time": time})
