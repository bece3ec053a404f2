"""Facts of a swap in a catalogue, beside those of spot: contract size, settle coin, why it is not followed.

Contract sizes are read from the exchange's own field and never from ccxt, which puts 1 where it finds none.
Plain Python, no Django and no database.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from msgspec import Struct

from core.names.plain_names import plain

SETTLED_IN: Final = frozenset({"USDT", "USDC"})
OF_TRADES: Final[dict[str, Any]] = {
    "binance": ["linear"], "bybit": ["linear"], "gate": ["swap"], "kucoin": ["contract"], "okx": ["swap"],
    "bitget": ["swap"],
}  # fmt: skip
"""What ccxt's `fetch_markets` calls swaps at each exchange; MEXC and BingX have a method of their own."""

IN_COINS: Final = frozenset({"binance", "bybit", "bitget", "bingx"})
"""Exchanges that size their linear swaps in coins: a contract is one coin (PROTOCOLS2 B, size unit)."""
SIZE_FIELDS: Final = {
    "okx": ("ctVal", "ctMult"), "gate": ("quanto_multiplier",), "kucoin": ("multiplier",),
    "mexc": ("contractSize",),
}  # fmt: skip
"""Where the others say how many coins a contract is; the product of several."""
SIZE_COIN_FIELDS: Final = {"okx": "ctValCcy"}
"""Where one says in which coin that is."""
LAST_FIELDS: Final = {
    "binance": "deliveryDate", "bybit": "deliveryTime", "okx": "expTime", "bitget": "offTime",
    "kucoin": "settleDate",
}  # fmt: skip
"""Where an exchange says when a perpetual swap is settled for the last time, in ms; mostly never."""
FORESEEABLE: Final = timedelta(days=3650)
"""A last settlement later than in so many days is an exchange's word for never."""

_MULTIPLIED: Final = re.compile(r"(?P<count>10{3,8}|1M|k)(?P<coin>[A-Za-z].*)")
_COUNTS: Final = {"1M": 1_000_000, "k": 1_000}


class SwapTerms(Struct, frozen=True):
    """Terms of a swap; amounts are in coins, `contract_size` in coins per contract (None: unknown).

    `not_followed` says why it is neither collected nor compared, empty where it may be. `risk_tiers` as
    `markets.sync.risk_tiers` has them.
    """

    settle: str
    contract_size: Decimal | None
    not_followed: str = ""
    max_leverage: Decimal | None = None
    risk_tiers: list[dict[str, str]] | None = None
    expires_at: datetime | None = None


def terms_of(exchange: str, market: Mapping[str, Any], now: datetime | None = None) -> SwapTerms:
    """Terms of one of ccxt's contract markets. Raises ValueError where it does not say what settles it."""
    settle, info = market.get("settle"), market.get("info") or {}
    if not isinstance(settle, str) or not settle:
        raise ValueError("it has no settle coin")
    size, said = _contract_size(exchange, market, info)
    dated = moment(market.get("expiry")) if market.get("future") else None
    reason = _not_linear(market, settle, dated) or _unsized(size, said)
    leverage = (market.get("limits") or {}).get("leverage") or {}
    return SwapTerms(
        settle=plain(settle),
        contract_size=size,
        not_followed=plain(reason)[:255],
        max_leverage=_positive(leverage.get("max"), Decimal(100_000)),
        expires_at=dated or _last_settlement(info.get(LAST_FIELDS.get(exchange, "")), now),
    )


def _not_linear(market: Mapping[str, Any], settle: str, dated: datetime | None) -> str:
    if market.get("future") or not market.get("swap"):
        return f"dated: it is delivered on {dated:%Y-%m-%d}" if dated else "dated: it is no perpetual swap"
    if market.get("inverse") or settle == market.get("base"):
        return f"inverse: it is settled in {settle}"
    if settle != market.get("quote"):
        return f"it is priced in {market.get('quote')} and settled in {settle}"
    if settle not in SETTLED_IN:
        return f"it is settled in {settle}, and only what is in USDT or USDC is followed"
    return ""


def _unsized(size: Decimal | None, said: str) -> str:
    return f"its contract size cannot be read: “{said}”" if size is None else ""


def _contract_size(
    exchange: str, market: Mapping[str, Any], info: Mapping[str, Any]
) -> tuple[Decimal | None, str]:
    """Coins in one contract, None where that is unknown, and what the exchange said."""
    if exchange in IN_COINS:
        return Decimal(1), "1"
    fields = SIZE_FIELDS.get(exchange)
    if fields is None:
        return None, "nothing"
    values = [info.get(field) for field in fields]
    said = " × ".join("nothing" if value in (None, "") else str(value)[:32] for value in values)
    coin = info.get(SIZE_COIN_FIELDS.get(exchange, ""))
    if coin is not None and coin not in (market.get("baseId"), market.get("base")):
        return None, f"{said} {coin}"
    size = Decimal(1)
    for value in values:
        part = _positive(value)
        if part is None:
            return None, said
        size *= part
    return _positive(size), said


def _positive(value: Any, limit: Decimal = Decimal("1e18")) -> Decimal | None:
    """A number above zero that the database keeps, exactly; None for all else."""
    try:
        number = Decimal(str(value)).normalize()
    except InvalidOperation:
        return None
    exponent = number.as_tuple().exponent
    fits = number.is_finite() and 0 < number < limit and isinstance(exponent, int) and exponent >= -18
    return number if fits else None


def _last_settlement(value: Any, now: datetime | None) -> datetime | None:
    """An announced last settlement of a perpetual swap; None for what means that there is none."""
    found = moment(value)
    return found if found and found < (now or datetime.now(UTC)) + FORESEEABLE else None


def moment(value: Any) -> datetime | None:
    """A time in ms since the epoch; None for what is none, 0 and -1 among it."""
    try:
        ms = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC) if ms > 0 else None
    except (OverflowError, OSError, ValueError):
        return None


def in_coins(amount: Decimal | None, terms: SwapTerms | None) -> Decimal | None:
    """An amount that is in contracts, in coins; unknown where either is. Of spot it is in coins as it is."""
    if terms is None or amount is None:
        return amount
    return None if terms.contract_size is None else _positive(amount * terms.contract_size)


def instrument_multiplied(base: str) -> tuple[str, int] | None:
    """The coin that a multiplied contract is of, and how many are one: 1000PEPE, 10000SATS, 1MMOG, kPEPE.

    None for others, as 1INCH.
    """
    match = _MULTIPLIED.fullmatch(base)
    if match is None:
        return None
    count = _COUNTS.get(match["count"])
    return match["coin"], int(match["count"]) if count is None else count
