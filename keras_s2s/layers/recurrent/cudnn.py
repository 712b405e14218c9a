"""cuDNN's LSTM and GRU, which run all steps in one kernel, on GPUs under TensorFlow.

This module decides when cuDNN may run a recurrent layer. It also prepares the inputs of the kernel,
which are the weights in cuDNN's order, and rows that begin with their real steps. cuDNN computes
the same as the layer's own loop, and `agrees` tests this on every GPU before cuDNN is used there.
If cuDNN may not run a layer, the loop runs.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import keras
import numpy as np

from keras_s2s.layers.scan import Tensors

DTYPES = {"float16", "float32", "float64"}
# The greatest difference that is allowed. Half precision and TF32 are expected to differ by less
# than 0.01, and weights in the wrong order by tenths and more.
TOLERANCE = 0.05
# For each block of a kernel in cuDNN's order, its place in Keras' order, which is ours.
ORDERS = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}


class CudnnWarning(RuntimeWarning):
    """Warns that a GPU cannot use cuDNN. A loop then computes the same, more slowly.

    Example: make the warning an error, to be sure that a GPU uses cuDNN.
    >>> import warnings
    >>> import numpy as np
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", CudnnWarning)
    ...     outputs, state = LSTM(8)(np.zeros((2, 5, 3), "float32"))
    """


def present() -> bool:
    """Tells whether TensorFlow is the backend and sees a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def serves(layer: Any, training: bool | None) -> bool:
    """Tells whether cuDNN may run a recurrent layer of this library.

    cuDNN needs a GPU under TensorFlow, a cell with a `cudnn_mode`, one of `DTYPES`, no recurrent
    dropout in training, and a layer whose `use_cudnn` is not False. Export sets `use_cudnn` to
    False, since no CPU can run a graph that was traced with the kernel.
    `Seq2Seq.compile(jit_compile=True)` does so too, since XLA has no such kernel.
    """
    kind: Any = type(layer)
    return (
        layer.cudnn_mode is not None
        and layer.use_cudnn is not False
        and not (training and layer.recurrent_dropout)
        and layer.compute_dtype in DTYPES
        and present()
        and agrees(kind, layer.compute_dtype)
    )


def allow(model: keras.Model, allowed: bool) -> None:
    """Lets all recurrent layers of a model use cuDNN, or XLA in its place if not allowed."""
    for layer in model._flatten_layers():
        if getattr(layer, "cudnn_mode", None) is not None:
            layer.use_cudnn = "auto" if allowed else False
            layer.supports_jit = not (allowed and present())


def recurrence(
    layer: Any, inputs: Any, state: Tensors, mask: Any, training: bool | None
) -> tuple[Any, Tensors]:
    """Runs all steps of a layer that cuDNN `serves`, as `Recurrent.call` would.

    cuDNN needs rows that begin with their real steps and have at least one. It gives zeros after
    the last real step. So the real steps of each row are moved to its front, and the outputs are
    moved back. A masked step repeats the last output before it. Any mask works, even that of a
    reversed source.
    """
    import tensorflow as tf

    dtype = layer.compute_dtype
    weights = (tf.cast(x, dtype) for x in (layer.kernel, layer.recurrent_kernel, layer.bias))
    parameters = flat_parameters(layer.cudnn_mode, *weights)
    inputs = tf.cast(inputs, dtype)
    shape = tf.shape(inputs)
    if mask is None:
        lengths = tf.fill([shape[0]], shape[1])
        return kernel(layer.cudnn_mode, inputs, state, parameters, lengths, training)

    steps = tf.cast(mask, "int32")
    order = tf.argsort(1 - steps, axis=1, stable=True)
    packed = tf.gather(inputs, order, axis=1, batch_dims=1)
    lengths = tf.reduce_sum(steps, axis=1)
    outputs, new = kernel(
        layer.cudnn_mode, packed, state, parameters, tf.maximum(lengths, 1), training
    )
    outputs = tf.concat(
        [state[0][:, None], outputs], axis=1
    )  # the output before the first real step
    outputs = tf.gather(outputs, tf.cumsum(steps, axis=1), axis=1, batch_dims=1)
    real = (lengths > 0)[:, None]
    return outputs, tuple(tf.where(real, x, y) for x, y in zip(new, state, strict=True))


def kernel(
    mode: str, inputs: Any, state: Tensors, parameters: Any, lengths: Any, training: bool | None
) -> tuple[Any, Tensors]:
    """Calls the kernel: `(B, T, D)` to `(B, T, U)` and the state after each row's length."""
    import tensorflow as tf

    units = state[0].shape[-1]
    hidden, *memory = (x[:, None] for x in state)  # cuDNN's axis of layers, here one
    outputs, hidden, *rest = tf.raw_ops.CudnnRNNV3(
        input=inputs,
        input_h=hidden,
        input_c=memory[0] if memory else tf.zeros([], inputs.dtype),
        params=parameters,
        sequence_lengths=lengths,
        rnn_mode=mode,
        is_training=bool(training),
        time_major=False,
    )
    new = (hidden, rest[0])[: len(state)]
    outputs.set_shape([None, None, units])
    return outputs, tuple(tf.reshape(x, [-1, units]) for x in new)


def flat_parameters(mode: str, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """Returns the weights of a layer as cuDNN keeps them, in one vector of numbers.

    The vector begins with each gate's transposed kernel. Each gate's transposed recurrent kernel
    follows, and then the biases of both. The gates of a GRU have the order r, z, n. An LSTM of this
    library has only one bias, so zeros stand in place of the bias of the inputs.
    """
    import tensorflow as tf

    order = ORDERS[mode]
    both = tf.reshape(bias, [-1]) if mode == "gru" else tf.concat([tf.zeros_like(bias), bias], 0)
    biases = tf.reshape(both, [2, len(order), -1])
    split = [tf.split(matrix, len(order), axis=1) for matrix in (kernel, recurrent_kernel)]
    blocks = [tf.transpose(gates[gate]) for gates in split for gate in order]
    blocks += [biases[side, gate] for side in range(2) for gate in order]
    return tf.concat([tf.reshape(block, [-1]) for block in blocks], axis=0)


@functools.cache
def agrees(kind: Any, dtype: str) -> bool:
    """Tells whether cuDNN on this machine gives the outputs and gradients of a layer's loop.

    A small layer with random weights runs both ways, once in a process for each class and dtype. If
    the results differ, or if cuDNN fails, a `CudnnWarning` says so.
    """
    import tensorflow as tf

    with tf.init_scope():
        try:
            worst = _difference(kind, dtype)
        except tf.errors.OpError as error:
            reason = f"fails: {error.message.splitlines()[0]}"
        else:
            if worst <= TOLERANCE:
                return True
            reason = f"gives results that differ by {worst:.2g}"
    warnings.warn(
        f"{kind.__name__} runs as a loop on this GPU, more slowly: cuDNN ({dtype}) {reason}.",
        CudnnWarning,
        stacklevel=2,
    )
    return False


def _difference(kind: Any, dtype: str) -> float:
    """Returns the largest difference of outputs and gradients between a layer's loop and cuDNN."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    rows, steps, width, units = 4, 6, 5, 8
    layer = kind(units, dtype=dtype)
    layer.use_cudnn = False  # `call` then runs the loop

    def drawn(*shape: int) -> Any:
        return tf.constant(0.5 * rng.standard_normal(shape), dtype)

    # Tensors replace the variables, because another model may be traced at this time.
    layer.kernel = drawn(width, layer.gates * units)
    layer.recurrent_kernel = drawn(units, layer.gates * units)
    layer.bias = drawn(*layer._bias_shape())
    state = tuple(drawn(rows, size) for size in layer.state_sizes)
    inputs = drawn(rows, steps, width)
    mask = np.array([[1] * 6, [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1], [0] * 6], bool)
    watched = (inputs, *state, layer.kernel, layer.recurrent_kernel, layer.bias)
    factors = drawn(rows, steps, units)

    def results(fused: bool) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(watched)
            run = functools.partial(recurrence, layer) if fused else layer.call
            outputs, final = run(inputs, state, mask, True)
            loss = tf.reduce_sum(outputs * factors) + sum(tf.reduce_sum(x * x) for x in final)
        gradients = tape.gradient(loss, watched, unconnected_gradients="zero")
        return [outputs, *final, *gradients]

    with tf.device("GPU:0"):
        pairs = zip(results(True), results(False), strict=True)
    return max(float(tf.reduce_max(tf.abs(x - y))) for x, y in pairs)
