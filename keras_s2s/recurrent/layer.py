"""What our cells share: weights, masking, recurrent dropout, the loop over time, its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_s2s.checks import check_mask, check_shares, check_size
from keras_s2s.scan import Tensors, scan

CELLS: dict[str, type[Recurrent]] = {}


class Recurrent(keras.layers.Layer):
    """What our cells share: weights, masking, the loop over time. Use a subclass.

    A masked step leaves the state as it was and repeats the previous output, as Keras' layers do;
    any mask pattern is right, and the final state is the one after the last real step.

    Recurrent dropout keeps one mask for all steps of a row and applies it where the state enters
    the recurrent product (Gal & Ghahramani 2016, "variational").
    """

    gates: int  # blocks of `units` columns in the kernels
    states: int  # tensors of width `units` in the state
    saved: int  # tensors of width `units` that the gradient needs of each step
    pre_activations: int  # tensors of width `gates * units` that the gradient of a step gives
    own_gradient = True  # False where `_retreat` is not given: the backend differentiates the loop

    def __init__(self, units: int, recurrent_dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_size("units", units)
        check_shares(recurrent_dropout=recurrent_dropout)
        self.units = units
        self.recurrent_dropout = recurrent_dropout
        self.dropping = keras.layers.Dropout(recurrent_dropout, dtype=self.dtype_policy)
        self.supports_masking = True

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
        projected = ops.transpose(self._project(inputs), (1, 0, 2))  # (T, B, G·U)
        masks: Tensors = ()
        if mask is not None:
            check_mask(mask, inputs)
            masks = (ops.transpose(ops.cast(mask, self.compute_dtype))[:, :, None],)  # (T, B, 1)
        weights = self._recurrent_weights()
        kept = self.kept(ops.shape(inputs)[0]) if training else ()
        # Keras 3.15 takes one output per custom gradient on the Torch backend: autograd runs there.
        own_gradient = training and self.own_gradient and keras.backend.backend() != "torch"
        run = self._run_with_gradient if own_gradient else self._run
        outputs, state = run(projected, weights, initial_state, masks, kept)
        return ops.transpose(outputs, (1, 0, 2)), state  # (B, T, U)

    def step(self, inputs: Any, state: Tensors, kept: Tensors = ()) -> tuple[Any, Tensors]:
        """One step with the same weights: `(B, D)` and a state to `(output (B, U), state)`."""
        # Outside of `__call__` Keras casts nothing, so this does.
        inputs = ops.cast(inputs, self.compute_dtype)
        state = tuple(ops.cast(x, self.compute_dtype) for x in state)
        state, _ = self._advance(self._project(inputs), state, self._recurrent_weights(), kept)
        return state[0], state

    def _run(
        self, projected: Any, weights: Tensors, state: Tensors, masks: Tensors, kept: Tensors
    ) -> tuple[Any, Tensors]:
        def body(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
            new, _ = self._advance(inputs[0], state, weights, kept)
            new = _keep(new, state, inputs[1:])
            return new, (new[0],)

        state, (outputs,) = scan(body, state, (projected, *masks), (self.units,))
        return outputs, state

    def _run_with_gradient(
        self, projected: Any, weights: Tensors, state: Tensors, masks: Tensors, kept: Tensors
    ) -> tuple[Any, Tensors]:
        n_weights, n_states, n_saved, n_masks = len(weights), self.states, self.saved, len(masks)

        def split(tensors: Tensors) -> tuple[Tensors, Tensors, Tensors, Tensors]:
            state = tensors[n_weights:]
            masks = state[n_states:]
            return tensors[:n_weights], state[:n_states], masks[:n_masks], masks[n_masks:]

        @ops.custom_gradient
        def run(projected: Any, *tensors: Any) -> Any:
            weights, state, masks, kept = split(tensors)

            def forward(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
                new, saved = self._advance(inputs[0], state, weights, kept)
                new = _keep(new, state, inputs[1:])
                return new, (*new, *saved)

            final, emitted = scan(
                forward, state, (projected, *masks), (self.units,) * (n_states + self.saved)
            )
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

                def backward(d_state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
                    d_output, rest = inputs[0], inputs[1:]
                    before, after = rest[:n_states], rest[n_states : 2 * n_states]
                    saved, masks = rest[2 * n_states :][:n_saved], rest[2 * n_states :][n_saved:]
                    d_state = (d_state[0] + d_output, *d_state[1:])
                    d_new = tuple(d * masks[0] for d in d_state) if masks else d_state
                    d_before, emitted = self._retreat(d_new, before, after, saved, weights, kept)
                    if masks:
                        d_before = tuple(
                            d + skipped * (1 - masks[0])
                            for d, skipped in zip(d_before, d_state, strict=True)
                        )
                    return d_before, emitted

                d_initial, d_steps = scan(
                    backward,
                    d_final,
                    (d_outputs, *previous, *states, *saved, *masks),
                    (self.gates * self.units,) * self.pre_activations,
                    reverse=True,
                )
                entered = through(previous[0], kept)
                d_projected, d_weights = self._weight_gradients(entered, d_steps)
                constants = (ops.zeros_like(x) for x in (*masks, *kept))
                return (d_projected, *d_weights, *d_initial, *constants)

            return (states[0], *final), grad

        outputs, *final = run(projected, *weights, *state, *masks, *kept)
        return outputs, tuple(final)

    # What a cell is: functions of one step. Blocks of `units` columns, in Keras' gate order.

    def _project(self, inputs: Any) -> Any:
        raise NotImplementedError

    def _affine(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        product = ops.matmul(inputs, ops.cast(kernel, self.compute_dtype))
        return ops.add(product, ops.cast(bias, self.compute_dtype))

    def _recurrent_weights(self) -> Tensors:
        raise NotImplementedError

    def _advance(
        self, projected: Any, state: Tensors, weights: Tensors, kept: Tensors
    ) -> tuple[Tensors, Tensors]:
        """One step: the new state, and what the gradient needs of it."""
        raise NotImplementedError

    def _retreat(
        self,
        d_new: Tensors,
        before: Tensors,
        after: Tensors,
        saved: Tensors,
        weights: Tensors,
        kept: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """One step back: gradients of the state before, and of the pre-activations."""
        raise NotImplementedError

    def _weight_gradients(self, entered: Any, d_steps: Tensors) -> tuple[Any, Tensors]:
        """Gradients of the projected inputs and of the recurrent weights, all steps at once.

        `entered` is what entered the recurrent product at each step.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "recurrent_dropout": self.recurrent_dropout,
        }


def named_cell(name: str) -> Callable[[type[Recurrent]], type[Recurrent]]:
    """Class decorator: `cell=name` makes this layer, and Keras saves and loads it."""

    def register(kind: type[Recurrent]) -> type[Recurrent]:
        CELLS[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register


def through(x: Any, kept: Tensors) -> Any:
    """What recurrent dropout lets through."""
    return x * kept[0] if kept else x


def _keep(new: Tensors, old: Tensors, masks: Tensors) -> Tensors:
    """The new state where the mask is one, the old one elsewhere."""
    if not masks:
        return new
    return tuple(
        ops.where(masks[0] > 0, after, before) for after, before in zip(new, old, strict=True)
    )
