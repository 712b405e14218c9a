"""Groups of mechanisms, several or heads, equal the oracle in calls, steps, masks and saving."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import (
    Attention,
    CoverageScore,
    Encoded,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
    LocationScore,
    Memory,
    Monotonic,
    MultiHeadAttention,
    SeveralAttentions,
)
from support.attention_cases import (
    array,
    check_gradients,
    check_oracle,
    sample,
    stepped,
    with_random_weights,
)
from support.backends import compiled, tensorflow_only

pytestmark = pytest.mark.backend_neutral

# Name to maker of what follows nothing, follows its weights, carries a position, nests.
GROUPS = {
    "several": lambda dtype, **kwargs: SeveralAttentions(
        ["general", Attention("dot", "sparsemax", dtype=dtype, **kwargs)], dtype=dtype
    ),
    "several_looped": lambda dtype, **kwargs: SeveralAttentions(
        [
            "dot",
            Attention(
                CoverageScore(3, 2.0, dtype=dtype), Monotonic(dtype=dtype), dtype=dtype, **kwargs
            ),
            Attention("dot", window=LocalMonotonicWindow(1, dtype=dtype), dtype=dtype),
        ],
        dtype=dtype,
    ),
    "nested": lambda dtype, **kwargs: SeveralAttentions(
        [
            MultiHeadAttention(heads=2, dtype=dtype, **kwargs),
            SeveralAttentions(["dot", LocationScore(2, 2, 3, dtype=dtype)], dtype=dtype),
        ],
        dtype=dtype,
    ),
    "heads": lambda dtype, **kwargs: MultiHeadAttention(heads=2, units=6, dtype=dtype, **kwargs),
    "heads_looped": lambda dtype, **kwargs: MultiHeadAttention(
        CoverageScore(3, 2.0, dtype=dtype),
        2,
        probability=Monotonic("parallel", dtype=dtype),
        window=LocalPredictiveWindow(2, units=3, dtype=dtype),
        dtype=dtype,
        **kwargs,
    ),
    "heads_local": lambda dtype, **kwargs: MultiHeadAttention(
        heads=4, window=LocalMonotonicWindow(1, dtype=dtype), dtype=dtype, **kwargs
    ),
}
each_group = pytest.mark.parametrize("group", GROUPS)


def group_of(name, dtype="float64", **kwargs):
    return with_random_weights(GROUPS[name](dtype, **kwargs), 4, 4)


@each_group
def test_is_the_oracle(group):
    weights = check_oracle(group_of(group), *sample())
    assert weights[:4].max() > 0.1


@each_group
def test_gradient_is_the_finite_difference(group):
    _, by_weights = check_gradients(group_of(group), *sample(), directions=1)
    assert min(np.abs(gradient).max() for gradient in by_weights) > 1e-6


@each_group
def test_step_looped_is_call(group):
    attention = group_of(group)
    query, values, mask = sample()
    encoded = Encoded(values, mask)
    memory = attention.memory(encoded)
    context, weights = attention(query, encoded)
    rows_context, rows_weights, _ = stepped(
        attention, query, memory, attention.initial_state(memory)
    )
    np.testing.assert_allclose(rows_weights, array(weights), rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows_context, array(context), rtol=0, atol=1e-11)
    for again in (
        attention(query, memory)[1],
        attention.sequence(query, memory, attention.initial_state(memory))[1],
    ):
        np.testing.assert_allclose(array(again), array(weights), rtol=0, atol=1e-12)


@pytest.mark.quick_cases(3)
@each_group
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_masked_positions_weigh_zero_and_half_precision_is_near(group, dtype):
    attention = group_of(group, dtype)
    query, values, mask = sample(dtype="float32")
    wasted = np.where(mask[:, :, None], values, np.nan).astype("float32")
    context, weights = attention(query, Encoded(wasted, mask))
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    assert keras.backend.standardize_dtype(context.dtype) == attention.compute_dtype
    assert (array(weights)[~np.broadcast_to(mask[:, None], weights.shape)] == 0).all()
    assert (array(context)[4] == 0).all()
    exact, _ = group_of(group, "float32")(query, Encoded(values, mask))
    # Contexts of a few units, through scores and projections in steps of 1e-3 and 8e-3.
    close = {"float32": 1e-6, "mixed_float16": 0.03, "mixed_bfloat16": 0.25}[dtype]
    np.testing.assert_allclose(array(context), array(exact), rtol=0, atol=close)


@pytest.mark.quick_cases(3)
@each_group
def test_round_trips_and_a_saved_model_gives_the_same(group, tmp_path):
    attention = GROUPS[group]("float32", dropout=0.5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(attention)))
    assert keras.saving.deserialize_keras_object(config).get_config() == attention.get_config()
    with_random_weights(attention, 4, 4)
    inputs = [keras.Input((None, 4)), keras.Input((None, 4)), keras.Input((None,), dtype="bool")]
    outputs = attention(inputs[0], Encoded(*inputs[1:]))
    assert outputs[0].shape == (None, None, attention.context_size((None, None, 4)))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    given = list(sample(dtype="float32"))
    for ours, theirs in zip(again(given), model(given), strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))


@tensorflow_only
@each_group
def test_one_trace_serves_every_size(group):
    attention = group_of(group, "float32", dropout=0.5)
    traces = []

    def run(query, values, mask):
        traces.append(1)
        return attention(query, Encoded(values, mask), training=True)

    one = keras.KerasTensor((None, None, 4))
    run = compiled(run, [one, one, keras.KerasTensor((None, None), "bool")])
    for rows, targets, sources in ((2, 3, 4), (1, 1, 1), (0, 2, 3)):
        query = np.ones((rows, targets, 4), "float32")
        values = np.ones((rows, sources, 4), "float32")
        _, weights = run(query, values, np.ones((rows, sources), bool))
        assert weights.shape == (rows, targets, sources)
    assert len(traces) == 1


def test_a_memory_of_several_keeps_the_keys_of_each():
    attention = group_of("several_looped", "float32")
    _, values, mask = sample(dtype="float32")
    memory = attention.memory(Encoded(values, mask))
    assert isinstance(memory, Memory)
    assert len(memory.keys) == 3
    np.testing.assert_array_equal(
        array(memory.keys[0]), array(ops.where(mask[:, :, None], values, 0.0))
    )
