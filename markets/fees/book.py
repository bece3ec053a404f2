"""Fees of a symbol by a configuration: one answer for engine, scanner, gates and history.

In this order: the operator's schedule with the closest pattern, what the exchange says of the market, the
account tier's schedule, the exchange's row. Plain Python, no Django; made once per configuration.
"""

from collections import defaultdict

from msgspec import Struct, structs

from core.names.market_keys import coin_symbol
from core.names.symbols import NameList, matcher
from markets.config import ExchangeConfig, FeeRule, MarketConfig
from markets.selection import listed


class MarketFee(Struct, frozen=True):
    """Fees of one market in bps, whether they are known for today, and where they come from in words."""

    taker_bps: float
    maker_bps: float
    known: bool
    source: str


class Fees:
    """The fees of a configuration."""

    def __init__(self, config: MarketConfig) -> None:
        self._exchanges = {row.key: _of_exchange(row) for row in config.exchanges}
        self._patterns: defaultdict[str, list[tuple[NameList, MarketFee]]] = defaultdict(list)
        self._said: dict[tuple[str, str], MarketFee] = {}
        self._found: dict[tuple[str, str], MarketFee] = {}
        self._own_name = _own_names(config) if config.fee_rules else {}
        for rule in config.fee_rules:
            fee = self._by_rule(rule)
            if fee is not None and rule.said:
                self._said[rule.exchange, rule.symbols] = fee
            elif fee is not None:
                self._patterns[rule.exchange].append((matcher(rule.symbols), fee))

    def _by_rule(self, rule: FeeRule) -> MarketFee | None:
        usual = self._exchanges.get(rule.exchange)
        if usual is None:
            return None
        if not rule.times:
            return MarketFee(rule.taker, rule.maker, rule.known, rule.source)
        known, source = (
            rule.known and usual.known,
            f"{rule.source} {usual.taker_bps:g} bps, {usual.source}",
        )
        return MarketFee(usual.taker_bps * rule.taker, usual.maker_bps * rule.maker, known, source)

    def of(self, exchange: str, symbol: str) -> MarketFee:
        """Fees of a symbol of a market, by its key: of what is compared as `symbol`, or called so.

        Raises KeyError for a market the configuration does not have.
        """
        usual = self._exchanges[exchange]
        patterns = self._patterns.get(exchange, ())
        if not patterns and not self._said:
            return usual
        key = exchange, symbol
        if key not in self._found:  # each is asked for once per pair it is part of
            name = self._own_name.get(key, symbol)
            coin = coin_symbol(name)
            holds = (fee for names, fee in patterns if names.match(coin) or names.match(name))
            self._found[key] = next(holds, None) or self._said.get((exchange, name), usual)
        return self._found[key]

    def taker(self, exchange: str, symbol: str) -> float:
        """The taker fee as a fraction."""
        return self.of(exchange, symbol).taker_bps / 10_000


def _own_names(config: MarketConfig) -> dict[tuple[str, str], str]:
    """Own names of listings that are compared under another symbol, by exchange and that symbol."""
    aliased = {(each.exchange, each.counts_as) for each in config.listings if each.symbol != each.counts_as}
    # Only these: ordering all listings would take longer than what the fees are asked for.
    rivals = tuple(each for each in config.listings if (each.exchange, each.counts_as) in aliased)
    return {
        (exchange, symbol): listing.symbol
        for symbol, legs in listed(structs.replace(config, listings=rivals)).items()
        for exchange, listing in legs.items()
    }


def _of_exchange(row: ExchangeConfig) -> MarketFee:
    return MarketFee(row.taker_fee_bps, row.maker_fee_bps, row.fees_known, row.fee_source)
