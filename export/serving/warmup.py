"""Warm-up requests: what a server answers to itself before it says that a model is available.

The file is a TFRecord of `tensorflow.serving.PredictionLog` messages
(tensorflow_serving/apis/prediction_log.proto). A request that fails fails the load of the model, so
what is written here is replayed before it is published.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_s2s.export.serving import wire
from keras_s2s.export.serving.c_api import CODES, DTYPES, STRING

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
LIMIT = 1000  # records, more are an error to a server


class Request(NamedTuple):
    """One predict request.

    Attributes:
        signature: name of the signature.
        inputs: an array for each input; strings are bytes in an array of objects.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]


def write_warmup(folder: Path, model: str, requests: Sequence[Request]) -> Path:
    """Writes the requests where a server looks for them.

    Args:
        folder: the SavedModel's version folder.
        model: the model's name; servers do not read it.
        requests: at most `LIMIT`.

    Returns:
        The file.
    """
    if len(requests) > LIMIT:
        raise ValueError(f"A server takes {LIMIT} warm-up requests; got {len(requests)}.")
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_record(prediction_log(model, request)) for request in requests))
    return path


def read_warmup(folder: Path) -> list[Request]:
    """The requests of a version folder; none where there is no file.

    Raises:
        ValueError: If a record is damaged or is no predict request.
    """
    path = folder / FILE
    if not path.exists():
        return []
    return [read_prediction_log(record) for record in _records(path.read_bytes())]


def prediction_log(model: str, request: Request) -> bytes:
    """A request as a serialized PredictionLog."""
    spec = wire.encode([(1, model), (3, request.signature)])  # ModelSpec
    inputs = [
        (2, wire.encode([(1, name), (2, tensor_proto(array))]))  # an entry of a map
        for name, array in request.inputs.items()
    ]
    predict_request = wire.encode([(1, spec), *inputs])
    return wire.encode([(6, wire.encode([(1, predict_request)]))])  # PredictLog in PredictionLog


def read_prediction_log(message: bytes) -> Request:
    """The request in a serialized PredictionLog.

    Raises:
        ValueError: If it holds no predict request.
    """
    predict_log = wire.decode(message).get(6)
    if not predict_log:
        raise ValueError("A warm-up record must hold a predict request; got another kind.")
    request = wire.decode(wire.one(wire.decode(bytes(predict_log[-1])), 1))
    spec = wire.decode(wire.one(request, 1))
    inputs = {name: read_tensor_proto(value) for name, value in wire.mapping(request, 2).items()}
    return Request(wire.one(spec, 3).decode() or "serving_default", inputs)


def tensor_proto(array: np.ndarray) -> bytes:
    """An array as a serialized TensorProto."""
    shape = wire.encode([(2, wire.encode([(1, size)])) for size in array.shape])
    if array.dtype == object:
        texts = [(8, text) for text in array.ravel().tolist()]
        return wire.encode([(1, STRING), (2, shape), *texts])
    content = np.ascontiguousarray(array).tobytes()
    return wire.encode([(1, CODES[array.dtype]), (2, shape), (4, content)])


def read_tensor_proto(message: bytes) -> np.ndarray:
    """The array in a serialized TensorProto, whichever way its values are written."""
    fields = wire.decode(message)
    dims = wire.decode(wire.one(fields, 2)).get(2, [])
    shape = [wire.number(wire.decode(bytes(dim)), 1) for dim in dims]
    code = wire.number(fields, 1)
    if code == STRING:
        texts = np.empty(len(fields.get(8, [])), object)
        texts[:] = fields.get(8, [])
        return _filled(texts, shape)
    dtype = np.dtype(DTYPES[code])
    if content := wire.one(fields, 4):
        return np.frombuffer(content, dtype).reshape(shape)
    if dtype.kind == "f":
        packed = b"".join(bytes(part) for part in fields.get(5 if dtype.itemsize == 4 else 6, []))
        return _filled(np.frombuffer(packed, dtype), shape)
    field = {np.dtype(np.int64): 10, np.dtype(np.bool_): 11}.get(dtype, 7)
    return _filled(np.array(list(wire.integers(fields.get(field, []))), dtype), shape)


def _filled(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Values in a shape; the last one stands for those that are left out."""
    missing = int(np.prod(shape, dtype=np.int64)) - len(values)
    if missing and len(values):
        values = np.concatenate([values, np.repeat(values[-1:], missing)])
    return values.reshape(shape)


# TFRecord: length, its checksum, content, its checksum (tensorflow/core/lib/io/record_writer.h).


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _records(content: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(content):
        header, check = content[place : place + 8], content[place + 8 : place + 12]
        if len(check) < 4 or _checksum(header) != check:
            raise ValueError(f"The warm-up requests are damaged at byte {place}.")
        (size,) = struct.unpack("<Q", header)
        end = place + 12 + size
        record = content[place + 12 : end]
        if len(record) < size or _checksum(record) != content[end : end + 4]:
            raise ValueError(f"The warm-up requests are damaged at byte {place}.")
        yield record
        place = end + 4


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def _checksum(content: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files."""
    crc = 0xFFFF_FFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFF_FFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282_EAD8) & 0xFFFF_FFFF
    return struct.pack("<I", masked)
