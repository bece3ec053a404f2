"""Choice among several coins or networks of one exchange that share a unified name."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Set
from typing import TypeVar

from msgspec import structs

from core.names.symbols import loose
from markets.sync.wallet_answers import NETWORK_LENGTH, ListedNetwork

K = TypeVar("K", bound=Hashable)


def unmistaken(
    networks: Iterable[ListedNetwork], traded: Mapping[str, Set[str]]
) -> tuple[list[ListedNetwork], list[str]]:
    """One row per coin and network, whatever order they came in, and in words what was set aside.

    Of two coins the one that is traded under the name counts (`traded`: native ids of instruments by
    coin), then the one that is called so. Of two networks an open one does; the other is kept under its own
    name, where no exchange's is searched for.
    """
    rows, remarks = [], []
    for coin, of_coin in _by(networks, lambda row: row.coin).items():
        by_id = _by(of_coin, lambda row: row.coin_id)
        first, *others = sorted(
            by_id, key=lambda id: (not _is_traded(id, traded.get(coin, ())), id.upper() != coin, id)
        )
        remarks += [f"{coin} is {first}, not {other}" for other in others]
        for network, same in _by(by_id[first], lambda row: row.network).items():
            best, *aside = sorted(same, key=_rank)
            rows.append(best)
            for row in aside:
                if _terms(row) != _terms(best):
                    remarks.append(f"{coin} {network} is {best.network_id}, not {row.network_id}")
                    if loose(row.network_id) != loose(network):
                        rows.append(
                            structs.replace(row, network=f"{row.network_id} (own name)"[:NETWORK_LENGTH])
                        )
    return list({(row.coin, row.network): row for row in rows}.values()), remarks


def _by(rows: Iterable[ListedNetwork], key: Callable[[ListedNetwork], K]) -> dict[K, list[ListedNetwork]]:
    found: defaultdict[K, list[ListedNetwork]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _is_traded(coin_id: str, native_ids: Iterable[str]) -> bool:
    return any(loose(native_id).startswith(loose(coin_id)) for native_id in native_ids)


def _rank(row: ListedNetwork) -> tuple[int, str, str]:
    return -[row.deposit, row.withdraw].count(True), row.network_id, repr(_terms(row))


def _terms(row: ListedNetwork) -> tuple[object, ...]:
    return row.deposit, row.withdraw, row.fee
