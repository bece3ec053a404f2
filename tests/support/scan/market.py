"""A market for the scanner, small enough to be computed again by hand."""

from collections.abc import Sequence
from itertools import combinations

from core.names.symbols import base_of, quote_of
from engine.scan.scanner import Scanner
from markets.config import (
    ExchangeConfig,
    FilterConfig,
    GateTerms,
    IdentityConfig,
    ListingConfig,
    MarketConfig,
    PairConfig,
)
from markets.events import Quote, StreamState

EXCHANGES = ("binance", "bybit", "okx", "gate")
NOON_US = 1_760_000_000_000_000
BOOT_NS = 5_000_000_000
MS = 1_000_000
ANY_EDGE = FilterConfig(1, "any edge", min_edge_bps=-20_000.0)


def listing(
    exchange: str, symbol: str, *, counts_as: str = "", multiplier: float = 1.0, active: bool = True
) -> ListingConfig:
    """Listing of an exchange; volumes are not of interest here."""
    base, quote = base_of(symbol), quote_of(symbol)
    native = symbol.replace("/", "")
    return ListingConfig(
        exchange, symbol, native, base, quote, counts_as or symbol, multiplier, 1e6, active, "trading"
    )


def config(
    listings: Sequence[ListingConfig],
    *filters: FilterConfig,
    fees_bps: Sequence[float] = (10.0,) * len(EXCHANGES),
    pairs: Sequence[tuple[str, str]] = tuple(combinations(EXCHANGES, 2)),
    gates: GateTerms | None = None,
    identities: Sequence[IdentityConfig] = (),
) -> MarketConfig:
    """A configuration in which all exchanges are on and nothing but prices matters."""
    fees = zip(EXCHANGES, fees_bps, strict=True)
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, fee, fee) for key, fee in fees),
        instruments=frozenset(),
        opportunities=(),
        filters=filters,
        listings=tuple(listings),
        pairs=tuple(PairConfig(one, two, None) for one, two in pairs),
        gates=gates or GateTerms(min_size=0.0, jump_pct=1e6),
        identities=tuple(identities),
    )


def everywhere(*symbols: str) -> list[ListingConfig]:
    """Each symbol on every exchange."""
    return [listing(exchange, symbol) for exchange in EXCHANGES for symbol in symbols]


class Desk:
    """A scanner whose judgements are written down; times are ms since the start."""

    def __init__(self, market: MarketConfig) -> None:
        self.scanner = Scanner()
        self.judged: list[tuple[str, str, float, float]] = []  # pair, buy on, edge, size
        judge = self.scanner.lifecycle.judge

        def write_down(direction, edge_bps, size, now_us, now_mono_ns):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            self.judged.append((direction.pair.id, direction.buy.exchange, edge_bps, size))
            judge(direction, edge_bps, size, now_us, now_mono_ns)

        self.scanner.lifecycle.judge = write_down  # type: ignore[method-assign]
        self.configure(market)

    def configure(self, market: MarketConfig, at_ms: int = 0) -> None:
        """Apply a configuration."""
        self.scanner.configure(market, lambda symbol: True, *_at(at_ms))

    def quote(
        self, exchange: str, symbol: str, bid: float, ask: float, *, at_ms: float = 0,
        sizes: tuple[float, float] = (1.0, 1.0),
    ) -> list[tuple[str, str, float, float]]:  # fmt: skip
        """Feed a quote; returns what was judged because of it."""
        now_us, now_ns = _at(at_ms)
        self.judged.clear()
        self.scanner.on_quote(Quote(exchange, symbol, bid, sizes[0], ask, sizes[1], None, now_us, now_ns))
        return list(self.judged)

    def state(self, exchange: str, state: str, *symbols: str, at_ms: float = 0) -> None:
        """Let a connection come up, go down, or lose something."""
        now_us, now_ns = _at(at_ms)
        self.scanner.on_state(StreamState(exchange, symbols, state, "no frame", now_us, now_ns))  # type: ignore[arg-type]

    def tick(self, at_ms: float) -> None:
        """Let time pass."""
        self.scanner.tick(*_at(at_ms))

    def edge(self, symbol: str, buy: str, sell: str) -> float:
        """Edge that the scanner holds of a direction, in bps."""
        (direction,) = [
            each for each in self.scanner.directions
            if (each.pair.symbol, each.buy.exchange, each.sell.exchange) == (symbol, buy, sell)
        ]  # fmt: skip
        return direction.edge_bps()


def _at(ms: float) -> tuple[int, int]:
    return NOON_US + round(ms * 1_000), BOOT_NS + round(ms * MS)
