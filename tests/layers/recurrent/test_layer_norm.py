"""The normalised LSTM equals its formula for any mask, and equals TensorFlow Addons' cell."""

import keras
import numpy as np
import pytest

from keras_s2s import Decoder, Encoder, LayerNormLSTM
from oracles.decoder_reference import one_direction
from support.backends import gradients, numeric_gradients
from support.designs import randomized, same

pytestmark = pytest.mark.backend_neutral

ops = keras.ops
MASK = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)


def made(units=3, width=2, dtype="float64", **options):
    layer = LayerNormLSTM(units, dtype=dtype, **options)
    layer.build((None, None, width))
    return randomized(layer)


def inputs(width=2, dtype="float64"):
    return np.random.default_rng(0).normal(size=(3, 5, width)).astype(dtype)


@pytest.mark.parametrize("training", [False, True])
def test_is_the_numpy_formula_under_any_mask(training):
    layer, x = made(), inputs()
    outputs, state = layer(x, mask=MASK, training=training)
    for b in range(3):
        expected, last = one_direction(layer, "layer_norm_lstm", x[b], MASK[b])
        same(outputs[b], expected, 1e-12)
        same([part[b] for part in state], list(last), 1e-12)


def test_by_hand_with_one_unit():
    """With one unit a normalised product is its offset, and so is the cell state.

    LN(x·W) = LN(h·R) = offsets over 4 columns; with equal columns all of them are the mean, so
    only biases and offsets remain: σ(o)·tanh(offset of c) = σ(0)·tanh(0.5).
    """
    layer = made(1, 1)
    ones, zeros = np.ones(4), np.zeros(4)
    layer.set_weights(
        [
            np.ones((1, 4)),
            np.ones((1, 4)),
            zeros,
            ones,
            zeros,
            ones,
            zeros,
            np.ones(1),
            np.array([0.5]),
        ]
    )
    outputs, (_, c) = layer(np.ones((1, 1, 1)))
    assert float(ops.squeeze(outputs)) == pytest.approx(0.5 * np.tanh(0.5), rel=1e-12)
    assert float(ops.squeeze(c)) == pytest.approx(0.5, rel=1e-12)


def test_looped_step_is_call():
    layer, x = made(dtype="float32"), inputs(dtype="float32")
    outputs, final = layer(x)
    state, stepped = layer.initial_state(3), []
    for t in range(5):
        output, state = layer.step(x[:, t], state)
        stepped.append(output)
    same((ops.stack(stepped, axis=1), state), (outputs, final), 1e-6)


def test_gradients_are_the_finite_differences():
    layer, x = made(2, 2), inputs()

    def loss(x):
        outputs, (h, c) = layer(x, mask=MASK, training=True)
        return ops.sum(ops.square(outputs)) + ops.sum(h * c)

    _, (by_x,), by_weights = gradients(loss, [x], layer.trainable_weights)
    (expected,), expected_weights = numeric_gradients(loss, [x], layer.trainable_weights)
    for ours, theirs in zip([by_x, *by_weights], [expected, *expected_weights], strict=True):
        # Central differences with step 1e-6 in float64 are good to about 1e-9.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_starts_as_a_normalisation_that_changes_nothing():
    layer = LayerNormLSTM(3)
    layer.build((None, None, 2))
    names = [w.name for w in layer.weights]
    assert names[3:] == [
        f"{of}_{kind}" for of in ("kernel", "recurrent", "state") for kind in ("gain", "offset")
    ]
    for weight in layer.weights[3:]:
        expected = 1 if weight.name.endswith("gain") else 0
        np.testing.assert_array_equal(weight, np.full(weight.shape, expected))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_takes_mean_and_variance_in_float32(policy):
    """Products of 300 and more, whose squares leave the range of float16."""
    exact, half = made(dtype="float32"), made(dtype=policy)
    x = inputs(dtype="float32") * 300
    outputs, state = half(x)
    assert {keras.backend.standardize_dtype(v.dtype) for v in (outputs, *state)} == {
        half.compute_dtype
    }
    same(ops.cast(outputs, "float32"), exact(x)[0], 0.06)


def test_encoder_and_decoder_take_it_by_name():
    sizes = {"vocabulary_size": 5, "embedding_size": 2, "units": 3, "cell": "layer_norm_lstm"}
    for kind in (Encoder, Decoder):
        assert type(kind(**sizes).blocks[0].recurrent) is LayerNormLSTM


def test_is_the_cell_of_tensorflow_addons():
    """Numbers of `tfa.rnn.LayerNormLSTMCell(2)`, TensorFlow Addons 0.23 with TensorFlow 2.15.

    Its weights come in the order of ours; all numbers are steps through [0, 1), less 0.4.
    """

    def filled(shape, step):
        steps = np.arange(1, np.prod(shape) + 1).reshape(shape)
        return (steps * step % 1 - 0.4).astype("float32")

    layer = made(2, 2, "float32")
    layer.set_weights([filled(w.shape, 0.37 + 0.1 * i) for i, w in enumerate(layer.weights)])
    state = (filled((1, 2), 0.23), filled((1, 2), 0.29))
    outputs, (_, c) = layer(filled((1, 3, 2), 0.61), initial_state=state)
    expected = [[-0.32438979, 0.08815333], [0.06016733, -0.14647868], [-0.33971405, 0.10464780]]
    same(outputs[0], np.array(expected), 1e-6)
    same(c[0], np.array([-0.55854011, 0.19884977]), 1e-6)
