"""Tests of the loop over time: its order, its direction, unknown sizes and gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.scan import scan
from support.backends import compiled, gradients, tensorflow_only

pytestmark = pytest.mark.backend_neutral


def running_sum(state, inputs):
    """The state adds up the inputs; the outputs are the state before and after."""
    (total,) = state
    (x,) = inputs
    return (total + x,), (total, total + x)


def test_state_runs_forward_and_outputs_keep_their_place():
    x = np.arange(6, dtype="float32").reshape(3, 2, 1)
    (total,), (before, after) = scan(running_sum, (np.ones((2, 1), "float32"),), (x,), (1, 1))
    # 1 + (0, 2, 4) for the first row and 1 + (1, 3, 5) for the second.
    assert np.array(after)[:, :, 0].tolist() == [[1, 2], [3, 5], [7, 10]]
    assert np.array(before)[:, :, 0].tolist() == [[1, 1], [1, 2], [3, 5]]
    assert np.array(total)[:, 0].tolist() == [7, 10]


def test_reverse_runs_from_the_last_step_and_outputs_keep_their_place():
    x = np.arange(6, dtype="float32").reshape(3, 2, 1)
    (total,), (_, after) = scan(
        running_sum, (np.zeros((2, 1), "float32"),), (x,), (1, 1), reverse=True
    )
    assert np.array(after)[:, :, 0].tolist() == [[6, 9], [6, 8], [4, 5]]
    assert np.array(total)[:, 0].tolist() == [6, 9]


@pytest.mark.parametrize("reverse", [False, True])
def test_is_what_keras_ops_scan_gives(reverse):
    def decay(state, inputs):
        new = tuple(0.5 * part + inputs[0] for part in state)
        return new, new

    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3, 2)).astype("float32")
    start = tuple(rng.normal(size=(3, 2)).astype("float32") for _ in range(2))
    ours = scan(decay, start, (x,), (2, 2), reverse=reverse)
    theirs = keras.ops.scan(decay, start, (x,), reverse=reverse)
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b))


@pytest.mark.thorough
@tensorflow_only
def test_compiles_once_for_every_length_and_batch():
    traces = []

    def total(x):
        traces.append(1)
        return scan(running_sum, (x[0] * 0,), (x,), (2, 2))

    total = compiled(total, [keras.KerasTensor((None, None, 2))])
    for length, batch in ((1, 3), (4, 1), (2, 0)):
        (state,), (_, after) = total(ops.ones((length, batch, 2)))
        assert after.shape == (length, batch, 2)
        np.testing.assert_array_equal(state, np.full((batch, 2), length))
    assert len(traces) == 1


def test_gradient_flows_through_every_step():
    def loss(x):
        (state,), (before, _) = scan(running_sum, (ops.zeros((2, 1)),), (x,), (1, 1))
        return ops.sum(state) + ops.sum(before)

    _, (gradient,), _ = gradients(loss, [np.ones((3, 2, 1), "float32")])
    # Step t is in the final state and in `before` of every later step: 1 + (2, 1, 0).
    assert gradient[:, 0, 0].tolist() == [3, 2, 1]
