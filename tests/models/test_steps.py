"""Steps over real tokens give the loss, metrics and weights of Keras' own steps with less work."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_s2s as s2s
from support.padded import TARGET, WEIGHTS, X, Y


def made(weights=None, loss=None, policy="float32", guided=None, **options):
    encoder = s2s.Encoder(vocabulary_size=12, embedding_size=4, units=4, dtype=policy)
    decoder = s2s.Decoder(vocabulary_size=12, embedding_size=8, units=8, dtype=policy, **options)
    model = s2s.Seq2Seq(encoder, decoder, guided_alignment=guided)
    model.build()
    model.compile(keras.optimizers.SGD(0.5), loss or s2s.TokenCrossEntropy())
    if weights is not None:
        model.set_weights(weights)
    return model


class KerasSteps(s2s.Seq2Seq):
    """The same model with a loss of its own making, which Keras' steps must compute."""

    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs)


def keras_steps(model):
    """A copy that trains by Keras' steps."""
    again = KerasSteps.from_config(model.get_config())
    again.build()
    again.compile(keras.optimizers.SGD(0.5), model.loss)
    again.set_weights(model.get_weights())
    return again


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({}, None),
        ({"tied_embedding": True, "cell": "gru"}, s2s.TokenCrossEntropy(label_smoothing=0.1)),
        ({"input_feeding": True, "output_bias": False}, None),
    ],
    ids=["plain", "tied, smoothed", "looped, no bias"],
)
def test_training_is_what_keras_steps_give(options, loss):
    ours = made(loss=loss, **options)
    theirs = keras_steps(ours)
    arguments = {"sample_weight": WEIGHTS, "return_dict": True}
    for _ in range(3):
        logs, expected = (model.train_on_batch(X, Y, **arguments) for model in (ours, theirs))
        assert logs == pytest.approx(expected, rel=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        # Three steps of float32 sums in another order.
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)
    logs, expected = (model.test_on_batch(X, Y, **arguments) for model in (ours, theirs))
    assert logs == pytest.approx(expected, rel=1e-5)


def test_the_output_layer_sees_real_tokens_only():
    """In a traced step no tensor has the batch, the length and the vocabulary for its axes."""

    def wide(model):
        specs = {k: tf.TensorSpec(v.shape, tf.int64) for k, v in X.items()}
        step = tf.function(model.train_step, autograph=False)
        step = step.get_concrete_function((specs, tf.TensorSpec(Y.shape)))
        operations = step.graph.get_operations()
        shapes = [tuple(t.shape) for op in operations for t in op.outputs if t.shape.rank]
        return [shape for shape in shapes if len(shape) == 3 and shape[-1] == 12]

    model = made()
    assert wide(keras_steps(model))
    assert not wide(model)


def test_padding_changes_neither_loss_nor_gradients():
    ours = made()
    padded = made(ours.get_weights())
    wider = {k: np.pad(v, ((0, 0), (0, 3))) for k, v in X.items()}
    logs = ours.train_on_batch(X, Y, return_dict=True)
    assert padded.train_on_batch(wider, np.pad(Y, ((0, 0), (0, 3))), return_dict=True) == (
        pytest.approx(logs, rel=1e-6)
    )
    for a, b in zip(ours.get_weights(), padded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_losses_that_the_model_adds_count():
    guided = s2s.GuidedAlignment(weight=2.0)
    ours = made(guided=guided)
    theirs = keras_steps(ours)
    x = {**X, "alignments": np.ones((4, 7, 6))}
    logs, expected = (m.train_on_batch(x, Y, return_dict=True) for m in (ours, theirs))
    assert logs == pytest.approx(expected, rel=1e-5)
    assert logs["loss"] > np.log(logs["perplexity"]) + 1


def test_fit_traces_once_and_predict_still_gives_logits(monkeypatch):
    model, traces = made(), []
    step = type(model).train_step

    def counted(*arguments):
        traces.append(1)
        return step(*arguments)

    monkeypatch.setattr(type(model), "train_step", counted)
    batches = [({k: v[:, :n] for k, v in X.items()}, Y[:, :n]) for n in (6, 3, 5)]
    spec = (
        {k: tf.TensorSpec((None, None), tf.int64) for k in X},
        tf.TensorSpec((None, None), "int64"),
    )
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
    data = data.apply(tf.data.experimental.assert_cardinality(len(batches)))
    arguments = {"epochs": 2, "shuffle": False, "verbose": 0}
    history = model.fit(data, validation_data=data, **arguments).history
    assert set(history) == {
        prefix + name for prefix in ("", "val_") for name in ("loss", "accuracy", "perplexity")
    }
    assert len(traces) == 1
    assert model.predict(X, verbose=0).shape == (4, 7, 12)


def test_the_norm_to_clip_by_counts_a_token_once():
    """All rows of the batch are one token, whose embedding gets the sum of their gradients."""
    model = made()
    x = {k: np.full_like(v, 5) for k, v in X.items()}
    norms = {}
    for clip in (None, 1e-3):
        model.compile(keras.optimizers.SGD(1.0, global_clipnorm=clip))
        start = model.get_weights()
        model.train_on_batch(x, Y)
        moved = [a - b for a, b in zip(model.get_weights(), start, strict=True)]
        norms[clip] = np.sqrt(sum((part**2).sum() for part in moved))
        model.set_weights(start)
    assert norms[None] > 1e-2
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_mixed_precision_trains_by_tokens_too():
    ours = made(policy="mixed_bfloat16")
    theirs = keras_steps(ours)
    logs, expected = (m.train_on_batch(X, Y, return_dict=True) for m in (ours, theirs))
    # bfloat16 has 8 bits of mantissa; equal logits are rounded to ties, which argmax then decides.
    assert logs["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert all(np.isfinite(w).all() for w in ours.get_weights())


@pytest.mark.thorough
def test_what_wants_all_logits_gets_keras_steps():
    seen = []

    def accuracy_of_all(labels, logits):
        seen.append(tuple(logits.shape))
        return keras.ops.sum(logits, axis=-1)

    model = made()
    model.compile("sgd", metrics=[accuracy_of_all])
    model.train_on_batch(X, Y)
    assert seen[-1][-1] == 12
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(X, Y)[0])
    model.compile("sgd", jit_compile=True)
    assert np.isfinite(model.train_on_batch(X, Y)[0])


# Sampled softmax

SEEN, HELD_OUT = slice(0, 1600), slice(1600, None)
DESIGNS = pytest.mark.parametrize(
    "options",
    [{}, {"tied_embedding": True, "cell": "gru"}, {"input_feeding": True, "output_bias": False}],
    ids=["plain", "tied", "looped, no bias"],
)


@pytest.mark.quick_cases(1)
@DESIGNS
def test_training_on_all_ids_as_candidates_is_training_on_the_whole_softmax(options):
    whole = made(**options)
    sampled = made(whole.get_weights(), s2s.SampledTokenCrossEntropy(12), **options)
    arguments = {"sample_weight": WEIGHTS, "return_dict": True}
    for _ in range(3):
        logs, expected = (model.train_on_batch(X, Y, **arguments) for model in (sampled, whole))
        assert set(logs) == {"loss"}
        assert logs["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    for a, b in zip(sampled.get_weights(), whole.get_weights(), strict=True):
        # Three steps of float32 sums in another order.
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)
    logs, expected = (model.test_on_batch(X, Y, **arguments) for model in (sampled, whole))
    assert logs == pytest.approx(expected, rel=1e-5)
    assert set(logs) == {"loss", "accuracy", "perplexity"}


@pytest.mark.quick_cases(1)
@DESIGNS
def test_a_sampled_step_moves_the_output_layer_at_candidates_and_labels_alone(options):
    loss = s2s.SampledTokenCrossEntropy(2, "uniform", seed=3)
    model = made(loss=loss, **options)
    drawn = set(loss.candidates(12, 0).ids.numpy().tolist()) | set(Y[Y != 0].tolist())
    if "tied_embedding" in options:
        drawn |= set(TARGET.ravel().tolist())  # as inputs
    assert len(drawn) < 12
    (columns, bias), start = model.output_weights(), model.get_weights()
    before = [np.array(columns), None if bias is None else np.array(bias)]
    model.train_on_batch(X, Y)
    for old, new in zip(before, model.output_weights(), strict=True):
        if new is not None:
            moved = np.abs(np.array(new) - old).reshape(-1, 12).max(axis=0) > 0
            assert set(np.flatnonzero(moved)) <= drawn
            assert moved.sum() > 4
    assert any((a != b).any() for a, b in zip(start, model.get_weights(), strict=True))


def test_no_tensor_of_a_sampled_step_has_a_row_of_logits_for_each_token():
    model = made(loss=s2s.SampledTokenCrossEntropy(3))
    specs = {k: tf.TensorSpec((None, None), tf.int64) for k in X}
    step = tf.function(model.train_step, autograph=False)
    graph = step.get_concrete_function((specs, tf.TensorSpec((None, None), tf.int64))).graph
    shapes = [t.shape for op in graph.get_operations() for t in op.outputs if t.shape.rank == 2]
    # (W, V) are the kernel and its gradient; logits would be (tokens, V).
    assert {tuple(shape) for shape in shapes if shape[-1] == 12} == {(8, 12)}


def test_padding_changes_no_sampled_step():
    loss = s2s.SampledTokenCrossEntropy(5, seed=1)
    ours = made(loss=loss)
    padded = made(ours.get_weights(), loss)
    wider = {k: np.pad(v, ((0, 0), (0, 3))) for k, v in X.items()}
    logs = ours.train_on_batch(X, Y)
    assert padded.train_on_batch(wider, np.pad(Y, ((0, 0), (0, 3)))) == pytest.approx(logs)
    for a, b in zip(ours.get_weights(), padded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_every_step_draws_anew():
    model = made(loss=s2s.SampledTokenCrossEntropy(3, "uniform", seed=1))
    model.compile(keras.optimizers.SGD(0.0), model.loss)
    first, second = model.train_on_batch(X, Y), model.train_on_batch(X, Y)
    assert first != pytest.approx(second, rel=1e-4)


def test_a_model_that_was_saved_goes_on_with_the_same_candidates(tmp_path):
    model = made(loss=s2s.SampledTokenCrossEntropy(3, "uniform"))
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for _ in range(2):
        assert again.train_on_batch(X, Y) == model.train_on_batch(X, Y)


def test_fit_logs_the_sampled_loss_and_exact_values_of_validation():
    model = made(loss=s2s.SampledTokenCrossEntropy(4))
    arguments = {"validation_data": (X, Y), "validation_batch_size": 4, "verbose": 0}
    history = model.fit(X, Y, epochs=2, batch_size=2, **arguments).history
    assert set(history) == {"loss", "val_loss", "val_accuracy", "val_perplexity"}
    assert history["val_perplexity"][-1] == pytest.approx(np.exp(history["val_loss"][-1]), rel=1e-5)
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(history["val_loss"][-1], rel=1e-6)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "compiled",
    [
        {"jit_compile": True},
        {"metrics": [keras.metrics.MeanMetricWrapper(lambda y, z: z[..., 0])]},
        {"weighted_metrics": [s2s.TokenAccuracy(pad_id=1)]},
        {"loss_weights": [2.0]},
    ],
)
@pytest.mark.parametrize("loss", [s2s.SampledTokenCrossEntropy(3), s2s.RegularizedDropout()])
def test_where_keras_steps_would_train_on_another_loss_it_is_an_error(loss, compiled):
    model = made()
    model.compile("sgd", loss, **compiled)
    message = rf"{type(loss).__name__} trains alone, .*backend='ten"
    with pytest.raises(ValueError, match=message):
        model.train_on_batch(X, Y)
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()


ON_JAX = """
import keras, numpy as np, pytest
import keras_s2s as s2s
from keras_s2s.training.construction import make_model
from keras_s2s.training.settings.settings import TrainingSettings

model = s2s.Seq2Seq(
    s2s.Encoder(vocabulary_size=9, embedding_size=4, units=4),
    s2s.Decoder(vocabulary_size=9, embedding_size=4, units=8),
)
ids = np.ones((2, 3), int)
x = {"source_ids": ids, "target_ids": ids}
for loss in (s2s.SampledTokenCrossEntropy(3), s2s.RegularizedDropout()):
    model.compile(loss=loss)
    with pytest.raises(ValueError, match="trains alone, on the TensorFlow backend.*backend='jax'"):
        model.fit(x, ids, verbose=0)
    assert np.isfinite(model.evaluate(x, ids, verbose=0)).all()
words = s2s.WordTokenizer(["one", "two"])
common = {"output": "out", "data": "a.tsv", "val_data": "b.tsv", "source_tokenizer": "word"}
for name in ("sampled_softmax", "r_drop"):
    settings = TrainingSettings(**common, **{name: 3})
    with pytest.raises(ValueError, match=f"`{name}` needs .* this is jax. Set"):
        make_model(settings, words, words)
"""


@pytest.mark.thorough
def test_on_another_backend_the_losses_of_these_steps_evaluate_and_do_not_train():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run(
        [sys.executable, "-c", ON_JAX], env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr


def test_more_samples_than_ids_are_an_error():
    with pytest.raises(ValueError, match=r"`samples` must be at most .* 12; got samples=13"):
        made(loss=s2s.SampledTokenCrossEntropy(13))


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{}, {"tied_embedding": True}], ids=["plain", "tied"])
def test_training_on_a_sample_reaches_about_the_loss_of_the_whole_softmax(options):
    """Copies of words that obey Zipf's law; 30 of the 64 ids are drawn for a batch."""
    probabilities = 1 / np.arange(1, 61)
    words = np.random.default_rng(5).choice(60, (1800, 3), p=probabilities / probabilities.sum())
    source = words + 4
    target = np.pad(source, ((0, 0), (1, 0)), constant_values=2)[:, :-1]

    def trained(loss):
        keras.utils.set_random_seed(5)
        common = {"vocabulary_size": 64, "embedding_size": 24, "cell": "gru"}
        model = s2s.Seq2Seq(
            s2s.Encoder(units=12, **common),
            s2s.Decoder(units=24, attention_size=24, **common, **options),
        )
        # Larger steps leave the loss to chance: with 0.02 it jumped between 0.02 and 0.5.
        model.compile(s2s.FusedAdam(0.01), loss)
        data = {"source_ids": source, "target_ids": target}
        seen, held_out = ({k: v[part] for k, v in data.items()} for part in (SEEN, HELD_OUT))
        model.fit(seen, source[SEEN], batch_size=32, epochs=12, verbose=0)
        return model.evaluate(held_out, source[HELD_OUT], verbose=0, return_dict=True)["loss"]

    whole = trained(s2s.TokenCrossEntropy())
    # The words have an entropy of 3.3; a sample takes somewhat longer to bring it to zero.
    assert whole < 0.3
    assert trained(s2s.SampledTokenCrossEntropy(30, seed=1)) < whole + 0.2


def stock(ours):
    """The same design from the layers that Keras has, with the same weights."""
    layers, ops = keras.layers, keras.ops
    source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
    mask = layers.Lambda(lambda ids: ops.not_equal(ids, 0))(source)
    source_embedding, target_embedding = layers.Embedding(12, 4), layers.Embedding(12, 8)
    encoder = layers.Bidirectional(layers.LSTM(4, return_sequences=True, return_state=True))
    encoded, *state = encoder(source_embedding(source), mask=mask)
    decoder = layers.LSTM(8, return_sequences=True)
    state = [layers.Concatenate()(state[i::2]) for i in (0, 1)]
    states = decoder(target_embedding(target), initial_state=state)
    keys, vector = layers.Dense(8, use_bias=False), layers.Dense(8, "tanh", use_bias=False)
    context = layers.Attention()([states, encoded, keys(encoded)], mask=[None, mask])
    output = layers.Dense(12)
    logits = output(vector(layers.Concatenate()([context, states])))
    block = ours.encoder.blocks[0]
    for layer, weights in (
        (source_embedding, ours.encoder.embedding.get_weights()),
        (target_embedding, ours.decoder.embedding.get_weights()),
        (encoder, block.recurrent.get_weights() + block.backward.get_weights()),
        (decoder, ours.decoder.blocks[0].recurrent.get_weights()),
        (keys, ours.decoder.attention.get_weights()),
        (vector, ours.decoder.attention_layer.get_weights()),
        (output, ours.decoder.output_layer.get_weights()),
    ):
        layer.set_weights(weights)
    model = keras.Model([source, target], logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.SGD(0.2), loss)
    return model


@pytest.mark.slow
def test_two_hundred_steps_are_those_of_stock_keras_layers():
    ours = made()
    ours.compile(keras.optimizers.SGD(0.2))
    theirs = stock(ours)
    rng = np.random.default_rng(8)
    curves = ([], [])
    for _ in range(200):
        source, target = rng.integers(4, 12, (2, 16, 6)) * (
            np.arange(6) < rng.integers(2, 7, (2, 16, 1))
        )
        x = {"source_ids": source, "target_ids": target[:, :-1]}
        curves[0].append(ours.train_on_batch(x, target[:, 1:])[0])
        curves[1].append(theirs.train_on_batch([source, target[:, :-1]], target[:, 1:]))
    assert curves[0][-1] < curves[0][0]
    # Two hundred float32 updates in another order: the two paths part slowly.
    np.testing.assert_allclose(*curves, rtol=1e-4)
