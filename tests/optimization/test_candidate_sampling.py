"""Sampled ids are distinct, depend on the seed alone, and have the expected counts."""

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.optimization.candidate_sampling import DISTRIBUTIONS, draw_candidates, proposal
from support.backends import tensorflow_only

pytestmark = tensorflow_only


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_probabilities_sum_to_one_and_do_not_rise(name):
    probabilities = proposal(name, 1000)
    assert probabilities.sum() == pytest.approx(1, rel=1e-12)
    assert (np.diff(probabilities) <= 0).all()
    assert (np.diff(probabilities) < 0).all() == (name == "log_uniform")


def test_log_uniform_gives_equal_shares_to_each_doubling():
    """log((v + 2)/(v + 1)) telescopes: ids 0, 1 to 2, 3 to 6, … have log 2 / log(V + 1) each."""
    probabilities = proposal("log_uniform", 2**10 - 1)
    edges = 2 ** np.arange(10) - 1
    np.testing.assert_allclose(np.add.reduceat(probabilities, edges), 0.1, rtol=1e-12)


def draws(probabilities, count, number):
    """Ids `(number, count)` and expected counts `(number, V)` of as many seeds."""
    draw = tf.function(lambda seed: draw_candidates(probabilities, count, seed))
    found = [draw(tf.constant([7, step])) for step in range(number)]
    return np.array([d.ids for d in found]), np.exp([d.log_expected for d in found])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_ids_are_distinct_ascending_and_decided_by_the_seed(name):
    probabilities = proposal(name, 50)
    ids, expected = draws(probabilities, 20, 10)
    assert (np.diff(ids, axis=1) > 0).all()
    assert ids.min() >= 0
    assert ids.max() < 50
    assert len({tuple(row) for row in ids}) == 10
    again, expected_again = draws(probabilities, 20, 10)
    np.testing.assert_array_equal(ids, again)
    np.testing.assert_array_equal(expected, expected_again)
    assert set(draw_candidates(probabilities, 20, [8, 0]).ids.numpy()) != set(ids[0])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_sums_over_the_vocabulary_are_estimated_without_bias(name):
    """Σ f(v)/expected[v] over the candidates is Σ f(v) in the mean, for each f: for every id."""
    ids, expected = draws(proposal(name, 12), 4, 4000)
    hits = np.zeros_like(expected)
    np.put_along_axis(hits, ids, 1, axis=1)
    estimates = hits / expected
    errors = (estimates.mean(0) - 1) / (estimates.std(0) / np.sqrt(len(ids)))
    # Twelve normal variables of deviation 1: one beyond 4.5 has a chance of 8e-5.
    assert np.abs(errors).max() < 4.5
    assert estimates.std(0).min() > 0.1


def test_small_ids_are_drawn_as_often_as_is_said():
    ids, expected = draws(proposal("log_uniform", 100), 10, 2000)
    drawn = np.bincount(ids.ravel(), minlength=100) / len(ids)
    # 2,000 draws of chance p deviate by at most 0.011 from p: four and a half times that.
    np.testing.assert_allclose(drawn, expected.mean(0), rtol=0, atol=0.05)
    assert drawn[0] > 10 * drawn[50:].mean()


def test_all_ids_are_expected_once():
    found = draw_candidates(proposal("log_uniform", 9), 9, [1, 2])
    np.testing.assert_array_equal(found.ids, np.arange(9))
    np.testing.assert_array_equal(found.log_expected, np.zeros(9))
