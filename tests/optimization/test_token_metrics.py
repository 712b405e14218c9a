"""Metrics are exact over the tokens of an epoch, however the tokens were batched."""

import json

import keras
import numpy as np
import pytest

from keras_s2s.optimization.token_metrics import Perplexity, TokenAccuracy
from oracles import reference

pytestmark = pytest.mark.backend_neutral

LABELS = np.array([[4, 2, 3, 0, 0], [1, 3, 0, 0, 0], [2, 2, 1, 4, 3]])
each_metric = pytest.mark.parametrize("metric_class", [TokenAccuracy, Perplexity])


def sample(vocabulary=5):
    rng = np.random.default_rng(0)
    # The labels' logits are raised, so that some are right.
    logits = rng.normal(0, 1, size=(*LABELS.shape, vocabulary)) + np.eye(vocabulary)[LABELS]
    return logits.astype("float32"), rng.random(LABELS.shape).astype("float32")


def value(metric, *batches):
    metric.reset_state()
    for batch in batches:
        metric.update_state(*batch)
    return float(metric.result())


def test_are_the_numpy_numbers():
    logits, _ = sample()
    accuracy = reference.accuracy(LABELS, logits)
    assert 0 < accuracy < 1
    assert value(TokenAccuracy(), (LABELS, logits)) == pytest.approx(accuracy, rel=1e-6)
    perplexity = np.exp(reference.cross_entropy(LABELS, logits))
    assert value(Perplexity(), (LABELS, logits)) == pytest.approx(perplexity, rel=1e-6)


def test_perplexity_of_knowing_nothing_is_the_size_of_the_vocabulary():
    assert value(Perplexity(), (LABELS, np.zeros((3, 5, 5)))) == pytest.approx(5, rel=1e-6)


@each_metric
def test_an_epoch_in_batches_is_the_epoch_at_once(metric_class):
    """Batches of 3, 2 and 5 real tokens: a mean of batch means would be off."""
    logits, weights = sample()
    metric = metric_class()
    for extra in ((), (weights,)):
        whole = value(metric, (LABELS, logits, *extra))
        rows = [tuple(x[i : i + 1] for x in (LABELS, logits, *extra)) for i in range(3)]
        assert value(metric, *rows) == pytest.approx(whole, rel=1e-6)
        batch_means = np.mean([value(metric, row) for row in rows])
        assert abs(batch_means - whole) > 1e-3


@each_metric
def test_padding_does_not_dilute(metric_class):
    logits, _ = sample()
    padded = (np.pad(LABELS, ((0, 2), (0, 3))), np.pad(logits, ((0, 2), (0, 3), (0, 0))))
    assert value(metric_class(), padded) == pytest.approx(
        value(metric_class(), (LABELS, logits)), rel=1e-6
    )


@each_metric
def test_weights_count(metric_class):
    logits, _ = sample()
    metric = metric_class()
    only_first = np.array([1, 0, 0], "float32")
    expected = value(metric, (LABELS[:1], logits[:1]))
    assert value(metric, (LABELS, logits, only_first)) == pytest.approx(expected, rel=1e-6)
    per_token = np.repeat(only_first[:, None], 5, axis=1)
    assert value(metric, (LABELS, logits, per_token)) == pytest.approx(expected, rel=1e-6)


def test_of_no_tokens_at_all():
    nothing = (np.zeros_like(LABELS), sample()[0])
    assert value(TokenAccuracy(), nothing) == 0
    assert value(Perplexity(), nothing) == 1  # exp of a mean of zero


def test_pad_id_is_an_option():
    logits, _ = sample()
    expected = reference.accuracy(LABELS, logits, pad=3)
    assert value(TokenAccuracy(pad_id=3), (LABELS, logits)) == pytest.approx(expected, rel=1e-6)


def test_counts_stay_in_float32_under_mixed_precision():
    """A count in half precision would stop at 2048 (float16) or 256 (bfloat16) tokens."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    metric = TokenAccuracy()
    labels = np.ones((1, 100), "int32")
    for right in (True, False) * 4:
        logits = keras.ops.cast(np.eye(2)[labels if right else 1 - labels], "bfloat16")
        metric.update_state(labels, logits)
    assert float(metric.result()) == 0.5
    assert float(metric.count) == 800


@each_metric
def test_round_trips_through_json(metric_class):
    metric = metric_class(pad_id=2, name="shown")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is metric_class
    assert again.get_config() == metric.get_config()
    assert again.pad_id == 2
    assert again.name == "shown"


def test_names_in_the_log_are_short():
    assert (TokenAccuracy().name, Perplexity().name) == ("accuracy", "perplexity")
