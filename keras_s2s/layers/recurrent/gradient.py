"""The loop over time with its gradient written out by hand.

Whatever does not depend on another step is computed for all steps at once: the products of the
inputs, the slopes of the gates, and the gradients of both kernels, which automatic differentiation
would add up step by step. Only two loops remain: one forward, and one backward through the states.
The cell computes each single step in `_advance`, `_slopes`, `_retreat` and `_recurrent_gradients`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_s2s.layers.recurrent.masks import apply_dropout
from keras_s2s.layers.scan import Tensors, scan


class ForwardPass(NamedTuple):
    """The tensors that the forward loop saves for the gradient."""

    rows: Any  # inputs of all steps, (T·B, D)
    weights: Tensors  # weights of the recurrent product
    masks: Tensors  # one (T, B, 1) or none
    dropout_mask: Tensors  # mask of recurrent dropout, one (B, U) or none
    previous: Tensors  # state before each step, (T, B, U)
    states: Tensors  # state after each step, (T, B, U)
    saved: Tensors  # tensors that the cell saved at each step, (T, B, U)


def run_with_gradient(
    cell: Any, inputs: Any, state: Tensors, masks: Tensors
) -> tuple[Any, Tensors]:
    """Runs all steps of a cell in training, with a custom gradient.

    Args:
        cell: a `Recurrent` that has `own_gradient`.
        inputs: `(B, T, D)` float.
        state: the state before the first step, tensors `(B, U)`.
        masks: a tuple of one mask `(T, B, 1)` of zeros and ones, or ().

    Returns:
        `(outputs (T, B, U), final state)`.
    """
    n_states, n_masks = cell.states, len(masks)
    n_weights = len(cell._recurrent_weights())
    dropout_mask = cell.dropout_mask(ops.shape(inputs)[0])
    # The inputs are transposed before the product, because they are narrower than its result.
    inputs = ops.transpose(ops.cast(inputs, cell.compute_dtype), (1, 0, 2))  # (T, B, D)

    # Keras' custom gradient takes flat tensors, and needs a gradient for each of them.
    @ops.custom_gradient
    def run(inputs: Any, kernel: Any, bias: Any, *tensors: Any) -> Any:
        weights, tensors = tensors[:n_weights], tensors[n_weights:]
        state, tensors = tensors[:n_states], tensors[n_states:]
        masks, dropout_mask = tensors[:n_masks], tensors[n_masks:]
        rows = flat_rows(inputs)  # (T·B, D)
        projected = cell._affine(rows, kernel, bias)
        projected = ops.reshape(projected, (*ops.shape(inputs)[:2], projected.shape[-1]))
        final, forward = _run_forward(cell, rows, projected, weights, state, masks, dropout_mask)

        def grad(*upstream: Any, **_: Any) -> Tensors:
            # Some backends hand the upstream gradients over as one sequence.
            if len(upstream) == 1:
                upstream = tuple(upstream[0])
            d_initial, d_steps = _run_backward(cell, forward, upstream[0], tuple(upstream[1:]))
            d_rows = flat_rows(d_steps[0])  # (T·B, G·U)
            d_inputs = ops.reshape(ops.matmul(d_rows, ops.transpose(kernel)), ops.shape(inputs))
            d_kernel = ops.matmul(ops.transpose(rows), d_rows)
            entered = flat_rows(apply_dropout(forward.previous[0], dropout_mask))
            d_weights = cell._recurrent_gradients(entered, flat_rows(d_steps[-1]))
            constants = (ops.zeros_like(x) for x in (*masks, *dropout_mask))
            return (
                *(d_inputs, d_kernel, column_sums(d_rows)),
                *(*d_weights, *d_initial, *constants),
            )

        return (forward.states[0], *final), grad

    outputs, *final = run(
        inputs, *cell._input_weights(), *cell._recurrent_weights(), *state, *masks, *dropout_mask
    )
    return outputs, tuple(final)


def _run_forward(
    cell: Any,
    rows: Any,
    projected: Any,
    weights: Tensors,
    state: Tensors,
    masks: Tensors,
    dropout_mask: Tensors,
) -> tuple[Tensors, ForwardPass]:
    """Loops from the first step to the last, and returns the final state and a `ForwardPass`."""
    # The masks are as wide as the state, because `where` is eight times slower if it broadcasts.
    wide_masks = tuple(ops.repeat(mask > 0, cell.units, axis=-1) for mask in masks)  # (T, B, U)

    def step(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
        new, saved = cell._advance(inputs[0], state, weights, dropout_mask)
        for mask in inputs[1:]:
            pairs = zip(new, state, strict=True)
            new = tuple(ops.where(mask, after, before) for after, before in pairs)
        return new, (*new, *saved)

    sizes = (cell.units,) * (cell.states + cell.saved)
    final, emitted = scan(step, state, (projected, *wide_masks), sizes)
    states, saved = emitted[: cell.states], emitted[cell.states :]
    previous = tuple(
        ops.concatenate([first[None], following[:-1]], axis=0)
        for first, following in zip(state, states, strict=True)
    )
    return final, ForwardPass(rows, weights, masks, dropout_mask, previous, states, saved)


def _run_backward(
    cell: Any, forward: ForwardPass, d_outputs: Any, d_final: Tensors
) -> tuple[Tensors, Tensors]:
    """Loops from the last step to the first.

    Returns:
        The gradients of the initial state `(B, U)`, and the gradients of the pre-activations of all
        steps `(T, B, G·U)`.
    """
    # Transposed only once, because oneDNN multiplies by a transposed matrix at a third of the
    # speed.
    transposed_kernel = ops.transpose(forward.weights[0])  # (G·U, U)
    slopes = cell._slopes(forward.previous, forward.states, forward.saved)
    skipped = tuple(1 - mask for mask in forward.masks)
    for mask in forward.masks:  # a masked step passes the whole gradient to the step before it
        slopes = tuple(slope * mask for slope in slopes)
    n_slopes = len(slopes)

    def step(d_state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
        d_output, inputs = inputs[0], inputs[1:]
        slopes, skipped = inputs[:n_slopes], inputs[n_slopes:]
        d_state = (d_state[0] + d_output, *d_state[1:])
        d_before, d_pre_activations = cell._retreat(
            d_state, slopes, transposed_kernel, forward.dropout_mask
        )
        for share in skipped:
            pairs = zip(d_before, d_state, strict=True)
            d_before = tuple(before + share * after for before, after in pairs)
        return d_before, d_pre_activations

    return scan(
        step,
        d_final,
        (d_outputs, *slopes, *skipped),
        (cell.gates * cell.units,) * cell.pre_activations,
        reverse=True,
    )


def flat_rows(x: Any) -> Any:
    """Reshapes `(T, B, P)` to `(T·B, P)`, a matrix with the rows of all steps."""
    return ops.reshape(x, (-1, x.shape[-1]))


def column_sums(rows: Any) -> Any:
    """Sums `(N, P)` to `(P,)` by a product, which is twice as fast as TensorFlow's sum."""
    ones = ops.ones((1, ops.shape(rows)[0]), dtype=rows.dtype)
    return ops.matmul(ones, rows)[0]
