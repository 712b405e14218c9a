"""Tests of location-sensitive scores: where the filter lies, and which weights it reads."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import Attention, Encoded, LocationScore
from support.attention_cases import array, check_oracle, sample, with_random_weights

pytestmark = pytest.mark.backend_neutral


def random_attention(**options):
    return with_random_weights(
        Attention(LocationScore(3, dtype="float64", **options), dtype="float64"), 4, 5
    )


@pytest.mark.parametrize("cumulative", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_is_the_oracle(width, cumulative):
    """Even widths too, and those beyond the source."""
    mechanism = random_attention(filters=2, width=width, cumulative=cumulative)
    check_oracle(mechanism, *sample("location", targets=4))


def test_cumulative_differs_from_the_third_step_on():
    query, values, mask = sample("location", targets=4)
    last, every = (
        array(random_attention(filters=2, width=3, cumulative=c)(query, Encoded(values, mask))[1])
        for c in (False, True)
    )
    np.testing.assert_array_equal(last[:, :2], every[:, :2])
    assert np.abs(last - every)[:4, 2:].max(axis=-1).min() > 1e-6


@pytest.mark.parametrize(
    ("tap", "expected"), [(0, [0, 0, 8, 0]), (1, [0, 8, 0, 0]), (2, [8, 0, 0, 0])]
)
def test_a_filter_of_three_sees_left_middle_and_right(tap, expected):
    # tanh(ln 3) = 0.8, times w = 10, where the filter finds the weight that lies at token 1.
    score = LocationScore(units=1, filters=1, width=3, dtype="float64")
    score.build((1, 1, 1), (1, 4, 1))
    one = np.ones((1, 1))
    kernel = np.eye(3)[tap].reshape(3, 1, 1)
    score.set_weights([one, one, 10 * one, kernel, np.log(3) * one, np.zeros(1)])
    keys = score.keys(ops.zeros((1, 4, 1), "float64"))
    found = score(np.zeros((1, 1, 1)), keys, np.array([[[0.0, 1, 0, 0]]]))
    np.testing.assert_allclose(array(found)[0, 0], expected, rtol=0, atol=1e-12)


def test_the_first_step_knows_no_location():
    query, values, mask = sample("location", targets=1)
    mechanism = random_attention(filters=2, width=3)
    _, weights = mechanism(query, Encoded(values, mask))
    mechanism.score.filter_kernel.assign(np.ones((3, 1, 2)))
    np.testing.assert_array_equal(array(mechanism(query, Encoded(values, mask))[1]), array(weights))


def test_weights_have_the_shapes_of_their_options():
    shapes = {w.name: tuple(w.shape) for w in random_attention(filters=2, width=7).score.weights}
    assert shapes == {
        "query_kernel": (4, 3),
        "values_kernel": (5, 3),
        "vector": (3, 1),
        "filter_kernel": (7, 1, 2),
        "location_kernel": (2, 3),
        "bias": (3,),
    }


@pytest.mark.parametrize("name", ["filters", "width"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "3"])
def test_sizes_must_be_positive_integers(name, value):
    with pytest.raises(
        ValueError, match=f"`{name}` must be a positive integer; got {name}={value!r}"
    ):
        LocationScore(**{name: value})


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_cumulative_must_be_a_bool(value):
    with pytest.raises(
        TypeError, match=f"`cumulative` must be True or False; got cumulative={value!r}"
    ):
        LocationScore(cumulative=value)


def test_options_round_trip():
    options = {"units": 5, "filters": 4, "width": 9, "cumulative": True}
    config = keras.saving.serialize_keras_object(LocationScore(**options))
    again = keras.saving.deserialize_keras_object(config).get_config()
    assert {name: again[name] for name in options} == options
