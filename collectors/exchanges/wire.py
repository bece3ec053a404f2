"""Types of numbers in frames, checked while they are decoded; msgspec does it, so they cost nothing more.

A size on the wire of a contract-sized market is a number of `Contracts`. For mypy that is no float: nothing
but its product with the coins in one contract, a `ContractSize`, is a size of a quote or a trade.
"""

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, NewType

import msgspec
from msgspec import Struct

from collectors.exchanges.order import LARGEST
from collectors.exchanges.reading import INFINITY, LONGEST_TRADE_ID

NOT_EMPTY = msgspec.Meta(min_length=1)

Positive = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max)]
"""A price or size on the fast path: NaN fails too."""

RestingSize = Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)]
"""A size in a book, 0 for a level that is gone."""

FastPathKey = Any
"""Text that only frames of one kind carry; where frames are of the other type it raises TypeError."""

FastNumber = Annotated[int, msgspec.Meta(ge=1, le=LARGEST - 1)]
"""A trade's id on the fast path where it is a number."""

FastId = Annotated[int, msgspec.Meta(ge=0, le=LARGEST - 1)]
"""A book's id on the fast path, 0 for none."""

FastText = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TRADE_ID)]
"""The same where it is text."""

ContractSize = NewType("ContractSize", float)
"""Coins in one contract; Decimal for a codec with `exact`. Made by `contract_size`."""

LARGEST_CONTRACTS: Final = 1e30
"""More, and fewer than one in so many, is none on the fast path: the product with any contract size is finite
and above 0."""

if TYPE_CHECKING:

    class Contracts:
        """A number of contracts, above 0."""

        def __mul__(self, size: ContractSize) -> float:
            """Return how many coins that is."""

    class SignedContracts:
        """A number of contracts whose sign says who was the taker: below 0 it sold."""

        def __lt__(self, other: float) -> bool:
            """Whether the taker sold."""

        def __abs__(self) -> Contracts:
            """Return the number without the sign."""

    RestingContracts = Contracts

else:
    Contracts = Annotated[float, msgspec.Meta(ge=1 / LARGEST_CONTRACTS, le=LARGEST_CONTRACTS)]
    SignedContracts = Annotated[float, msgspec.Meta(ge=-LARGEST_CONTRACTS, le=LARGEST_CONTRACTS)]
    RestingContracts = Annotated[float, msgspec.Meta(ge=0.0, le=LARGEST_CONTRACTS)]


class FastLevel(Struct, array_like=True, gc=False):
    """A level on the fast path."""

    price: Positive
    size: Positive


class ContractLevel(Struct, array_like=True, gc=False):
    """A level on the fast path of a contract-sized market."""

    price: Positive
    size: Contracts


class Resized(Struct, frozen=True):
    """A contract size that an exchange has changed: the configured one, what it says, since when (µs UTC)."""

    was: ContractSize
    said: str
    since_us: int


def contract_size(coins: float | Decimal | None) -> ContractSize | None:
    """Return the contract size, None where it is not known or cannot be: nothing is multiplied by that."""
    if coins is None or not 0.0 < coins < INFINITY:
        return None
    return ContractSize(coins)  # type: ignore[arg-type] # Decimal for `exact`, as in the events
