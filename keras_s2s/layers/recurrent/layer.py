"""What our cells share: weights, masking, recurrent dropout, the loop over time, its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_s2s.layers.recurrent import cudnn
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.system.checks import check_mask, check_shares, check_size

CELLS: dict[str, type[Recurrent]] = {}


class Recurrent(keras.layers.Layer):
    """What our cells share: weights, masking, the loop over time. Use a subclass.

    A masked step leaves the state as it was and repeats the previous output, as Keras' layers do;
    any mask pattern is right, and the final state is the one after the last real step.

    Recurrent dropout keeps one mask for all steps of a row and applies it where the state enters
    the recurrent product (Gal & Ghahramani 2016, "variational").

    On a GPU under TensorFlow cuDNN runs all steps where it computes the same (see `cudnn.serves`).
    """

    gates: int  # blocks of `units` columns in the kernels
    states: int  # tensors of width `units` in the state
    saved: int  # tensors of width `units` that the gradient needs of each step
    pre_activations: int  # tensors of width `gates * units` that the gradient of a step gives
    own_gradient = True  # False where `_retreat` is not given: the backend differentiates the loop
    cudnn_mode: str | None = None  # what cuDNN calls this cell, where it has it

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
        """Zeros: a tuple of `(B, U)` tensors in the compute dtype."""
        return tuple(
            ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_sizes
        )

    def kept(self, batch_size: Any) -> Tensors:
        """The mask of recurrent dropout in training, `(B, U)`, as a tuple; () without dropout."""
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
            initial_state: tuple of `(B, U)` tensors, see `state_sizes`; zeros when omitted.
            mask: `(B, T)` bool, True is kept; all steps are kept when omitted.
            training: True turns recurrent dropout on, and forms the kernel gradients as one product
                over all steps.

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
        # Keras 3.15 takes one output per custom gradient on the Torch backend: autograd runs there.
        if training and self.own_gradient and keras.backend.backend() != "torch":
            outputs, state = self._run_with_gradient(inputs, initial_state, masks)
        else:
            projected = ops.transpose(self._project(inputs), (1, 0, 2))  # (T, B, G·U)
            kept = self.kept(ops.shape(inputs)[0]) if training else ()
            outputs, state = self._run(projected, initial_state, masks, kept)
        return ops.transpose(outputs, (1, 0, 2)), state  # (B, T, U)

    def step(self, inputs: Any, state: Tensors, kept: Tensors = ()) -> tuple[Any, Tensors]:
        """One step with the same weights: `(B, D)` and a state to `(output (B, U), state)`."""
        # Outside of `__call__` Keras casts nothing, so this does.
        inputs = ops.cast(inputs, self.compute_dtype)
        state = tuple(ops.cast(x, self.compute_dtype) for x in state)
        state, _ = self._advance(self._project(inputs), state, self._recurrent_weights(), kept)
        return state[0], state

    def _run(
        self, projected: Any, state: Tensors, masks: Tensors, kept: Tensors
    ) -> tuple[Any, Tensors]:
        weights = self._recurrent_weights()

        def body(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
            new, _ = self._advance(inputs[0], state, weights, kept)
            new = _keep(new, state, inputs[1:])
            return new, (new[0],)

        state, (outputs,) = scan(body, state, (projected, *masks), (self.units,))
        return outputs, state

    def _run_with_gradient(
        self, inputs: Any, state: Tensors, masks: Tensors
    ) -> tuple[Any, Tensors]:
        """All steps with the gradient written out: outputs `(T, B, U)` and the final state.

        What does not depend on another step is done for all at once: the products of the inputs,
        the slopes of the gates, and the gradients of both kernels, which autodiff adds up step by
        step.
        """
        n_states, n_saved, n_masks = self.states, self.saved, len(masks)
        n_weights = len(self._recurrent_weights())
        kept = self.kept(ops.shape(inputs)[0])
        # Turned before the product: the inputs are narrower than what it gives.
        inputs = ops.transpose(ops.cast(inputs, self.compute_dtype), (1, 0, 2))  # (T, B, D)

        @ops.custom_gradient
        def run(inputs: Any, kernel: Any, bias: Any, *tensors: Any) -> Any:
            weights, tensors = tensors[:n_weights], tensors[n_weights:]
            state, tensors = tensors[:n_states], tensors[n_states:]
            masks, kept = tensors[:n_masks], tensors[n_masks:]
            rows = _rows(inputs)  # (T·B, D)
            projected = self._affine(rows, kernel, bias)
            projected = ops.reshape(projected, (*ops.shape(inputs)[:2], projected.shape[-1]))
            # As wide as the state: a choice with a condition to broadcast is eight times slower.
            wide = tuple(ops.repeat(mask > 0, self.units, axis=-1) for mask in masks)  # (T, B, U)

            def forward(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
                new, saved = self._advance(inputs[0], state, weights, kept)
                for mask in inputs[1:]:
                    pairs = zip(new, state, strict=True)
                    new = tuple(ops.where(mask, after, before) for after, before in pairs)
                return new, (*new, *saved)

            sizes = (self.units,) * (n_states + n_saved)
            final, emitted = scan(forward, state, (projected, *wide), sizes)
            states, saved = emitted[:n_states], emitted[n_states:]
            previous = tuple(
                ops.concatenate([first[None], all_[:-1]], axis=0)
                for first, all_ in zip(state, states, strict=True)
            )

            def grad(*upstream: Any, **_: Any) -> Tensors:
                # Some backends hand the upstream gradients over as one sequence.
                if len(upstream) == 1:
                    upstream = tuple(upstream[0])
                d_outputs, d_final = upstream[0], tuple(upstream[1:])
                # Turned once: oneDNN multiplies by a transposed matrix at a third of the speed.
                turned = ops.transpose(weights[0])  # (G·U, U)
                slopes = self._slopes(previous, states, saved)
                skipped = tuple(1 - mask for mask in masks)
                for mask in masks:  # no gradient goes through a masked step, all goes past it
                    slopes = tuple(slope * mask for slope in slopes)
                n_slopes = len(slopes)

                def backward(d_state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
                    d_output, rest = inputs[0], inputs[1:]
                    d_state = (d_state[0] + d_output, *d_state[1:])
                    d_before, emitted = self._retreat(d_state, rest[:n_slopes], turned, kept)
                    for past in rest[n_slopes:]:
                        pairs = zip(d_before, d_state, strict=True)
                        d_before = tuple(before + past * after for before, after in pairs)
                    return d_before, emitted

                d_initial, d_steps = scan(
                    backward,
                    d_final,
                    (d_outputs, *slopes, *skipped),
                    (self.gates * self.units,) * self.pre_activations,
                    reverse=True,
                )
                d_rows = _rows(d_steps[0])  # (T·B, G·U)
                d_inputs = ops.reshape(ops.matmul(d_rows, ops.transpose(kernel)), ops.shape(inputs))
                d_kernel = ops.matmul(ops.transpose(rows), d_rows)
                entered = _rows(through(previous[0], kept))
                d_weights = self._recurrent_gradients(entered, _rows(d_steps[-1]))
                constants = (ops.zeros_like(x) for x in (*masks, *kept))
                return (
                    *(d_inputs, d_kernel, column_sums(d_rows)),
                    *(*d_weights, *d_initial, *constants),
                )

            return (states[0], *final), grad

        outputs, *final = run(
            inputs, *self._input_weights(), *self._recurrent_weights(), *state, *masks, *kept
        )
        return outputs, tuple(final)

    # What a cell is: functions of one step. Blocks of `units` columns, in Keras' gate order.

    def _project(self, inputs: Any) -> Any:
        """What the inputs add to the pre-activations."""
        return self._affine(inputs, *self._input_weights())

    def _input_weights(self) -> Tensors:
        """Kernel and bias of the inputs, in the compute dtype."""
        raise NotImplementedError

    def _affine(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        return ops.add(ops.matmul(inputs, kernel), bias)

    def _recurrent_weights(self) -> Tensors:
        raise NotImplementedError

    def _advance(
        self, projected: Any, state: Tensors, weights: Tensors, kept: Tensors
    ) -> tuple[Tensors, Tensors]:
        """One step: the new state, and what the gradient needs of it."""
        raise NotImplementedError

    def _slopes(self, before: Tensors, after: Tensors, saved: Tensors) -> Tensors:
        """Of all steps `(T, B, U)`: what `_retreat` multiplies gradients of the state by."""
        raise NotImplementedError

    def _retreat(
        self, d_new: Tensors, slopes: Tensors, turned: Any, kept: Tensors
    ) -> tuple[Tensors, Tensors]:
        """One step back: gradients of the state before, and of the pre-activations.

        `turned` is the recurrent kernel, transposed. The first pre-activations are those the inputs
        enter, the last those the recurrent product enters; they may be the same.
        """
        raise NotImplementedError

    def _recurrent_gradients(self, entered: Any, d_steps: Any) -> Tensors:
        """Gradients of the recurrent weights from all steps at once.

        `entered (T·B, U)` is what entered the recurrent product, `d_steps (T·B, G·U)` the gradient
        of what it gave.
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
        name: the word by which the cell is asked for.

    Returns:
        A decorator that gives the class back as it was.

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


def through(x: Any, kept: Tensors) -> Any:
    """What recurrent dropout lets through."""
    return x * kept[0] if kept else x


def column_sums(rows: Any) -> Any:
    """`(N, P)` to `(P,)`, as a product: twice as fast as TensorFlow's sum over the first axis."""
    ones = ops.ones((1, ops.shape(rows)[0]), dtype=rows.dtype)
    return ops.matmul(ones, rows)[0]


def _rows(x: Any) -> Any:
    """`(T, B, P)` to `(T·B, P)`."""
    return ops.reshape(x, (-1, x.shape[-1]))


def _keep(new: Tensors, old: Tensors, masks: Tensors) -> Tensors:
    """The new state where the mask is one, the old one elsewhere."""
    if not masks:
        return new
    return tuple(
        ops.where(masks[0] > 0, after, before) for after, before in zip(new, old, strict=True)
    )
