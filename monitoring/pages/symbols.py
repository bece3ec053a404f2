"""Selection and order of the symbols on the health page: the table of all of them is never sent."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from core.names.symbols import folded, same_letters, searched
from core.web.acks import Ack
from core.web.closing import close_reason
from monitoring.quality.wire import QUIET, SYMBOL_STATES, Name, Quality, SymbolQuality

MAX_ROWS: Final = 200

Sort = Literal[
    "state", "symbol", "exchange", "age", "gap", "spread", "quotes", "trades", "hour", "rejected", "gaps"
]
Choice = Literal["", "ill", "live", "quiet", "suspect", "stale", "down"]

_COLUMNS: Final = {
    "age": "age_ms",
    "gap": "gap_ms",
    "spread": "spread_bps",
    "quotes": "quotes_per_min",
    "trades": "trades_per_min",
    "hour": "updates_per_hour",
    "gaps": "gaps_per_hour",
}


class Show(Struct, frozen=True, tag="symbols", forbid_unknown_fields=True):
    """Show these rows from now on; the worst first where nothing else is asked."""

    search: Annotated[str, Meta(max_length=100)] = ""
    exchange: Annotated[str, Meta(max_length=32)] = ""
    state: Choice = ""
    sort: Sort = "state"
    descending: bool = True
    offset: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = 50


_decoder: msgspec.json.Decoder[Ack | Show] = msgspec.json.Decoder(Ack | Show)
_json = msgspec.json.Encoder()


def decode_health_message(text: str) -> Ack | Show:
    """Read what a browser sent; raises ValueError whose text fits a close frame's reason."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise ValueError(close_reason(f"{problem}; see docs/health.md")) from problem


class _Names:
    """Forms of all rows' names for searching and sorting."""

    def __init__(self, names: Sequence[Name]) -> None:
        self.texts: NDArray[Any] = np.array(
            [folded(f"{symbol} {symbol.replace('/', '')} {exchange}") for exchange, symbol in names], str
        )
        self.symbols: NDArray[Any] = np.array([same_letters(symbol) for _exchange, symbol in names], str)
        self.exchanges: NDArray[Any] = np.array([exchange for exchange, _ in names], str)
        self.rank = np.zeros(len(names), np.intp)
        self.rank[sorted(range(len(names)), key=lambda at: names[at][::-1])] = np.arange(len(names))


class SymbolTable:
    """All symbols of one observation; what many pages of it need is made once."""

    def __init__(self, quality: Quality, before: "SymbolTable | None" = None) -> None:
        self._quality = quality
        same = before is not None and before._quality.names == quality.names
        self._names: _Names = before._names if before is not None and same else _Names(quality.names)

    def page(self, show: Show) -> bytes:
        """The rows asked for, and how many there are in each state, as JSON."""
        states = self._quality.rows["state"]
        counts = np.bincount(states, minlength=len(SYMBOL_STATES))
        order = self._order(show)
        rows = order[show.offset : show.offset + show.limit]
        return _json.encode({
            "total": len(self._quality),
            "matches": len(order),
            "offset": show.offset,
            "states": dict(zip(SYMBOL_STATES, counts.tolist(), strict=True)),
            "rows": [_row(self._quality.symbol(int(at))) for at in rows],
        })  # fmt: skip

    def _order(self, show: Show) -> NDArray[np.intp]:
        rows = self._quality.rows
        chosen = np.ones(len(rows), bool)
        for literally, word in searched(show.search):
            texts = self._names.symbols if literally else self._names.texts
            chosen &= np.char.find(texts, word) >= 0
        if show.exchange:
            chosen &= self._names.exchanges == show.exchange
        if show.state == "ill":
            chosen &= rows["state"] > QUIET
        elif show.state:
            chosen &= rows["state"] == SYMBOL_STATES.index(show.state)
        places = np.flatnonzero(chosen)
        keys = [
            self._names.rank[places],
            *(_toward(key[places], show.descending) for key in self._keys(show.sort)),
        ]
        return places[np.lexsort(keys)]

    def _keys(self, sort: Sort) -> list[NDArray[Any]]:
        """Sort keys, the most important last, as numpy has it."""
        rows = self._quality.rows
        match sort:
            case "symbol":
                return [self._names.rank]
            case "exchange":
                return [np.unique(self._names.exchanges, return_inverse=True)[1].reshape(-1)]
            case "rejected":
                return [rows["crossed_per_min"] + rows["zero_per_min"] + rows["refused_per_min"]]
            case "state":  # among those of one state the longest in it first: that order stays
                return [-rows["since_us"], rows["state"].astype(np.int16)]
            case _:
                return [rows[_COLUMNS[sort]]]


def _toward(values: NDArray[Any], descending: bool) -> NDArray[Any]:
    """Values to sort in ascending order by; what is not known comes last either way."""
    return -values if descending else values


def _row(of: SymbolQuality) -> dict[str, Any]:
    return {
        "id": f"{of.symbol}|{of.exchange}",
        "symbol": of.symbol,
        "exchange": of.exchange,
        "state": of.state,
        "since": round(of.since_us / 1e6, 1),
        "age_ms": None if of.age_ms is None else round(of.age_ms),
        "gap_ms": None if of.gap_ms is None else round(of.gap_ms),
        "spread_bps": None if of.spread_bps is None else round(of.spread_bps, 1),
        "quotes_per_min": round(of.quotes_per_min),
        "trades_per_min": round(of.trades_per_min),
        "updates_per_hour": round(of.updates_per_hour),
        "rejected_per_min": round(of.rejected_per_min),
        "gaps_per_hour": round(of.gaps_per_hour),
    }
