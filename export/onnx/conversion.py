"""TensorFlow functions to ONNX graphs, through tf2onnx.

tf2onnx selects by multiplying with zero and so makes NaN of infinity, and writes a loop for every
masked recurrence; both are put right here. What it cannot convert it leaves in the file and only
logs it: `onnx.check` refuses that.
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
IR_VERSION = 9  # the first that allows opset 20, which the tokenizer graphs need


def converted(function: Any, model: keras.Model) -> onnx.ModelProto:
    """A traced function as a model at `OPSET`, its loops rid of what does not change in them.

    Args:
        function: a `tf.function` with one signature.
        model: the model that it runs.
    """
    handlers = {
        # A choice between two values; tf2onnx would compute c·x + (1 − c)·y, which is NaN where x
        # or y is infinite.
        "SelectV2": (lambda context, node, name, arguments: None, ["Where"]),
        MARKER: (convert_mark, []),
    }
    with quiet("tf2onnx"), quiet("tensorflow"), without_cudnn(model), marked(model):
        proto, _ = tf2onnx.convert.from_function(
            function, function.input_signature, opset=OPSET, custom_op_handlers=handlers
        )
    proto.ir_version = IR_VERSION
    del proto.graph.value_info[:]  # its axes have made-up names
    hoist_invariants(proto)
    simplify_lookups(proto)
    return proto


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Silences a logger."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
