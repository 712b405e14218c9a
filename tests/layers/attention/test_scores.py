"""Each score is checked by hand: its formula, its weights, its first values and its errors."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import (
    SCORES,
    Attention,
    ConcatScore,
    DotScore,
    Encoded,
    GeneralScore,
    NormalizedConcatScore,
    ScaledDotScore,
    ScaledGeneralScore,
)
from support.attention_cases import (
    array,
    check_oracle,
    each_score,
    random_attention,
    sample,
    with_random_weights,
)

pytestmark = pytest.mark.backend_neutral


def scores_of(score, query, values):
    if not score.built:
        score.build(query.shape, values.shape)
    return array(score(query, score.keys(ops.convert_to_tensor(values))))


def test_three_tokens_by_hand():
    # Scores q·v of q = (ln 2, 0) with v = (0, 3), (1, 0), (2, 5): 0, ln 2, 2·ln 2; the third is
    # padding. exp gives 1 and 2, so the weights are 1/3 and 2/3, and the context is
    # 1/3·(0, 3) + 2/3·(1, 0) = (2/3, 1).
    query = np.array([[[np.log(2), 0]]], "float32")
    values = np.array([[[0, 3], [1, 0], [2, 5]]], "float32")
    context, weights = Attention("dot")(query, Encoded(values, np.array([[True, True, False]])))
    np.testing.assert_allclose(array(weights), [[[1 / 3, 2 / 3, 0]]], rtol=1e-6)
    np.testing.assert_allclose(array(context), [[[2 / 3, 1]]], rtol=1e-6)


@pytest.mark.parametrize("width", [1, 4, 9])
def test_scaled_dot_is_dot_over_the_root_of_the_width(width):
    rng = np.random.default_rng(0)
    query, values = rng.normal(size=(2, 3, width)), rng.normal(size=(2, 5, width))
    plain = scores_of(DotScore(dtype="float64"), query, values)
    scaled = scores_of(ScaledDotScore(dtype="float64"), query, values)
    np.testing.assert_allclose(scaled * np.sqrt(width), plain, rtol=1e-13)


def test_scaled_general_begins_as_general():
    rng = np.random.default_rng(0)
    query, values = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 6))
    general, scaled = GeneralScore(dtype="float64"), ScaledGeneralScore(dtype="float64")
    for score in (general, scaled):
        score.build(query.shape, values.shape)
    kernel = rng.normal(size=(6, 4))
    general.set_weights([kernel])
    scaled.kernel.assign(kernel)
    np.testing.assert_array_equal(
        scores_of(scaled, query, values), scores_of(general, query, values)
    )


@pytest.mark.parametrize("units", [1, 4, 9])
def test_normalized_concat_begins_with_a_vector_of_length_one_over_root_units(units):
    score = NormalizedConcatScore(units)
    score.build((None, None, 3), (None, None, 5))
    assert float(array(score.gain.value)) == pytest.approx(units**-0.5)
    assert (array(score.bias.value) == 0).all()
    # Scaling the vector changes nothing: its length is the gain.
    query, values = np.ones((1, 1, 3), "float32"), np.ones((1, 2, 5), "float32")
    before = scores_of(score, query, values)
    score.vector.assign(7.0 * array(score.vector.value))
    np.testing.assert_allclose(scores_of(score, query, values), before, rtol=1e-5)


def test_weights_have_the_shapes_the_docstrings_give():
    expected = {
        "dot": {},
        "scaled_dot": {},
        "general": {"kernel": (6, 3)},
        "scaled_general": {"kernel": (6, 3), "gain": ()},
        "concat": {"query_kernel": (3, 3), "values_kernel": (6, 3), "vector": (3, 1)},
    }
    for name, shapes in expected.items():
        score = SCORES[name]()
        score.build((None, None, 3), (None, None, 6 if shapes else 3))
        assert {w.name: tuple(w.shape) for w in score.weights} == shapes


def test_concat_projects_both_sides_to_its_units():
    score = ConcatScore(units=7)
    score.build((None, None, 3), (None, None, 6))
    shapes = {w.name: tuple(w.shape) for w in score.weights}
    assert shapes == {"query_kernel": (3, 7), "values_kernel": (6, 7), "vector": (7, 1)}


@each_score
def test_queries_see_nothing_of_later_ones(score):
    """All queries at once, as in training, or one at a time, as in search: the same."""
    mechanism = random_attention(score)
    query, values, mask = sample(score, targets=4)
    _, weights = mechanism(query, Encoded(values, mask))
    changed = np.concatenate([query[:, :2], query[:, 2:] + 1], axis=1)
    _, others = mechanism(changed, Encoded(values, mask))
    np.testing.assert_allclose(array(others)[:, :2], array(weights)[:, :2], rtol=0, atol=1e-12)
    assert np.abs(array(others)[:4, 2:] - array(weights)[:4, 2:]).max() > 1e-3


@pytest.mark.parametrize("score", [DotScore, ScaledDotScore])
def test_dot_with_unequal_widths_says_what_to_do(score):
    with pytest.raises(ValueError, match="decoder units 4 and memory width 8") as caught:
        Attention(score()).build((None, None, 4), (None, None, 8))
    assert "score='general'" in str(caught.value)


@pytest.mark.parametrize("kind", [name for name, k in SCORES.items() if issubclass(k, ConcatScore)])
@pytest.mark.parametrize("units", [0, -2, 1.5, True, "8"])
def test_units_must_be_a_positive_integer(kind, units):
    expected = f"`units` must be a positive integer or None; got units={units!r}"
    with pytest.raises(ValueError, match=expected):
        SCORES[kind](units)


@each_score
def test_scores_round_trip_alone(score):
    made_alone = SCORES[score](name="score", dtype="mixed_float16")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made_alone))
    assert again.get_config() == made_alone.get_config()


def test_units_default_to_the_width_of_the_query():
    mechanism = with_random_weights(Attention(ConcatScore(dtype="float64"), dtype="float64"), 4, 4)
    assert mechanism.score.vector.shape[0] == 4
    check_oracle(mechanism, *sample("dot"))
