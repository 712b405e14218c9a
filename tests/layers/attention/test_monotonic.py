"""Modes of monotonic attention agree, weight only moves forward, and only training has noise."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from keras_s2s.layers.attention import Attention, Encoded, LocalPredictiveWindow, Monotonic
from keras_s2s.layers.attention.monotonic import MODES
from support.attention_cases import (
    MASK,
    array,
    check_oracle,
    random_attention,
    sample,
    with_random_weights,
)

pytestmark = pytest.mark.backend_neutral

each_mode = pytest.mark.parametrize("mode", MODES)
# One shape, so that a compiling backend compiles once. Where (1 − p) over five positions falls
# below 1e-10, parallel mode is not exact by design.
ROWS = hnp.arrays("float64", (1, 3, 5), elements=st.floats(-4, 4, width=16))
MASKS = hnp.arrays(bool, (1, 5)).filter(np.any)
FEW = settings(max_examples=30, deadline=None)


def function(mode, bias=0.0, dtype="float64", **kwargs):
    made_alone = Monotonic(mode, bias=bias, dtype=dtype, **kwargs)
    made_alone.build()
    return made_alone


def steps(monotonic, scores, mask, noise=None):
    """All steps `(B, T, S)` of scores `(B, T, S)` and a mask `(B, S)`."""
    (state,) = monotonic.initial_state(ops.convert_to_tensor(mask), scores.dtype.name)
    state = state[:, None]
    found = []
    for t in range(scores.shape[1]):
        drawn = () if noise is None else (noise[:, t : t + 1],)
        weights = monotonic(
            ops.convert_to_tensor(scores[:, t : t + 1]), mask[:, None], state, *drawn
        )
        (state,) = monotonic.advance((state,), weights)
        found.append(array(weights))
    return np.concatenate(found, axis=1)


@FEW
@given(scores=ROWS, mask=MASKS)
def test_parallel_is_recursive(scores, mask):
    parallel = steps(function("parallel"), scores, mask)
    recursive = steps(function("recursive"), scores, mask)
    # The closed form divides by products down to 1e-9, which costs that much of 1e-16.
    np.testing.assert_allclose(parallel, recursive, rtol=0, atol=1e-6)


@each_mode
@FEW
@given(scores=ROWS, mask=MASKS)
def test_mass_never_goes_back_and_none_is_won(mode, scores, mask):
    """The share that has stopped at or before a position never grows from step to step."""
    weights = steps(function(mode), scores, mask)
    (start,) = function(mode).initial_state(ops.convert_to_tensor(mask), "float64")
    stopped = np.cumsum(np.concatenate([array(start)[:, None], weights], axis=1), axis=-1)
    assert (np.diff(stopped, axis=1) <= 1e-12).all()
    assert (weights[~np.broadcast_to(mask[:, None], weights.shape)] == 0).all()
    assert weights.min() >= 0


@FEW
@given(scores=ROWS, mask=MASKS)
def test_the_expected_modes_become_the_hard_one_where_scores_are_large(scores, mask):
    # σ(±40) is 0 or 1 to within 1e-17.
    large = np.where(scores > 0, 40.0, -40.0)
    hard = steps(function("hard"), large, mask)
    assert set(np.unique(hard)) <= {0.0, 1.0}
    np.testing.assert_allclose(steps(function("recursive"), large, mask), hard, rtol=0, atol=1e-12)


def test_hard_reads_on_from_where_it_stopped_by_hand():
    # Step 1 stops at 1, the first above 0. Step 2 stays: 1 is above 0 again, and 0 is behind it.
    # Step 3 goes to 3. Step 4 finds nothing from 3 on, and after it there is nothing.
    scores = np.array([[[-1, 2, 3, 1], [5, 1, 1, 1], [9, -1, -1, 1], [9, 9, 9, -1], [9, 9, 9, 9]]])
    weights = steps(function("hard"), scores.astype("float64"), np.ones((1, 4), bool))
    assert weights[0].tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0] * 4, [0] * 4]


@pytest.mark.parametrize("mode", ["recursive", "parallel"])
def test_two_steps_by_hand(mode):
    # p = ½ everywhere; the second position is padding, where nothing stops and mass passes through.
    weights = steps(function(mode), np.zeros((1, 2, 4)), np.array([[True, False, True, True]]))
    # 1: ½ at 0, ½·½ at 2, ½·½·½ at 3. 2: ½·½; ½·(¼ + ¼) = ¼; ½·(⅛ + ½·(¼ + ¼)) = 3/16.
    np.testing.assert_allclose(
        weights[0], [[1 / 2, 0, 1 / 4, 1 / 8], [1 / 4, 0, 1 / 4, 3 / 16]], rtol=0, atol=1e-12
    )


@each_mode
def test_begins_at_the_first_real_token(mode):
    (state,) = function(mode).initial_state(ops.convert_to_tensor(MASK), "float64")
    expected = [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0] * 5]
    assert array(state).tolist() == expected


@pytest.mark.parametrize("mode", ["recursive", "parallel"])
@pytest.mark.parametrize("size", [20.0, 200.0, 3e38])
def test_scores_however_large_stay_finite(mode, size):
    scores = (size * np.sign(np.random.default_rng(0).normal(size=(2, 3, 8)))).astype("float32")
    monotonic = function(mode, dtype="float32")
    mask = np.ones((2, 8), bool)
    mask[1, 5:] = False
    weights = steps(monotonic, scores, mask)
    assert np.isfinite(weights).all()
    assert weights.sum(-1).max() <= 1 + 1e-5


@each_mode
def test_the_bias_is_added_to_every_score(mode):
    scores = np.random.default_rng(0).normal(size=(1, 3, 5))
    mask = np.ones((1, 5), bool)
    np.testing.assert_allclose(
        steps(function(mode, bias=0.75), scores, mask),
        steps(function(mode), scores + 0.75, mask),
        rtol=0,
        atol=1e-12,
    )


def test_weights_of_one_mode_load_into_another():
    trained = random_attention("coverage", "monotonic_parallel")
    decoding = random_attention("coverage", "monotonic_hard")
    decoding.set_weights([w + 0.1 for w in trained.get_weights()])
    decoding.set_weights(trained.get_weights())
    check_oracle(decoding, *sample("coverage"))


@each_mode
def test_goes_on_from_weights_without_the_factor_of_a_window(mode):
    """A Gaussian on the weights is no probability of having stopped."""
    window = LocalPredictiveWindow(8, units=3, dtype="float64")
    local = with_random_weights(Attention("dot", function(mode, bias=3.0), window, dtype="float64"))
    plain = Attention("dot", function(mode), dtype="float64")
    plain.build((None, None, 4), (None, None, 4))
    plain.set_weights([array(local.probability.offset.value)])
    query, values, mask = sample(targets=6)
    _, weights = local(query, Encoded(values, mask))
    _, expected = plain(query, Encoded(values, mask))
    _, factor = local.window(query, mask[:, None])
    np.testing.assert_allclose(array(weights), array(expected) * array(factor), rtol=0, atol=1e-9)


# Noise


def noisy(deviation=2.0):
    mechanism = Attention("dot", Monotonic("parallel", noise=deviation))
    mechanism.build((None, None, 4), (None, None, 4))
    return mechanism


def test_noise_comes_in_training_alone():
    query, values, mask = sample(dtype="float32")
    plain = array(Attention("dot", Monotonic("parallel"))(query, Encoded(values, mask))[1])
    mechanism = noisy()
    for training in (False, None):
        weights = array(mechanism(query, Encoded(values, mask), training=training)[1])
        np.testing.assert_array_equal(weights, plain)
    trained = array(mechanism(query, Encoded(values, mask), training=True)[1])
    assert np.abs(trained - plain)[:4].max(axis=(1, 2)).min() > 1e-3
    assert (trained[~np.broadcast_to(mask[:, None], trained.shape)] == 0).all()


def test_noise_is_normal_and_drawn_anew_for_each_row_step_and_position():
    keras.utils.set_random_seed(3)
    query, values = np.zeros((40, 30, 4), "float32"), np.zeros((40, 10, 4), "float32")
    mechanism = noisy(deviation=2.0)
    memory = mechanism.memory(Encoded(values, np.ones((40, 10), bool)))
    _, (drawn,) = mechanism.noise(memory, 30)
    drawn = array(drawn)
    assert drawn.shape == (40, 30, 10)
    assert len(np.unique(drawn)) > 11_900
    # 12000 draws: four standard deviations of mean and deviation are 4·2/√12000 = 0.073, and 0.052.
    assert abs(drawn.mean()) < 0.073
    assert abs(drawn.std() - 2) < 0.052
    _, (again,) = mechanism.noise(memory, 30)
    assert (array(again) != drawn).mean() > 0.99
    # The scores are all zero, so the noise is the scores of a noiseless mechanism.
    expected = steps(function("parallel", dtype="float32"), drawn, np.ones((40, 10), bool))
    state = mechanism.initial_state(memory)
    for t in range(2):
        _, weights, state = mechanism.step(query[:, t], memory, state, ((), (drawn[:, t],)))
        np.testing.assert_allclose(array(weights), expected[:, t], rtol=0, atol=1e-5)


def test_a_sequence_in_training_sees_the_noise_of_its_steps():
    """Zero queries give every step the same scores: only noise can tell the steps apart."""
    values = np.zeros((1, 5, 4), "float32")
    memory = Encoded(values, np.ones((1, 5), bool))
    mechanism = noisy(deviation=1.0)
    keras.utils.set_random_seed(7)
    first = noisy(deviation=1.0)
    weights = array(first(np.zeros((1, 4, 4), "float32"), memory, training=True)[1])
    keras.utils.set_random_seed(7)
    second = noisy(deviation=1.0)
    _, (drawn,) = second.noise(second.memory(memory), 4)
    expected = steps(function("parallel", dtype="float32"), array(drawn), np.ones((1, 5), bool))
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
    _, others = mechanism(np.zeros((1, 4, 4), "float32"), memory, training=True)
    assert (array(others) != weights).any()


# Options


@pytest.mark.parametrize("mode", ["soft", "", None, 1])
def test_unknown_mode_lists_the_known(mode):
    with pytest.raises(ValueError, match="`mode` must be one of 'recursive', 'parallel', 'hard'"):
        Monotonic(mode)


@pytest.mark.parametrize("noise", [-1, "1", None, True, float("nan"), float("inf")])
def test_noise_must_be_a_finite_number_from_zero(noise):
    with pytest.raises(ValueError, match="`noise` must be a number from 0 on; got noise="):
        Monotonic(noise=noise)


@pytest.mark.parametrize("bias", ["1", None, True, float("nan"), float("-inf")])
def test_bias_must_be_a_finite_number(bias):
    with pytest.raises(ValueError, match="`bias` must be a finite number; got bias="):
        Monotonic(bias=bias)


def test_hard_mode_takes_no_noise():
    with pytest.raises(ValueError, match=r"no noise; got mode='hard', noise=0\.5\. Train with"):
        Monotonic("hard", noise=0.5)


@pytest.mark.parametrize(
    "options", [{"mode": "recursive"}, {"mode": "parallel", "noise": 0.5, "bias": -4.0}]
)
def test_options_round_trip(options):
    config = keras.saving.serialize_keras_object(Monotonic(**options))
    again = keras.saving.deserialize_keras_object(config).get_config()
    assert {name: again[name] for name in options} == options
