"""Converts TensorFlow functions to ONNX graphs with tf2onnx.

Two habits of tf2onnx are corrected here: it selects by multiplying with zero, which turns infinity
into NaN, and it writes a loop for every masked recurrence. If tf2onnx cannot convert an operation,
it leaves that operation in the file and only logs a message; `models.check` refuses such a file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import onnx
import tf2onnx

from keras_s2s.export.onnx.graph.hoisting import hoist_invariants
from keras_s2s.export.onnx.graph.lookups import simplify_lookups
from keras_s2s.export.onnx.graph.recurrences import MARKER, convert_mark, marked
from keras_s2s.export.tracing import without_cudnn

OPSET = 18  # the newest that tf2onnx 1.17 writes
IR_VERSION = 9  # the oldest that allows opset 20, which the tokenizer graphs need


def converted(function: Any, model: keras.Model) -> onnx.ModelProto:
    """Converts a function to an ONNX model at `OPSET`.

    Whatever does not change from one iteration of a loop to the next is moved out of the loop.

    Args:
        function: a `tf.function` with one signature.
        model: the Keras model that the function runs.
    """
    handlers = {
        # tf2onnx would compute a choice between two values as c·x + (1 − c)·y, which is NaN where
        # x or y is infinite.
        "SelectV2": (lambda context, node, name, arguments: None, ["Where"]),
        MARKER: (convert_mark, []),
    }
    with quiet("tf2onnx"), quiet("tensorflow"), without_cudnn(model), marked(model):
        proto, _ = tf2onnx.convert.from_function(
            function, function.input_signature, opset=OPSET, custom_op_handlers=handlers
        )
    proto.ir_version = IR_VERSION
    del proto.graph.value_info[:]  # tf2onnx makes up names for the axes there
    hoist_invariants(proto)
    simplify_lookups(proto)
    return proto


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Silences a logger inside the `with` block."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
