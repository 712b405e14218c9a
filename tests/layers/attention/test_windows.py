"""Tests of local attention: where the window lies, what is inside it, and its Gaussian."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_s2s.layers.attention import (
    Attention,
    Encoded,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
)
from support.attention_cases import (
    array,
    check_gradients,
    check_oracle,
    random_attention,
    sample,
    with_random_weights,
)

pytestmark = pytest.mark.backend_neutral

WINDOWS = [LocalMonotonicWindow, LocalPredictiveWindow]
each_window = pytest.mark.parametrize("kind", WINDOWS)


def local(kind, radius):
    return with_random_weights(
        Attention("dot", window=kind(radius, dtype="float64"), dtype="float64")
    )


@each_window
@pytest.mark.parametrize("radius", [1, 2, 9])
def test_is_the_oracle(kind, radius):
    check_oracle(local(kind, radius), *sample(targets=7))


def test_local_m_counts_real_tokens_by_hand():
    # Scores are equal. Real tokens lie at 1, 3 and 4; D = 1 sees the first two, all, the last two,
    # the last, none.
    values, mask = np.ones((1, 5, 4)), np.array([[False, True, False, True, True]])
    _, weights = local(LocalMonotonicWindow, 1)(np.ones((1, 5, 4)), Encoded(values, mask))
    a, b = 1 / 2, 1 / 3
    expected = [[0, a, 0, a, 0], [0, b, 0, b, b], [0, 0, 0, a, a], [0, 0, 0, 0, 1], [0] * 5]
    np.testing.assert_allclose(array(weights)[0], expected, rtol=0, atol=1e-12)


def test_after_the_source_context_and_gradients_are_zero():
    mechanism = local(LocalMonotonicWindow, 1)
    query, values, mask = sample(targets=8)
    (d_query, _), _ = check_gradients(mechanism, query, values, mask)
    context, weights = mechanism(query, Encoded(values, mask))
    assert (array(weights)[:, 6:] == 0).all()
    assert (array(context)[:, 6:] == 0).all()
    assert (d_query[:, 6:] == 0).all()


def test_a_wide_local_m_is_global_attention():
    query, values, mask = sample()
    wide = local(LocalMonotonicWindow, 9)(query, Encoded(values, mask))
    for ours, plain in zip(wide, random_attention()(query, Encoded(values, mask)), strict=True):
        np.testing.assert_allclose(array(ours), array(plain), rtol=0, atol=1e-12)


def test_a_wide_local_p_is_global_attention():
    """Divided by so wide a Gaussian, a distance is nothing."""
    query, values, mask = sample()
    wide = local(LocalPredictiveWindow, 10**8)(query, Encoded(values, mask))
    for ours, plain in zip(wide, random_attention()(query, Encoded(values, mask)), strict=True):
        np.testing.assert_allclose(array(ours), array(plain), rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    query=hnp.arrays("float64", (1, 3, 4), elements=st.floats(-30, 30, width=16)),
    mask=hnp.arrays(bool, (1, 5)).filter(np.any),
    radius=st.integers(1, 3),
)
def test_local_p_always_has_a_token_inside_and_a_factor_of_at_most_one(query, mask, radius):
    window = LocalPredictiveWindow(radius, units=3, dtype="float64")
    window.build((None, None, 4), (None, None, 4))
    rng = np.random.default_rng(0)
    window.set_weights([rng.normal(0, 3, w.shape) for w in window.weights])
    inside, factor = map(array, window(ops.convert_to_tensor(query), mask[:, None]))
    real = inside & mask[:, None]
    assert real.any(-1).all()
    assert (factor[~inside] == 0).all()
    # At the window's edge, two deviations away: exp(−2).
    assert factor[inside].min() >= np.exp(-2) - 1e-12
    assert factor.max() <= 1


def test_local_p_by_hand():
    # v = 0 makes the centre 4·½ = 2 of the four real tokens at 0, 1, 3 and 4: D = 1 sees the tokens
    # 1, 2 and 3, of equal scores, 1, 0 and 1 away: ⅓·exp(−2·1) and ⅓.
    window = LocalPredictiveWindow(1, units=2, dtype="float64")
    mechanism = Attention("dot", window=window, dtype="float64")
    mechanism.build((None, None, 4), (None, None, 4))
    mechanism.set_weights([np.ones((4, 2)), np.zeros((2, 1))])
    mask = np.array([[True, True, False, True, True]])
    _, weights = mechanism(np.ones((1, 1, 4)), Encoded(np.ones((1, 5, 4)), mask))
    edge, centre = np.exp(-2) / 3, 1 / 3
    np.testing.assert_allclose(array(weights)[0, 0], [0, edge, 0, centre, edge], rtol=0, atol=1e-12)


def test_local_p_is_in_float32_whatever_the_policy():
    """Sixteen bits cannot tell position 3001 from its neighbour."""
    length = 4000
    window = LocalPredictiveWindow(1, units=1, dtype="mixed_float16")
    window.build((None, None, 1), (None, None, 1))
    window.set_weights([np.full((1, 1), 20.0), np.full((1, 1), 1.0986)])  # σ(ln 3) = ¾
    query, mask = ops.ones((1, 1, 1), "float16"), np.ones((1, 1, length), bool)
    inside, factor = window(query, mask)
    assert keras.backend.standardize_dtype(factor.dtype) == "float32"
    centre = length / (1 + np.exp(-float(np.float16(1.0986))))
    distance = np.abs(np.arange(length) - centre)
    np.testing.assert_array_equal(array(inside)[0, 0], distance <= 1)
    np.testing.assert_allclose(
        array(factor)[0, 0], np.where(distance <= 1, np.exp(-2 * distance**2), 0), atol=5e-3
    )


def test_units_default_to_the_width_of_the_query():
    kernels = [tuple(w.shape) for w in local(LocalPredictiveWindow, 1).window.weights]
    assert kernels == [(4, 4), (4, 1)]


@each_window
@pytest.mark.parametrize("radius", [0, -1, 1.5, True, None, "2"])
def test_radius_must_be_a_positive_integer(kind, radius):
    expected = f"`radius` must be a positive integer; got radius={radius!r}"
    with pytest.raises(ValueError, match=expected):
        kind(radius)


@pytest.mark.parametrize("units", [0, -1, 1.5, True, "2"])
def test_units_must_be_a_positive_integer(units):
    expected = f"`units` must be a positive integer or None; got units={units!r}"
    with pytest.raises(ValueError, match=expected):
        LocalPredictiveWindow(1, units)


def test_options_round_trip():
    config = keras.saving.serialize_keras_object(LocalPredictiveWindow(3, units=5))
    again = keras.saving.deserialize_keras_object(config)
    assert (again.radius, again.units) == (3, 5)
