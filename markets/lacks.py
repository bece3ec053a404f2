"""Parts whose lack keeps a desk from collecting, comparing or finding: all that an operator can delete.

Plain Python, no Django.
"""

from collections.abc import Iterator
from typing import Final

from core.health.findings import Lack
from markets.config import MarketConfig

DEFAULTS: Final = "`manage.py seed --missing` adds the default ones."

LACKS: Final[dict[str, Lack]] = {
    "exchanges": Lack(
        "Nothing is collected: there is no exchange.",
        f"Add exchanges in the admin (Markets, Exchanges); {DEFAULTS}",
        stops_all=True,
    ),
    "enabled exchanges": Lack(
        "Nothing is collected: no exchange is enabled.",
        "Enable exchanges in the admin (Markets, Exchanges).",
        stops_all=True,
    ),
    "instruments": Lack(
        "Nothing is collected: no enabled exchange trades a symbol that is enabled.",
        "Enable symbols in the admin (Markets, Symbols), and check the exchanges' volume bounds there; "
        f"`manage.py sync_markets` loads what exchanges list; {DEFAULTS}",
        stops_all=True,
    ),
    "connectors": Lack(
        "Nothing is collected: the collectors have a connector for none of the enabled exchanges.",
        "Enable one that has a connector (docs/add_an_exchange.md), or leave --exchanges out.",
        stops_all=True,
    ),
    "pairs": Lack(
        "Nothing is compared: no pair of exchanges is enabled.",
        f"Add or enable pairs in the admin (Markets, Exchange pairs); {DEFAULTS}",
    ),
    "filters": Lack(
        "There are no charts and no opportunities: no opportunity filter is enabled.",
        f"Add or enable one in the admin (Markets, Opportunity filters); if there is none, {DEFAULTS}",
    ),
}


def lacks(config: MarketConfig, collectable: frozenset[str] | None = None) -> tuple[str, ...]:
    """Those of `LACKS` a configuration has; `collectable` are the exchanges that can be read (None: all)."""
    return tuple(_lacks(config, collectable))


def _lacks(config: MarketConfig, collectable: frozenset[str] | None) -> Iterator[str]:
    if not config.exchanges:
        yield "exchanges"
    elif not any(exchange.enabled for exchange in config.exchanges):
        yield "enabled exchanges"
    elif not config.instruments:
        yield "instruments"
    elif collectable is not None and collectable.isdisjoint(each.exchange for each in config.instruments):
        yield "connectors"
    if config.exchanges and not config.pairs:
        yield "pairs"
    if not config.filters:
        yield "filters"
