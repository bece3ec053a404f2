"""Swaps on a desk: instruments that a catalogue sync would have written, and pairs of markets."""

from decimal import Decimal
from typing import Any

from django.utils import timezone

from core.names.market_keys import coin_symbol, exchange_of, market_of
from core.names.symbols import base_of, quote_of
from markets.models import Exchange, ExchangePair, Instrument, Kind, Symbol


def swap(exchange: str, symbol: str = "BTC/USDT:USDT", **values: Any) -> Instrument:
    """A perpetual swap that an exchange lists, its symbol enabled; sizes in coins unless `values` say."""
    base, quote = base_of(symbol), quote_of(symbol)
    named = {"base": base, "quote": quote}
    Symbol.objects.get_or_create(name=coin_symbol(symbol), defaults=named)
    row, _made = Symbol.objects.get_or_create(
        name=symbol, defaults={**named, "kind": Kind.SWAP, "enabled": True}
    )
    defaults = {
        "native_id": f"{base}{quote}", "settle": quote, "contract_size": Decimal(1),
        "synced_at": timezone.now(), "quote_volume_24h": Decimal(1_000_000),
    }  # fmt: skip
    return Instrument.objects.create(
        exchange=Exchange.objects.get(key=exchange), symbol=row, kind=Kind.SWAP, **(defaults | values)
    )


def pair(key1: str, key2: str, **values: Any) -> ExchangePair:
    """An enabled pair of two markets, by their keys."""
    one, two = (Exchange.objects.get(key=exchange_of(key)) for key in (key1, key2))
    return ExchangePair.objects.create(
        exchange1=one, market1=market_of(key1), exchange2=two, market2=market_of(key2), **values
    )
