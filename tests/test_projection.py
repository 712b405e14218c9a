"""Output layer and loss over real tokens: sums and gradients are those of the whole logits."""

import doctest

import numpy as np
import pytest
from backends import gradients, tensorflow_only
from keras import ops

from keras_s2s import projection
from keras_s2s.losses import token_cross_entropy
from keras_s2s.projection import projected_sums

pytestmark = tensorflow_only

RNG = np.random.default_rng(3)
HIDDEN = RNG.normal(size=(3, 4, 5)).astype("float32")
KERNEL = RNG.normal(size=(5, 7)).astype("float32")
BIAS = RNG.normal(size=7).astype("float32")
LABELS = np.array([[3, 1, 6, 2], [4, 4, 0, 0], [5, 0, 0, 0]])
WEIGHTS = np.array([[1, 0.5, 1, 2], [1, 1, 0, 0], [0, 0, 0, 0]], "float32")


def whole(hidden, kernel, bias, smoothing):
    """Objective of the logits of all positions, by autodiff."""
    logits = ops.matmul(hidden, kernel) + bias
    entropy, weights = token_cross_entropy(LABELS, logits, WEIGHTS, 0, smoothing)
    return ops.sum(entropy * weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sums_and_gradients_are_those_of_all_logits(smoothing):
    def by_tokens(*arrays):
        return projected_sums(*arrays, LABELS, WEIGHTS, smoothing).objective

    arrays = [HIDDEN, KERNEL, BIAS]
    value, found, _ = gradients(by_tokens, arrays)
    expected, wanted, _ = gradients(lambda *a: whole(*a, smoothing), arrays)
    assert value == pytest.approx(expected, rel=1e-6)
    for ours, theirs in zip(found, wanted, strict=True):
        # Float32 sums of seven tokens in another order.
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.abs(found[0][:2]).max() > 0.01
    sums = projected_sums(*arrays, LABELS, WEIGHTS, smoothing)
    logits = HIDDEN @ KERNEL + BIAS
    assert float(sums.count) == WEIGHTS.sum()
    assert float(sums.hits) == ((logits.argmax(-1) == LABELS) * WEIGHTS).sum()
    assert float(sums.entropy) == pytest.approx(float(whole(*arrays, 0.0)), rel=1e-6)


def test_gradient_is_scaled_by_what_comes_from_above():
    def scaled(*arrays):
        return 3 * projected_sums(*arrays, LABELS, WEIGHTS).objective

    _, found, _ = gradients(scaled, [HIDDEN, KERNEL, BIAS])
    _, wanted, _ = gradients(lambda *a: 3 * whole(*a, 0.0), [HIDDEN, KERNEL, BIAS])
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_improbable_labels_have_their_cost_and_gradient():
    """Probability e^-200 is zero in float32; its cost is 200 and its gradient one."""
    hidden, kernel = np.ones((1, 1, 1), "float32"), np.array([[0.0, -200.0]], "float32")

    def objective(hidden, kernel):
        return projected_sums(hidden, kernel, None, [[1]], [[1.0]]).objective

    value, (_, d_kernel), _ = gradients(objective, [hidden, kernel])
    assert value == 200
    np.testing.assert_allclose(d_kernel, [[1, -1]])


def test_of_equal_logits_the_first_is_the_hit():
    """As argmax has it, which the metrics of whole logits take."""
    hidden, kernel = np.ones((1, 2, 1), "float32"), np.array([[1.0, 3.0, 3.0]], "float32")
    sums = projected_sums(hidden, kernel, None, np.array([[1, 2]]), np.ones((1, 2), "float32"))
    assert float(sums.hits) == 1


def test_no_real_token_is_zero_with_zero_gradients():
    def objective(*arrays):
        return projected_sums(*arrays, LABELS, np.zeros_like(WEIGHTS)).objective

    value, found, _ = gradients(objective, [HIDDEN, KERNEL, BIAS])
    assert value == 0
    assert all((gradient == 0).all() for gradient in found)


def test_example_in_the_documentation():
    assert doctest.testmod(projection).attempted > 0
    assert doctest.testmod(projection).failed == 0
