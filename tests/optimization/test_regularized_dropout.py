"""R-Drop runs each batch twice with different dropout, and makes both passes agree."""

import doctest

import keras
import numpy as np
import pytest

import keras_s2s as s2s
from keras_s2s.optimization import regularized_dropout
from support.backends import tensorflow_only
from support.padded import WEIGHTS, X, Y


class Watched(s2s.Seq2Seq):
    """Keeps what each call gave. To be run eagerly."""

    seen: list

    def call(self, inputs, training=None, logits=True):
        outputs = super().call(inputs, training=training, logits=logits)
        self.seen = [*getattr(self, "seen", []), (inputs, np.array(outputs))]
        return outputs


def made(loss, *, dropout=0.5, kind=s2s.Seq2Seq, guided=None, **options):
    keras.utils.set_random_seed(3)
    common = {"vocabulary_size": 12, "dropout": dropout}
    encoder = s2s.Encoder(embedding_size=4, units=4, **common)
    decoder = s2s.Decoder(embedding_size=8, units=8, **common, **options)
    model = kind(encoder, decoder, guided_alignment=guided)
    model.build()
    eagerly = kind is Watched
    model.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=eagerly)
    return model


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@tensorflow_only
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_step_is_the_formula_over_the_two_passes(smoothing):
    loss = s2s.RegularizedDropout(3.0, label_smoothing=smoothing)
    model = made(loss, kind=Watched, tied_embedding=True)
    kernel, bias = (np.array(each) for each in model.output_weights())
    logs = model.train_on_batch(X, Y, sample_weight=WEIGHTS, return_dict=True)

    ((inputs, hidden),) = model.seen
    for name, ids in X.items():
        np.testing.assert_array_equal(inputs[name], np.concatenate([ids, ids]))
    first, second = np.split(log_softmax(hidden @ kernel + bias), 2)
    assert np.abs(first - second).max() > 0.1
    weights = (Y != 0) * WEIGHTS[:, None]

    def mean(per_token):
        return (per_token * weights).sum() / weights.sum()

    def entropy(logs):
        chosen = np.take_along_axis(logs, Y[..., None], -1)[..., 0]
        return -(1 - smoothing) * chosen - smoothing * logs.mean(-1)

    there = (np.exp(first) * (first - second)).sum(-1)
    back = (np.exp(second) * (second - first)).sum(-1)
    expected = mean((entropy(first) + entropy(second)) / 2 + 3.0 / 4 * (there + back))
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    hits = (np.concatenate([first, second]).argmax(-1) == np.concatenate([Y, Y])) * 1.0
    assert logs["accuracy"] == pytest.approx(mean(sum(np.split(hits, 2)) / 2), rel=1e-5)


@tensorflow_only
def test_without_dropout_it_is_cross_entropy_and_moves_the_weights_as_that_does():
    twice = made(s2s.RegularizedDropout(5.0), dropout=0.0)
    once = made(s2s.TokenCrossEntropy(), dropout=0.0)
    for _ in range(3):
        logs, expected = (model.train_on_batch(X, Y, return_dict=True) for model in (twice, once))
        assert logs == pytest.approx(expected, rel=1e-5)
    for a, b in zip(twice.get_weights(), once.get_weights(), strict=True):
        # Three steps of float32 sums in another order.
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


@tensorflow_only
def test_evaluation_is_one_pass_and_plain_cross_entropy():
    twice, once = made(s2s.RegularizedDropout()), made(s2s.TokenCrossEntropy())
    assert twice.evaluate(X, Y, verbose=0) == once.evaluate(X, Y, verbose=0)
    logits = once(X)
    assert float(s2s.RegularizedDropout()(Y, logits)) == float(s2s.TokenCrossEntropy()(Y, logits))


@tensorflow_only
def test_given_alignments_are_taken_twice_too():
    model = made(s2s.RegularizedDropout(), guided=s2s.GuidedAlignment(weight=2.0), dropout=0.0)
    plain = made(s2s.TokenCrossEntropy(), guided=s2s.GuidedAlignment(weight=2.0), dropout=0.0)
    x = {**X, "alignments": np.ones((4, 7, 6))}
    logs, expected = (each.train_on_batch(x, Y, return_dict=True) for each in (model, plain))
    assert logs == pytest.approx(expected, rel=1e-5)


@pytest.mark.thorough
@tensorflow_only
def test_training_with_it_makes_passes_agree_more():
    """Copies of three words: after the same epochs, two passes differ by less."""
    source = np.random.default_rng(0).integers(4, 12, (256, 3))
    target = np.pad(source, ((0, 0), (1, 0)), constant_values=2)
    x, y = {"source_ids": source, "target_ids": target[:, :-1]}, target[:, 1:]

    def divergence(loss):
        model = made(loss, dropout=0.3)
        model.compile(s2s.FusedAdam(0.01), loss)
        model.fit(x, y, epochs=8, verbose=0)
        first, second = (log_softmax(np.array(model(x, training=True))) for _ in range(2))
        return (np.exp(first) * (first - second)).sum(-1).mean()

    apart = divergence(s2s.TokenCrossEntropy())
    assert divergence(s2s.RegularizedDropout(5.0)) < apart / 2


@tensorflow_only
def test_a_model_that_was_saved_goes_on_with_it(tmp_path):
    model = made(s2s.RegularizedDropout(2.0, label_smoothing=0.1), dropout=0.0)
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == model.loss.get_config()
    for _ in range(2):
        assert again.train_on_batch(X, Y) == model.train_on_batch(X, Y)


def test_round_trips_through_json():
    loss = s2s.RegularizedDropout(2.5, 3, "two", label_smoothing=0.2)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is s2s.RegularizedDropout
    assert again.get_config() == loss.get_config()
    assert (again.weight, again.pad_id, again.name, again.label_smoothing) == (2.5, 3, "two", 0.2)


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), "5"])
def test_a_weight_that_is_no_number_above_zero_is_an_error(weight):
    with pytest.raises((TypeError, ValueError), match="`weight` must be"):
        s2s.RegularizedDropout(weight)


@tensorflow_only
def test_examples_in_docstrings_run():
    names = {name: getattr(s2s, name) for name in ("Seq2Seq", "Encoder", "Decoder")}
    assert doctest.testmod(regularized_dropout, extraglobs=names).failed == 0
