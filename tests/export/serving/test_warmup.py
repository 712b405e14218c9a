"""TensorFlow's own classes read the warm-up requests, and the requests that they write are read."""

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model.version import replay_warmup
from keras_s2s.export.serving.warmup import (
    FILE,
    Request,
    read_tensor_proto,
    read_warmup,
    tensor_proto,
    write_warmup,
)
from support.served import NAMES, Served, strings

ARRAYS = [
    strings([b"the cat", b"", b"\xff\0\xfe"]),
    strings([]),
    np.array([[1, -2, 3]], np.int32),
    np.zeros((0, 4), np.int32),
    np.array([2**40, -1], np.int64),
    np.array([[0.5, -1e-9]], np.float32),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}-{a.shape}")
def test_tensors_are_those_of_tensorflow(array: np.ndarray) -> None:
    proto = tensor_pb2.TensorProto.FromString(tensor_proto(array))
    theirs = tf.make_tensor(proto) if hasattr(tf, "make_tensor") else tf.make_ndarray(proto)

    np.testing.assert_array_equal(theirs, array)
    assert theirs.dtype == array.dtype
    # And the other way, with values one by one instead of as bytes.
    listed = tf.make_tensor_proto(array.tolist(), tf.as_dtype(array.dtype), array.shape)
    for message in (listed, tf.make_tensor_proto(array)):
        found = read_tensor_proto(message.SerializeToString())
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
        assert found.shape == array.shape


def test_one_value_stands_for_all_that_are_left_out() -> None:
    proto = tensor_pb2.TensorProto(dtype=3, int_val=[7])
    proto.tensor_shape.dim.add(size=3)

    assert read_tensor_proto(proto.SerializeToString()).tolist() == [7, 7, 7]


@pytest.mark.thorough
def test_every_signature_is_warmed_up_alone_and_in_the_largest_batch(served_words: Served) -> None:
    requests = read_warmup(served_words.folder)
    longest = served_words.translator.max_source_length
    sizes: dict[str, set[int]] = {}
    for request in requests:
        first = next(iter(request.inputs.values()))
        sizes.setdefault(request.signature, set()).add(len(first))
    lengths = {
        request.inputs["input_ids"].shape[1] for request in requests if request.signature == "ids"
    }

    assert len(requests) == 4 * len(NAMES)
    assert sizes == {name: {1, 32} for name in NAMES}
    assert lengths == {1, longest}


def test_the_file_is_a_tfrecord_that_replays(served_words: Served) -> None:
    records = [
        record.numpy() for record in tf.data.TFRecordDataset(str(served_words.folder / FILE))
    ]

    assert len(records) == len(read_warmup(served_words.folder))
    assert replay_warmup(served_words.session, served_words.folder) == len(records)


def test_a_request_that_fails_is_named(served_words: Served, tmp_path: Path) -> None:
    good = Request("serving_default", {"text": strings([b"a"])})
    bad = Request(
        "ids",
        {"input_ids": np.zeros((2, 3), np.int32), "input_lengths": np.zeros((2, 2), np.int32)},
    )
    write_warmup(tmp_path, "m", [good, bad])
    with pytest.raises(ExportError, match=r"Warm-up request 2 \(ids\) failed: "):
        replay_warmup(served_words.session, tmp_path)

    write_warmup(tmp_path, "m", [Request("nothing", good.inputs)])
    with pytest.raises(
        ExportError, match=r"request 1 must be for one of the signatures .*; got 'nothing'"
    ):
        replay_warmup(served_words.session, tmp_path)


# TensorFlow tells where a record begins if its length is damaged, else where its content begins.
@pytest.mark.parametrize(("place", "told"), [(0, 0), (9, 0), (20, 12), (-1, 12)])
def test_damage_is_found(tmp_path: Path, place: int, told: int) -> None:
    path = write_warmup(tmp_path, "m", [Request("s", {"text": strings([b"abc"])})])
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)

    with pytest.raises(ValueError, match=rf"damaged at byte {told}\."):
        read_warmup(tmp_path)


def test_a_truncated_file_and_another_kind_of_record_are_refused(tmp_path: Path) -> None:
    path = write_warmup(tmp_path, "m", [Request("s", {"text": strings([b"abc"])})])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="damaged"):
        read_warmup(tmp_path)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"")
    with pytest.raises(ValueError, match="must hold a predict request"):
        read_warmup(tmp_path)


def test_there_are_never_more_than_a_server_takes(tmp_path: Path) -> None:
    request = Request("s", {"text": strings([b"abc"])})
    with pytest.raises(ValueError, match=r"at most 1000 warm-up requests, .*; got 1001"):
        write_warmup(tmp_path, "m", [request] * 1001)
    assert read_warmup(tmp_path) == []


@pytest.mark.slow
def test_the_classes_of_tensorflow_serving_read_it(served_words: Served) -> None:
    if importlib.util.find_spec("tensorflow_serving") is None:
        pytest.skip("needs tensorflow-serving-api, which this library does without")
    logs = importlib.import_module("tensorflow_serving.apis.prediction_log_pb2")
    for content, request in zip(
        tf.data.TFRecordDataset(str(served_words.folder / FILE)),
        read_warmup(served_words.folder),
        strict=True,
    ):
        log = logs.PredictionLog.FromString(content.numpy())
        predict = log.predict_log.request
        assert predict.model_spec.name == "cats"
        assert predict.model_spec.signature_name == request.signature
        for name, array in request.inputs.items():
            np.testing.assert_array_equal(tf.make_ndarray(predict.inputs[name]), array)
    assert "tensorflow_serving" in sys.modules
