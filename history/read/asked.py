"""Parameters of a request or a command: times, numbers and names in the spellings people use."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from django.conf import settings

from accounts.access.guard import exchange_of, plain, symbol_of
from core.clock.times import asked_time
from core.names.market_keys import SWAP, coin_symbol, market_key, market_of, market_of_symbol
from core.names.market_keys import exchange_of as exchange_of_key
from core.names.symbols import quote_of
from core.web.refused import Refused
from engine.charts.batch import Terms
from history.read.reader import LakeReader
from markets.config import MarketConfig

DEFAULT_RANGE_US: Final = 3_600_000_000
MIN_POINTS: Final = 10
MAX_POINTS: Final = 20_000
NAMES_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Range:
    """[start_us, end_us), µs."""

    start_us: int
    end_us: int


def asked_range(query: Mapping[str, str]) -> Range:
    """`start` and `end` of a query, by default the last hour. Raises Refused naming the parameter."""
    end_us = _time(query, "end")
    end_us = time.time_ns() // 1000 if end_us is None else end_us
    start_us = _time(query, "start")
    start_us = end_us - DEFAULT_RANGE_US if start_us is None else start_us
    if start_us >= end_us:
        raise Refused(400, "start: it must be before end (which is now where it is not given)")
    limit = settings.HISTORY_MAX_RANGE_HOURS
    if end_us - start_us > limit * 3_600_000_000:
        raise Refused(
            400, f"start: the range is longer than the limit of {limit} h; ask for it in parts, "
            "or use `manage.py export`"
        )  # fmt: skip
    return Range(start_us, end_us)


def _time(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        return asked_time(text)
    except ValueError as problem:
        raise Refused(400, f"{name}: {problem}") from None


def asked_points(query: Mapping[str, str], default: int | None = None) -> int | None:
    """`points` of a query. Raises Refused."""
    text = query.get("points", "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and MIN_POINTS <= int(text) <= MAX_POINTS):
        raise Refused(400, f"points: {text!r} must be a whole number from {MIN_POINTS} to {MAX_POINTS}")
    return int(text)


def required(query: Mapping[str, str], *names: str) -> list[str]:
    """The values of parameters that must be there. Raises Refused naming the first that is not."""
    for name in names:
        if not query.get(name, "").strip():
            raise Refused(400, f"{name}: missing; this takes {', '.join(names)}")
    return [query[name].strip() for name in names]


def exchange_named(config: MarketConfig, text: str, parameter: str) -> str:
    """The key of an exchange named in any spelling. Raises Refused (404) with those there are."""
    rows = [(row.key, row.name) for row in config.exchanges]
    if market_of(text) == SWAP and text not in dict(rows) and (key := exchange_of_key(text)) in dict(rows):
        raise Refused(
            404, f"{parameter}: no pair compares swaps of {dict(rows)[key]}: enable one in the admin"
        )
    return exchange_of(rows, text, parameter)


def instrument_named(
    config: MarketConfig, reader: LakeReader, symbol: str, exchange: str, parameter: str
) -> tuple[str, str]:
    """Key of a market and a symbol as the lake has them together: `binance:swap`, `BTC/USDT:USDT`.

    The symbol may name the market (`binance`, `BTC/USDT:USDT`), or the market the coin's symbol
    (`binance:swap`, `BTC/USDT`). Raises Refused.
    """
    found, key = symbol_named(config, reader, symbol), market_named(config, exchange, parameter)
    if market_of_symbol(found) == SWAP:
        return market_key(exchange_of_key(key), SWAP), found
    if market_of(key) == SWAP:
        own = {each.counts_as: each.symbol for each in config.listings if each.exchange == key}
        found = own.get(found, f"{found}:{quote_of(found)}")
    return key, found


def pair_named(
    config: MarketConfig, reader: LakeReader, symbol: str, legs: Mapping[str, str]
) -> tuple[str, str, str]:
    """The coin's symbol and the keys of two markets, of `legs` by parameter. Raises Refused.

    A swap's symbol means the swaps of both, unless a leg names its market itself.
    """
    found = symbol_named(config, reader, symbol)
    keys = {name: market_named(config, text, name) for name, text in legs.items()}
    if market_of_symbol(found) == SWAP and SWAP not in map(market_of, keys.values()):
        keys = {name: market_key(key, SWAP) for name, key in keys.items()}
    one, other = keys
    if keys[one] == keys[other]:
        raise Refused(400, f"{other}: it is the same as {one}; a spread needs two")
    return coin_symbol(found), keys[one], keys[other]


def market_named(config: MarketConfig, text: str, parameter: str) -> str:
    """The key of a market named in any spelling, used today or not. Raises Refused (404)."""
    if market_of(text.strip()) == SWAP:
        exchange = exchange_named(config, exchange_of_key(text.strip()), parameter)
        return market_key(exchange_of_key(exchange), SWAP)
    return exchange_named(config, text, parameter)


def symbol_named(config: MarketConfig, reader: LakeReader, text: str) -> str:
    """A symbol named exactly, else in any spelling, if it is configured or was recorded of late.

    Raises Refused: 404 with those that are near in name, 400 where it may be several. Reads the lake for
    what is not configured under exactly that name.
    """
    configured = {i.symbol for i in config.instruments} | {o.symbol for o in config.opportunities}
    if text in configured or ("/" not in text and symbol_of(configured, text)):
        return symbol_of(configured, text) or text
    there = configured | _recorded_of_late(reader)
    if found := symbol_of(there, text):
        return found
    raise Refused(404, f"symbol: nothing was recorded of {text!r}; {names_near(text, there)}")


def _recorded_of_late(reader: LakeReader) -> set[str]:
    """The symbols of the newest hour of quotes, and of its points."""
    found: set[str] = set()
    for table in ("quotes", "spreads", "trades"):
        snapshot = reader.snapshot(table)
        if newest_us := snapshot.files["max.clock"].max():
            found.update(snapshot.symbols(start_us=int(newest_us) - DEFAULT_RANGE_US))  # type: ignore[arg-type]
    return found


def names_near(text: str, names: Iterable[str]) -> str:
    """Words that name what there is and is spelled alike."""
    by_plain = {plain(name): name for name in names}
    if not by_plain:
        return "nothing was recorded at all yet"
    near = get_close_matches(plain(text), by_plain, NAMES_SHOWN, cutoff=0.5)
    near += [p for p in sorted(by_plain) if plain(text)[:3] == p[:3] and p not in near]
    shown = [by_plain[p] for p in (near or sorted(by_plain))[:NAMES_SHOWN]]
    return f"{'near in name' if near else 'there are'}: {', '.join(shown)}"


def swaps_named(symbol: str | None, *exchanges: str | None) -> list[str]:
    """Keys of the swap markets that a query names, in use today or not: it asks for what was recorded."""
    keys = [text.strip().lower() for text in exchanges if text]
    if market_of_symbol(symbol or "") == SWAP:
        keys = [market_key(exchange_of_key(key), SWAP) for key in keys]
    return [key for key in keys if market_of(key) == SWAP]


def pair_terms(config: MarketConfig, reader: LakeReader, query: dict[str, str]) -> Terms:
    """The chart a query names. Raises Refused; reads the lake for what is not configured."""
    symbol, first, second = required(query, "symbol", "exchange1", "exchange2")
    legs = {"exchange1": first, "exchange2": second}
    coin, *keys = pair_named(config, reader, symbol, legs)
    used = [exchange_named(config, key, name) for name, key in zip(legs, keys, strict=True)]
    return Terms.of(config, coin, *used)
