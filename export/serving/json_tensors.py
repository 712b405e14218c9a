"""Converts JSON to tensors and back by the rules of TensorFlow Serving, with its errors.

The rules follow tensorflow/serving at 2.20.0 (util/json_tensor.cc, g3doc/api_rest.md): the row
format (`instances` to `predictions`), the columnar format (`inputs` to `outputs`), and the dtypes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_s2s.export.serving.c_api import DTYPES, STRING, StatusError
from keras_s2s.export.serving.session import Signature

INVALID_ARGUMENT = 3
TYPE_NAMES = {
    **{1: "DT_FLOAT", 2: "DT_DOUBLE", 3: "DT_INT32", 7: "DT_STRING", 9: "DT_INT64"},
    10: "DT_BOOL",
}
BYTES_SUFFIX = "_bytes"  # outputs whose names end so are written in base64


def parse(body: bytes) -> dict[str, Any]:
    """Parses a JSON object; bytes that are not valid UTF-8 are accepted, as by a server.

    Raises:
        StatusError: If the bytes are not a JSON object.
    """
    if not body:
        raise StatusError(INVALID_ARGUMENT, "JSON Parse error: The document is empty")
    try:
        request = json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise StatusError(INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise StatusError(INVALID_ARGUMENT, f"JSON Value: {_shown(request)} Is not object")
    return request


def tensors(request: Mapping[str, Any], signature: Signature) -> tuple[bool, dict[str, np.ndarray]]:
    """Returns whether a request is in the row format, and its inputs as arrays by name.

    Raises:
        StatusError: If the request does not fit the signature; the message is the server's.
    """
    if "instances" in request and "inputs" in request:
        raise StatusError(
            INVALID_ARGUMENT,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist",
        )
    if "instances" in request:
        return True, _from_rows(request["instances"], signature)
    if "inputs" in request:
        return False, _from_columns(request["inputs"], signature)
    raise StatusError(INVALID_ARGUMENT, "Missing 'inputs' or 'instances' key")


def _from_rows(instances: Any, signature: Signature) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise StatusError(INVALID_ARGUMENT, "Excepting 'instances' to be an list/array")
    if not instances:
        raise StatusError(INVALID_ARGUMENT, "No values in 'instances' array")
    names = sorted(signature.inputs)
    first = instances[0]
    if not isinstance(first, dict) and len(names) > 1:
        raise StatusError(
            INVALID_ARGUMENT,
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map",
        )
    named = _is_named(first)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for place, instance in enumerate(instances):
        if named != _is_named(instance):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise StatusError(
                INVALID_ARGUMENT,
                f"Expecting {expected} but got {got} at item {place} of input list",
            )
        values = instance if named else {names[0]: instance}
        for name, value in values.items():
            where = f"Failed to process element: {place} key: {name} of 'instances' list. Error: "
            if name not in columns:
                raise StatusError(
                    INVALID_ARGUMENT, f"{where}JSON object: does not have named input: {name}"
                )
            try:
                array = tensor(value, signature.inputs[name].dtype)
            except StatusError as error:
                raise StatusError(error.code, f"{where}{error}") from error
            before = columns[name]
            if before and before[0].shape != array.shape:
                raise StatusError(
                    INVALID_ARGUMENT,
                    f"{where}Expecting shape {list(before[0].shape)} but got: {list(array.shape)}",
                )
            before.append(array)
        if set(values) != set(names):
            raise StatusError(
                INVALID_ARGUMENT,
                f"Failed to process element: {place} of 'instances' list. JSON object: "
                f"{_shown(instance)} keys must be equal to: {','.join(names)}",
            )
    return {name: np.stack(arrays) for name, arrays in columns.items()}


def _from_columns(inputs: Any, signature: Signature) -> dict[str, np.ndarray]:
    names = sorted(signature.inputs)
    if not _is_named(inputs):
        if len(names) > 1:
            raise StatusError(
                INVALID_ARGUMENT,
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map",
            )
        inputs = {names[0]: inputs}
    for name in names:
        if name not in inputs:
            raise StatusError(INVALID_ARGUMENT, f"Missing named input: {name} in 'inputs' object.")
    # A server ignores inputs that the signature does not name.
    return {name: tensor(inputs[name], signature.inputs[name].dtype) for name in names}


def tensor(value: Any, dtype: int) -> np.ndarray:
    """Converts a JSON value, which may be nested lists, to an array.

    Raises:
        StatusError: If lists at the same level differ in length, or a value is not of the dtype.
    """
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    leaves: list[Any] = []
    _collect(value, 0, shape, dtype, leaves)
    if dtype == STRING:
        array = np.empty(len(leaves), object)
        array[:] = leaves
        return array.reshape(shape)
    return np.array(leaves, DTYPES[dtype]).reshape(shape)


def _collect(value: Any, level: int, shape: list[int], dtype: int, leaves: list[Any]) -> None:
    """Appends the values in nested lists to `leaves`, and checks the lists against the shape."""
    if not isinstance(value, list):
        if level != len(shape):
            raise StatusError(
                INVALID_ARGUMENT,
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}",
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise StatusError(
            INVALID_ARGUMENT,
            f"Encountered list at unexpected level: {level} expected < {len(shape)}",
        )
    if len(value) != shape[level]:
        raise StatusError(
            INVALID_ARGUMENT,
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}",
        )
    for part in value:
        _collect(part, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: int) -> Any:
    if dtype == STRING:
        if isinstance(value, dict):
            return _from_base64(value)
        if isinstance(value, str):
            try:
                return value.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError as error:
                raise StatusError(
                    INVALID_ARGUMENT,
                    "JSON Parse error: The surrogate pair in string is invalid.",
                ) from error
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = np.dtype(DTYPES[dtype]).kind if dtype in DTYPES else ""
    if kind == "f" and is_number:
        return value
    if kind == "i" and is_number and isinstance(value, int):
        limits = np.iinfo(DTYPES[dtype])  # type: ignore[type-var]
        if limits.min <= value <= limits.max:
            return value
    if kind == "b" and isinstance(value, bool):
        return value
    raise StatusError(
        INVALID_ARGUMENT,
        f"JSON Value: {_shown(value)} Type: {_json_type(value)} is not of expected type: "
        f"{TYPE_NAMES[dtype].removeprefix('DT_').lower()}",
    )


def _from_base64(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise StatusError(
            INVALID_ARGUMENT,
            f"JSON Value: {_shown(value)} not formatted correctly for base64 data",
        )
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise StatusError(INVALID_ARGUMENT, "Unable to base64 decode") from error


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def rows_json(outputs: Mapping[str, np.ndarray]) -> str:
    """Writes an answer in the row format.

    Raises:
        StatusError: If an output is a scalar, or outputs differ in their number of rows.
    """
    sizes: set[int] = set()
    for name, array in outputs.items():
        if array.ndim == 0:
            raise StatusError(INVALID_ARGUMENT, f"Tensor name: {name} has no shape information ")
        sizes.add(array.shape[0])
        if len(sizes) > 1:
            raise StatusError(
                INVALID_ARGUMENT,
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: "
                f"{min(sizes - {array.shape[0]})}",
            )
    written = {
        name: [_value(part, name) for part in array] for name, array in sorted(outputs.items())
    }
    if len(written) == 1:
        (rows,) = written.values()
    else:
        rows = [
            "{" + ", ".join(f"{json.dumps(name)}: {row[i]}" for name, row in written.items()) + "}"
            for i in range(sizes.pop())
        ]
    return '{"predictions": [' + ", ".join(rows) + "]}"


def columns_json(outputs: Mapping[str, np.ndarray]) -> str:
    """Writes an answer in the columnar format."""
    written = {name: _value(array, name) for name, array in sorted(outputs.items())}
    if len(written) == 1:
        (value,) = written.values()
        return f'{{"outputs": {value}}}'
    parts = ", ".join(f"{json.dumps(name)}: {value}" for name, value in written.items())
    return f'{{"outputs": {{{parts}}}}}'


def _value(value: Any, name: str) -> str:
    if isinstance(value, np.ndarray):
        if value.ndim:
            return "[" + ", ".join(_value(part, name) for part in value) + "]"
        value = value[()]
    if isinstance(value, bytes):
        if name.endswith(BYTES_SUFFIX):
            return json.dumps({"b64": base64.b64encode(value).decode()})
        return json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    if isinstance(value, np.floating):
        return _decimal(value)
    return json.dumps(value.item())


def _decimal(value: np.floating) -> str:
    """Writes a number with as few digits as identify it; infinity and NaN are bare words."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if type(value)(text) != value:
        text = f"{value:.{9 if value.dtype == np.float32 else 17}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _shown(value: Any) -> str:
    return json.dumps(value)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    kinds = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return kinds.get(type(value), "Null")
