"""The loss is the NumPy number over real tokens only, whatever surrounds them."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.optimization.losses import (
    GuidedAlignment,
    SampledTokenCrossEntropy,
    TokenCrossEntropy,
)
from oracles import reference
from support.backends import gradients, tensorflow_only

pytestmark = pytest.mark.backend_neutral

LABELS = np.array([[4, 2, 3, 0, 0], [1, 3, 0, 0, 0], [2, 2, 1, 4, 3]])


def sample(seed=0, vocabulary=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(*LABELS.shape, vocabulary)).astype("float32")
    return logits, rng.random(LABELS.shape).astype("float32")


def test_two_tokens_by_hand():
    # p = (1/4, 3/4) and (1/2, 1/2): −(log 3/4 + log 1/2) / 2 = log(8/3) / 2, padding not counted.
    logits = np.log(np.array([[[1, 3], [1, 1], [9, 1]]], "float32"))
    labels = np.array([[1, 1, 0]])
    assert float(TokenCrossEntropy()(labels, logits)) == pytest.approx(np.log(8 / 3) / 2, rel=1e-6)


def test_is_the_numpy_mean_over_real_tokens():
    logits, weights = sample()
    loss = TokenCrossEntropy()
    expected = reference.cross_entropy(LABELS, logits)
    assert float(loss(LABELS, logits)) == pytest.approx(expected, rel=1e-6)
    expected = reference.cross_entropy(LABELS, logits, weights)
    assert float(loss(LABELS, logits, weights)) == pytest.approx(expected, rel=1e-6)


def test_padding_does_not_dilute():
    logits, weights = sample()
    more = ((0, 2), (0, 3))
    padded_labels = np.pad(LABELS, more)
    padded_logits = np.pad(logits, (*more, (0, 0)), constant_values=7)
    padded_weights = np.pad(weights, more, constant_values=1)
    loss = TokenCrossEntropy()
    for args, padded in (
        ((LABELS, logits), (padded_labels, padded_logits)),
        ((LABELS, logits, weights), (padded_labels, padded_logits, padded_weights)),
    ):
        assert float(loss(*padded)) == pytest.approx(float(loss(*args)), rel=1e-6)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_a_weight_per_sentence_weighs_its_tokens(shape):
    logits, _ = sample()
    weights = np.array([0.5, 2, 0], "float32")
    expected = reference.cross_entropy(LABELS, logits, np.repeat(weights[:, None], 5, axis=1))
    loss = TokenCrossEntropy()(LABELS, logits, weights.reshape(shape))
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_scale_of_the_weights_does_not_matter(scale):
    logits, weights = sample()
    loss = TokenCrossEntropy()
    assert float(loss(LABELS, logits, weights * scale)) == pytest.approx(
        float(loss(LABELS, logits, weights)), rel=1e-5
    )


def with_gradient(logits, labels=LABELS, weights=None):
    loss, (gradient,), _ = gradients(
        lambda logits: TokenCrossEntropy()(labels, logits, weights), [logits]
    )
    return loss, gradient


def test_a_batch_without_real_tokens_gives_zero_and_no_gradient():
    logits, _ = sample()
    for labels, weights in ((np.zeros_like(LABELS), None), (LABELS, np.zeros(LABELS.shape))):
        loss, gradient = with_gradient(logits, labels, weights)
        assert loss == 0
        assert not np.any(gradient)


def test_gradient_is_softmax_minus_label_over_the_number_of_real_tokens():
    logits, _ = sample()
    _, gradient = with_gradient(logits)
    expected = (reference.softmax(logits) - np.eye(5)[LABELS]) / np.count_nonzero(LABELS)
    expected[LABELS == 0] = 0
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7)


def test_a_forbidden_padding_logit_leaves_loss_and_gradient_finite():
    logits, _ = sample()
    logits[:, :, 0] = -np.inf
    loss, gradient = with_gradient(logits)
    expected = reference.cross_entropy(LABELS, np.where(np.isinf(logits), -1e9, logits))
    assert loss == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_taken_to_float32_first(dtype):
    logits = ops.cast(sample()[0], dtype)
    expected = reference.cross_entropy(LABELS, np.array(ops.cast(logits, "float32")))
    assert float(TokenCrossEntropy()(LABELS, logits)) == pytest.approx(expected, rel=1e-6)


def test_pad_id_is_an_option():
    logits, _ = sample()
    expected = reference.cross_entropy(LABELS, logits, pad=3)
    assert float(TokenCrossEntropy(pad_id=3)(LABELS, logits)) == pytest.approx(expected, rel=1e-6)


def test_round_trips_through_json():
    loss = TokenCrossEntropy(pad_id=2, name="nats", label_smoothing=0.1)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    expected = {"name": "nats", "pad_id": 2, "label_smoothing": 0.1}
    assert again.get_config() == loss.get_config() == expected


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_smoothing_spreads_its_mass_over_all_entries(smoothing):
    logits, weights = sample()
    loss = TokenCrossEntropy(label_smoothing=smoothing)
    for given in (None, weights):
        expected = reference.smoothed_cross_entropy(LABELS, logits, smoothing, given)
        assert float(loss(LABELS, logits, given)) == pytest.approx(expected, rel=1e-6)


def test_smoothing_is_the_keras_loss_on_one_hot_labels():
    logits, _ = sample()
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(
        np.eye(5)[LABELS[LABELS != 0]], logits[LABELS != 0]
    )
    loss = TokenCrossEntropy(label_smoothing=0.2)(LABELS, logits)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_gradient_of_the_smoothed_loss_is_softmax_minus_target():
    logits, _ = sample()
    _, (gradient,), _ = gradients(
        lambda logits: TokenCrossEntropy(label_smoothing=0.3)(LABELS, logits), [logits]
    )
    targets = 0.7 * np.eye(5)[LABELS] + 0.3 / 5
    expected = (reference.softmax(logits) - targets) / np.count_nonzero(LABELS)
    expected[LABELS == 0] = 0
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7)


def test_padding_that_is_forbidden_stays_out_of_the_smoothed_loss_where_labels_are_padding():
    logits, _ = sample()
    infinite = np.where((LABELS == 0)[:, :, None], -np.inf, logits).astype("float32")
    loss = TokenCrossEntropy(label_smoothing=0.1)
    assert float(loss(LABELS, infinite)) == float(loss(LABELS, logits))


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5, "0.1", None, True, float("nan")])
def test_a_smoothing_that_is_no_share_is_an_error(smoothing):
    with pytest.raises(ValueError, match="`label_smoothing` must be at least 0 and below 1; got"):
        TokenCrossEntropy(label_smoothing=smoothing)


def test_reduction_is_no_option():
    with pytest.raises(TypeError, match="reduction"):
        TokenCrossEntropy(reduction="sum")


# Sampled softmax; what it trains on is in test_projection.py and test_steps.py.


def test_a_sampled_loss_is_the_exact_one_of_logits_that_are_there():
    logits, weights = sample()
    loss = SampledTokenCrossEntropy(samples=2, pad_id=3)
    exact = TokenCrossEntropy(pad_id=3)
    assert float(loss(LABELS, logits, weights)) == float(exact(LABELS, logits, weights))


def test_a_sampled_loss_round_trips_through_json():
    loss = SampledTokenCrossEntropy(7, "uniform", 2, "some", seed=5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    expected = {"name": "some", "pad_id": 2, "samples": 7, "distribution": "uniform", "seed": 5}
    assert again.get_config() == loss.get_config() == expected


def test_the_seed_of_a_sampled_loss_comes_from_the_global_one():
    seeds = []
    for value in (1, 1, 2):
        keras.utils.set_random_seed(value)
        seeds.append(SampledTokenCrossEntropy().seed)
    assert seeds[0] == seeds[1] != seeds[2]


@tensorflow_only
def test_seed_and_step_decide_the_candidates():
    def ids(seed, step):
        return SampledTokenCrossEntropy(5, seed=seed).candidates(99, step).ids.numpy().tolist()

    assert ids(2**32 - 1, 3) == ids(2**32 - 1, 3)
    assert ids(1, 3) != ids(2, 3)
    assert ids(1, 3) != ids(1, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 0}, "`samples` must be a positive integer; got samples=0"),
        ({"samples": 2.0}, "`samples` must be a positive integer; got samples=2.0"),
        ({"samples": True}, "`samples` must be a positive integer; got samples=True"),
        ({"seed": -1}, "`seed` must be at least 0 and below 4294967296; got -1"),
        ({"seed": 2**32}, "`seed` must be at least 0 and below 4294967296"),
        ({"distribution": "zipf"}, "'log_uniform', 'uniform'; got distribution='zipf'"),
    ],
)
def test_a_sampled_loss_that_cannot_be_is_an_error(given, message):
    with pytest.raises(ValueError, match=message):
        SampledTokenCrossEntropy(**given)


# Guided alignment

ALIGNMENTS = np.array([[[1, 0, 0], [0, 2, 2], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]])
ATTENDED = np.array(
    [
        [[0.5, 0.25, 0.25], [0.2, 0.5, 0.3], [1.0, 0.0, 0.0]],
        [[0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.0, 0.0, 0.0]],
    ],
    "float32",
)


def test_guided_cross_entropy_by_hand():
    """Rows aligned to nothing do not count: three of six do. The second is (0, ½, ½)."""
    expected = (-np.log(0.5) - (np.log(0.5) + np.log(0.3)) / 2 - np.log(0.8)) / 3
    assert float(GuidedAlignment()(ALIGNMENTS, ATTENDED)) == pytest.approx(expected, rel=1e-6)


def test_guided_mse_by_hand():
    expected = (0.25 + 2 * 0.0625 + (0.04 + 0 + 0.04) + (0.01 + 0.01 + 0.04)) / 3
    loss = GuidedAlignment("mse")(ALIGNMENTS, ATTENDED)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_guided_alignment_is_weighted_and_blind_to_the_scale_of_a_row(kind):
    one = float(GuidedAlignment(kind)(ALIGNMENTS, ATTENDED))
    assert float(GuidedAlignment(kind, weight=0.25)(ALIGNMENTS, ATTENDED)) == pytest.approx(one / 4)
    assert float(GuidedAlignment(kind)(ALIGNMENTS * 7.0, ATTENDED)) == pytest.approx(one)
    padded = np.pad(ALIGNMENTS, ((0, 1), (0, 2), (0, 0)))
    attended = np.pad(ATTENDED, ((0, 1), (0, 2), (0, 0)))
    assert float(GuidedAlignment(kind)(padded, attended)) == pytest.approx(one)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_guided_alignment_to_nothing_is_zero_and_a_zero_weight_finite(kind):
    loss = GuidedAlignment(kind)
    assert float(loss(np.zeros_like(ALIGNMENTS), ATTENDED)) == 0
    nothing = np.zeros_like(ATTENDED)
    value, (gradient,), _ = gradients(lambda attended: loss(ALIGNMENTS, attended), [nothing])
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_guided_alignment_round_trips_through_json():
    loss = GuidedAlignment("mse", weight=0.5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config() == {"kind": "mse", "weight": 0.5}


@pytest.mark.parametrize("kind", ["ce", None, 1])
def test_an_unknown_kind_is_an_error(kind):
    with pytest.raises(ValueError, match=f"'cross_entropy', 'mse'; got kind={kind!r}"):
        GuidedAlignment(kind)


@pytest.mark.parametrize("weight", [0, -1.0, "1", None, True, float("nan"), float("inf")])
def test_a_weight_that_is_no_number_above_zero_is_an_error(weight):
    with pytest.raises(ValueError, match="`weight` must be a finite number above 0; got weight="):
        GuidedAlignment(weight=weight)


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (2, 1, 3), (2, 3, 1), (2, 2, 3), (2, 3, 3, 1)])
def test_alignments_of_another_shape_are_an_error(shape):
    """Also those that would broadcast."""
    with pytest.raises(ValueError, match=r"`alignments` must have the shape.*\(2, 3, 3\); got"):
        GuidedAlignment()(np.ones(shape), ATTENDED)
