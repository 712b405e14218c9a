"""Sums and gradients of output layer and loss over real tokens are those of the whole logits."""

import doctest
from itertools import product

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.decoder.output import columns
from keras_s2s.optimization import projection
from keras_s2s.optimization.candidate_sampling import Candidates
from keras_s2s.optimization.losses import token_cross_entropy
from keras_s2s.optimization.projection import projected_sums, sampled_sums
from oracles import reference
from support.backends import gradients, tensorflow_only

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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_agreement_adds_the_divergences_of_the_halves(smoothing):
    """Both ways, by the formula of the paper and autodiff."""
    hidden = np.concatenate([HIDDEN, RNG.normal(size=HIDDEN.shape).astype("float32")])
    labels, weights = np.concatenate([LABELS, LABELS]), np.concatenate([WEIGHTS, WEIGHTS])

    def ours(*arrays):
        return projected_sums(*arrays, labels, weights, smoothing, 3.0).objective

    def formula(hidden, kernel, bias):
        logits = ops.matmul(hidden, kernel) + bias
        entropy, _ = token_cross_entropy(labels, logits, weights, 0, smoothing)
        p, q = ops.split(ops.log_softmax(logits), 2)
        there = ops.sum(ops.exp(p) * (p - q), axis=-1)
        back = ops.sum(ops.exp(q) * (q - p), axis=-1)
        return ops.sum(entropy * weights) + 3.0 / 2 * ops.sum((there + back) * WEIGHTS)

    arrays = [hidden, KERNEL, BIAS]
    value, found, _ = gradients(ours, arrays)
    expected, wanted, _ = gradients(formula, arrays)
    assert value == pytest.approx(expected, rel=1e-6)
    assert value > float(projected_sums(*arrays, labels, weights, smoothing).objective) + 1
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


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


# Sampled softmax. Label 3 is a candidate too, 6 and 2 are not, 1 and 5 are; 0 is padding's.

CANDIDATES = Candidates(np.array([0, 1, 3, 5]), np.log(RNG.uniform(0.1, 1, 7)).astype("float32"))


def sampled(hidden, kernel, bias, labels=LABELS, weights=WEIGHTS, candidates=CANDIDATES):
    def output(ids):
        return columns(kernel, ids), None if bias is None else ops.take(bias, ids)

    return sampled_sums(hidden, output, labels, weights, candidates)


@pytest.mark.parametrize("with_bias", [True, False])
def test_sampled_loss_is_the_numpy_formula_with_the_same_candidates(with_bias):
    sums = sampled(HIDDEN, KERNEL, BIAS if with_bias else None)
    logits = HIDDEN @ KERNEL + (BIAS if with_bias else 0)
    expected = reference.sampled_cross_entropy(LABELS, logits, *CANDIDATES, WEIGHTS)
    assert float(sums.objective) == pytest.approx(expected, rel=1e-5)
    assert float(sums.count) == WEIGHTS.sum()
    assert (sums.entropy, sums.hits) == (None, None)


def test_sampled_gradients_are_those_of_finite_differences():
    _, found, _ = gradients(lambda *a: sampled(*a).objective, [HIDDEN, KERNEL, BIAS])

    def objective(hidden, kernel, bias):
        logits = hidden @ kernel + bias
        return reference.sampled_cross_entropy(LABELS, logits, *CANDIDATES, WEIGHTS)

    arrays = [x.astype("float64") for x in (HIDDEN, KERNEL, BIAS)]
    for i, gradient in enumerate(found):
        expected = reference.numeric_gradient(
            lambda x, i=i: objective(*arrays[:i], x, *arrays[i + 1 :]), arrays[i]
        )
        # Float32 sums beside differences of float64.
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)


def test_with_all_ids_sampled_loss_and_gradients_are_those_of_the_whole_softmax():
    all_ids = Candidates(np.arange(7), np.zeros(7, "float32"))
    arrays = [HIDDEN, KERNEL, BIAS]
    value, found, _ = gradients(lambda *a: sampled(*a, candidates=all_ids).objective, arrays)
    expected, wanted, _ = gradients(lambda *a: whole(*a, 0.0), arrays)
    assert value == pytest.approx(expected, rel=1e-6)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_gradient_is_zero_outside_candidates_and_labels():
    labels = np.where(LABELS == 6, 4, LABELS)  # 6 is neither; 2 and 4 are labels alone
    _, (_, d_kernel, d_bias), _ = gradients(
        lambda *a: sampled(*a, labels=labels).objective, [HIDDEN, KERNEL, BIAS]
    )
    touched = np.array([True, True, True, True, True, True, False])
    assert (np.abs(d_kernel).max(axis=0) > 0).tolist() == touched.tolist()
    assert ((d_bias != 0) == touched).all()


def test_padding_and_what_other_rows_are_do_not_change_the_sampled_loss():
    one = sum(
        float(sampled(HIDDEN[i : i + 1], KERNEL, BIAS, LABELS[[i]], WEIGHTS[[i]]).objective)
        for i in range(3)
    )
    more = ((0, 1), (0, 2))
    hidden = np.pad(HIDDEN, (*more, (0, 0)), constant_values=9)
    arrays = np.pad(LABELS, more, constant_values=3), np.pad(WEIGHTS, more)
    assert float(sampled(hidden, KERNEL, BIAS, *arrays).objective) == pytest.approx(one, rel=1e-6)


def test_true_probabilities_have_no_sampled_gradient_in_the_mean():
    """Over all subsets of four ids, each drawn by a chance of its own, and over all labels."""
    truth = np.array([0.5, 0.3, 0.15, 0.05])
    chance = np.array([0.9, 0.2, 0.5, 0.4])
    labels = np.arange(4)[None]
    log_expected = np.log(chance).astype("float32")
    total, size = np.zeros(4), 0.0
    for drawn in product([False, True], repeat=4):
        weight = np.prod(np.where(drawn, chance, 1 - chance))
        candidates = Candidates(np.flatnonzero(drawn).astype("int32"), log_expected)

        def objective(bias, candidates=candidates):
            weights = truth[None].astype("float32")
            hidden, kernel = np.zeros((1, 4, 2), "float32"), np.zeros((2, 4), "float32")
            return sampled(hidden, kernel, bias, labels, weights, candidates).objective

        _, (gradient,), _ = gradients(objective, [np.log(truth).astype("float32")])
        total += weight * gradient
        size += weight * np.abs(gradient).sum()
    np.testing.assert_allclose(total, 0, atol=1e-6)
    assert size > 0.1


def test_improbable_labels_have_their_sampled_cost_and_gradient():
    candidates = Candidates(np.array([0]), np.zeros(2, "float32"))

    def objective(hidden, kernel):
        return sampled(hidden, kernel, None, [[1]], [[1.0]], candidates).objective

    arrays = [np.ones((1, 1, 1), "float32"), np.array([[0.0, -200.0]], "float32")]
    value, (_, d_kernel), _ = gradients(objective, arrays)
    assert value == 200
    np.testing.assert_allclose(d_kernel, [[1, -1]])


def test_no_real_token_has_no_sampled_loss():
    def objective(*arrays):
        return sampled(*arrays, weights=np.zeros_like(WEIGHTS)).objective

    value, found, _ = gradients(objective, [HIDDEN, KERNEL, BIAS])
    assert value == 0
    assert all((gradient == 0).all() for gradient in found)


def test_sampled_logits_are_float32_whatever_the_products_are_in():
    kernel, hidden = (keras.ops.cast(x, "bfloat16") for x in (KERNEL, HIDDEN))
    sums = sampled(hidden, kernel, None)
    rounded = [np.array(keras.ops.cast(x, "float32")) for x in (hidden, kernel)]
    expected = reference.sampled_cross_entropy(LABELS, np.matmul(*rounded), *CANDIDATES, WEIGHTS)
    assert sums.objective.dtype == "float32"
    # bfloat16 has 8 bits of mantissa.
    assert float(sums.objective) == pytest.approx(expected, rel=1e-2)


def test_example_in_the_documentation():
    assert doctest.testmod(projection).attempted > 0
    assert doctest.testmod(projection).failed == 0
