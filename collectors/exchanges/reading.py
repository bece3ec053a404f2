"""Reading of fields in an exchange's frames: what is not what it should be reads as nothing. Pure."""

import re
from decimal import Decimal
from typing import Any

import msgspec

from collectors.exchanges.times import FAR_US, FIRST_US, moment_us
from markets.events import Side

INFINITY = float("inf")

LARGEST_TRADE_ID = 10**40

LONGEST_TRADE_ID = 80
"""Characters: an id that is longer is none, it would be kept to know the trade again."""

SIDES: dict[str, Side] = {"buy": "buy", "sell": "sell", "Buy": "buy", "Sell": "sell"}
"""The taker's side by the exchange's word for it."""

_NAMED_TOPIC = re.compile(r"channel:([^\s,]+),\s*instId:([^\s,]+)")


def no_frame(frame: bytes | str) -> Any:
    """Decode nothing on the fast path: raises ValueError for every frame."""
    raise ValueError("no frame takes the fast path")


def what_is_wrong(bid: Any, bid_size: Any, ask: Any, ask_size: Any) -> tuple[str, str]:
    """Why four numbers are no quote, as a count and in words; two empty texts where they are one."""
    sides = {"bid": (bid, bid_size), "ask": (ask, ask_size)}
    if None in (bid, bid_size, ask, ask_size):
        return (
            "empty_side",
            f"its book has no {' and no '.join(side for side in sides if None in sides[side])}",
        )
    if 0.0 < bid <= ask < INFINITY and 0.0 < bid_size < INFINITY and 0.0 < ask_size < INFINITY:
        return "", ""
    if INFINITY > bid > ask > 0.0:
        return "rejected_crossed", "its bid is above its ask"
    none = [side for side, pair in sides.items() if not all(0.0 < number < INFINITY for number in pair)]
    return "rejected_zero", f"its book has no {' and no '.join(none)}"


def text_id(value: Any) -> str | None:
    """A trade's id as text, None where there is none."""
    if isinstance(value, float | Decimal) and abs(float(value)) < LARGEST_TRADE_ID and value == int(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < LARGEST_TRADE_ID else None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TRADE_ID:
        return None
    return value if value.isascii() or _is_unicode(value) else None


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which nothing can write
        return False
    return True


def readable(received_ts_us: int, *times: Any) -> Any:
    """The first of these times that is one, or else the first that was sent at all; all are of one moment.

    Where they are far from one another it is the one that is nearest to when it was received.
    """
    sent = [time for time in times if time is not None]
    known = {time_us: time for time in reversed(sent) if (time_us := moment_us(time)) is not None}
    if len(known) > 1 and max(known) - min(known) >= FAR_US and received_ts_us >= FIRST_US:
        return known[min(known, key=lambda time_us: abs(received_ts_us - time_us))]
    return next(reversed(known.values()), sent[0] if sent else None)


def table(value: Any) -> dict[str, Any]:
    """A JSON object; raises ValueError where it is none."""
    if not isinstance(value, dict):
        raise ValueError("no JSON object where there should be one")
    return value


def tables(value: Any) -> list[dict[str, Any]]:
    """The rows of a push, of which there is at least one; raises ValueError where there is none."""
    if not isinstance(value, list) or not value:
        raise ValueError("no rows")
    return [table(row) for row in value]


def books(value: Any) -> list[dict[str, Any]]:
    """The rows of a quote push; what is no row, and no rows at all, is a book without sides."""
    rows = value if isinstance(value, list) and value else [None]
    return [row if isinstance(row, dict) else {} for row in rows]


def level(side: Any, depth: int = 0) -> tuple[Any, Any]:
    """Price and size of a level of a side as it came; both None where the side is empty."""
    row = side[depth] if isinstance(side, list) and len(side) > depth else None
    return (row[0], row[1]) if isinstance(row, list) and len(row) > 1 else (None, None)


def text(value: Any) -> str:
    """A text, empty where it is none."""
    return value if isinstance(value, str) else ""


def taker(value: Any) -> Side | None:
    """The taker's side by the exchange's word for it."""
    return SIDES.get(value) if isinstance(value, str) else None


def request_id(value: Any) -> str | None:
    """The id of our request as text; exchanges that were sent none answer "" or nothing."""
    return str(value) if isinstance(value, int | str) and value != "" else None


def is_no(code: Any) -> bool:
    """Whether a code in an answer is a refusal: any but 0, or none at all."""
    return isinstance(code, int | float | str) and code not in ("", 0, "0", "00000", "200000")


def why(code: Any, *said: Any) -> str:
    """Why an exchange refuses, in its own words: the first that are any, or else its code.

    Words come as text, or in an object that has them; of any other object all there is is said.
    """
    for value in said:
        words = value
        if isinstance(value, dict):
            words = why(value.get("code"), value.get("msg"), value.get("message")) or (
                value and compact(value)
            )
        elif isinstance(value, list) and value:
            words = compact(value)
        if isinstance(words, str) and words.strip():
            return words
    return f"code {code}" if is_no(code) else ""


def topic_of(arg: Any) -> tuple[str, ...]:
    """The topic that the argument of an answer of OKX or Bitget names, as `channel:instId`."""
    channel, native_id = (
        text(arg.get(name)) if isinstance(arg, dict) else "" for name in ("channel", "instId")
    )
    return (f"{channel}:{native_id}",) if channel else ()


def topics_in(message: str) -> tuple[str, ...]:
    """The topics OKX and Bitget name in an error text (`…channel:X,instId:Y…`), as `X:Y`."""
    return tuple(f"{channel}:{native_id}" for channel, native_id in _NAMED_TOPIC.findall(message))


def compact(request: object) -> str:
    """A request as compact JSON text."""
    return msgspec.json.encode(request).decode()


def plain_text(frame: bytes | str) -> str:
    """A frame as text; raises UnicodeDecodeError (a ValueError) when it is none."""
    return frame if isinstance(frame, str) else frame.decode()
