"""Writes and reads warm-up requests, which a server runs before a model is available.

The file is a TFRecord of `tensorflow.serving.PredictionLog` messages
(tensorflow_serving/apis/prediction_log.proto). If one request fails, a server does not load the
model, so all requests are replayed before they are published. TensorFlow writes and reads the
records and the tensors in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from keras_s2s.export.serving.messages import PredictionLog

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
LIMIT = 1000  # largest number of records that a server accepts
BUFFER = 2**18  # bytes read at a time; TensorFlow would choose the same number and log it


class Request(NamedTuple):
    """One predict request.

    Attributes:
        signature: name of the signature to run.
        inputs: an array for each input; strings are bytes in an array of objects.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]


def write_warmup(folder: Path, model: str, requests: Sequence[Request]) -> Path:
    """Writes the requests where a server looks for them.

    Args:
        folder: the SavedModel's version folder.
        model: the model's name, which servers do not read.
        requests: the requests, at most `LIMIT` of them.

    Returns:
        The path of the file.

    Raises:
        ValueError: If there are more requests than `LIMIT`.
    """
    import tensorflow as tf

    if len(requests) > LIMIT:
        raise ValueError(
            f"`requests` must hold at most {LIMIT} warm-up requests, which is a server's limit; "
            f"got {len(requests)}."
        )
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            writer.write(_prediction_log(model, request))
    return path


def read_warmup(folder: Path) -> list[Request]:
    """Reads the requests of a version folder. A folder without the file has no requests.

    Raises:
        ValueError: If a record is damaged or is not a predict request.
    """
    import tensorflow as tf

    path = folder / FILE
    if not path.exists():
        return []
    try:
        dataset = tf.data.TFRecordDataset(str(path), buffer_size=BUFFER)
        records = list(dataset.as_numpy_iterator())
    except tf.errors.DataLossError as error:
        place = re.search(r"record at (\d+)", error.message)
        where = f" at byte {place[1]}" if place else ""
        raise ValueError(f"The warm-up requests are damaged{where}.") from error
    return [_read_prediction_log(record) for record in records]


def tensor_proto(array: np.ndarray) -> bytes:
    """Serializes an array as a TensorProto."""
    import tensorflow as tf

    dtype = tf.string if array.dtype == object else array.dtype
    content: bytes = tf.make_tensor_proto(array, dtype).SerializeToString()
    return content


def read_tensor_proto(message: bytes) -> np.ndarray:
    """Returns the array in a serialized TensorProto, whichever way its values are written."""
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    array: np.ndarray = tf.make_ndarray(TensorProto.FromString(message))
    return array


def _prediction_log(model: str, request: Request) -> bytes:
    log = PredictionLog()
    predict = log.predict_log.request
    predict.model_spec.name, predict.model_spec.signature_name = model, request.signature
    for name, array in request.inputs.items():
        predict.inputs[name] = tensor_proto(array)
    content: bytes = log.SerializeToString(deterministic=True)
    return content


def _read_prediction_log(message: bytes) -> Request:
    try:
        log = PredictionLog.FromString(message)
    except DecodeError as error:
        raise ValueError(f"A warm-up record must be a protocol buffer: {error}") from error
    if not log.HasField("predict_log"):
        raise ValueError("A warm-up record must hold a predict request; got another kind.")
    request = log.predict_log.request
    inputs = {name: read_tensor_proto(content) for name, content in request.inputs.items()}
    return Request(request.model_spec.signature_name or "serving_default", inputs)
