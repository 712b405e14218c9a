"""Any Keras RNN cell, or a stack of them, wrapped to be called like the cells of this library."""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import ops

from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_mask


@keras.saving.register_keras_serializable(package="keras_s2s")
class CellRecurrent(keras.layers.Layer):
    """Runs a Keras RNN cell over a sequence, or one step at a time with the same weights.

    The cell keeps to Keras' contract: it is a layer with `state_size`, is called as `cell(inputs,
    states)` and returns `(output, states)`, like `keras.layers.LSTMCell` or
    `keras.layers.StackedRNNCells`. Its states are vectors. Masked steps leave the state as it was.

    Args:
        cell: a Keras RNN cell.

    Example:
    >>> import keras, numpy as np
    >>> layer = CellRecurrent(keras.layers.SimpleRNNCell(8))
    >>> outputs, (h,) = layer(np.zeros((2, 5, 3), "float32"))
    >>> outputs.shape, h.shape
    (TensorShape([2, 5, 8]), TensorShape([2, 8]))
    """

    def __init__(self, cell: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_cell(cell)
        self.cell = cell
        self.rnn = keras.layers.RNN(
            cell, return_sequences=True, return_state=True, dtype=self.dtype_policy
        )
        self.supports_masking = True

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Width of each tensor of the state."""
        return tuple(keras.tree.flatten(self.cell.state_size))

    @property
    def units(self) -> int:
        """Width of the output."""
        return cell_width(self.cell)

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        if not self.rnn.built:
            self.rnn.build(tuple(inputs_shape))
            self._check_step(inputs_shape[-1])

    def _check_step(self, width: int | None) -> None:
        """Raises TypeError or ValueError unless a step of the cell keeps to the contract."""
        inputs, *state = (
            keras.KerasTensor((None, size), self.compute_dtype)
            for size in (width, *self.state_sizes)
        )
        # The tensors are symbolic, so nothing is computed.
        returned = self.cell(inputs, self._packed(state))
        name = type(self.cell).__name__
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise TypeError(
                "`cell` must give (output, states) from `call(inputs, states)`; got "
                f"{type(returned).__name__} of {name}."
            )
        output, states = returned
        widths = tuple(tensor.shape[-1] for tensor in keras.tree.flatten(states))
        if widths != self.state_sizes:
            raise ValueError(
                f"`cell` must give states of the widths of its `state_size`, {self.state_sizes}; "
                f"got {widths} of {name}."
            )
        if output.shape[-1] != self.units:
            raise ValueError(
                "`cell` must give outputs as wide as its `output_size`, or as its first state "
                f"without one, here {self.units}; got {output.shape[-1]} of {name}."
            )

    def dropout_mask(self, batch_size: Any) -> Tensors:
        """Returns (), because a Keras cell brings its own dropout."""
        return ()

    def call(
        self,
        inputs: Any,
        initial_state: Tensors | None = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Tensors]:
        """Runs the cell over all steps. Arguments and results are those of `LSTM.call`."""
        if mask is not None:
            check_mask(mask, inputs)
        if initial_state is None and not hasattr(self.cell, "get_initial_state"):
            # Keras 3.15 makes initial zeros for flat states only.
            rows = ops.shape(inputs)[0]
            initial_state = tuple(ops.zeros((rows, size)) for size in self.state_sizes)
        if initial_state is not None:
            initial_state = self._nested(initial_state)
        outputs, *state = self.rnn(
            inputs, initial_state=initial_state, mask=mask, training=training
        )
        return self._cast(outputs, state)

    def step(self, inputs: Any, state: Tensors, dropout_mask: Tensors = ()) -> tuple[Any, Tensors]:
        """Runs one step with the same weights: `(B, D)` and a state to `(output (B, U), state)`.

        The cell's own dropout is off, because Keras would keep its mask from one loop to the next.
        """
        inputs = ops.cast(inputs, self.compute_dtype)
        takes_training = "training" in inspect.signature(self.cell.call).parameters
        kwargs = {"training": False} if takes_training else {}
        return self._cast(*self.cell(inputs, self._nested(state), **kwargs))

    def _cast(self, outputs: Any, state: Any) -> tuple[Any, Tensors]:
        # A cell may compute in another dtype, but the state of a loop must keep one dtype.
        flat = tuple(ops.cast(x, self.compute_dtype) for x in keras.tree.flatten(state))
        return ops.cast(outputs, self.compute_dtype), flat

    def _nested(self, state: Tensors) -> Any:
        """Casts a flat state and nests it as the cell does. One tensor becomes a list of one."""
        return self._packed([ops.cast(x, self.compute_dtype) for x in state])

    def _packed(self, flat: list[Any]) -> Any:
        sizes = _plain(self.cell.state_size)
        return (
            keras.tree.pack_sequence_as(sizes, flat) if isinstance(sizes, (list, tuple)) else flat
        )

    def get_config(self) -> dict[str, Any]:
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CellRecurrent:
        return cls(**{**config, "cell": keras.saving.deserialize_keras_object(config["cell"])})


def _plain(sizes: Any) -> Any:
    """Replaces the tracked lists of a Keras layer by plain lists, since JAX knows no others."""
    if isinstance(sizes, (list, tuple)):
        kind = tuple if isinstance(sizes, tuple) else list
        return kind(map(_plain, sizes))
    return sizes


def cell_width(cell: Any) -> int:
    """Returns the width of a cell's output: `output_size`, or the width of its first state."""
    size = getattr(cell, "output_size", None)
    return int(size if isinstance(size, int) else keras.tree.flatten(cell.state_size)[0])


def _takes_two(call: Any) -> bool:
    """Tells whether a function can be called with inputs and states."""
    if not callable(call):
        return False
    try:
        inspect.signature(call).bind(None, None)
    except TypeError:
        return False
    return True


def check_cell(cell: Any) -> None:
    """Raises TypeError or ValueError unless `cell` keeps to Keras' contract of an RNN cell."""
    missing = [
        requirement
        for requirement, fulfilled in (
            ("be a keras Layer", isinstance(cell, keras.layers.Layer)),
            ("have `state_size`", hasattr(cell, "state_size")),
            ("have `call(inputs, states)`", _takes_two(getattr(cell, "call", None))),
        )
        if not fulfilled
    ]
    if isinstance(cell, type):
        raise TypeError(
            f"`cell` must be a cell and not its class; got the class {cell.__name__}. Make a cell "
            f"first: {cell.__name__}(…)."
        )
    if missing:
        raise TypeError(
            "`cell` must be a name or keep to Keras' contract of an RNN cell: a layer with "
            "`state_size` and `call(inputs, states)` -> (output, states). "
            f"{type(cell).__name__} does not: it would have to {', '.join(missing)}."
        )
    if isinstance(cell, keras.layers.RNN):
        raise TypeError(
            "`cell` must be a name or a cell, which computes one step; got the layer "
            f"{type(cell).__name__}, which loops over a cell. Give that layer's `cell`."
        )
    sizes = keras.tree.flatten(cell.state_size)
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            "`cell.state_size` must hold positive integers, the widths of state vectors; got "
            f"{cell.state_size!r} of {type(cell).__name__}."
        )
