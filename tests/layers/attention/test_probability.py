"""Softmax, hardmax and sparsemax follow their definitions, with ties, extremes and no tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_s2s.layers.attention import PROBABILITIES, Hardmax, Softmax, Sparsemax, masked_softmax
from oracles import attention_reference
from support.attention_cases import array
from support.backends import gradients, product_sum

pytestmark = pytest.mark.backend_neutral

NAMES = [name for name, kind in PROBABILITIES.items() if not kind.follows_alignment]
each_function = pytest.mark.parametrize("name", NAMES)
# One shape, so that a compiling backend compiles once.
ROWS = hnp.arrays("float64", (1, 4, 5), elements=st.floats(-4, 4, width=16))
MASKS = hnp.arrays(bool, (1, 4, 5))
FEW = settings(max_examples=40, deadline=None)


def weights_of(name, scores, mask=None):
    mask = np.ones((1, 1, scores.shape[-1]), bool) if mask is None else mask
    return array(PROBABILITIES[name](dtype="float64")(ops.convert_to_tensor(scores), mask))


@each_function
@FEW
@given(scores=ROWS, mask=MASKS)
def test_is_the_oracle_on_any_scores_and_mask(name, scores, mask):
    found = weights_of(name, scores, mask)
    oracle = attention_reference.PROBABILITIES[PROBABILITIES[name].__name__]
    for t in range(4):
        expected = oracle({}, {}, scores[0, t], mask[0, t], None)
        np.testing.assert_allclose(found[0, t], expected, rtol=0, atol=1e-12)


@each_function
@FEW
@given(scores=ROWS, mask=MASKS, shift=st.floats(-8, 8, width=16))
def test_sums_to_one_and_a_shift_of_the_scores_changes_nothing(name, scores, mask, shift):
    weights = weights_of(name, scores, mask)
    real = mask.any(-1)
    np.testing.assert_allclose(weights.sum(-1)[real], 1, rtol=0, atol=1e-12)
    assert (weights[~mask] == 0).all()
    assert weights.min() >= 0
    np.testing.assert_allclose(weights_of(name, scores + shift, mask), weights, rtol=0, atol=1e-12)


@FEW
@given(scores=ROWS, other=hnp.arrays("float64", (1, 4, 5), elements=st.floats(0, 1, width=16)))
def test_sparsemax_is_the_nearest_point_of_the_simplex(scores, other):
    """Of a projection p of z on a convex set, (z − p)·(q − p) ≤ 0 for every q of the set."""
    other = (other + 1e-6) / (other + 1e-6).sum(-1, keepdims=True)
    nearest = weights_of("sparsemax", scores)
    assert ((scores - nearest) * (other - nearest)).sum(-1).max() <= 1e-9


@FEW
@given(scores=ROWS)
def test_sparsemax_leaves_a_point_of_the_simplex_where_it_is(scores):
    point = weights_of("softmax", scores)
    np.testing.assert_allclose(weights_of("sparsemax", point), point, rtol=0, atol=1e-12)


def test_sparsemax_is_exactly_zero_from_one_below_the_highest():
    weights = weights_of("sparsemax", np.array([[[0.0, -1.0, -0.5, -40.0]]]))
    # Support {0, 2}: τ = (0 − 0.5 − 1) / 2 = −0.75.
    assert weights.tolist() == [[[0.75, 0.0, 0.25, 0.0]]]


def test_sparsemax_gradient_is_the_centred_upstream_on_the_support():
    # Support {0, 2}: upstream 1 and 5 less their mean 3; the others get nothing.
    upstream = np.array([[[1.0, 2.0, 5.0, 7.0]]])

    def loss(scores):
        weights = Sparsemax(dtype="float64")(scores, np.ones((1, 1, 4), bool))
        return product_sum(weights, upstream)

    _, (gradient,), _ = gradients(loss, [np.array([[[0.0, -1.5, -0.5, -40.0]]])])
    np.testing.assert_allclose(gradient, [[[-2, 0, 2, 0]]], rtol=0, atol=1e-12)


def test_of_equal_scores_hardmax_takes_the_first_real_one():
    scores = np.array([[[2.0, 2.0, 2.0, 1.0]], [[2.0, 2.0, 2.0, 1.0]]])
    mask = np.array([[[1, 1, 1, 1]], [[0, 1, 1, 1]]], bool)
    assert weights_of("hardmax", scores, mask).tolist() == [[[1, 0, 0, 0]], [[0, 1, 0, 0]]]


@pytest.mark.parametrize(
    ("kind", "even"), [(Softmax, [0.5, 0.5]), (Hardmax, [1, 0]), (Sparsemax, [0.5, 0.5])]
)
def test_survives_extreme_scores(kind, even):
    scores = np.array([[[3e38, -3e38, 0, 5]], [[-3e38, -3e38, 0, 5]]], "float32")
    mask = np.array([[[1, 1, 0, 0]], [[1, 1, 0, 0]]], bool)

    def loss(scores):
        return ops.sum(kind()(scores, mask) * ops.arange(4, dtype="float32"))

    weights = array(kind()(ops.convert_to_tensor(scores), mask))
    assert weights.tolist() == [[[1, 0, 0, 0]], [[*even, 0, 0]]]
    _, (gradient,), _ = gradients(loss, [scores])
    assert np.isfinite(gradient).all()


@each_function
def test_a_source_without_positions_gives_no_weights(name):
    assert weights_of(name, np.zeros((2, 3, 0)), np.ones((2, 1, 0), bool)).shape == (2, 3, 0)


@each_function
def test_nothing_real_gives_zeros(name):
    weights = weights_of(name, np.array([[[1.0, 2.0, 3.0]]]), np.zeros((1, 1, 3), bool))
    assert weights.tolist() == [[[0, 0, 0]]]


def test_masked_softmax_is_the_softmax_layer():
    scores, mask = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[True, True, False]]])
    np.testing.assert_array_equal(
        array(masked_softmax(ops.convert_to_tensor(scores), mask)),
        weights_of("softmax", scores, mask),
    )


@each_function
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scores_in_float32_stay_so_whatever_the_policy(name, policy):
    # 2 ** -13 below the first: less than half precision can tell.
    scores = np.array([[[1.0, 1.0 - 2.0**-13, 0.0]]], "float32")
    mask = np.ones((1, 1, 3), bool)
    mixed = array(PROBABILITIES[name](dtype=policy)(ops.convert_to_tensor(scores), mask))
    whole = array(PROBABILITIES[name]()(ops.convert_to_tensor(scores), mask))
    np.testing.assert_array_equal(mixed, whole)
    assert mixed[0, 0, 0] > mixed[0, 0, 1]
