"""Protobuf by hand, as much as MEXC's messages need: varints and length-delimited fields.

An encoder of our own keeps the simulator independent of the codec.
"""


def _varint(value: int) -> bytes:
    """Seven bits per byte, lowest first, the high bit set on all but the last."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(number: int, value: str | bytes | int) -> bytes:
    """One protobuf field: wire type 0 (varint) for numbers, 2 (length-delimited) for text and messages."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data
