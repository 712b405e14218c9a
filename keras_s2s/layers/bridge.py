"""Bridges: how the encoder's last state becomes the decoder's first."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.layers.attention import Encoded
from keras_s2s.layers.attention.memory import check_memory
from keras_s2s.layers.stack import State
from keras_s2s.system.checks import check_activation, is_size

Sizes = tuple[tuple[int, ...], ...]


class Bridge(keras.layers.Layer):
    """From the encoder's final state to the decoder's initial state. Use a subclass."""

    def build(self, state_shape: Any, encoded_shape: Any = None) -> None:
        """Makes the weights, if any."""

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        """The decoder's first state, one tuple of tensors `(B, U)` per layer.

        Args:
            state: the encoder's last state, one tuple of tensors `(B, U)` per layer.
            encoded: the encoded source, which only some bridges look at.
        """
        raise NotImplementedError

    # Defined, so that Keras takes the base configuration for a bridge without options of its own.
    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


@keras.saving.register_keras_serializable(package="keras_s2s")
class CopyBridge(Bridge):
    """The encoder's last state, unchanged. Needs equal depth, cell and widths on both sides.

    Example:
    >>> import numpy as np
    >>> ((h, c),) = CopyBridge()(((np.ones((2, 8)), np.zeros((2, 8))),))
    >>> h.shape
    TensorShape([2, 8])
    """

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        return tuple(tuple(layer) for layer in state)


class SizedBridge(Bridge):
    """A bridge that makes a state of given sizes. Use a subclass."""

    def __init__(self, state_sizes: Sizes, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_sizes = _checked_sizes(state_sizes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "state_sizes": self.state_sizes}


@keras.saving.register_keras_serializable(package="keras_s2s")
class ZeroBridge(SizedBridge):
    """Zeros: the decoder learns of the source through attention alone.

    Args:
        state_sizes: the decoder's `state_sizes`: per layer, the width of each state tensor.

    Example:
    >>> import numpy as np
    >>> ((h,),) = ZeroBridge([[5]])(((np.ones((2, 8)), np.zeros((2, 8))),))
    >>> h.shape, float(h[0, 0])
    (TensorShape([2, 5]), 0.0)
    """

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        rows = ops.shape(state[0][0])[0]
        return tuple(
            tuple(ops.zeros((rows, size), dtype=self.compute_dtype) for size in sizes)
            for sizes in self.state_sizes
        )


class ProjectingBridge(SizedBridge):
    """One dense layer per state tensor, all over the same inputs. Use a subclass."""

    def __init__(self, state_sizes: Sizes, activation: str = "tanh", **kwargs: Any) -> None:
        super().__init__(state_sizes, **kwargs)
        check_activation("activation", activation)
        self.activation = activation
        self.projections = [
            [
                keras.layers.Dense(size, activation, dtype=self.dtype_policy, name=f"layer_{i}_{j}")
                for j, size in enumerate(sizes)
            ]
            for i, sizes in enumerate(self.state_sizes)
        ]

    def _build(self, width: int) -> None:
        for layer in self.projections:
            for projection in layer:
                projection.build((None, width))

    def _project(self, inputs: Any) -> State:
        return tuple(
            tuple(projection(inputs) for projection in layer) for layer in self.projections
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_s2s")
class DenseBridge(ProjectingBridge):
    """Every decoder state tensor from all of the encoder's last states: `tanh(W·[states] + b)`.

    Bahdanau et al. (2015, A.2.2) start the decoder so, from the backward state alone. Any cell,
    depth and width on either side.

    Args:
        state_sizes: the decoder's `state_sizes`: per layer, the width of each state tensor.
        activation: name of a Keras activation.

    Example: from an LSTM of 8 units to two layers of GRU with 5.
    >>> import numpy as np
    >>> bridge = DenseBridge(state_sizes=((5,), (5,)))
    >>> (h_0,), (h_1,) = bridge(((np.ones((2, 8)), np.zeros((2, 8))),))
    >>> h_0.shape, h_1.shape
    (TensorShape([2, 5]), TensorShape([2, 5]))
    """

    def build(self, state_shape: Any, encoded_shape: Any = None) -> None:
        self._build(sum(shape[-1] for layer in state_shape for shape in layer))

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        return self._project(ops.concatenate([x for layer in state for x in layer], axis=-1))


@keras.saving.register_keras_serializable(package="keras_s2s")
class MeanBridge(ProjectingBridge):
    """Every decoder state tensor from the mean of the real encoder states: `tanh(W·mean + b)`.

    As Nematus and Marian start their decoders (Sennrich et al. 2017, §2.1). The mean of a source
    without a real token is zero.

    Args:
        state_sizes: the decoder's `state_sizes`: per layer, the width of each state tensor.
        activation: name of a Keras activation.

    Example: the mean is taken over the one real position.
    >>> import numpy as np
    >>> values = np.array([[[2.0, 4.0], [9.0, 9.0]]], "float32")
    >>> bridge = MeanBridge([[2]], activation="linear")
    >>> bridge.build([[(None, 2)]], [(None, None, 2), (None, None)])
    >>> bridge.set_weights([np.eye(2), np.zeros(2)])
    >>> ((h,),) = bridge(((np.ones((1, 2)),),), Encoded(values, np.array([[True, False]])))
    >>> h.numpy().tolist()
    [[2.0, 4.0]]
    """

    def build(self, state_shape: Any, encoded_shape: Any = None) -> None:
        if encoded_shape is None:
            raise ValueError(
                "MeanBridge takes its mean over the encoded source, but got none: call "
                "bridge(state, encoded)."
            )
        self._build(encoded_shape[0][-1])

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        if encoded is None:
            raise ValueError("MeanBridge needs the encoded source: call bridge(state, encoded).")
        values, mask = (ops.convert_to_tensor(x) for x in encoded)
        check_memory(values, mask)
        # In float32: a long sum in half precision loses what it adds.
        at_least = "float64" if self.compute_dtype == "float64" else "float32"
        kept = ops.cast(mask, at_least)[:, :, None]
        total = ops.sum(ops.where(kept > 0, ops.cast(values, at_least), 0.0), axis=1)
        return self._project(total / ops.maximum(ops.sum(kept, axis=1), 1.0))


def _checked_sizes(sizes: Any) -> Sizes:
    try:
        layers = tuple(tuple(layer) for layer in sizes)
    except TypeError:
        layers = ()
    every = [size for layer in layers for size in layer]
    if not layers or not all(layers) or not all(map(is_size, every)):
        raise ValueError(
            "`state_sizes` must hold, for each layer, the positive widths of its state tensors, as "
            f"`decoder.state_sizes` does; got state_sizes={sizes!r}."
        )
    return layers


def bridge_between(encoder_sizes: Sizes, decoder_sizes: Sizes, dtype: Any = None) -> Bridge:
    """A copy where the state sizes are equal, a dense bridge where they differ."""
    if encoder_sizes == decoder_sizes:
        return CopyBridge(dtype=dtype)
    return DenseBridge(decoder_sizes, dtype=dtype)
