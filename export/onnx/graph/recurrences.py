"""Converts plain LSTM and GRU layers to one ONNX node each.

tf2onnx alone would write a loop for each direction. Here such a layer leaves one operation in the
trace that stands for the whole recurrence, and the conversion turns that operation into an ONNX
`LSTM` or `GRU` with `sequence_lens`. Layers of other cells keep their loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.layers.encoder import Encoder
from keras_s2s.layers.recurrent import GRU, LSTM, Recurrence, Recurrent, RecurrentBlock

# TensorFlow's operation for a call into Python. It is never called: the trace is converted, not
# run.
MARKER = "PyFunc"
# Positions of Keras' gates in ONNX' order: input, output, forget, cell; update, reset, new.
GATES = {LSTM: (0, 3, 1, 2), GRU: (0, 1, 2)}


@contextmanager
def marked(model: keras.Model) -> Iterator[None]:
    """Lets LSTM and GRU layers of a model's encoders trace to marks inside the `with` block.

    A mark masks by lengths, so real positions must stand before padding. Encoders that read the
    source from its end therefore keep their loops, as do layers of other cells.
    """
    blocks = [
        block
        for encoder in _layers(model, Encoder)
        if not encoder.reverse_source
        for block in encoder.blocks
        if type(block.recurrent) in GATES
    ]
    with ExitStack() as substitutions:
        for block in blocks:
            substitutions.enter_context(block.substituted(_mark_of(block)))
        yield


def convert_mark(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Turns a mark into an ONNX node of the same inputs and outputs, as a handler of tf2onnx."""
    directions, _, units = context.get_shape(node.input[2])
    node.type = "LSTM" if len(node.output) == 3 else "GRU"
    attributes = {
        "direction": "bidirectional" if directions == 2 else "forward",
        "hidden_size": units,
        **({"linear_before_reset": 1} if node.type == "GRU" else {}),
    }
    for attribute, value in attributes.items():
        node.set_attr(attribute, value)


def onnx_weights(layers: list[Recurrent]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the weights of a layer in the layout of ONNX.

    Args:
        layers: one LSTM or GRU, or two of the same kind: forward and backward.

    Returns:
        `W (D, G·U, E)`, `R (D, G·U, U)`, and `B (D, 2·G·U)`, input biases first.

    Example: the gates of an LSTM change their order.
        >>> layer = LSTM(1)
        >>> layer.build((None, None, 1))
        >>> _ = layer.kernel.assign([[1.0, 2.0, 3.0, 4.0]])
        >>> onnx_weights([layer])[0].ravel().tolist()
        [1.0, 4.0, 2.0, 3.0]
    """
    kernels, recurrent_kernels, biases = [], [], []
    for layer in layers:
        order = GATES[type(layer)]

        def arranged(weight: Any, order: tuple[int, ...] = order) -> np.ndarray:
            blocks = np.split(keras.ops.convert_to_numpy(weight), len(order), axis=-1)
            return np.concatenate([blocks[place] for place in order], axis=-1)

        kernels.append(arranged(layer.kernel).T)
        recurrent_kernels.append(arranged(layer.recurrent_kernel).T)
        bias = arranged(layer.bias)
        if bias.ndim == 1:  # an LSTM has one bias where ONNX has two
            bias = np.stack([bias, np.zeros_like(bias)])
        biases.append(bias.ravel())
    return np.stack(kernels), np.stack(recurrent_kernels), np.stack(biases)


def _mark_of(block: RecurrentBlock) -> Recurrence:
    """Returns a recurrence that leaves one operation in a trace, for the layers of a block."""
    layers = [layer for layer in (block.recurrent, block.backward) if layer is not None]
    states = layers[0].states
    weights = onnx_weights(layers)

    def recur(inputs: Any, initial_state: Any, mask: Any, training: Any) -> Any:
        if initial_state is not None or training:
            raise ValueError(
                "A recurrence can become an ONNX node only without an initial state and outside "
                f"training; got initial_state={initial_state!r}, training={training!r}."
            )
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        steps, *last = tf.numpy_function(
            _never,
            [tf.transpose(inputs, [1, 0, 2]), *weights, lengths],
            [tf.float32] * (1 + states),
        )
        batch, length = tf.shape(inputs)[0], tf.shape(inputs)[1]
        # Outputs (S, D, B, U) to (B, S, D·U), each state (D, B, U) to (B, D·U).
        outputs = tf.reshape(tf.transpose(steps, [2, 0, 1, 3]), [batch, length, block.units])
        return outputs, tuple(
            tf.reshape(tf.transpose(state, [1, 0, 2]), [batch, block.units]) for state in last
        )

    return recur


def _layers(model: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def _never(*_: Any) -> Any:
    raise RuntimeError("A marked recurrence can be converted to ONNX, but it cannot be run.")
