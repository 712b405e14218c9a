"""The loop over time, on every Keras backend.

This module runs a recurrence and knows nothing about cells, masks or weights. On the TensorFlow
backend the loop is a `tf.while_loop` whose state consists of plain loop variables, because
`keras.ops.scan` keeps the state in TensorArrays, which tf2onnx cannot convert (checked with Keras
3.15 and tf2onnx 1.17). On other backends the loop is `keras.ops.scan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensors = tuple[Any, ...]
Step = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]


def scan(
    step: Step,
    state: Tensors,
    inputs: Tensors,
    output_sizes: tuple[int | None, ...],
    output_dtypes: tuple[str, ...] | None = None,
    *,
    reverse: bool = False,
) -> tuple[Tensors, Tensors]:
    """Runs `state, outputs[t] = step(state, inputs[t])` over the leading axis.

    Args:
        step: function from `(state, inputs_t)`, two tuples of tensors, to `(new_state, outputs_t)`,
            two tuples of tensors. It keeps the shapes and dtypes of the state.
        state: tuple of tensors, the state before the first step.
        inputs: tuple of tensors `(T, ...)`, at least one.
        output_sizes: width of each output; None for an unknown width. An output of a step is `(B,
            width)` with the `B` of `inputs[0]`.
        output_dtypes: dtype of each output; the dtype of `state[0]` when omitted.
        reverse: True to run from the last step to the first; `outputs[t]` still belongs to
            `inputs[t]`.

    Returns:
        `(final_state, outputs)`; every output is stacked to `(T, ...)`.
    """
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_scan(step, state, inputs, output_sizes, output_dtypes, reverse)

    return ops.scan(step, state, inputs, reverse=reverse)


def _tensorflow_scan(
    step: Step,
    state: Tensors,
    inputs: Tensors,
    output_sizes: tuple[int | None, ...],
    output_dtypes: tuple[str, ...] | None,
    reverse: bool,
) -> tuple[Tensors, Tensors]:
    import tensorflow as tf

    inputs = tuple(tf.convert_to_tensor(x) for x in inputs)
    state = tuple(tf.convert_to_tensor(x) for x in state)
    length = tf.shape(inputs[0])[0]
    sources = tuple(
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x) for x in inputs
    )
    dtypes = output_dtypes or (state[0].dtype,) * len(output_sizes)
    sinks = tuple(
        tf.TensorArray(dtype, size=length, element_shape=(inputs[0].shape[1], size))
        for size, dtype in zip(output_sizes, dtypes, strict=True)
    )

    def body(t: Any, state: Tensors, sinks: Tensors) -> tuple[Any, Tensors, Tensors]:
        new_state, outputs = step(state, tuple(source.read(t) for source in sources))
        for new, old in zip(new_state, state, strict=True):
            new.set_shape(old.shape)
        sinks = tuple(sink.write(t, y) for sink, y in zip(sinks, outputs, strict=True))
        return t + (-1 if reverse else 1), new_state, sinks

    start = length - 1 if reverse else tf.constant(0)
    _, state, sinks = tf.while_loop(
        lambda t, *_: t >= 0 if reverse else t < length,
        body,
        (start, state, sinks),
        # Lets XLA allocate memory for the tensors that the gradient needs from each step.
        maximum_iterations=length,
    )
    return state, tuple(sink.stack() for sink in sinks)
