"""64 bits of what an exchange said: two events of one symbol in one µs do not share them by chance.

One event has the same digest whenever and wherever it is computed: of events as they come, or of columns that
were recorded. Numbers are taken by their bits, a column at a time: a row costs a few ns for each.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

UNSAID: Final = np.iinfo(np.int64).min
"""Stands for a number that the exchange did not say."""

_START: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def digests(columns: Sequence[Column]) -> NDArray[np.int64]:
    """Digest of each row of these columns: int64 and float64, all of them equally long."""
    mixed = np.full(len(columns[0]), _START, np.uint64)
    for column in columns:
        mixed ^= np.ascontiguousarray(column).view(np.uint64)
        # The finalizer of SplitMix64, which spreads every bit over all of them.
        mixed ^= mixed >> np.uint64(30)
        mixed *= _FIRST
        mixed ^= mixed >> np.uint64(27)
        mixed *= _SECOND
        mixed ^= mixed >> np.uint64(31)
    return mixed.view(np.int64)


def text_digests(texts: Iterable[bytes | None]) -> NDArray[np.int64]:
    """Numbers that stand for texts in `digests`; None is another one than an empty text."""
    found = b"".join(bytes(8) if text is None else blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(found, ">i8").astype(np.int64)
