"""The wire format of protocol buffers: as much as the few messages of a server take.

The classes for these messages come with TensorFlow or with a package of TensorFlow Serving, and
what runs here must do without both (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Value = int | bytes | str
Fields = dict[int, list[int | bytes]]

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """A message of numbered fields: integers as varints, bytes and strings with their length.

    Example:
        >>> encode([(1, 150), (2, "testing")]).hex()
        '089601120774657374696e67'
    """
    message = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            message += _varint(number << 3 | _VARINT)
            message += _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
        else:
            content = value.encode() if isinstance(value, str) else value
            message += _varint(number << 3 | _LENGTH) + _varint(len(content)) + content
    return bytes(message)


def decode(message: bytes) -> Fields:
    """The values of each field in their order: varints as integers, all others as bytes.

    Raises:
        ValueError: If this is no message.

    Example:
        >>> decode(bytes.fromhex("089601120774657374696e67"))
        {1: [150], 2: [b'testing']}
    """
    fields: Fields = {}
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        kind = key & 7
        value: int | bytes
        if kind == _VARINT:
            value, place = _read_varint(message, place)
        else:
            if kind == _LENGTH:
                size, place = _read_varint(message, place)
            elif kind in (_FIXED64, _FIXED32):
                size = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError(f"Field {key >> 3} has the wire type {kind}, which is not known.")
            if place + size > len(message):
                raise ValueError("The message ends within a field.")
            value, place = message[place : place + size], place + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def integers(values: Iterable[int | bytes], bits: int = 64) -> Iterator[int]:
    """Signed integers out of a repeated field, packed or not."""
    for value in values:
        if isinstance(value, int):
            yield _signed(value, bits)
            continue
        place = 0
        while place < len(value):
            number, place = _read_varint(value, place)
            yield _signed(number, bits)


def one(fields: Fields, number: int) -> bytes:
    """The last value of a field of bytes; b"" where there is none."""
    values = fields.get(number)
    value = values[-1] if values else b""
    if isinstance(value, int):
        raise ValueError(f"Field {number} must hold bytes; got the integer {value}.")
    return value


def number(fields: Fields, number: int) -> int:
    """The last value of a field of integers; 0 where there is none."""
    return next(integers(fields.get(number, [0])[-1:]))


def mapping(fields: Fields, number: int) -> dict[str, bytes]:
    """A map from strings to messages."""
    entries = (decode(entry) for entry in fields.get(number, []) if isinstance(entry, bytes))
    return {one(entry, 1).decode(): one(entry, 2) for entry in entries}


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message):
            raise ValueError("The message ends within a number.")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
