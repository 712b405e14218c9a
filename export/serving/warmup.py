"""Warm-up requests: what a server answers to itself before it says that a model is available.

The file is a TFRecord of `tensorflow.serving.PredictionLog` messages
(tensorflow_serving/apis/prediction_log.proto). A request that fails fails the load of the model, so
what is written here is replayed before it is published. TensorFlow writes and reads the records and
the tensors in them.
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
LIMIT = 1000  # records, more are an error to a server
BUFFER = 2**18  # bytes that are read at a time; TensorFlow would choose as many, and log it


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
    import tensorflow as tf

    if len(requests) > LIMIT:
        raise ValueError(f"A server takes {LIMIT} warm-up requests; got {len(requests)}.")
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            writer.write(_prediction_log(model, request))
    return path


def read_warmup(folder: Path) -> list[Request]:
    """The requests of a version folder; none where there is no file.

    Raises:
        ValueError: If a record is damaged or is no predict request.
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
    """An array as a serialized TensorProto."""
    import tensorflow as tf

    dtype = tf.string if array.dtype == object else array.dtype
    content: bytes = tf.make_tensor_proto(array, dtype).SerializeToString()
    return content


def read_tensor_proto(message: bytes) -> np.ndarray:
    """The array in a serialized TensorProto, whichever way its values are written."""
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
        raise ValueError(f"A warm-up record is no protocol buffer: {error}") from error
    if not log.HasField("predict_log"):
        raise ValueError("A warm-up record must hold a predict request; got another kind.")
    request = log.predict_log.request
    inputs = {name: read_tensor_proto(content) for name, content in request.inputs.items()}
    return Request(request.model_spec.signature_name or "serving_default", inputs)
