"""Length penalties: the paper's numbers, and bounds that no hypothesis can pass."""

import json

import keras
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.penalties import GNMT

pytestmark = pytest.mark.backend_neutral

weights = st.floats(0, 5)
quick = settings(deadline=None, max_examples=50, derandomize=True)


@pytest.mark.parametrize(
    ("weight", "log_prob", "length", "expected"),
    [
        (1.0, -6.0, 1, -6.0),  # ((5 + 1) / 6)^1 = 1
        (1.0, -6.0, 7, -3.0),  # ((5 + 7) / 6)^1 = 2
        (2.0, -6.0, 7, -1.5),
        (0.5, -6.0, 19, -3.0),  # (24 / 6)^½ = 2
        (0.0, -6.0, 50, -6.0),
    ],
)
def test_is_the_formula_of_the_paper(weight, log_prob, length, expected):
    score = GNMT(weight)(np.float32([log_prob]), np.int32([length]))
    np.testing.assert_allclose(score, [expected], rtol=1e-6)
    assert reference.gnmt(log_prob, length, weight) == pytest.approx(expected)


@quick
@given(weights, st.floats(-100, 0), st.integers(1, 50), st.integers(0, 50), st.data())
def test_no_score_within_the_lengths_passes_the_bound(weight, log_prob, shortest, more, data):
    longest = shortest + more
    length = data.draw(st.integers(shortest, longest))
    falls_by = data.draw(st.floats(0, 10))
    penalty = GNMT(weight)
    bound = penalty.bound(np.float32([log_prob]), np.int32([shortest]), longest)
    score = penalty(np.float32([log_prob - falls_by]), np.int32([length]))
    # The same float32 operations at the ends of the range, so the bound needs no slack for rounding
    # beyond the one of `power`, which need not be monotone in its last bit.
    assert float(score[0]) <= float(bound[0]) + 1e-6 * abs(float(bound[0]))


@quick
@given(weights, st.floats(-100, -1e-3), st.integers(1, 50))
def test_longer_is_never_worse_at_the_same_log_probability(weight, log_prob, length):
    both = GNMT(weight)(np.float32([log_prob, log_prob]), np.int32([length, length + 1]))
    assert float(both[1]) >= float(both[0]) * (1 + 1e-6)


def test_round_trips_through_json():
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(GNMT(0.6))))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is GNMT
    assert again.get_config() == {"weight": 0.6}


@pytest.mark.parametrize("weight", [-0.1, 100, "1", None, True, float("nan")])
def test_weight_out_of_range_is_an_error(weight):
    with pytest.raises(ValueError, match="`weight` must be a number from 0 to below 100; got"):
        GNMT(weight)
