"""Protocol buffers without their classes: equal to what protobuf itself writes and reads."""

import doctest

import pytest
from google.protobuf import struct_pb2, wrappers_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.export.serving import wire

quick = settings(deadline=None, max_examples=60, derandomize=True)


@quick
@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_those_of_protobuf(value: int) -> None:
    theirs = wrappers_pb2.Int64Value(value=value).SerializeToString()

    assert wire.encode([(1, value)] if value else []) == theirs
    assert wire.number(wire.decode(theirs), 1) == value


@quick
@given(st.binary(max_size=300))
def test_bytes_are_those_of_protobuf(value: bytes) -> None:
    theirs = wrappers_pb2.BytesValue(value=value).SerializeToString()

    assert wire.encode([(1, value)] if value else []) == theirs
    assert wire.one(wire.decode(theirs), 1) == value


def test_maps_and_numbers_of_fixed_size_are_read() -> None:
    message = struct_pb2.Struct()
    message.update({"a": 1.5, "b": "two"})

    found = wire.mapping(wire.decode(message.SerializeToString()), 1)

    assert set(found) == {"a", "b"}
    assert wire.one(wire.decode(found["b"]), 3) == b"two"
    assert len(wire.one(wire.decode(found["a"]), 2)) == 8
    assert wire.decode(wrappers_pb2.FloatValue(value=1).SerializeToString())[1] == [b"\0\0\x80?"]


def test_repeated_integers_are_read_packed_or_not() -> None:
    assert list(wire.integers([1, 2**64 - 1])) == [1, -1]
    assert list(wire.integers([b"\x01\x96\x01"])) == [1, 150]


@pytest.mark.parametrize("message", [b"\x0a\x05abc", b"\x08", b"\x08\x80", b"\x0b"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"ends within|is not known"):
        wire.decode(message)


def test_a_field_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="Field 1 must hold bytes; got the integer 5"):
        wire.one({1: [5]}, 1)


def test_examples_in_the_documentation() -> None:
    found = doctest.testmod(wire)
    assert found.attempted > 0
    assert found.failed == 0
