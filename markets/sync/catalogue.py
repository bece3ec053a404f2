"""Catalogue of an exchange today, asked through ccxt: eight REST dialects that need not be ours.

Spot and swaps, each by itself. No database here: `markets.sync.symbols` stores what `fetch` returns.
"""

import importlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, structs

from core.names.market_keys import SPOT, exchange_of, market_key, market_of
from core.names.plain_names import plain
from markets.config import FEE_RANGE_BPS
from markets.own_words import may_be_quoted
from markets.sync.rest_proxy import failure, route
from markets.sync.risk_tiers import PUBLIC, Tiers, risk_tiers
from markets.sync.rows import CatalogueError, Skipped, not_json, read
from markets.sync.rows import in_words as left_out
from markets.sync.swaps import OF_TRADES, SwapTerms, in_coins, moment, terms_of

__all__ = ["Catalogue", "CatalogueError", "ListedMarket", "client", "decimal", "fetch", "in_words", "parse"]

REQUEST_TIMEOUT_MS = 20_000
# Where the exchanges put their own word for "trading" in a market.
STATUS_FIELDS = ("status", "state", "trade_status", "symbolStatus")
# kucoin would ask for all tickers once more, only to learn fees.
OPTIONS = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}}
SWAP_OPTIONS = {"defaultType": "swap", "defaultSubType": "linear"}
OWN_METHODS = ("mexc", "bingx")  # these two take no option and would load the other market as well
# What ccxt asks besides, and what it gets instead: margin trading is no business of a spot catalogue. One
# answer less that can fail, and Gate's would count a pair as trading that only its margin market trades.
BITGET_SWAPS = ("USDT-FUTURES", "USDC-FUTURES")  # ccxt would ask for its practice markets, too
NOT_ASKED: dict[str, dict[str, Any]] = {
    "gate": {"publicMarginGetCurrencyPairs": []},
    "bitget": {"publicMarginGetV2MarginCurrencies": {}},
}


_importing = threading.Lock()


# Where an exchange says a market's own taker and maker fee; the others' numbers in ccxt are ccxt's. The list
# of MEXC's swaps says less than orders over its API cost, so its word is not taken (PROTOCOLS2 A15).
FEE_FIELDS = {
    "bitget:swap": ("takerFeeRate", "makerFeeRate"),
    "kucoin:swap": ("takerFeeRate", "makerFeeRate"),
    "gate": ("fee", "maker_fee_rate"),
    "mexc": ("takerCommission", "makerCommission"),
    "bitget": ("takerFeeRate", "makerFeeRate"),
}
# Where it says by what the fees of an account are multiplied: KuCoin's classes A, B and C.
FEE_FACTOR_FIELDS = {"kucoin": ("takerFeeCoefficient", "makerFeeCoefficient")}
FEE_STEP = Decimal("0.001")  # what the database keeps
MAX_TIMES = Decimal(20)  # of the account's own fee; as a rebate as far as FEE_RANGE_BPS goes for 10 bps


class MarketFees(Struct, frozen=True):
    """Fees an exchange states for one market: in basis points, or as `times` the account's own fees.

    Below zero is a rebate: the exchange pays.
    """

    taker: Decimal
    maker: Decimal
    times: bool = False


class ListedMarket(Struct, frozen=True):
    """One market as the exchange describes it; base and quote are its own fields, via ccxt.

    Sizes are in coins, those of a `swap`, too.
    """

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
    fees: MarketFees | None = None
    fee_refused: str = ""  # what it said of its fees that is none, in its own words
    last_price: Decimal | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    listed_at: datetime | None = None
    swap: SwapTerms | None = None


class Catalogue(list[ListedMarket]):
    """The markets an exchange lists, with what of its answers could not be had, in words.

    `skipped` are the rows of markets that could not be read: they may be listed all the same.
    """

    def __init__(
        self,
        markets: Iterable[ListedMarket] = (),
        problems: Iterable[str] = (),
        skipped: Iterable[Skipped] = (),
    ) -> None:
        super().__init__(markets)
        self.problems = [problem for problem in problems if problem]
        self.skipped = list(skipped)


def fetch(key: str, rest_url: str = "", proxy: str = "", market: str = SPOT) -> Catalogue:
    """All spot markets of one exchange, or its swaps, with their 24 h volume; blocks for some seconds.

    A row that cannot be read is left out and named. Without tickers the markets come all the same, their
    volumes unknown. Raises CatalogueError when the exchange is unknown, does not answer, or answers
    something of which no market can be made.
    """
    exchange = client(key, rest_url, proxy, market)
    import ccxt

    try:
        markets, skipped = read(exchange, exchange.fetch_markets, named=_native_ids)
        rows = _by_native_id(markets, market)
        of_market = market_key(key, market)
        tickers, problem = _tickers(exchange, rows, of_market)
        listed = list(parse(rows, tickers, of_market, skipped))
        problems = [left_out(skipped, "markets", quoted=exchange.quoted), problem]
        if of_market in PUBLIC:
            tiers, problem = _risk_tiers(exchange)
            listed = [_with_tiers(each, tiers.get(each.native_id)) for each in listed]
            problems.append(problem)
        return Catalogue(listed, problems, skipped)
    except (ccxt.BaseError, CatalogueError) as error:
        raise CatalogueError(failure(error, exchange, in_words(error, quoted=exchange.quoted))) from error
    finally:
        exchange.session.close()


def _native_ids(markets: Iterable[Any]) -> set[str]:
    return {str(market["id"]) for market in markets if market.get("id")}


def _is_of(row: Mapping[str, Any], market: str) -> bool:
    return bool(row.get("spot")) if market == SPOT else bool(row.get("swap") or row.get("future"))


def _by_native_id(markets: Iterable[Any], kind: str) -> dict[str, Any]:
    """ccxt's markets of a kind by the exchange's own name of each: unified names may be given twice.

    Of two rows of one native id the one that trades counts, whatever their order.
    """
    rows: dict[str, Any] = {}
    for market in sorted(markets, key=lambda row: (row.get("active") is False, repr(row.get("info")))):
        if _is_of(market, kind) and market.get("id"):  # `read` names those without
            rows.setdefault(str(market["id"]), market)
    return rows


def _tickers(exchange: Any, rows: Mapping[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """ccxt's tickers by native id, and what is wrong with them in words."""
    # By their own names: of two markets under one unified name ccxt would keep either's ticker.
    exchange.set_markets([{**row, "symbol": name} for name, row in rows.items()])
    try:
        tickers, skipped = read(exchange, lambda: exchange.fetch_tickers(None, {"type": market_of(key)}))
    except Exception as error:  # volumes are worth less than the catalogue
        words = failure(error, exchange, in_words(error, quoted=exchange.quoted))
        return {}, f"tickers: {words}; volumes are not news"
    ours = {name: ticker for name, ticker in tickers.items() if name in rows}
    if rows and not ours:
        return {}, "tickers: there are none in the answer; volumes are not news"
    if rows and all(_volume(key, ticker) is None for ticker in ours.values()):
        return ours, "tickers: there are no volumes in the answer"
    return ours, left_out(skipped, "tickers", quoted=exchange.quoted)


def _risk_tiers(exchange: Any) -> tuple[dict[str, Tiers], str]:
    """Risk limits by native id, and what is wrong with them in words."""
    try:
        return risk_tiers(exchange), ""
    except Exception as error:  # they are worth less than the catalogue
        words = failure(error, exchange, in_words(error, quoted=exchange.quoted))
        return {}, f"risk limits: {words}; they are as they were"


def _with_tiers(market: ListedMarket, tiers: Tiers | None) -> ListedMarket:
    if market.swap is None or tiers is None:
        return market
    return structs.replace(market, swap=structs.replace(market.swap, risk_tiers=tiers))


def client(key: str, rest_url: str = "", proxy: str = "", market: str = SPOT) -> Any:
    """A ccxt client for public data of one market that asks no more than needed, at `rest_url` where given.

    It goes out through the exchange's own `proxy`, or the process's. Raises CatalogueError.
    """
    try:  # not at the top, because Django's start should not wait for ccxt
        with _importing:  # importing ccxt's modules from several threads at once fails
            module = importlib.import_module(f"ccxt.{key}")
    except ImportError as error:
        raise CatalogueError(f"ccxt has no exchange “{key}”: correct the exchange's key") from error
    exchange = getattr(module, key)({"timeout": REQUEST_TIMEOUT_MS, "options": _options(key, market)})
    exchange.has["fetchCurrencies"] = False
    if key in OWN_METHODS:
        own_markets = exchange.fetch_spot_markets if market == SPOT else exchange.fetch_swap_markets
        exchange.fetch_markets = lambda params=None: own_markets(params or {})
    if key == "bitget":
        contracts = exchange.publicMixGetV2MixMarketContracts
        exchange.publicMixGetV2MixMarketContracts = lambda params: (
            contracts(params) if params["productType"] in BITGET_SWAPS else {"data": []}
        )
    for name, answer in NOT_ASKED.get(key, {}).items():
        setattr(exchange, name, lambda params=None, answer=answer: answer)
    exchange.quoted = not rest_url or may_be_quoted(rest_url, addresses(exchange.urls["api"]))
    if rest_url:
        exchange.urls["api"] = rebase(exchange.urls["api"], rest_url)
    try:
        route(exchange, proxy)
    except ValueError as error:
        raise CatalogueError(str(error)) from None
    return exchange


def _options(key: str, market: str) -> dict[str, Any]:
    if market == SPOT:
        return OPTIONS
    types = OF_TRADES.get(key, ["swap"])
    return {**SWAP_OPTIONS, "fetchMarkets": {"types": types, "fetchTickersFees": False}}


def addresses(urls: Any) -> list[str]:
    """ccxt's nested URLs, each by itself."""
    if isinstance(urls, Mapping):
        return [address for each in urls.values() for address in addresses(each)]
    return [urls] if isinstance(urls, str) else []


def rebase(urls: Any, rest_url: str) -> Any:
    """ccxt's nested URLs with scheme and host replaced by `rest_url`, each path kept."""
    if isinstance(urls, Mapping):
        return {name: rebase(url, rest_url) for name, url in urls.items()}
    return rest_url.rstrip("/") + urlsplit(urls).path if isinstance(urls, str) else urls


def parse(
    markets: Mapping[str, Any],
    tickers: Mapping[str, Any],
    exchange: str = "",
    skipped: list[Skipped] | None = None,
) -> Iterator[ListedMarket]:
    """ccxt's markets and tickers, both by one name, as plain values; `exchange` is the key of their market,
    and what is not of it is left out.

    A market that makes no sense goes to `skipped`; without that it raises.
    """
    for name, market in markets.items():
        if not _is_of(market, market_of(exchange)):
            continue
        try:
            yield _listed(name, market, tickers.get(name) or {}, exchange)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if skipped is None:
                raise
            skipped.append(Skipped(name, f"{type(error).__name__}: {error}"))


def _listed(name: str, market: Mapping[str, Any], ticker: Mapping[str, Any], exchange: str) -> ListedMarket:
    active = market.get("active") is not False
    for field in ("id", "base", "quote"):
        if not isinstance(market[field], str):
            raise ValueError(f"it has no {field}")
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    info = market.get("info") or {}
    fees, fee_refused = _fees(exchange, market, info)
    swap = None if market.get("spot") else terms_of(exchange_of(exchange), market)
    amounts = limits.get("amount") or {}
    return ListedMarket(
        native_id=market["id"],
        symbol=_symbol(name, market, swap),
        base=market["base"],
        quote=market["quote"],
        active=active,
        status=_status(info, active),
        tick_size=decimal(precision.get("price")),
        lot_size=in_coins(decimal(precision.get("amount")), swap),
        min_notional=decimal((limits.get("cost") or {}).get("min")),
        quote_volume_24h=_volume(exchange, ticker),
        fees=fees,
        fee_refused=fee_refused,
        last_price=decimal(ticker.get("last")),
        min_amount=in_coins(decimal(amounts.get("min")), swap),
        max_amount=in_coins(decimal(amounts.get("max")), swap),
        listed_at=moment(market.get("created")),
        swap=swap,
    )


def _symbol(name: str, market: Mapping[str, Any], swap: SwapTerms | None) -> str:
    """The unified name; ccxt calls a perpetual swap of Bybit whose end is announced like a dated one."""
    if swap is None or not market.get("swap"):
        return market.get("symbol") or name
    return f"{market['base']}/{market['quote']}:{swap.settle}"


def _volume(exchange: str, ticker: Mapping[str, Any]) -> Decimal | None:
    """Volume of 24 h in quote currency; OKX says that of its swaps in coins only (PROTOCOLS, OKX tickers)."""
    if exchange != "okx:swap":
        return decimal(ticker.get("quoteVolume"))
    coins, last = decimal((ticker.get("info") or {}).get("volCcy24h")), decimal(ticker.get("last"))
    return None if coins is None or last is None else decimal(coins * last)


def _fees(exchange: str, market: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[MarketFees | None, str]:
    """Read what the exchange itself states as this market's fees, and what of it is no fee.

    Neither where it says nothing: the numbers are ccxt's own then. A maker's fee that is not said is the
    taker's.
    """
    times = exchange in FEE_FACTOR_FIELDS
    fields = FEE_FACTOR_FIELDS.get(exchange) or FEE_FIELDS.get(exchange, ("", ""))
    said = [info.get(field) for field in fields]
    if said[0] in (None, ""):
        return None, ""
    rates = [_signed(value) for value in (said if times else (market.get("taker"), market.get("maker")))]
    taker, maker = rates[0], rates[0] if said[1] in (None, "") else rates[1]
    scale, low, high = (1, -MAX_TIMES / 4, MAX_TIMES) if times else (10_000, *FEE_RANGE_BPS)
    if taker is None or maker is None or not all(low <= rate * scale <= high for rate in (taker, maker)):
        return None, " / ".join("nothing" if value in (None, "") else str(value)[:32] for value in said)
    taker, maker = ((rate * scale).quantize(FEE_STEP) for rate in (taker, maker))
    return MarketFees(taker, maker, times), ""


def _signed(value: Any) -> Decimal | None:
    """Read like `decimal`, but it may be negative: an exchange may pay a rebate. Zero has no sign."""
    try:
        number = Decimal(str(value)) + 0
    except InvalidOperation:
        return None
    return None if decimal(abs(number)) is None else number


def _status(info: Mapping[str, Any], active: bool) -> str:
    said = next((info[field] for field in STATUS_FIELDS if info.get(field) not in (None, "")), None)
    if isinstance(said, dict | list):  # nobody knows what it means: that is not "not trading"
        raise ValueError(f"its status is no word: {said}")
    return ("trading" if active else "not trading") if said is None else plain(str(said))[:64]


def decimal(value: Any) -> Decimal | None:
    """A ccxt number as Decimal; None for what is missing, negative or beyond what the database keeps."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < Decimal("1e18") else None


NOT_SHOWN = "what it answers is not shown, as its address is not the exchange's own"

# Why a request failed, by the name of the error below ccxt's, which says only what was asked.
REASONS = {
    "ConnectTimeout": "it cannot be reached in time",
    "ReadTimeout": "it does not answer in time",
    "ContentDecodingError": "its answer cannot be unpacked",
    "ChunkedEncodingError": "its answer breaks off",
    "SSLError": "its certificate is not accepted",
    "TooManyRedirects": "it redirects in a circle",
    "ConnectionError": "it cannot be reached",
}


def _happened(error: Exception, text: str) -> str:
    """Describe what went wrong, in our words alone."""
    if reason := REASONS.get(type(error.__cause__).__name__):
        return reason
    if isinstance(error, CatalogueError):
        return re.sub(r"“.*", "", text.partition(" cannot be read:")[0], flags=re.DOTALL).rstrip(": ")[:200]
    status = STATUS.search(text)
    return f"HTTP {status[1]}" if status else type(error).__name__


STATUS = re.compile(r" ([1-5][0-9]{2}) ")


def in_words(error: Exception, *, quoted: bool = True) -> str:
    """An error in one line, short enough for a table; a page of HTML by its title.

    Of what is not `quoted` only what happened is said, and nothing that the other side answered.
    """
    text = str(error).strip()
    if not quoted:
        return f"{_happened(error, text)}; {NOT_SHOWN}"
    if reason := REASONS.get(type(error.__cause__).__name__):
        text = f"{text}: {reason}"
    if page := re.search(r"(?is)<!doctype html|<html", text):
        text = f"{text[: page.start()].strip()} {not_json(text[page.start() :])}".strip()
    return plain((text.splitlines() or [""])[0][:300]) or type(error).__name__
