"""Bridges, which make the decoder's first state from the encoder's last state."""

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
    """A layer that makes the decoder's first state from the encoder's last state. Abstract.

    A subclass defines `call`, and `build` if it has weights.
    """

    def build(self, state_shape: Any, encoded_shape: Any = None) -> None:
        """Makes the weights, if the bridge has any."""

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        """Computes the decoder's first state.

        Args:
            state: the encoder's last state, one tuple of tensors `(B, U)` per layer.
            encoded: the encoded source, which only some bridges use.

        Returns:
            One tuple of tensors `(B, U)` for each layer of the decoder.
        """
        raise NotImplementedError

    # Defined so that Keras accepts a subclass without options, which needs no `get_config`.
    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


@keras.saving.register_keras_serializable(package="keras_s2s")
class CopyBridge(Bridge):
    """Starts the decoder with the encoder's last state, unchanged.

    Encoder and decoder must have the same depth, cells and widths.

    Example: The state of one LSTM layer.
    >>> import numpy as np
    >>> ((h, c),) = CopyBridge()(((np.ones((2, 8)), np.zeros((2, 8))),))
    >>> h.shape
    TensorShape([2, 8])
    """

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        return tuple(tuple(layer) for layer in state)


class SizedBridge(Bridge):
    """A bridge that makes a state of given sizes. Abstract."""

    def __init__(self, state_sizes: Sizes, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_sizes = _checked_sizes(state_sizes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "state_sizes": self.state_sizes}


@keras.saving.register_keras_serializable(package="keras_s2s")
class ZeroBridge(SizedBridge):
    """Starts the decoder with zeros, so that only attention tells the decoder about the source.

    Args:
        state_sizes: the decoder's `state_sizes`, which hold the width of each state tensor of each
            layer.

    Example: From an LSTM of 8 units to a GRU of 5.
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
    """A bridge of one dense layer per state tensor, all of which see the same inputs. Abstract."""

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
        """Projects inputs `(B, …)` to one tensor `(B, U)` for each state tensor."""
        return tuple(
            tuple(projection(inputs) for projection in layer) for layer in self.projections
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="keras_s2s")
class DenseBridge(ProjectingBridge):
    """Projects all of the encoder's last states to each state tensor of the decoder.

    ```
    state = tanh(W·[encoder states] + b)        where each state tensor has its own W and b
    ```

    Bahdanau et al. (2015, A.2.2) start the decoder in this way from the backward state alone.
    Encoder and decoder may have any cells, depths and widths.

    Args:
        state_sizes: the decoder's `state_sizes`, which hold the width of each state tensor of each
            layer.
        activation: name of a Keras activation.

    Example: From an LSTM of 8 units to two GRU layers of 5.
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
    """Projects the mean of the encoded source to each state tensor of the decoder.

    ```
    state = tanh(W·mean + b)        where each state tensor has its own W and b
    ```

    Nematus and Marian start their decoders in this way (Sennrich et al. 2017, §2.1). The mean is
    over the real source positions. For a source without a real token it is zero.

    Args:
        state_sizes: the decoder's `state_sizes`, which hold the width of each state tensor of each
            layer.
        activation: name of a Keras activation.

    Example: The second position is padding, so the mean is the value at the first.
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
                "MeanBridge takes its mean over the encoded source, but got encoded=None. Call "
                "bridge(state, encoded)."
            )
        self._build(encoded_shape[0][-1])

    def call(self, state: State, encoded: Encoded | None = None) -> State:
        if encoded is None:
            raise ValueError(
                "MeanBridge takes its mean over the encoded source, but got encoded=None. Call "
                "bridge(state, encoded)."
            )
        values, mask = (ops.convert_to_tensor(x) for x in encoded)
        check_memory(values, mask)
        # The mean is never in half precision, in which a long sum loses the small numbers.
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        real = ops.cast(mask, dtype)[:, :, None]  # (B, S, 1)
        total = ops.sum(ops.where(real > 0, ops.cast(values, dtype), 0.0), axis=1)  # (B, M)
        return self._project(total / ops.maximum(ops.sum(real, axis=1), 1.0))


def _checked_sizes(sizes: Any) -> Sizes:
    try:
        layers = tuple(tuple(layer) for layer in sizes)
    except TypeError:
        layers = ()
    widths = [width for layer in layers for width in layer]
    if not layers or not all(layers) or not all(map(is_size, widths)):
        raise ValueError(
            "`state_sizes` must hold, for each layer, the positive widths of its state tensors, as "
            f"`decoder.state_sizes` does; got state_sizes={sizes!r}."
        )
    return layers


def bridge_between(encoder_sizes: Sizes, decoder_sizes: Sizes, dtype: Any = None) -> Bridge:
    """Returns a `CopyBridge` if the state sizes are equal, a `DenseBridge` if they differ."""
    if encoder_sizes == decoder_sizes:
        return CopyBridge(dtype=dtype)
    return DenseBridge(decoder_sizes, dtype=dtype)
