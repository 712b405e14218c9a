"""The base class of the cells of this library, and the names by which users ask for a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_s2s.layers.recurrent import cudnn
from keras_s2s.layers.recurrent.gradient import run_with_gradient
from keras_s2s.layers.recurrent.masks import keep_masked
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.system.checks import check_mask, check_shares, check_size

CELLS: dict[str, type[Recurrent]] = {}


class Recurrent(keras.layers.Layer):
    """The base class of LSTM and GRU, with their weights, masking and loop over time. Abstract.

    A subclass describes one step, in the private methods at the end. This class runs all steps.

    At a masked step the state stays as it was and the output repeats the previous output, as in
    Keras' layers. Any mask pattern works, and the final state is the state after the last real
    step.

    Recurrent dropout draws one mask for all steps of a row and applies it where the state enters
    the recurrent product (Gal & Ghahramani 2016, "variational").

    On a GPU under TensorFlow, cuDNN runs all steps if `cudnn.serves` says that it computes the
    same.
    """

    gates: int  # blocks of `units` columns in the kernels
    states: int  # tensors of width `units` in the state
    saved: int  # tensors of width `units` that a step saves for its gradient
    pre_activations: int  # tensors of width `gates * units` in the gradient of a step
    own_gradient = True  # False without `_retreat`; the backend then differentiates the loop
    cudnn_mode: str | None = None  # cuDNN's name of this cell, None if cuDNN lacks it

    def __init__(self, units: int, recurrent_dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_size("units", units)
        check_shares(recurrent_dropout=recurrent_dropout)
        self.units = units
        self.recurrent_dropout = recurrent_dropout
        self.dropping = keras.layers.Dropout(recurrent_dropout, dtype=self.dtype_policy)
        self.supports_masking = True
        self.use_cudnn: str | bool = "auto"
        self.supports_jit = self.cudnn_mode is None or not cudnn.present()  # XLA has no such kernel

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Width of each tensor of the state."""
        return (self.units,) * self.states

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        width = inputs_shape[-1]
        if width is None:
            raise ValueError(
                f"The last axis of the inputs must be known; got shape {tuple(inputs_shape)}."
            )
        columns = self.gates * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(width, columns), initializer="glorot_uniform"
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, columns), initializer="orthogonal"
        )
        self.bias = self.add_weight(
            name="bias", shape=self._bias_shape(), initializer=self._initial_bias
        )

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.zeros(shape, dtype=dtype)

    def initial_state(self, batch_size: Any) -> Tensors:
        """Returns zeros: a tuple of `(B, U)` tensors in the compute dtype."""
        return tuple(
            ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_sizes
        )

    def dropout_mask(self, batch_size: Any) -> Tensors:
        """Draws the mask of recurrent dropout for training: `(B, U)` in a tuple, or ()."""
        if not self.recurrent_dropout:
            return ()
        ones = ops.ones((batch_size, self.units), dtype=self.compute_dtype)
        return (self.dropping(ones, training=True),)

    def call(
        self,
        inputs: Any,
        initial_state: Tensors | None = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Tensors]:
        """Runs the recurrence over all steps.

        Args:
            inputs: `(B, T, D)` float.
            initial_state: tuple of tensors `(B, U)`, as wide as `state_sizes` says; zeros when
                omitted.
            mask: `(B, T)` bool, True at real steps; all steps are real when omitted.
            training: True turns recurrent dropout on, and computes the kernel gradients as one
                product over all steps.

        Returns:
            `(outputs (B, T, U), state)`.
        """
        if initial_state is None:
            initial_state = self.initial_state(ops.shape(inputs)[0])
        initial_state = tuple(ops.cast(x, self.compute_dtype) for x in initial_state)
        if mask is not None:
            check_mask(mask, inputs)
        if cudnn.serves(self, training):
            return cudnn.recurrence(self, inputs, initial_state, mask, training)
        masks: Tensors = ()
        if mask is not None:
            masks = (ops.transpose(ops.cast(mask, self.compute_dtype))[:, :, None],)  # (T, B, 1)
        # On Torch, Keras 3.15 allows a custom gradient only one output, so autograd runs there.
        if training and self.own_gradient and keras.backend.backend() != "torch":
            outputs, state = run_with_gradient(self, inputs, initial_state, masks)
        else:
            projected = ops.transpose(self._project(inputs), (1, 0, 2))  # (T, B, G·U)
            dropout_mask = self.dropout_mask(ops.shape(inputs)[0]) if training else ()
            outputs, state = self._run(projected, initial_state, masks, dropout_mask)
        return ops.transpose(outputs, (1, 0, 2)), state  # (B, T, U)

    def step(self, inputs: Any, state: Tensors, dropout_mask: Tensors = ()) -> tuple[Any, Tensors]:
        """Runs one step with the same weights.

        Args:
            inputs: `(B, D)` float.
            state: tuple of tensors `(B, U)`.
            dropout_mask: the mask that the method `dropout_mask` drew; () without recurrent
                dropout.

        Returns:
            `(output (B, U), state)`.
        """
        # Keras casts inputs in `__call__` only, so this method casts them itself.
        inputs = ops.cast(inputs, self.compute_dtype)
        state = tuple(ops.cast(x, self.compute_dtype) for x in state)
        weights = self._recurrent_weights()
        state, _ = self._advance(self._project(inputs), state, weights, dropout_mask)
        return state[0], state

    def _run(
        self, projected: Any, state: Tensors, masks: Tensors, dropout_mask: Tensors
    ) -> tuple[Any, Tensors]:
        """Runs all steps: projected inputs `(T, B, G·U)` to outputs `(T, B, U)` and the state."""
        weights = self._recurrent_weights()

        def body(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
            new, _ = self._advance(inputs[0], state, weights, dropout_mask)
            new = keep_masked(new, state, inputs[1:])
            return new, (new[0],)

        state, (outputs,) = scan(body, state, (projected, *masks), (self.units,))
        return outputs, state

    # The following methods describe one step of a cell, and a subclass defines them. The columns of
    # kernels and pre-activations are blocks of `units`, one for each gate, in Keras' gate order.

    def _project(self, inputs: Any) -> Any:
        """Computes the part of the inputs `(…, D)` in the pre-activations: `(…, G·U)`."""
        return self._affine(inputs, *self._input_weights())

    def _input_weights(self) -> Tensors:
        """Returns the kernel and the bias of the inputs, in the compute dtype."""
        raise NotImplementedError

    def _affine(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        return ops.add(ops.matmul(inputs, kernel), bias)

    def _recurrent_weights(self) -> Tensors:
        """Returns the weights of the recurrent product, its kernel first, in the compute dtype."""
        raise NotImplementedError

    def _advance(
        self, projected: Any, state: Tensors, weights: Tensors, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Goes one step forward, to the new state and the tensors saved for the gradient."""
        raise NotImplementedError

    def _slopes(self, before: Tensors, after: Tensors, saved: Tensors) -> Tensors:
        """Computes for all steps `(T, B, U)` the factors that `_retreat` applies to gradients."""
        raise NotImplementedError

    def _retreat(
        self, d_new: Tensors, slopes: Tensors, transposed_kernel: Any, dropout_mask: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Goes one step back, to the gradients of the state before it and of its pre-activations.

        `transposed_kernel` is the recurrent kernel, transposed. The inputs enter the first
        pre-activations, and the recurrent product enters the last. Both may be the same.
        """
        raise NotImplementedError

    def _recurrent_gradients(self, entered: Any, d_steps: Any) -> Tensors:
        """Computes the gradients of the recurrent weights from all steps at once.

        `entered (T·B, U)` are the states that entered the recurrent product. `d_steps (T·B, G·U)`
        is the gradient of the product's result.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "recurrent_dropout": self.recurrent_dropout,
        }


def named_cell(name: str) -> Callable[[type[Recurrent]], type[Recurrent]]:
    """Makes a class decorator that registers a recurrent layer under a name.

    From then on the argument `cell=name` of `Encoder` and `Decoder` makes this layer, and Keras
    saves and loads it with a model. A second class of the same name replaces the first.

    Args:
        name: the name that users give as `cell`.

    Returns:
        A decorator that returns the class unchanged.

    Example: a GRU whose biases start at one.
    >>> @named_cell("gru_from_one")
    ... class GRUFromOne(GRU):
    ...     def _initial_bias(self, shape, dtype=None):
    ...         return ops.ones(shape, dtype=dtype)
    >>> encoder = Encoder(vocabulary_size=20, embedding_size=8, units=16, cell="gru_from_one")
    """

    def register(kind: type[Recurrent]) -> type[Recurrent]:
        CELLS[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register
