"""One layer of a recurrent stack: dropout, one or both directions, normalisation, residual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_s2s.layers.recurrent.foreign import CellRecurrent, check_cell
from keras_s2s.layers.recurrent.layer import CELLS, Recurrent
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_flags

# A function with the arguments and results of `RecurrentBlock.recur`: inputs (B, T, D), an initial
# state or None, a mask or None and `training`, to outputs (B, T, U) and the final state.
Recurrence = Callable[[Any, Tensors | None, Any, bool | None], tuple[Any, Tensors]]


@keras.saving.register_keras_serializable(package="keras_s2s")
class RecurrentBlock(keras.layers.Layer):
    """One layer of a stack: a recurrent layer with dropout, directions, normalisation and residual.

    ```
    y = recurrence(dropout([x; extra]))         forward, or forward and backward joined
    outputs = x + LN(y)                         x only with residual, LN only with layer_norm
    ```

    Args:
        cell: name of a cell, or a Keras RNN cell.
        units: width of each direction of a named cell; None with a Keras cell, which has its own
            width.
        bidirectional: whether a second recurrence runs from the end to the start. The outputs of
            both are joined.
        dropout: share of the inputs that training drops.
        recurrent_dropout: share of the state of a named cell that training drops, as in `LSTM`.
        residual: whether the inputs are added to the outputs, which must be as wide (Wu et al.
            2016, §3.1).
        layer_norm: whether the outputs of the recurrence are normalised.

    Example:
    >>> import numpy as np
    >>> block = RecurrentBlock("gru", 4, bidirectional=True, residual=True, layer_norm=True)
    >>> outputs, (h,) = block(np.ones((2, 5, 8), "float32"))
    >>> outputs.shape, h.shape
    (TensorShape([2, 5, 8]), TensorShape([2, 8]))
    """

    def __init__(
        self,
        cell: str | keras.layers.Layer,
        units: int | None = None,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_flags(bidirectional=bidirectional, residual=residual, layer_norm=layer_norm)
        policy = self.dtype_policy
        self.cell = cell
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.residual = residual
        self.layer_norm = layer_norm
        self.recurrent = _recurrent_layer(cell, units, recurrent_dropout, policy, "recurrent")
        self.backward = None
        if bidirectional:
            copy = cell if isinstance(cell, str) else type(cell).from_config(cell.get_config())
            self.backward = _recurrent_layer(copy, units, recurrent_dropout, policy, "backward")
        self.dropping = keras.layers.Dropout(dropout, dtype=policy)
        self.norm = keras.layers.LayerNormalization(dtype=policy) if layer_norm else None
        self.supports_masking = True
        self.substitute: Recurrence | None = None  # set by `substituted`

    @property
    def units(self) -> int:
        """Width of the outputs."""
        return int(self.recurrent.units) * (2 if self.bidirectional else 1)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Width of each tensor of the final state."""
        return tuple(n * (2 if self.bidirectional else 1) for n in self.recurrent.state_sizes)

    def build(self, x_shape: Any, extra_shape: Any = None) -> None:
        width = x_shape[-1]
        if self.residual and width != self.units:
            raise ValueError(
                "A residual connection needs inputs as wide as the outputs; got inputs of "
                f"{width} and outputs of {self.units}."
            )
        inputs = (None, None, width + (extra_shape[-1] if extra_shape is not None else 0))
        for layer in (self.recurrent, self.backward):
            if layer is not None and not layer.built:
                layer.build(inputs)
        if self.norm is not None and not self.norm.built:
            self.norm.build((None, None, self.units))

    def call(
        self,
        x: Any,
        initial_state: Tensors | None = None,
        mask: Any = None,
        extra: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Tensors]:
        """Runs the layer over all steps.

        Args:
            x: inputs `(B, T, D)`.
            initial_state: state of the forward direction. Only a block of one direction takes it.
            mask: `(B, T)` bool, True at real steps.
            extra: further inputs `(B, T, C)`, which the residual connection does not add.
            training: whether dropout is on.

        Returns:
            `(outputs (B, T, U), state)`.
        """
        inputs = self.dropping(_joined(x, extra), training=training)
        recur = self.substitute or self.recur
        outputs, state = recur(inputs, initial_state, mask, training)
        return self._normalize_and_add(x, outputs), state

    def recur(
        self, inputs: Any, initial_state: Tensors | None, mask: Any, training: bool | None
    ) -> tuple[Any, Tensors]:
        """Runs only the recurrence, in one or both directions. Results are like those of `call`."""
        outputs, state = self.recurrent(
            inputs, initial_state=initial_state, mask=mask, training=training
        )
        if self.backward is not None:
            flipped = None if mask is None else ops.flip(mask, axis=1)
            back, last = self.backward(ops.flip(inputs, axis=1), mask=flipped, training=training)
            outputs = ops.concatenate([outputs, ops.flip(back, axis=1)], axis=-1)
            state = tuple(ops.concatenate(both, axis=-1) for both in zip(state, last, strict=True))
        return outputs, state

    @contextmanager
    def substituted(self, recurrence: Recurrence) -> Iterator[None]:
        """Lets `call` run `recurrence` in place of `recur` inside the `with` statement.

        An exporter uses this seam when it traces the block for another runtime, in which the whole
        recurrence is one operation instead of a loop. The block still applies dropout,
        normalisation and the residual, and `step` stays as it is.
        """
        before, self.substitute = self.substitute, recurrence
        try:
            yield
        finally:
            self.substitute = before

    def step(
        self, x: Any, state: Tensors, extra: Any = None, noise: tuple[Tensors, Tensors] = ((), ())
    ) -> tuple[Any, Tensors]:
        """Runs one step of the forward direction: `(N, D)` to `(N, U)` and the state.

        The argument `noise` is one step of the masks that the method `noise` drew.
        """
        inputs = _joined(x, extra)
        input_mask, state_mask = noise
        if input_mask:
            inputs = inputs * input_mask[0]
        outputs, state = self.recurrent.step(inputs, tuple(state), state_mask)
        return self._normalize_and_add(x, outputs), state

    def noise(self, rows: Any, steps: Any, width: int) -> tuple[Tensors, Tensors]:
        """Draws the dropout masks for a loop of `step`, before the loop begins.

        Returns:
            The mask of the inputs `(B, T, D)` and the mask of the state `(B, U)`. Each is in a
            tuple, which is () without this dropout.
        """
        input_mask: Tensors = ()
        if self.dropout:
            ones = ops.ones((rows, steps, width), dtype=self.compute_dtype)
            input_mask = (self.dropping(ones, training=True),)
        return input_mask, self.recurrent.dropout_mask(rows)

    def _normalize_and_add(self, x: Any, outputs: Any) -> Any:
        if self.norm is not None:
            outputs = self.norm(outputs)
        return ops.cast(x, outputs.dtype) + outputs if self.residual else outputs

    def get_config(self) -> dict[str, Any]:
        named = isinstance(self.cell, str)
        return {
            **super().get_config(),
            "cell": self.cell if named else keras.saving.serialize_keras_object(self.cell),
            "units": self.recurrent.units if named else None,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "residual": self.residual,
            "layer_norm": self.layer_norm,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RecurrentBlock:
        cell = config["cell"]
        if not isinstance(cell, str):
            cell = keras.saving.deserialize_keras_object(cell)
        return cls(**{**config, "cell": cell})


def _recurrent_layer(
    cell: Any, units: int | None, recurrent_dropout: float, policy: Any, name: str
) -> Recurrent | CellRecurrent:
    if isinstance(cell, str):
        if cell not in CELLS:
            raise ValueError(
                f"`cell` must be one of {', '.join(map(repr, CELLS))} or a Keras RNN cell; "
                f"got cell={cell!r}."
            )
        if units is None:
            raise ValueError(f"`units` must be given with a named cell; got cell={cell!r}.")
        return CELLS[cell](units, recurrent_dropout, dtype=policy, name=name)
    check_cell(cell)
    if units is not None:
        raise ValueError(f"A Keras cell has its own width: leave `units` out; got units={units!r}.")
    if recurrent_dropout:
        raise ValueError(
            "`recurrent_dropout` belongs to the cell when the cell is a Keras layer: give it to "
            f"{type(cell).__name__}; got recurrent_dropout={recurrent_dropout!r}."
        )
    return CellRecurrent(cell, dtype=policy, name=name)


def _joined(x: Any, extra: Any) -> Any:
    return x if extra is None else ops.concatenate([x, ops.cast(extra, x.dtype)], axis=-1)
