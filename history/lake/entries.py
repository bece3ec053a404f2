"""The form of our own entries in a Delta log: a first line that says what for, with a checksum of the rest.

The protocol has no checksum of an entry, and one bit decides whether a file belongs to the table. Delta lets
`commitInfo` carry anything, so ours is `crc32` in it; a reader that does not know it ignores it.
"""

import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def sealed(information: Mapping[str, Any], actions: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """An entry: its information, when it was written and its checksum, and its actions."""
    lines = [msgspec.json.encode(action) for action in actions]
    about = {"timestamp": time.time_ns() // 1_000_000, **information, "crc32": checksum(lines)}
    return b"\n".join([msgspec.json.encode({"commitInfo": about}), *lines])


def checksum(lines: Sequence[bytes]) -> int:
    """Checksum of an entry's lines after the first."""
    return zlib.crc32(b"\n".join(lines))
