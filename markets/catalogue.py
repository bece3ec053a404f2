"""What an exchange lists today, asked through ccxt: eight REST dialects that need not be ours.

Spot only for now. No database here: `markets.sync` stores what `fetch` returns.
"""

import importlib
import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

REQUEST_TIMEOUT_MS = 20_000
# Where the exchanges put their own word for "trading" in a market.
STATUS_FIELDS = ("status", "state", "trade_status", "symbolStatus")
# kucoin would ask for all tickers once more, only to learn fees.
OPTIONS = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}}


_importing = threading.Lock()


class CatalogueError(Exception):
    """An exchange's catalogue could not be had; the message is for the operator."""


class ListedMarket(Struct, frozen=True):
    """One spot market as the exchange describes it; base and quote are its own fields, via ccxt."""

    native_id: str
    symbol: str
    base: str
    quote: str
    active: bool
    status: str
    tick_size: Decimal | None
    lot_size: Decimal | None
    min_notional: Decimal | None
    quote_volume_24h: Decimal | None


def fetch(key: str, rest_url: str = "") -> list[ListedMarket]:
    """All spot markets of one exchange with their 24 h volume; blocks for some seconds.

    Raises CatalogueError when the exchange is unknown, does not answer or answers an error; ccxt lets
    other exceptions through when an answer has no sense at all.
    """
    exchange = client(key, rest_url)
    import ccxt

    try:
        markets = exchange.load_markets()
        tickers = exchange.fetch_tickers(None, {"type": "spot"})
        return list(parse(markets, tickers))
    except ccxt.BaseError as error:
        raise CatalogueError(in_words(error)) from error
    finally:
        exchange.session.close()


def client(key: str, rest_url: str = "") -> Any:
    """A ccxt client for public spot data that asks no more than needed, at `rest_url` where given."""
    try:  # not at the top, because Django's start should not wait for ccxt
        with _importing:  # importing ccxt's modules from several threads at once fails
            module = importlib.import_module(f"ccxt.{key}")
    except ImportError as error:
        raise CatalogueError(f"ccxt has no exchange “{key}”: correct the exchange's key") from error
    exchange = getattr(module, key)({"timeout": REQUEST_TIMEOUT_MS, "options": OPTIONS})
    exchange.has["fetchCurrencies"] = False
    if key in ("mexc", "bingx"):  # these two take no option and would load their swaps as well
        exchange.fetch_markets = exchange.fetch_spot_markets
    if rest_url:
        exchange.urls["api"] = rebase(exchange.urls["api"], rest_url)
    return exchange


def rebase(urls: Any, rest_url: str) -> Any:
    """ccxt's nested URLs with scheme and host replaced by `rest_url`, each path kept."""
    if isinstance(urls, Mapping):
        return {name: rebase(url, rest_url) for name, url in urls.items()}
    return rest_url.rstrip("/") + urlsplit(urls).path if isinstance(urls, str) else urls


def parse(markets: Mapping[str, Any], tickers: Mapping[str, Any]) -> Iterator[ListedMarket]:
    """ccxt's markets and tickers, by unified symbol, as plain values; anything but spot is left out."""
    for symbol, market in markets.items():
        if not market.get("spot"):
            continue
        active = market.get("active") is not False
        yield ListedMarket(
            native_id=market["id"],
            symbol=symbol,
            base=market["base"],
            quote=market["quote"],
            active=active,
            status=_status(market.get("info") or {}, active),
            tick_size=decimal(market["precision"].get("price")),
            lot_size=decimal(market["precision"].get("amount")),
            min_notional=decimal((market["limits"].get("cost") or {}).get("min")),
            quote_volume_24h=decimal((tickers.get(symbol) or {}).get("quoteVolume")),
        )


def _status(info: Mapping[str, Any], active: bool) -> str:
    words = (str(info[field]) for field in STATUS_FIELDS if info.get(field) not in (None, ""))
    return next(words, "trading" if active else "not trading")[:64]


def decimal(value: Any) -> Decimal | None:
    """A ccxt number as Decimal; None for what is missing, negative or beyond what the database keeps."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < Decimal("1e18") else None


def in_words(error: Exception) -> str:
    """The first line of an error, short enough for a table."""
    return (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
