"""Bridges: how the encoder's last state becomes the decoder's first."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.encoder import State


class Bridge(keras.layers.Layer):
    """From the encoder's final state to the decoder's initial state. Use a subclass."""

    def call(self, state: State) -> State:
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

    def call(self, state: State) -> State:
        return tuple(tuple(layer) for layer in state)


@keras.saving.register_keras_serializable(package="keras_s2s")
class DenseBridge(Bridge):
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

    def __init__(
        self, state_sizes: tuple[tuple[int, ...], ...], activation: str = "tanh", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.state_sizes = tuple(tuple(sizes) for sizes in state_sizes)
        self.activation = activation
        self.projections = [
            [
                keras.layers.Dense(size, activation, dtype=self.dtype_policy, name=f"layer_{i}_{j}")
                for j, size in enumerate(sizes)
            ]
            for i, sizes in enumerate(self.state_sizes)
        ]

    def build(self, state_shape: Any) -> None:
        width = sum(shape[-1] for layer in state_shape for shape in layer)
        for layer in self.projections:
            for projection in layer:
                projection.build((None, width))

    def call(self, state: State) -> State:
        joined = ops.concatenate([x for layer in state for x in layer], axis=-1)
        return tuple(
            tuple(projection(joined) for projection in layer) for layer in self.projections
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "state_sizes": self.state_sizes,
            "activation": self.activation,
        }


def bridge_between(
    encoder_sizes: tuple[tuple[int, ...], ...],
    decoder_sizes: tuple[tuple[int, ...], ...],
    dtype: Any = None,
) -> Bridge:
    """A copy where the state sizes are equal, a dense bridge where they differ."""
    if encoder_sizes == decoder_sizes:
        return CopyBridge(dtype=dtype)
    return DenseBridge(decoder_sizes, dtype=dtype)
