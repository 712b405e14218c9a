"""Attention: equal to NumPy and to a worked example; what is masked counts for nothing at all."""

import json

import keras
import numpy as np
import pytest
import reference
from backends import compiled, gradients, numeric_gradients, product_sum, tensorflow_only
from keras import ops

from keras_s2s.attention import (
    SCORES,
    Attention,
    ConcatScore,
    DotScore,
    Encoded,
    GeneralScore,
    Memory,
    Score,
    masked_softmax,
)

pytestmark = pytest.mark.backend_neutral

# The scores that look at nothing but query and key; the others have files of their own.
each_score = pytest.mark.parametrize(
    "score", [name for name, kind in SCORES.items() if not kind.follows_alignment]
)
# Right padding, left padding, a gap, no padding, nothing at all.
MASK = np.array(
    [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]],
    bool,
)


def made(score, query_width=4, values_width=4, dtype="float32", **kwargs):
    attention = Attention(score, dtype=dtype, **kwargs)
    attention.build((None, None, query_width), (None, None, values_width))
    rng = np.random.default_rng(1)
    attention.set_weights([rng.normal(0, 0.7, w.shape) for w in attention.weights])
    return attention


def sample(rows=5, targets=3, query_width=4, values_width=4, dtype="float32"):
    rng = np.random.default_rng(2)
    query = rng.normal(size=(rows, targets, query_width)).astype(dtype)
    values = rng.normal(size=(rows, MASK.shape[1], values_width)).astype(dtype)
    return query, values, MASK[:rows]


@pytest.mark.parametrize(
    ("score", "query_width", "values_width"),
    [("dot", 4, 4), ("general", 4, 4), ("general", 3, 6), ("concat", 4, 4), ("concat", 3, 6)],
)
def test_is_the_numpy_formula(score, query_width, values_width):
    attention = made(score, query_width, values_width, dtype="float64")
    query, values, mask = sample(5, 3, query_width, values_width, "float64")
    context, weights = attention(query, Encoded(values, mask))
    expected_context, expected_weights = reference.attention(
        score, query, values, mask, reference.arrays(attention)
    )
    np.testing.assert_allclose(weights, expected_weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(context, expected_context, rtol=0, atol=1e-12)


def test_three_tokens_by_hand():
    # Scores q·v of q = (ln 2, 0) with v = (0, 3), (1, 0), (2, 5): 0, ln 2, 2·ln 2; the third is
    # padding. exp gives 1 and 2, so the weights are 1/3 and 2/3, and the context is
    # 1/3·(0, 3) + 2/3·(1, 0) = (2/3, 1).
    query = np.array([[[np.log(2), 0]]], "float32")
    values = np.array([[[0, 3], [1, 0], [2, 5]]], "float32")
    context, weights = Attention("dot")(query, Encoded(values, np.array([[True, True, False]])))
    np.testing.assert_allclose(weights, [[[1 / 3, 2 / 3, 0]]], rtol=1e-6)
    np.testing.assert_allclose(context, [[[2 / 3, 1]]], rtol=1e-6)


@each_score
def test_masked_positions_weigh_exactly_zero_and_the_others_sum_to_one(score):
    query, values, mask = sample()
    # Masked values so large that any share of them would show.
    values = np.where(mask[:, :, None], values, 1e30).astype("float32")
    context, weights = made(score)(query, Encoded(values, mask))
    weights = np.array(weights)
    assert (weights[~np.broadcast_to(mask[:, None], weights.shape)] == 0).all()
    np.testing.assert_allclose(weights[:4].sum(-1), 1, rtol=1e-6)
    assert np.abs(np.array(context)).max() < 10


@each_score
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_row_with_nothing_to_attend_to_gives_zeros_and_finite_gradients(score, dtype):
    attention = made(score, dtype=dtype)
    query, values, mask = sample()

    def loss(query, values):
        context, weights = attention(query, Encoded(values, mask))
        return ops.sum(ops.cast(context, "float32") ** 2) + ops.sum(weights**2)

    _, (d_query, d_values), d_weights = gradients(
        loss, [query, values], attention.trainable_weights
    )
    context, weights = attention(query, Encoded(values, mask))
    assert (np.array(weights[4]) == 0).all()
    assert (np.array(ops.cast(context[4], "float32")) == 0).all()
    assert (d_query[4] == 0).all()
    assert (d_values[4] == 0).all()
    for gradient in (d_query, d_values, *d_weights):
        assert np.isfinite(gradient).all()


@each_score
def test_gradient_is_the_finite_difference(score):
    attention = made(score, dtype="float64")
    query, values, mask = sample(5, 2, dtype="float64")
    rng = np.random.default_rng(3)
    upstream, upstream_weights = rng.normal(size=(5, 2, 4)), rng.normal(size=(5, 2, 4))

    def loss(query, values):
        context, weights = attention(query, Encoded(values, mask))
        return product_sum(context, upstream) + product_sum(weights, upstream_weights)

    arguments = (loss, [query, values], attention.trainable_weights)
    _, *found = gradients(*arguments)
    expected = numeric_gradients(*arguments)
    for ours, theirs in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        # Central differences with step 1e-6 in float64 are good to about 1e-9.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


@each_score
def test_every_query_is_attended_alone(score):
    """All queries at once, as in training, or one at a time, as in search: the same."""
    attention = made(score)
    query, values, mask = sample(targets=6)
    memory = attention.memory(Encoded(values, mask))
    context, weights = attention(query, memory)
    for t in range(6):
        one_context, one_weights = attention(query[:, t : t + 1], memory)
        np.testing.assert_allclose(one_context[:, 0], context[:, t], rtol=0, atol=1e-6)
        np.testing.assert_allclose(one_weights[:, 0], weights[:, t], rtol=0, atol=1e-6)


@each_score
def test_padding_does_not_change_context(score):
    attention = made(score)
    query, values, _ = sample(rows=1)
    context, weights = attention(query, Encoded(values, np.ones((1, 4), bool)))
    noise = np.full((1, 2, 4), 7.0, "float32")
    padded = np.concatenate([noise, values[:, :1], noise, values[:, 1:], noise], axis=1)
    mask = np.array([[0, 0, 1, 0, 0, 1, 1, 1, 0, 0]], bool)
    padded_context, padded_weights = attention(query, Encoded(padded, mask))
    np.testing.assert_allclose(padded_context, context, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.array(padded_weights)[:, :, mask[0]], weights, rtol=0, atol=1e-6)


@each_score
def test_order_of_the_source_does_not_matter(score):
    attention = made(score)
    query, values, mask = sample()
    context, weights = attention(query, Encoded(values, mask))
    order = np.array([2, 0, 3, 1])
    turned_context, turned = attention(query, Encoded(values[:, order], mask[:, order]))
    np.testing.assert_allclose(turned_context, context, rtol=0, atol=1e-6)
    np.testing.assert_allclose(turned, np.array(weights)[:, :, order], rtol=0, atol=1e-6)


@each_score
def test_memory_and_encoded_give_the_same(score):
    attention = made(score)
    query, values, mask = sample()
    memory = attention.memory(Encoded(values, mask))
    assert isinstance(memory, Memory)
    assert attention.memory(memory) == memory
    for a, b in zip(attention(query, memory), attention(query, Encoded(values, mask)), strict=True):
        np.testing.assert_array_equal(a, b)


@each_score
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_the_softmax_in_float32(score, policy):
    query, values, mask = sample()
    attention = made(score, dtype=policy)
    context, weights = attention(query, Encoded(values, mask))
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    assert keras.backend.standardize_dtype(context.dtype) == attention.compute_dtype
    # Halves would be off by their own steps, 1e-3 and 8e-3.
    np.testing.assert_allclose(np.array(weights)[:4].sum(-1), 1, rtol=0, atol=1e-6)
    # The keys of a memory made outside of a call are in half precision too.
    memory = attention.memory(Encoded(values, mask))
    assert keras.backend.standardize_dtype(memory.keys.dtype) == attention.compute_dtype
    exact, _ = made(score)(query, Encoded(values, mask))
    np.testing.assert_allclose(ops.cast(context, "float32"), exact, rtol=0, atol=0.05)


@tensorflow_only
@each_score
def test_one_trace_serves_every_size(score):
    attention = made(score)
    traces = []

    def run(query, values, mask):
        traces.append(1)
        return attention(query, Encoded(values, mask))

    run = compiled(
        run,
        [
            keras.KerasTensor((None, None, 4)),
            keras.KerasTensor((None, None, 4)),
            keras.KerasTensor((None, None), "bool"),
        ],
    )

    rng = np.random.default_rng(0)
    for rows, targets, sources in ((2, 3, 4), (1, 1, 1), (0, 2, 3)):
        query = rng.normal(size=(rows, targets, 4)).astype("float32")
        values = rng.normal(size=(rows, sources, 4)).astype("float32")
        context, weights = run(query, values, np.ones((rows, sources), bool))
        assert context.shape == (rows, targets, 4)
        assert weights.shape == (rows, targets, sources)
    assert len(traces) == 1


def test_masked_softmax_survives_extreme_scores():
    scores = np.array([[[3e38, -3e38, 0, 5]], [[-3e38, -3e38, 0, 5]]], "float32")
    mask = np.array([[[1, 1, 0, 0]], [[1, 1, 0, 0]]], bool)
    weights = np.array(masked_softmax(scores, mask))
    assert weights.tolist() == [[[1, 0, 0, 0]], [[0.5, 0.5, 0, 0]]]


def test_concat_projects_both_sides_to_its_units():
    attention = made(ConcatScore(units=7), query_width=3, values_width=6)
    shapes = {w.name: w.shape for w in attention.weights}
    assert shapes == {"query_kernel": (3, 7), "values_kernel": (6, 7), "vector": (7, 1)}


def test_dot_has_no_weights_and_general_one_kernel():
    assert made("dot").weights == []
    assert [w.shape for w in made("general", 3, 6).weights] == [(6, 3)]


def test_dot_with_unequal_widths_says_what_to_do():
    with pytest.raises(ValueError, match="decoder units 4 and memory width 8") as caught:
        Attention("dot").build((None, None, 4), (None, None, 8))
    assert "score='general'" in str(caught.value)


def test_unknown_score_lists_the_known():
    with pytest.raises(ValueError, match=r"'dot', .*'general', .*'concat', .* or a Score.*'luong'"):
        Attention("luong")


@pytest.mark.parametrize("score", [3, None, DotScore, keras.layers.Dense(2)])
def test_score_of_another_type_is_an_error(score):
    with pytest.raises(TypeError, match="`score` must be a name or a Score"):
        Attention(score)


@pytest.mark.parametrize("units", [0, -2, 1.5, True, "8"])
def test_concat_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="`units` must be a positive integer or None"):
        ConcatScore(units)


def test_unknown_memory_width_is_an_error():
    with pytest.raises(ValueError, match="last axis of the memory's values must be known"):
        Attention("general").build((None, None, 4), (None, None, None))


@keras.saving.register_keras_serializable(package="tests")
class HalfDotScore(Score):
    """A score from outside, with an option."""

    def __init__(self, share=0.5, **kwargs):
        super().__init__(**kwargs)
        self.share = share

    def keys(self, values):
        return values * self.share

    def call(self, query, keys):
        return keras.ops.einsum("btu,bsu->bts", query, keys)

    def get_config(self):
        return {**super().get_config(), "share": self.share}


@pytest.mark.parametrize(
    "score", ["dot", "general", "concat", ConcatScore(units=3), HalfDotScore(share=0.25)]
)
def test_round_trips_through_json(score):
    attention = Attention(score, name="attend", dtype="mixed_bfloat16")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(attention)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again.score) is type(attention.score)
    assert again.get_config() == attention.get_config()


@pytest.mark.parametrize("score_class", [DotScore, GeneralScore, ConcatScore, HalfDotScore])
def test_scores_round_trip_alone(score_class):
    score = score_class(name="score")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(score)))
    assert keras.saving.deserialize_keras_object(config).get_config() == score.get_config()


def test_a_score_from_outside_works_like_its_formula():
    query, values, mask = sample(dtype="float64")
    ours = made(HalfDotScore(0.5, dtype="float64"), dtype="float64")(query, Encoded(values, mask))
    expected = reference.attention("dot", query * 0.5, values, mask, [])
    np.testing.assert_allclose(ours[1], expected[1], rtol=0, atol=1e-12)


def test_every_name_makes_its_score():
    for name, kind in SCORES.items():
        assert type(Attention(name).score) is kind
