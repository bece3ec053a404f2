"""Risk limits of swaps: how much leverage an exchange allows up to which notional. No database.

Gate and Bybit say it of all swaps in one call, page by page. OKX, KuCoin and Bitget are asked of one swap at
a time, MEXC counts in contracts, Binance and BingX answer accounts only: of theirs nothing is known.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from markets.models.checks import MAX_RISK_TIERS
from markets.sync.rows import read

PUBLIC: Final = frozenset({"gate:swap", "bybit:swap"})

FIELDS: Final = ("minNotional", "maxNotional", "maxLeverage")

Tiers = list[dict[str, str]]
"""Steps `from` one notional in quote currency `to` another, and the `leverage` each allows, as plain text."""


def risk_tiers(exchange: Any) -> dict[str, Tiers]:
    """Risk limits by native id of a ccxt client that has its markets by native id. Raises ccxt's errors."""
    answer, _ = read(exchange, exchange.fetch_leverage_tiers)
    found = {name: tiers_of(steps) for name, steps in answer.items()}
    return {name: tiers for name, tiers in found.items() if tiers is not None}


def tiers_of(steps: Any) -> Tiers | None:
    """ccxt's steps of one swap; None where there are none, or one of them cannot be."""
    tiers: Tiers = []
    reached: Decimal | None = Decimal(0)
    for step in steps if isinstance(steps, list) else ():
        start, end, leverage = map(_number, map(step.get, FIELDS)) if isinstance(step, dict) else (None,) * 3
        if start is None or start != reached or end is None or end <= start or not leverage:
            return None
        tiers.append({"from": f"{start:f}", "to": f"{end:f}", "leverage": f"{leverage:f}"})
        reached = end
    return tiers if 0 < len(tiers) <= MAX_RISK_TIERS else None


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 <= number < Decimal("1e18"):
        return None
    return number.to_integral_value() if number == number.to_integral_value() else number
