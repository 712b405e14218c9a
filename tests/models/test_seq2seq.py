"""Seq2Seq and InferenceModel as a Keras user meets them: compile, fit, predict, save, load, decode.

Many of these tests run eagerly, because tracing a step would take longer than the step. Facts that
must also hold in a compiled step are tested once with a compiled step.
"""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import Attention
from keras_s2s.layers.bridge import CopyBridge, DenseBridge
from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.models.inference import InferenceModel
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.optimization.losses import GuidedAlignment, TokenCrossEntropy
from keras_s2s.optimization.token_metrics import Perplexity, TokenAccuracy
from keras_s2s.search import BeamSearch, GreedySearch, SearchResult
from oracles import reference
from support.backends import BACKEND, compiled, gradients, tensorflow_only

pytestmark = pytest.mark.backend_neutral

START, END = 2, 3
EAGERLY = BACKEND != "jax"  # which compiles each operation it runs eagerly
VOCABULARY = 10
ROOT = Path(__file__).resolve().parents[2]


def made(cell="lstm", attention="general", decoder_units=None, dropout=0.0, depth=1, **kwargs):
    units = 6 if decoder_units is None else decoder_units
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": 5, "cell": cell, "dropout": dropout}
    return Seq2Seq(
        Encoder(**sizes, units=3, depth=depth, **kwargs),
        Decoder(**sizes, units=units, depth=depth, attention=attention, **kwargs),
    )


def reversals(count, longest=5, seed=0):
    """Sources of 1 to `longest` tokens and their reversals, as `(x, y, weights)`."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, count)
    source, target, labels = (np.zeros((count, longest + 1), "int32") for _ in range(3))
    for i, n in enumerate(lengths):
        ids = rng.integers(4, VOCABULARY, n)
        source[i, : n + 1] = [*ids, END]
        target[i, : n + 1] = [START, *ids[::-1]]
        labels[i, : n + 1] = [*ids[::-1], END]
    return {"source_ids": source, "target_ids": target}, labels, (labels != 0).astype("float32")


X, Y, W = reversals(12, seed=1)


def logits_by_hand(model, x):
    encoded, state = model.encoder(x["source_ids"])
    return model.decoder(x["target_ids"], model.bridge(state), encoded)[0]


def same_weights(ours, theirs):
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Training


@pytest.mark.thorough
def test_learns_to_reverse_and_then_decodes_unseen_sources():
    keras.utils.set_random_seed(1)
    model = Seq2Seq(
        Encoder(vocabulary_size=VOCABULARY, embedding_size=16, units=24, cell="gru"),
        Decoder(vocabulary_size=VOCABULARY, embedding_size=16, units=48, cell="gru"),
    )
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0))
    x, y, weights = reversals(2000, longest=4)
    history = model.fit(x, y, sample_weight=weights, batch_size=64, epochs=7, verbose=0).history
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["accuracy"][-1] > 0.98
    assert history["perplexity"][-1] < 1.1
    x, y, _ = reversals(200, longest=4, seed=9)
    result = model.inference_model(BeamSearch(2, max_length=5)).predict(x["source_ids"], verbose=0)
    assert (result.ids[:, 0] == y).all(axis=1).mean() > 0.95


def test_predict_gives_the_teacher_forced_logits():
    model = made()
    logits = model.predict(X, batch_size=5, verbose=0)
    assert logits.shape == (12, 6, VOCABULARY)
    np.testing.assert_allclose(logits, logits_by_hand(model, X), rtol=0, atol=1e-6)


def test_loss_and_metrics_are_the_numpy_numbers():
    model = made()
    model.compile()
    logits = np.array(model(X))
    nats = reference.cross_entropy(Y, logits)
    for results in (
        model.evaluate(X, Y, verbose=0, return_dict=True),
        model.evaluate(X, Y, sample_weight=W, verbose=0, return_dict=True),
    ):
        assert results["loss"] == pytest.approx(nats, rel=1e-5)
        assert results["perplexity"] == pytest.approx(np.exp(nats), rel=1e-5)
        assert results["accuracy"] == pytest.approx(reference.accuracy(Y, logits), rel=1e-6)
    # Token-exact over an epoch, also where batches hold different numbers of tokens.
    in_batches = model.evaluate(X, Y, batch_size=5, verbose=0, return_dict=True)
    assert in_batches["perplexity"] == pytest.approx(np.exp(nats), rel=1e-5)


def test_sample_weights_weigh_tokens():
    model = made()
    model.compile(run_eagerly=EAGERLY)
    rng = np.random.default_rng(0)
    weights = rng.random(Y.shape).astype("float32")
    loss = model.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)["loss"]
    expected = reference.cross_entropy(Y, np.array(model(X)), weights)
    assert loss == pytest.approx(expected, rel=1e-5)


@tensorflow_only
def test_fits_a_dataset_of_batches_of_any_length():
    import tensorflow as tf

    model = made()
    model.compile()
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([reversals(4, longest, seed=longest) for longest in (2, 5, 3)]),
        output_signature=(
            {name: tf.TensorSpec((None, None), "int32") for name in X},
            tf.TensorSpec((None, None), "int32"),
            tf.TensorSpec((None, None), "float32"),
        ),
    ).apply(tf.data.experimental.assert_cardinality(3))
    history = model.fit(
        dataset, epochs=1, validation_data=dataset, shuffle=False, verbose=0
    ).history
    assert set(history) >= {"loss", "accuracy", "perplexity", "val_loss", "val_perplexity"}
    assert np.isfinite(history["val_loss"]).all()


def test_compile_defaults_clip_gradients_and_leave_xla_to_jax():
    model = made()
    model.compile()
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert model.optimizer.global_clipnorm == 1
    assert type(model.loss) is TokenCrossEntropy
    assert model.jit_compile is (BACKEND == "jax")


def test_xla_is_on_where_it_is_asked_for():
    model = made()
    model.compile(jit_compile=True)
    assert model.jit_compile is True
    model.compile(jit_compile=False)
    assert model.jit_compile is False


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        lambda: {"attention": "location", "input_feeding": True},
        lambda: {"attention": Attention("coverage", "monotonic"), "cell": "layer_norm_lstm"},
    ],
    ids=["feeding", "following"],
)
def test_xla_trains_what_loops(options):
    """The same loss as without it, after steps of `fit`."""
    losses = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(3)
        sizes = {"vocabulary_size": VOCABULARY, "embedding_size": 4, "units": 4}
        model = Seq2Seq(Encoder(**sizes), Decoder(**sizes, **options()))
        model.compile("sgd", jit_compile=jit_compile)
        losses.append(model.fit(X, Y, epochs=3, batch_size=12, verbose=0).history["loss"])
    # Float32, with sums in other orders.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_encoder_and_decoder_share_no_cell():
    """Keras saves such a model, and cannot load it again."""
    cell = keras.layers.GRUCell(4)
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": 4}
    with pytest.raises(ValueError, match="share no cell; got the same GRUCell in both"):
        Seq2Seq(
            Encoder(**sizes, cell=["gru", cell], units=4), Decoder(**sizes, cell=cell, units=None)
        )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "adafactor", "rmsprop"])
def test_other_optimizers_lower_the_loss(optimizer):
    model = made("gru")
    model.compile(optimizer, run_eagerly=EAGERLY)
    losses = model.fit(X, Y, epochs=3, batch_size=12, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("cell", "attention", "decoder_units"),
    [("lstm", "general", 6), ("gru", "concat", 4), ("gru", "dot", 6), ("lstm", None, 4)],
)
def test_gradient_reaches_every_weight(cell, attention, decoder_units):
    model = made(cell, attention, decoder_units, depth=2)
    model.build()
    weights = model.trainable_weights
    _, _, found = gradients(lambda: TokenCrossEntropy()(Y, model(X, training=True)), [], weights)
    for name, gradient in zip((w.path for w in weights), found, strict=True):
        if attention is None and "/backward_1/" in name and isinstance(model.bridge, CopyBridge):
            continue
        assert np.isfinite(gradient).all(), name
        assert np.any(gradient), name


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("policy", "everywhere"),
    [("mixed_float16", True), ("mixed_bfloat16", False)],
    ids=["global", "per part"],
)
def test_mixed_precision_trains_steps_and_searches(policy, everywhere):
    if everywhere:
        keras.config.set_dtype_policy(policy)
    model = made("gru", decoder_units=4, **({} if everywhere else {"dtype": policy}))
    # Compiled once, eagerly once: what mixed precision breaks first is a loop's dtypes.
    model.compile(run_eagerly=EAGERLY and not everywhere)
    losses = model.fit(X, Y, epochs=6, batch_size=12, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {w.dtype for w in model.trainable_weights} == {"float32"}

    logits = np.array(ops.cast(model(X), "float32"))
    assert keras.backend.standardize_dtype(model(X).dtype) == policy.removeprefix("mixed_")
    memory, state = model.encode(X["source_ids"])
    for t in range(3):
        step, state, _ = model.step(X["target_ids"][:, t], state, memory)
        # Bfloat16 holds 8 bits: sums in another order differ in the last of them.
        np.testing.assert_allclose(ops.cast(step, "float32"), logits[:, t], rtol=0, atol=0.05)
    result = model.inference_model(BeamSearch(2, max_length=4)).predict(X["source_ids"], verbose=0)
    assert result.scores.dtype == result.weights.dtype == np.float32
    assert np.isfinite(result.scores).all()


def test_bridge_is_copied_or_dense_as_the_states_need():
    assert type(made(decoder_units=6).bridge) is CopyBridge
    assert type(made(decoder_units=5).bridge) is DenseBridge
    given = DenseBridge(((6, 6),))
    model = made()
    assert Seq2Seq(model.encoder, model.decoder, given).bridge is given


def test_encoder_and_decoder_of_different_cells_and_depths():
    model = Seq2Seq(
        Encoder(vocabulary_size=VOCABULARY, embedding_size=5, units=3, cell="lstm", depth=2),
        Decoder(vocabulary_size=VOCABULARY, embedding_size=5, units=4, cell="gru", depth=3),
    )
    model.compile(run_eagerly=EAGERLY)
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()
    assert np.any(np.array(model.inference_model(GreedySearch(4))(X["source_ids"]).ids))


# Composed by hand


class Composed(keras.Model):
    """What the README shows: the parts in a model of one's own."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.bridge = encoder, decoder, CopyBridge()

    def call(self, inputs, training=None):
        encoded, state = self.encoder(inputs["source_ids"], training=training)
        state = self.bridge(state)
        return self.decoder(inputs["target_ids"], state, encoded, training=training)[0]

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        parts = {"encoder": serialize(self.encoder), "decoder": serialize(self.decoder)}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **parts})


def composed_by_subclass(encoder, decoder):
    return Composed(encoder, decoder)


def composed_functionally(encoder, decoder):
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in X}
    encoded, state = encoder(inputs["source_ids"])
    if encoder.state_sizes == decoder.state_sizes:
        state = CopyBridge()(state)
    else:
        state = DenseBridge(decoder.state_sizes)(state)
    logits, _, _ = decoder(inputs["target_ids"], state, encoded)
    return keras.Model(inputs, logits)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("compose", "decoder_units"),
    [(composed_by_subclass, 6), (composed_functionally, 6), (composed_functionally, 5)],
    ids=["subclass", "functional-copy", "functional-dense"],
)
def test_parts_composed_by_hand_fit_save_and_load(compose, decoder_units, tmp_path):
    parts = made(decoder_units=decoder_units)
    model = compose(parts.encoder, parts.decoder)
    model.compile(
        "adam",
        TokenCrossEntropy(),
        weighted_metrics=[TokenAccuracy(), Perplexity()],
        run_eagerly=EAGERLY and (compose is composed_by_subclass or decoder_units == 5),
    )
    losses = model.fit(X, Y, epochs=5, batch_size=12, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "composed.keras")
    loaded = keras.saving.load_model(
        tmp_path / "composed.keras", custom_objects={"Composed": Composed}
    )
    np.testing.assert_array_equal(loaded(X), model(X))
    assert isinstance(loaded.optimizer, keras.optimizers.Adam)
    assert int(loaded.optimizer.iterations) == 5


def test_parts_composed_by_hand_equal_seq2seq():
    model = made()
    expected = model(X)
    for compose in (composed_by_subclass, composed_functionally):
        logits = compose(model.encoder, model.decoder)(X)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


# Saving


def test_a_loaded_model_goes_on_training_bit_by_bit(tmp_path):
    """Weights, optimizer state, loss and metrics are restored; of dropout Keras saves no seed."""
    model = made(decoder_units=5)
    model.compile(keras.optimizers.AdamW(3e-3, global_clipnorm=0.7), run_eagerly=EAGERLY)
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is Seq2Seq
    same_weights(loaded, model)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert int(loaded.optimizer.iterations) == 3
    for one in (model, loaded):
        one.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    same_weights(loaded, model)
    results = loaded.evaluate(X, Y, verbose=0, return_dict=True)
    assert results == model.evaluate(X, Y, verbose=0, return_dict=True)
    assert set(results) == {"loss", "accuracy", "perplexity"}


def test_mixed_precision_training_goes_on_after_loading(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = made()
    model.compile(run_eagerly=EAGERLY)
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    for one in (model, loaded):
        one.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    same_weights(loaded, model)


def test_an_uncompiled_model_is_loaded_uncompiled(tmp_path):
    model = made()
    model.build()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(X), model(X))


def test_weights_alone_can_be_saved_and_loaded(tmp_path):
    model, other = made(), made()
    for one in (model, other):
        one.build()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    same_weights(other, model)


IN_A_FRESH_PROCESS = """
import json, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
import keras
import keras_s2s
import numpy as np
folder = sys.argv[1]
data = np.load(folder + "/data.npz")
x = {"source_ids": data["source_ids"], "target_ids": data["target_ids"]}
model = keras.saving.load_model(folder + "/model.keras")
search = keras.saving.load_model(folder + "/search.keras")
model.fit(x, data["labels"], shuffle=False, verbose=0)
np.savez(folder + "/after.npz", *model.get_weights())
found = search.predict(x["source_ids"], verbose=0)
np.savez(folder + "/found.npz", **found._asdict())
print(json.dumps([type(model).__module__, type(search).__module__, type(found).__name__]))
"""


@pytest.mark.thorough
def test_a_fresh_process_needs_only_the_two_imports(tmp_path):
    """`import keras`, `import keras_s2s`, `load_model`: training goes on, decoding works."""
    model = made()
    model.compile(run_eagerly=EAGERLY)
    model.fit(X, Y, verbose=0)
    inference = model.inference_model(BeamSearch(3, 0.5, 2, 7))
    expected = inference.predict(X["source_ids"], verbose=0)
    model.save(tmp_path / "model.keras")
    inference.save(tmp_path / "search.keras")
    np.savez(tmp_path / "data.npz", **X, labels=Y)
    run = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    kinds = json.loads(run.stdout.splitlines()[-1])
    assert kinds == ["keras_s2s.models.seq2seq", "keras_s2s.models.inference", "SearchResult"]
    with np.load(tmp_path / "found.npz") as found:
        for name, theirs in expected._asdict().items():
            np.testing.assert_array_equal(found[name], theirs)
    model.fit(X, Y, shuffle=False, verbose=0)
    with np.load(tmp_path / "after.npz") as after:
        for ours, theirs in zip(after.values(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


# Inference


def spread(model, seed=11):
    """Larger weights, so that outputs differ from source to source and end at different places."""
    model.build()
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1.2, w.shape) for w in model.weights])
    return model


def logits_of(model, source_ids):
    """For `reference`'s searches: the logits that follow a prefix, from NumPy alone."""
    values, mask, state = reference.encode(model.encoder, source_ids[None])
    if isinstance(model.bridge, DenseBridge):
        joined = np.concatenate([part for layer in state for part in layer], axis=-1)
        state = [
            tuple(np.tanh(joined @ kernel + bias) for kernel, bias in map(reference.arrays, layer))
            for layer in model.bridge.projections
        ]

    def following(ids):
        target_ids = np.array([[START, *ids]])
        return reference.decode(model.decoder, target_ids, state, values, mask)[0][0, -1]

    return following


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("cell", "attention", "decoder_units", "seed"),
    [("lstm", "general", 6, 4), ("gru", "concat", 5, 3), ("lstm", None, 6, 23)],
)
def test_inference_is_the_search_in_numpy(cell, attention, decoder_units, seed):
    model = spread(made(cell, attention, decoder_units), seed)
    source_ids = X["source_ids"]
    greedy = model.inference_model(GreedySearch(7)).predict(source_ids, verbose=0)
    beam = model.inference_model(BeamSearch(3, 0.7, 2, 7)).predict(source_ids, verbose=0)
    assert len(set(greedy.lengths.ravel())) > 2, "outputs of several lengths"
    for row, source in enumerate(source_ids):
        following = logits_of(model, source)
        for result, expected in (
            (greedy, [reference.greedy(following, 7, END)]),
            (beam, reference.beam(following, 7, END, 3, 0.7)[:2]),
        ):
            for n, hypothesis in enumerate(expected):
                length = result.lengths[row, n]
                assert tuple(result.ids[row, n, :length].tolist()) == hypothesis.ids
                # Float32 against float64 over seven steps.
                assert result.log_probs[row, n] == pytest.approx(hypothesis.log_prob, abs=1e-4)
                assert result.scores[row, n] == pytest.approx(hypothesis.score, abs=1e-4)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("search", [GreedySearch(6), BeamSearch(3, 0.7, 2, 6)])
def test_teacher_forcing_the_output_gives_its_log_probs_and_weights(search):
    model = spread(made())
    result = model.inference_model(search).predict(X["source_ids"], verbose=0)
    for n in range(result.ids.shape[1]):
        ids = result.ids[:, n]
        target_ids = np.concatenate([np.full((12, 1), START), ids[:, :-1]], axis=1)
        memory, state = model.encode(X["source_ids"])
        logits, _, weights = model.decoder(target_ids, state, memory)
        log_probs = reference.log_softmax(np.array(logits))
        taken = np.take_along_axis(log_probs, ids[:, :, None], axis=-1)[:, :, 0]
        real = np.arange(6) < result.lengths[:, n, None]
        total = (taken * real).sum(axis=1)
        np.testing.assert_allclose(total, result.log_probs[:, n], rtol=0, atol=1e-4)
        np.testing.assert_allclose(
            np.array(weights) * real[:, :, None], result.weights[:, n], rtol=0, atol=1e-5
        )


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("search", [GreedySearch(6), BeamSearch(4, 1.0, 3, 6)])
def test_batch_mates_and_padding_change_no_sentence(search):
    model = spread(made("gru"))
    inference = model.inference_model(search)
    together = inference.predict(X["source_ids"], verbose=0)
    assert len(set(together.lengths[:, 0])) > 2
    for row, padding in zip(range(6), (0, 9, 1, 0, 2, 5), strict=True):
        source = X["source_ids"][row]
        alone = source[source != 0]
        found = SearchResult(*map(np.array, inference(np.pad(alone, (0, padding))[None])))
        np.testing.assert_array_equal(found.ids[0], together.ids[row])
        np.testing.assert_allclose(found.scores[0], together.scores[row], rtol=0, atol=1e-5)
        ours, theirs = (x[:, :, : len(alone)] for x in (found.weights[0], together.weights[row]))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_inference_shares_the_weights_it_was_made_from():
    model = made()
    inference = model.inference_model()
    inference.search.max_length = 4
    assert isinstance(inference, InferenceModel)
    assert isinstance(inference, keras.Model)
    assert isinstance(inference.search, GreedySearch)
    before = inference.predict(X["source_ids"], verbose=0)
    spread(model)
    # The same compiled graph: it reads the weights, it does not hold a copy.
    after = inference.predict(X["source_ids"], verbose=0)
    assert np.any(after.log_probs != before.log_probs)


def test_predict_takes_batches_of_any_length():
    inference = spread(made()).inference_model(BeamSearch(2, max_length=4))
    whole = inference.predict(X["source_ids"], verbose=0)
    in_batches = inference.predict(X["source_ids"], batch_size=5, verbose=0)
    for ours, theirs in zip(in_batches, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX infers no -1 of a shape without elements")
def test_a_batch_of_no_sentences_gives_no_results():
    inference = spread(made()).inference_model(BeamSearch(2, max_length=4))
    nothing = inference(X["source_ids"][:0])
    assert [tuple(part.shape) for part in nothing] == [
        (0, 1, 4),
        (0, 1),
        (0, 1),
        (0, 1),
        (0, 1, 4, 6),
        (0, 1, 4),
        (0, 1),
    ]


@tensorflow_only
def test_one_trace_serves_every_batch():
    inference = spread(made()).inference_model(BeamSearch(2, max_length=4))
    traces = []

    def translate(source_ids):
        traces.append(1)
        return inference(source_ids)

    translate = compiled(translate, [keras.KerasTensor((None, None), "int32")])

    for source_ids in (X["source_ids"], X["source_ids"][:1, :3], X["source_ids"][:0]):
        for ours, theirs in zip(translate(source_ids), inference(source_ids), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert len(traces) == 1


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("search", [GreedySearch(6), BeamSearch(3, 0.7, 2, 6)])
def test_inference_round_trips_through_a_keras_file(search, tmp_path):
    inference = spread(made()).inference_model(search, start_id=4, end_id=5)
    inference.save(tmp_path / "inference.keras")
    loaded = keras.saving.load_model(tmp_path / "inference.keras")
    assert (loaded.start_id, loaded.end_id) == (4, 5)
    assert loaded.search.get_config() == search.get_config()
    for ours, theirs in zip(
        loaded.predict(X["source_ids"], verbose=0),
        inference.predict(X["source_ids"], verbose=0),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


# Shared embeddings


def shared(**kwargs):
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": 5}
    return Seq2Seq(
        Encoder(**sizes, units=3),
        Decoder(**sizes, units=6, **kwargs),
        shared_embedding=True,
    )


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("tied", [False, True])
def test_a_shared_embedding_is_one_table_also_when_loaded(tied, tmp_path):
    model = shared(tied_embedding=tied, attention_size=5)
    model.compile(run_eagerly=True)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = Seq2Seq.from_config(model.get_config())
    again.build()
    for one in (model, loaded, again):
        assert one.decoder.embedding is one.encoder.embedding
        assert sum("embedding" in w.path for w in one.weights) == 1
        assert len(one.weights) == len(model.weights)
    same_weights(loaded, model)
    np.testing.assert_array_equal(loaded(X), model(X))
    for one in (model, loaded):
        one.fit(X, Y, shuffle=False, verbose=0)
    same_weights(loaded, model)


def test_a_shared_embedding_learns_from_both_sides():
    model = shared()
    model.build()
    table = model.encoder.embedding.embeddings
    # Source ids 4 and 5, target ids 7 and 8: each row hears of its own side alone.
    x = {"source_ids": np.array([[4, 5]]), "target_ids": np.array([[7, 8]])}
    _, _, (gradient,) = gradients(lambda: ops.sum(model(x, training=True) ** 2), [], [table])
    assert np.flatnonzero(np.any(gradient, axis=-1)).tolist() == [4, 5, 7, 8]


@pytest.mark.parametrize(
    ("name", "value"),
    [("vocabulary_size", 11), ("embedding_size", 4), ("trainable_embedding", False)],
)
def test_embeddings_that_differ_cannot_be_shared(name, value):
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": 5}
    with pytest.raises(ValueError, match=f"`shared_embedding` needs the same `{name}`"):
        Seq2Seq(
            Encoder(**sizes, units=3),
            Decoder(**{**sizes, name: value}, units=6),
            shared_embedding=True,
        )


def test_a_built_decoder_cannot_share():
    model = made()
    model.build()
    with pytest.raises(ValueError, match=r"without weights of its own.*Make a new Decoder"):
        Seq2Seq(model.encoder, model.decoder, shared_embedding=True)
    with pytest.raises(TypeError, match="`shared_embedding` must be True or False; got"):
        Seq2Seq(model.encoder, model.decoder, shared_embedding="yes")


# Guided alignment


def guided(**kwargs):
    parts = made("gru")
    return Seq2Seq(parts.encoder, parts.decoder, guided_alignment=GuidedAlignment(**kwargs))


DIAGONAL = np.eye(6)[None].repeat(12, axis=0) * (Y != 0)[:, :, None]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_guided_alignment_draws_attention_onto_the_given(kind):
    model = guided(kind=kind, weight=2.0)
    model.build()
    model.compile(keras.optimizers.Adam(0.02))
    x = {**X, "alignments": DIAGONAL}

    def on_the_given():
        memory, state = model.encode(X["source_ids"])
        weights = np.array(model.decoder(X["target_ids"], state, memory)[2])
        return (weights * DIAGONAL).sum() / DIAGONAL.sum()

    before = on_the_given()
    model.fit(x, Y, epochs=30, batch_size=12, verbose=0)
    assert on_the_given() > before + 0.2


def test_evaluate_adds_the_guided_loss_to_the_loss_alone():
    model = guided(weight=0.5)
    model.compile(run_eagerly=True)
    plain = model.evaluate(X, Y, verbose=0, return_dict=True)
    both = model.evaluate({**X, "alignments": DIAGONAL}, Y, verbose=0, return_dict=True)
    memory, state = model.encode(X["source_ids"])
    weights = model.decoder(X["target_ids"], state, memory)[2]
    expected = 0.5 * float(GuidedAlignment()(DIAGONAL, weights))
    assert both["loss"] - plain["loss"] == pytest.approx(expected, rel=1e-4)
    assert both["perplexity"] == pytest.approx(plain["perplexity"])
    assert both["accuracy"] == pytest.approx(plain["accuracy"])


def test_alignments_without_the_option_are_refused():
    with pytest.raises(ValueError, match=r"'alignments', but .*guided_alignment=GuidedAlignment"):
        made()({**X, "alignments": DIAGONAL})
    parts = made(attention=None)
    with pytest.raises(ValueError, match="`guided_alignment` needs a decoder with attention"):
        Seq2Seq(parts.encoder, parts.decoder, guided_alignment=GuidedAlignment())
    with pytest.raises(TypeError, match="`guided_alignment` must be a GuidedAlignment; got str"):
        Seq2Seq(parts.encoder, parts.decoder, guided_alignment="mse")


# Errors


def test_parts_of_another_type_are_named():
    model = made()
    for arguments, name in (
        ((model.decoder, model.decoder), "encoder"),
        ((model.encoder, model.encoder), "decoder"),
        ((model.encoder, model.decoder, "copy"), "bridge"),
    ):
        with pytest.raises(TypeError, match=f"`{name}` must be a"):
            Seq2Seq(*arguments)
    with pytest.raises(TypeError, match="`seq2seq` must be a Decodable; got Encoder"):
        InferenceModel(model.encoder)
    with pytest.raises(TypeError, match="`search` must be a Search; got str"):
        model.inference_model("beam")


@pytest.mark.parametrize("wrong", ["array", "one key"])
def test_inputs_of_another_kind_point_to_the_inference_model(wrong):
    inputs = X["source_ids"] if wrong == "array" else {"source_ids": X["source_ids"]}
    with pytest.raises(ValueError, match=r"'source_ids' and 'target_ids'.*inference_model"):
        made()(inputs)


def test_a_copy_between_unequal_states_names_the_dense_bridge():
    model = made(decoder_units=5)
    with pytest.raises(ValueError, match="DenseBridge"):
        Seq2Seq(model.encoder, model.decoder, CopyBridge())(X)
