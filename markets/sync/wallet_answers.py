"""Coins an exchange takes in and pays out now, and their networks; asked through ccxt.

Some exchanges answer everybody, the others only with an API key. A key that may only read is
enough; it stays in the environment (EXCHANGE_KEYS_BINANCE …), and is never logged or stored.
No database here: `markets.sync.wallets` stores what `fetch` returns.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from msgspec import Struct

from core.names.plain_names import unfit_character
from markets.sync.catalogue import CatalogueError, client, decimal, in_words
from markets.sync.rest_proxy import failure
from markets.sync.rows import Skipped, read
from markets.sync.rows import in_words as left_out

CREDENTIALS = ("apiKey", "secret", "password")
COIN_LENGTH, NETWORK_LENGTH = 32, 64


class ListedNetwork(Struct, frozen=True):
    """A coin on one network of one exchange; None where the exchange did not say. `fee` in the coin.

    The ids are the exchange's own names: two of its coins or networks may share a unified one.
    """

    coin: str
    network: str
    deposit: bool | None
    withdraw: bool | None
    fee: Decimal | None
    coin_id: str = ""
    network_id: str = ""


class WalletAnswer(list[ListedNetwork]):
    """Answer of an exchange about its networks, and what of it could not be read, in words."""

    def __init__(
        self, rows: Iterable[ListedNetwork] = (), skipped: Iterable[Skipped] = (), *, quoted: bool = True
    ) -> None:
        super().__init__(rows)
        self.skipped = list(skipped)
        self.problem = left_out(self.skipped, "wallets", quoted=quoted)


def fetch(key: str, rest_url: str = "", proxy: str = "") -> WalletAnswer:
    """Every coin's networks on one exchange; empty where it answers nobody without a key. Blocks for seconds.

    A row that cannot be read is left out and named: a network of a coin, or the coin. A key is only ever
    sent to the exchange's own address, never to a `rest_url`. Raises CatalogueError,
    without a word of the key, when the exchange is unknown, does not answer or refuses the key.
    """
    exchange = client(key, rest_url, proxy)
    credentials = {} if rest_url else api_key(key)
    for name, value in credentials.items():
        setattr(exchange, name, value)
    import ccxt

    try:
        names = _OwnNames(exchange)
        found, skipped = read(exchange, names.ask, inside=True)
        return WalletAnswer(parse((found or {}).values(), names, skipped), skipped, quoted=exchange.quoted)
    except (ccxt.BaseError, CatalogueError) as error:
        if exchange.quoted:
            safe = in_words(CatalogueError(redacted(str(error), credentials.values())))
        else:
            safe = in_words(error, quoted=False)
        raise CatalogueError(failure(error, exchange, safe)) from None
    finally:
        exchange.session.close()


def api_key(exchange: str) -> dict[str, str]:
    """API key in the environment for an exchange, under ccxt's names; empty when it holds nothing.

    Raises CatalogueError when it is not `key:secret` or `key:secret:passphrase`.
    """
    text = settings.EXCHANGE_KEYS.get(exchange, "")
    parts = text.split(":", 2)
    if text and (len(parts) < 2 or not all(parts)):
        name = f"EXCHANGE_KEYS_{exchange.upper()}"
        raise CatalogueError(f"{name} must be KEY:SECRET, or KEY:SECRET:PASSPHRASE where there is one")
    return dict(zip(CREDENTIALS, parts, strict=False)) if text else {}


class _OwnNames:
    """Lets a ccxt client name coins and networks by the exchange's own ids, as none is given twice.

    ccxt puts both into dictionaries by unified name, where the later of two hides the other.
    """

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self.coin, self.network = exchange.safe_currency_code, exchange.network_id_to_code
        self._coins: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()

    def ask(self) -> Any:
        """`fetch_currencies`, by own ids."""
        self._coins.clear()
        self._exchange.safe_currency_code = self._coin
        self._exchange.network_id_to_code = self._network
        return self._exchange.fetch_currencies()

    def _coin(self, id: str | None, currency: Any = None) -> str | None:
        self._networks.clear()
        return _once(id, self._coins)

    def _network(self, id: str | None = None, coin: str | None = None) -> str | None:
        return _once(id, self._networks)


def _once(id: str | None, seen: "Counter[str]") -> str | None:
    """A name given for the second time gets a mark that `parse` takes off."""
    if id is None:
        return None
    seen[id] += 1
    return id if seen[id] == 1 else f"{id}\0{seen[id]}"


def parse(
    currencies: Iterable[Mapping[str, Any]],
    names: _OwnNames | None = None,
    skipped: list[Skipped] | None = None,
) -> list[ListedNetwork]:
    """ccxt's currencies as plain values; names that no coin or network has are left out.

    Those of characters that turn or hide text go to `skipped`.
    """
    found = []
    for currency in currencies:
        coin_id = str(currency.get("code") or "").partition("\0")[0]
        coin = str(names.coin(coin_id) if names and coin_id else coin_id)
        for name, row in (currency.get("networks") or {}).items():
            network_id = str(name).partition("\0")[0]
            network = str(names.network(network_id, coin) if names else network_id).upper()
            unfit = unfit_character(coin + network)
            if unfit and skipped is not None:
                skipped.append(Skipped(f"{coin} {network}"[:NETWORK_LENGTH], f"its name holds {unfit}"))
            if not unfit and 0 < len(coin) <= COIN_LENGTH and 0 < len(network) <= NETWORK_LENGTH:
                found.append(ListedNetwork(
                    coin, network, _state(row.get("deposit")), _state(row.get("withdraw")),
                    decimal(row.get("fee")), coin_id if names else "", network_id if names else "",
                ))  # fmt: skip
    return found


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets and without the queries of URLs, which carry signatures."""
    for secret in secrets:
        text = text.replace(secret, "•••")
    return re.sub(r"\?\S+", "", text)


def _state(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
