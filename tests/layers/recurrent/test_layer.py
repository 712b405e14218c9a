"""LSTM and GRU equal Keras' own layers and NumPy, for any mask, path, dtype and shape."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.recurrent import CELLS, GRU, LSTM, LayerNormLSTM
from oracles import reference
from support.backends import compiled, gradients, numeric_gradients, product_sum, tensorflow_only

pytestmark = pytest.mark.backend_neutral

PAIRS = [(LSTM, keras.layers.LSTM), (GRU, keras.layers.GRU)]
both = pytest.mark.parametrize("layer_class", [LSTM, GRU], ids=["lstm", "gru"])
MASKS = {
    "none": None,
    "right": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]],
    "gaps": [[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [1, 1, 0, 1, 0]],
    "all masked row": [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
}


def made(layer_class, units=4, width=3, dtype="float32"):
    """A layer with weights that are nowhere zero or alike, so that no term can hide."""
    layer = layer_class(units, dtype=dtype)
    layer.build((None, None, width))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(0, 0.5, w.shape) for w in layer.weights])
    return layer


def inputs_for(layer, rows=3, steps=5, width=3, dtype="float32"):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(rows, steps, width)).astype(dtype)
    state = tuple(rng.normal(size=(rows, size)).astype(dtype) for size in layer.state_sizes)
    return x, state


def mask_array(name):
    return None if MASKS[name] is None else np.array(MASKS[name], bool)


@both
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("training", [False, True])
def test_is_the_numpy_recurrence(layer_class, mask, training):
    layer = made(layer_class, dtype="float64")
    x, state = inputs_for(layer, dtype="float64")
    mask = mask_array(mask)
    outputs, final = layer(x, initial_state=state, mask=mask, training=training)
    expected, expected_final = reference.recurrence(
        layer_class.__name__.lower(), x, reference.arrays(layer), mask, state
    )
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(final, expected_final, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["lstm", "gru"])
@pytest.mark.parametrize("mask", MASKS)
def test_weights_interchange_with_keras(ours, theirs, mask):
    """Outputs, final state and all gradients are those of Keras' layer with the same weights.

    From a state of zeros: from another one, Keras gives zeros for masked steps before the first
    real one, where this layer repeats the state. Nothing reads those outputs.
    """
    ours, theirs = made(ours), theirs(4, return_sequences=True, return_state=True)
    theirs.build((3, 5, 3))
    theirs.set_weights(ours.get_weights())
    x, _ = inputs_for(ours)
    mask = mask_array(mask)

    def keras_layer(x):
        outputs, *state = theirs(x, mask=None if mask is None else ops.convert_to_tensor(mask))
        return outputs, state

    results = [
        with_gradients(call, layer, x)
        for call, layer in (
            (lambda x: ours(x, mask=mask, training=True), ours),
            (lambda x: ours(x, mask=mask, training=False), ours),
            (keras_layer, theirs),
        )
    ]
    for result in results[:2]:
        for a, b in zip(result, results[2], strict=True):
            # Float32 sums over 15 steps in another order: a few units in the last place.
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


def with_gradients(call, layer, x):
    """Outputs, final state, then the gradients of the inputs and the weights, as a flat list."""
    outputs, state = call(ops.convert_to_tensor(x))

    def loss(x):
        rng = np.random.default_rng(3)
        outputs, state = call(x)
        total = product_sum(outputs, rng.normal(size=outputs.shape).astype("float32"))
        for part in state:
            total += product_sum(part, rng.normal(size=part.shape).astype("float32"))
        return total

    _, by_inputs, by_weights = gradients(loss, [x], layer.trainable_weights)
    return [outputs, *state, *by_inputs, *by_weights]


@both
@pytest.mark.parametrize("mask", ["none", "gaps", "all masked row"])
def test_gradient_in_training_is_the_finite_difference(layer_class, mask):
    layer = made(layer_class, units=2, width=2, dtype="float64")
    x, state = inputs_for(layer, width=2, dtype="float64")
    mask = mask_array(mask)
    rng = np.random.default_rng(4)
    upstream = rng.normal(size=(3, 5, 2))
    upstream_final = [rng.normal(size=part.shape) for part in state]

    def loss(x, *state):
        outputs, final = layer(x, initial_state=state, mask=mask, training=True)
        total = product_sum(outputs, upstream)
        for part, weight in zip(final, upstream_final, strict=True):
            total += product_sum(part, weight)
        return total

    arguments = (loss, [x, *state], layer.trainable_weights)
    _, *found = gradients(*arguments)
    expected = numeric_gradients(*arguments)
    for ours, theirs in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        # Central differences with step 1e-6 in float64 are good to about 1e-9.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


@both
def test_looped_step_is_call(layer_class):
    layer = made(layer_class)
    x, start = inputs_for(layer)
    outputs, final = layer(x, initial_state=start)
    state, stepped = start, []
    for t in range(x.shape[1]):
        output, state = layer.step(x[:, t], state)
        stepped.append(output)
    np.testing.assert_allclose(np.stack(stepped, 1), outputs, rtol=0, atol=1e-6)
    for ours, theirs in zip(state, final, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@both
def test_padding_changes_neither_outputs_nor_state(layer_class):
    layer = made(layer_class)
    x, start = inputs_for(layer, rows=1)
    outputs, final = layer(x, initial_state=start)
    garbage = np.full((1, 2, 3), 9.0, "float32")
    padded = np.concatenate([garbage, x[:, :2], garbage, x[:, 2:], garbage], axis=1)
    mask = np.array([[0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0]], bool)
    padded_outputs, padded_final = layer(padded, initial_state=start, mask=mask)
    np.testing.assert_allclose(np.array(padded_outputs)[mask], outputs[0], rtol=0, atol=1e-6)
    for ours, theirs in zip(padded_final, final, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@both
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_keeps_float32_weights(layer_class, policy):
    exact, layer = made(layer_class), made(layer_class, dtype=policy)
    x, _ = inputs_for(layer)
    expected = np.array(exact(x)[0])
    half = layer.compute_dtype
    for training in (False, True):
        outputs, state = layer(x, training=training)
        assert {keras.backend.standardize_dtype(v.dtype) for v in (outputs, *state)} == {half}
        # bfloat16 has 8 bits of mantissa: an error of 1/256 a step, five steps.
        np.testing.assert_allclose(ops.cast(outputs, "float32"), expected, rtol=0, atol=0.03)
    output, state = layer.step(x[:, 0], layer.initial_state(3))
    assert {keras.backend.standardize_dtype(v.dtype) for v in (output, *state)} == {half}
    np.testing.assert_allclose(ops.cast(output, "float32"), expected[:, 0], rtol=0, atol=0.03)
    assert {w.dtype for w in layer.weights} == {"float32"}


@both
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gradients_are_float32_and_near_the_exact_ones(layer_class, policy):
    exact, layer = made(layer_class), made(layer_class, dtype=policy)
    x, _ = inputs_for(layer)
    mask = mask_array("gaps")

    def by_weights(layer):
        def loss():
            outputs, state = layer(x, mask=mask, training=True)
            return ops.sum(ops.cast(outputs, "float32")) + ops.sum(ops.cast(state[0], "float32"))

        return gradients(loss, [], layer.trainable_weights)[2]

    for ours, theirs in zip(by_weights(layer), by_weights(exact), strict=True):
        assert ours.dtype == "float32"
        np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=0.1)


@tensorflow_only
@both
@pytest.mark.parametrize("training", [False, True])
def test_one_trace_serves_every_batch_and_length(layer_class, training):
    layer = made(layer_class)
    traces = []

    def run(x, mask):
        import tensorflow as tf

        traces.append(1)
        with tf.GradientTape() as tape:
            outputs, state = layer(x, mask=mask, training=training)
            loss = tf.reduce_sum(outputs)
        return outputs, state, tape.gradient(loss, [w.value for w in layer.trainable_weights])

    run = compiled(
        run, [keras.KerasTensor((None, None, 3)), keras.KerasTensor((None, None), "bool")]
    )

    rng = np.random.default_rng(0)
    for rows, steps in ((2, 5), (1, 1), (4, 3)):
        x = rng.normal(size=(rows, steps, 3)).astype("float32")
        mask = rng.random((rows, steps)) < 0.6
        outputs, state, gradients = run(x, mask)
        expected, expected_state = layer(x, mask=mask)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(state[-1], expected_state[-1], rtol=0, atol=1e-6)
        assert all(np.isfinite(g).all() for g in gradients)
    outputs, _, _ = run(np.zeros((0, 2, 3), "float32"), np.zeros((0, 2), bool))
    assert outputs.shape == (0, 2, 4)
    assert len(traces) == 1


@both
def test_symbolic_call_has_static_widths_and_unknown_sizes(layer_class):
    x = keras.Input((None, 3))
    outputs, state = layer_class(4)(x)
    assert outputs.shape == (None, None, 4)
    assert [part.shape for part in state] == [(None, 4)] * len(state)


@both
def test_takes_the_mask_of_a_keras_embedding(layer_class):
    ids = np.array([[5, 0, 6, 0], [0, 0, 0, 7]])
    symbolic = keras.Input((None,), dtype="int32")
    embedding, layer = keras.layers.Embedding(8, 3, mask_zero=True), layer_class(4)
    model = keras.Model(symbolic, layer(embedding(symbolic))[0])
    expected, _ = layer(embedding(ids), mask=ids != 0)
    np.testing.assert_allclose(model(ids), expected, rtol=0, atol=1e-6)


@both
def test_round_trips_through_a_keras_file(layer_class, tmp_path):
    x = keras.Input((None, 3))
    layer = layer_class(4, name="cell", dtype="float32")
    model = keras.Model(x, layer(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("cell").get_config() == layer.get_config()
    values = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    for ours, theirs in zip(
        keras.tree.flatten(loaded(values)), keras.tree.flatten(model(values)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@both
@pytest.mark.parametrize("units", [0, -1, 2.5, "4", True])
def test_units_must_be_a_positive_integer(layer_class, units):
    with pytest.raises(
        ValueError, match=f"`units` must be a positive integer; got units={units!r}"
    ):
        layer_class(units)


def test_unknown_input_width_is_an_error():
    with pytest.raises(ValueError, match=r"last axis of the inputs must be known"):
        LSTM(4)(keras.Input((None, None)))


def test_lstm_starts_with_keras_bias():
    ours, theirs = LSTM(3), keras.layers.LSTM(3)
    ours.build((None, None, 2))
    theirs.build((None, None, 2))
    np.testing.assert_array_equal(ours.get_weights()[2], theirs.get_weights()[2])


def test_names_of_cells_are_their_classes():
    assert {"lstm": LSTM, "gru": GRU, "layer_norm_lstm": LayerNormLSTM} == CELLS
