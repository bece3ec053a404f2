"""Which coins an exchange takes in and pays out now, over which networks; asked through ccxt.

Some exchanges tell everybody, the others only whoever brings an API key. A key that may only read is
enough; it stays in the environment (EXCHANGE_KEYS_BINANCE …), and is never logged or stored.
No database here: `markets.wallet_sync` stores what `fetch` returns.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from msgspec import Struct

from markets.catalogue import CatalogueError, client, decimal, in_words

CREDENTIALS = ("apiKey", "secret", "password")
COIN_LENGTH, NETWORK_LENGTH = 32, 64


class ListedNetwork(Struct, frozen=True):
    """A coin on one network of one exchange; None where the exchange did not say. `fee` in the coin."""

    coin: str
    network: str
    deposit: bool | None
    withdraw: bool | None
    fee: Decimal | None


def fetch(key: str, rest_url: str = "") -> list[ListedNetwork]:
    """Every coin's networks on one exchange; empty where it tells nobody without a key. Blocks for seconds.

    A key is only ever sent to the exchange's own address, never to a `rest_url`. Raises CatalogueError,
    without a word of the key, when the exchange is unknown, does not answer or refuses the key.
    """
    exchange = client(key, rest_url)
    credentials = {} if rest_url else api_key(key)
    for name, value in credentials.items():
        setattr(exchange, name, value)
    import ccxt

    try:
        return parse((exchange.fetch_currencies() or {}).values())
    except ccxt.BaseError as error:
        safe = redacted(str(error), credentials.values())
        raise CatalogueError(in_words(CatalogueError(safe))) from None
    finally:
        exchange.session.close()


def api_key(exchange: str) -> dict[str, str]:
    """What the environment holds for an exchange, under ccxt's names; empty when it holds nothing.

    Raises CatalogueError when it is not `key:secret` or `key:secret:passphrase`.
    """
    text = settings.EXCHANGE_KEYS.get(exchange, "")
    parts = text.split(":", 2)
    if text and (len(parts) < 2 or not all(parts)):
        name = f"EXCHANGE_KEYS_{exchange.upper()}"
        raise CatalogueError(f"{name} must be KEY:SECRET, or KEY:SECRET:PASSPHRASE where there is one")
    return dict(zip(CREDENTIALS, parts, strict=False)) if text else {}


def parse(currencies: Iterable[Mapping[str, Any]]) -> list[ListedNetwork]:
    """ccxt's currencies as plain values; names that no coin or network has are left out."""
    found = {}
    for currency in currencies:
        coin = str(currency.get("code") or "")
        for name, row in (currency.get("networks") or {}).items():  # by ccxt's name, alike on every exchange
            network = str(name).upper()
            if 0 < len(coin) <= COIN_LENGTH and 0 < len(network) <= NETWORK_LENGTH:
                found[coin, network] = ListedNetwork(
                    coin, network, _told(row.get("deposit")), _told(row.get("withdraw")),
                    decimal(row.get("fee")),
                )  # fmt: skip
    return list(found.values())


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets and without the queries of URLs, which carry signatures."""
    for secret in secrets:
        text = text.replace(secret, "•••")
    return re.sub(r"\?\S+", "", text)


def _told(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
