"""Tests of a block: dropout, one or both directions, norm and residual around a recurrence."""

import keras
import numpy as np
import pytest

from keras_s2s.layers.recurrent import CELLS, RecurrentBlock
from keras_s2s.layers.recurrent.gradient import run_with_gradient
from oracles.decoder_reference import block_step, finished
from support.backends import BACKEND, gradients, numeric_gradients, tensorflow_only
from support.designs import BLOCK, NestedCell, as_json, randomized, rows, same

ops = keras.ops
X = np.random.default_rng(0).normal(size=(3, 5, 4))
EXTRA = np.random.default_rng(1).normal(size=(3, 5, 2))
MASK = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)


def made(cell="lstm", units=4, extra=None, dtype="float64", width=4, **options):
    block = RecurrentBlock(cell, units, dtype=dtype, **options)
    block.build((None, None, width), extra)
    return randomized(block)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"residual": True}, {"layer_norm": True}, {"residual": True, "layer_norm": True}],
)
def test_is_the_numpy_formula(cell, extra, options):
    block = made(cell, extra=(None, None, 2) if extra else None, **options)
    outputs, state = block(X, extra=EXTRA if extra else None)
    for b in range(3):
        now = tuple(np.zeros(4) for _ in block.state_sizes)
        for t in range(5):
            y, now = block_step(block, X[b, t], EXTRA[b, t] if extra else None, now)
            same(outputs[b, t], y, 1e-12)
        same([part[b] for part in state], list(now), 1e-12)


def test_both_directions_are_two_layers_joined():
    block = made(bidirectional=True, residual=True, layer_norm=True, width=8)
    x = np.concatenate([X, -X], axis=-1)
    outputs, state = block(x, mask=MASK)
    there, last = block.recurrent(x, mask=MASK)
    back, first = block.backward(x[:, ::-1], mask=MASK[:, ::-1])
    y = np.concatenate([np.array(there), np.array(back)[:, ::-1]], axis=-1)
    expected = [[finished(block, x[b, t], y[b, t]) for t in range(5)] for b in range(3)]
    same(outputs, np.array(expected), 1e-12)
    joined = [np.concatenate(both, axis=-1) for both in zip(last, first, strict=True)]
    same(state, tuple(joined), 1e-12)


def test_looped_step_is_call_with_the_noise_given():
    """What `noise` draws for a loop drops as `call` does: inputs a step, the state a row."""
    block = made(extra=(None, None, 2), dropout=0.5, recurrent_dropout=0.5, residual=True)
    drawn, kept = block.noise(3, 5, 6)
    assert (drawn[0].shape, kept[0].shape) == ((3, 5, 6), (3, 4))
    for mask in (drawn[0], kept[0]):
        assert set(np.unique(mask)) == {0.0, 2.0}
    block.dropping.call = lambda x, training=None: ops.multiply(x, drawn[0])
    block.recurrent.dropout_mask = lambda rows: kept
    outputs, final = block(X, extra=EXTRA, training=True)
    state = block.recurrent.initial_state(3)
    for t in range(5):
        y, state = block.step(X[:, t], state, EXTRA[:, t], ((drawn[0][:, t],), kept))
        same(y, outputs[:, t], 1e-12)
    same(state, final, 1e-12)


def test_dropout_leaves_the_residual_whole():
    block = made("gru", dropout=0.5, residual=True)
    block.set_weights([np.zeros(w.shape) for w in block.weights])
    same(block(X, training=True)[0], X, 0)


# Recurrent dropout


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_dropout_has_one_mask_a_row_for_all_steps(cell):
    """Equals the formula with the mask that was drawn; another row has another mask."""
    block = made(cell, recurrent_dropout=0.5)
    layer = block.recurrent
    (mask,) = layer.dropout_mask(3)
    assert len(np.unique(np.array(layer.dropout_mask(64)[0]), axis=0)) > 8
    layer.dropout_mask = lambda rows: (mask,)
    outputs, _ = block(X, training=True)
    state = layer.initial_state(3)
    for t in range(5):
        y, state = layer.step(X[:, t], state, (mask,))
        same(y, outputs[:, t], 1e-12)
    assert np.abs(np.array(block(X)[0]) - np.array(outputs)).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_dropout_is_off_in_inference(cell):
    plain, block = made(cell), made(cell, recurrent_dropout=0.5)
    expected = plain(X)
    same(block(X), expected, 0)
    same(block(X, training=False), expected, 0)
    state = plain.recurrent.initial_state(3)
    same(block.step(X[:, 0], state), plain.step(X[:, 0], state), 0)
    one, two = (np.array(block(X, training=True)[0]) for _ in range(2))
    assert np.abs(one - two).max() > 1e-3


def loss_with(block, mask):
    def loss(x):
        outputs, state = block(x, mask=mask, training=True)
        return ops.sum(ops.square(outputs)) + sum(ops.sum(part) for part in state)

    return loss


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_gradient_with_recurrent_dropout_is_the_finite_difference(cell, mask):
    block = made(cell, units=2, width=2, recurrent_dropout=0.5)
    kept = ops.convert_to_tensor(np.array([[0.0, 2.0], [2.0, 2.0], [2.0, 0.0]]))
    block.recurrent.dropout_mask = lambda rows: (kept,)
    x, weights = X[:, :, :2], block.trainable_weights
    _, (by_x,), by_weights = gradients(loss_with(block, mask), [x], weights)
    (expected,), expected_weights = numeric_gradients(loss_with(block, mask), [x], weights)
    for ours, theirs in zip([by_x, *by_weights], [expected, *expected_weights], strict=True):
        # Central differences with step 1e-6 in float64 are good to about 1e-9.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.skipif(BACKEND == "torch", reason="Torch always differentiates the loop itself")
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_own_gradient_is_that_of_the_loop_under_recurrent_dropout(cell, mask):
    block = made(cell, recurrent_dropout=0.5)
    (kept,) = block.recurrent.dropout_mask(3)
    block.recurrent.dropout_mask = lambda rows: (kept,)
    found = []
    for own in (True, False):
        block.recurrent.own_gradient = own
        found.append(gradients(loss_with(block, mask), [X], block.trainable_weights))
    same(found[0], found[1], 1e-10)


@tensorflow_only
@pytest.mark.parametrize(("cell", "own"), [("lstm", 1), ("gru", 1), ("layer_norm_lstm", 0)])
def test_training_takes_the_own_gradient_where_there_is_one(cell, own, monkeypatch):
    block = made(cell)
    calls = []
    monkeypatch.setattr(
        "keras_s2s.layers.recurrent.layer.run_with_gradient",
        lambda *args: calls.append(1) or run_with_gradient(*args),
    )
    block(X)
    assert not calls
    block(X, training=True)
    assert len(calls) == own


# Configuration and errors


@pytest.mark.parametrize("row", rows(BLOCK), ids=str)
def test_round_trips_through_json(row):
    block = RecurrentBlock(**{"cell": "gru", "units": 4, **row}) if "cell" not in row else None
    if block is None:
        if isinstance(row["cell"], list):
            pytest.skip("a block is one layer")
        block = RecurrentBlock(**{"units": 4, **row})
    x = X.astype("float32")
    expected = block(x)
    again = keras.saving.deserialize_keras_object(
        as_json(keras.saving.serialize_keras_object(block))
    )
    assert as_json(again.get_config()) == as_json(block.get_config())
    again.set_weights(block.get_weights())
    same(again(x), expected, 0)


def test_a_residual_over_another_width_is_an_error():
    with pytest.raises(ValueError, match="inputs of 3 and outputs of 4"):
        made(width=3, residual=True)


@pytest.mark.parametrize("name", ["bidirectional", "residual", "layer_norm"])
@pytest.mark.parametrize("value", ["first", 1, None])
def test_flags_of_another_type_are_errors(name, value):
    with pytest.raises(TypeError, match=f"`{name}` must be True or False; got {name}="):
        RecurrentBlock("gru", 3, **{name: value})


def test_names_and_widths_are_checked():
    with pytest.raises(ValueError, match=r"'lstm', 'gru', .* or a Keras RNN cell.*'elman'"):
        RecurrentBlock("elman", 3)
    with pytest.raises(ValueError, match="`units` must be given with a named cell"):
        RecurrentBlock("gru")
    with pytest.raises(TypeError, match="have `state_size`"):
        RecurrentBlock(keras.layers.Dense(2))
    assert RecurrentBlock(NestedCell(3)).units == 3


def test_building_twice_makes_no_weights_twice():
    block = made(layer_norm=True)
    count = len(block.weights)
    block.build((None, None, 4))
    assert len(block.weights) == count
