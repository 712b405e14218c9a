"""Coverage is the sum of past attention weights, divided by each token's fertility."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import Attention, CoverageScore, Encoded
from support.attention_cases import (
    array,
    check_gradients,
    check_oracle,
    sample,
    stepped,
    with_random_weights,
)

pytestmark = pytest.mark.backend_neutral

each_fertility = pytest.mark.parametrize("fertility", [None, 0.5, 3])


def random_attention(**options):
    return with_random_weights(
        Attention(CoverageScore(3, dtype="float64", **options), dtype="float64"), 4, 5
    )


@each_fertility
def test_is_the_oracle(fertility):
    check_oracle(random_attention(fertility=fertility), *sample("coverage", targets=5))


@each_fertility
def test_gradient_is_the_finite_difference(fertility):
    _, by_weights = check_gradients(
        random_attention(fertility=fertility), *sample("coverage", targets=4)
    )
    assert min(np.abs(gradient).max() for gradient in by_weights) > 1e-5


def test_the_state_is_the_sum_of_the_weights_before():
    query, values, mask = sample("coverage", targets=4)
    mechanism = random_attention()
    memory = mechanism.memory(Encoded(values, mask))
    state = mechanism.initial_state(memory)
    assert (array(state[0][0]) == 0).all()
    _, weights, state = stepped(mechanism, query, memory, state)
    np.testing.assert_allclose(array(state[0][0]), weights.sum(1), rtol=0, atol=1e-12)


def test_what_is_covered_counts_less_with_a_negative_vector():
    """Equal queries: without coverage the second step would be the first one again."""
    mechanism = random_attention()
    # The hidden sum begins at zero, where tanh rises, so covered tokens lose score.
    mechanism.score.query_kernel.assign(np.zeros((4, 3)))
    mechanism.score.values_kernel.assign(np.eye(5)[:, :3])
    mechanism.score.vector.assign(np.full((3, 1), 1.0))
    mechanism.score.coverage_vector.assign(np.full(3, -2.0))
    values = np.zeros((1, 3, 5))
    values[0, 0, :3] = 0.5  # the first token is liked best
    _, weights = mechanism(np.ones((1, 2, 4)), Encoded(values, np.ones((1, 3), bool)))
    weights = array(weights)[0]
    assert weights[0].argmax() == 0
    assert weights[1, 0] < weights[0, 0]
    assert (weights[1, 1:] > weights[0, 1:]).all()


def test_a_token_worth_twice_as_much_is_covered_half_as_fast():
    # σ(0) = ½ makes Φ = N/2.
    weights = ops.convert_to_tensor(np.array([[[0.25, 0.75]]]))
    for fertility, expected in ((2, [0.25, 0.75]), (4, [0.125, 0.375])):
        score = CoverageScore(1, fertility, dtype="float64")
        score.build((1, 1, 2), (1, 2, 2))
        keys = score.keys(ops.zeros((1, 2, 2), "float64"))
        (covered,) = score.advance((ops.zeros((1, 1, 2), "float64"),), weights, keys)
        np.testing.assert_allclose(array(covered)[0, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fertility", [0, -1.0, "2", True, float("nan"), float("inf")])
def test_fertility_must_be_a_finite_number_above_zero(fertility):
    expected = f"`fertility` must be a finite number above 0 or None; got fertility={fertility!r}"
    with pytest.raises(ValueError, match=expected):
        CoverageScore(fertility=fertility)


def test_options_round_trip():
    options = {"units": 5, "fertility": 1.5}
    config = keras.saving.serialize_keras_object(CoverageScore(**options))
    again = keras.saving.deserialize_keras_object(config).get_config()
    assert {name: again[name] for name in options} == options
