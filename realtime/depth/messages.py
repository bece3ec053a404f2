"""Messages of the depth page's socket to and from the browser; the contract is docs/messages.md."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from core.web.acks import Ack
from core.web.closing import close_reason
from realtime.depth.pair import PairDepth
from realtime.depth.sized import DEFAULT_SIZE, MAX_SIZE

MAX_TEXT: Final = 200

_json = msgspec.json.Encoder()


class Show(Struct, frozen=True, kw_only=True, tag="view", forbid_unknown_fields=True):
    """Show this pair from now on, at a size worth so many USDT."""

    id: Annotated[str, Meta(max_length=MAX_TEXT)]
    size: Annotated[float, Meta(gt=0, le=MAX_SIZE)] = DEFAULT_SIZE


DepthMessage = Ack | Show
_decoder: msgspec.json.Decoder[DepthMessage] = msgspec.json.Decoder(DepthMessage)


def decode_depth_message(text: str) -> DepthMessage:
    """Read what a browser sent; raises ValueError whose text fits a close frame's reason."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise ValueError(close_reason(f"{problem}; see docs/messages.md")) from problem


def encoded(depth: PairDepth | None) -> bytes:
    """A pair as its messages have it; null: it is not compared."""
    return _json.encode(depth)


def message(seq: int, time_us: int, depth: bytes) -> bytes:
    """A whole message for one socket; without a pair a sign of life."""
    pair = b',"pair":' + depth if depth else b""
    return b'{"type":"depth","seq":%d,"time":%.3f%b}' % (seq, time_us / 1e6, pair)
