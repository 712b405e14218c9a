"""The decoder equals its NumPy formula, looped steps equal `call`, and rows share their source."""

import itertools
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import Attention, ConcatScore, Encoded, Memory
from keras_s2s.layers.decoder.decoder import Decoder
from oracles import reference
from support.backends import compiled, gradients, tensorflow_only

pytestmark = pytest.mark.backend_neutral

SETTINGS = {"vocabulary_size": 9, "embedding_size": 3, "units": 4}
TARGET = np.array([[2, 4, 5, 6, 3], [2, 7, 8, 3, 0], [2, 3, 0, 0, 0]])
MASK = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], bool)
SHAPES = [
    {"attention": attention, "cell": cell, "depth": depth}
    for attention, (cell, depth) in itertools.product(
        ("dot", "general", "concat", None), (("lstm", 2), ("gru", 1))
    )
]
each_shape = pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values()))
)


def made(dtype="float32", **kwargs):
    decoder = Decoder(**{**SETTINGS, **kwargs}, dtype=dtype)
    state, encoded = inputs_for(decoder)
    decoder.build((None, None), [[x.shape for x in layer] for layer in state], encoded.values.shape)
    return decoder


def inputs_for(decoder, dtype="float32"):
    rng = np.random.default_rng(0)
    state = tuple(
        tuple(rng.normal(size=(3, size)).astype(dtype) for size in layer)
        for layer in decoder.state_sizes
    )
    return state, Encoded(rng.normal(size=(3, 4, 4)).astype(dtype), MASK)


def same(ours, theirs, atol):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.mark.quick_cases(3)
@each_shape
@pytest.mark.parametrize("training", [False, True])
def test_is_the_numpy_formula(shape, training):
    """The oracle attends and predicts with one and the same decoder state."""
    decoder = made("float64", **shape)
    state, encoded = inputs_for(decoder, "float64")
    ours = decoder(TARGET, state, encoded, training=training)
    same(ours, reference.decode(decoder, TARGET, state, *encoded), 1e-12)


@each_shape
def test_looped_step_is_call(shape):
    decoder = made(**shape)
    state, encoded = inputs_for(decoder)
    logits, final, weights = decoder(TARGET, state, encoded)
    memory = decoder.memory(encoded)
    assert isinstance(memory, Memory)
    stepped, attended = [], []
    for t in range(TARGET.shape[1]):
        step_logits, state, step_weights = decoder.step(TARGET[:, t], state, memory)
        stepped.append(step_logits)
        attended.append(step_weights)
    same((np.stack(stepped, 1), state, np.stack(attended, 1)), (logits, final, weights), 1e-5)


@each_shape
def test_rows_of_one_source_share_its_memory(shape):
    """K rows per source, as beam search keeps them, give what repeating the memory gives."""
    decoder = made(**shape)
    state, encoded = inputs_for(decoder)
    rng = np.random.default_rng(1)
    state = keras.tree.map_structure(
        lambda x: (np.repeat(x, 2, axis=0) + rng.normal(size=(6, x.shape[1]))).astype("float32"),
        state,
    )
    tokens = np.array([4, 5, 6, 7, 8, 3])
    shared = decoder.step(tokens, state, decoder.memory(encoded))
    repeated = Encoded(*(np.repeat(x, 2, axis=0) for x in encoded))
    same(shared, decoder.step(tokens, state, decoder.memory(repeated)), 1e-6)


@each_shape
def test_memory_and_encoded_give_the_same(shape):
    decoder = made(**shape)
    state, encoded = inputs_for(decoder)
    memory = decoder.memory(encoded)
    same(decoder(TARGET, state, memory), decoder(TARGET, state, encoded), 0)
    same(decoder.step(TARGET[:, 0], state, memory), decoder.step(TARGET[:, 0], state, encoded), 0)


@each_shape
def test_later_tokens_do_not_change_earlier_logits(shape):
    decoder = made(**shape)
    state, encoded = inputs_for(decoder)
    changed = TARGET.copy()
    changed[:, 3:] = 8
    logits, other = (decoder(ids, state, encoded)[0] for ids in (TARGET, changed))
    same(other[:, :3], logits[:, :3], 1e-6)
    assert np.any(np.array(other)[:, 3:] != np.array(logits)[:, 3:])


def test_without_attention_the_weights_are_zeros_and_the_source_is_not_read():
    decoder = made(attention=None)
    state, encoded = inputs_for(decoder)
    logits, _, weights = decoder(TARGET, state, encoded)
    assert weights.shape == (3, 5, 4)
    assert not np.any(np.array(weights))
    other, _, _ = decoder(TARGET, state, Encoded(encoded.values + 1, encoded.mask))
    np.testing.assert_array_equal(other, logits)
    assert len(decoder.weights) == 1 + 3 + 2  # embedding, LSTM, output layer


def test_dropout_is_on_in_training_only():
    decoder, plain = made(dropout=0.5), made()
    plain.set_weights(decoder.get_weights())
    state, encoded = inputs_for(decoder)
    expected = plain(TARGET, state, encoded)
    same(decoder(TARGET, state, encoded), expected, 0)
    same(decoder(TARGET, state, encoded, training=False), expected, 0)
    same(decoder.step(TARGET[:, 0], state, encoded), plain.step(TARGET[:, 0], state, encoded), 0)
    dropped, other = (decoder(TARGET, state, encoded, training=True)[0] for _ in range(2))
    assert np.any(np.array(dropped) != np.array(other))


@each_shape
def test_gradient_reaches_every_weight(shape):
    decoder = made(**shape)
    state, encoded = inputs_for(decoder)
    sources = [*keras.tree.flatten(state), encoded.values]

    def loss(*sources):
        logits, _, _ = decoder(
            TARGET,
            keras.tree.pack_sequence_as(state, sources[:-1]),
            Encoded(sources[-1], MASK),
            training=True,
        )
        return ops.sum(logits**2)

    _, by_sources, by_weights = gradients(loss, sources, decoder.trainable_weights)
    named = dict(zip((w.path for w in decoder.trainable_weights), by_weights, strict=True))
    named |= {f"source {i}": gradient for i, gradient in enumerate(by_sources)}
    if shape["attention"] is None:
        del named[f"source {len(sources) - 1}"]
    for name, gradient in named.items():
        assert np.isfinite(gradient).all(), name
        assert np.any(gradient), name


@tensorflow_only
def test_one_trace_serves_every_size():
    decoder = made()
    traces = []

    def run(target_ids, state, encoded):
        traces.append(1)
        return decoder(target_ids, state, encoded)

    tensor = keras.KerasTensor
    run = compiled(
        run,
        [
            tensor((None, None), "int32"),
            ((tensor((None, 4)), tensor((None, 4))),),
            Encoded(tensor((None, None, 4)), tensor((None, None), "bool")),
        ],
    )

    state, encoded = inputs_for(decoder)
    for rows, targets, sources in ((3, 5, 4), (1, 1, 2), (0, 2, 3)):
        ids = TARGET[:rows, :targets].astype("int32")
        some_state = keras.tree.map_structure(lambda x, n=rows: x[:n], state)
        some = Encoded(encoded.values[:rows, :sources], encoded.mask[:rows, :sources])
        same(run(ids, some_state, some), decoder(ids, some_state, some), 1e-6)
    assert len(traces) == 1


@pytest.mark.quick_cases(3)
@each_shape
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_steps_in_half_precision(shape, policy):
    """Also from a float32 state: a search loops over the state, so its dtype must not change."""
    half, exact = made(policy, **shape), made(**shape)
    half.set_weights(exact.get_weights())
    state, encoded = inputs_for(half)
    for ours, theirs in (
        (half(TARGET, state, encoded), exact(TARGET, state, encoded)),
        (half.step(TARGET[:, 0], state, encoded), exact.step(TARGET[:, 0], state, encoded)),
    ):
        logits, final, weights = ours
        tensors = [logits, *keras.tree.flatten(final)]
        assert {keras.backend.standardize_dtype(x.dtype) for x in tensors} == {half.compute_dtype}
        assert keras.backend.standardize_dtype(weights.dtype) == "float32"
        same(keras.tree.map_structure(lambda x: ops.cast(x, "float32"), ours), theirs, 0.05)


@each_shape
def test_round_trips_through_json_and_weights(shape):
    decoder = made(**shape, dropout=0.1, name="writer")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(decoder)))
    again = keras.saving.deserialize_keras_object(config)
    # As JSON: shapes it was built for are tuples before and lists after.
    assert json.dumps(again.get_config()) == json.dumps(decoder.get_config())
    again.set_weights(decoder.get_weights())
    state, encoded = inputs_for(decoder)
    same(again(TARGET, state, encoded), decoder(TARGET, state, encoded), 0)


def test_attention_may_be_a_name_a_score_or_a_layer():
    for given in ("concat", ConcatScore(units=4), Attention("concat")):
        decoder = made(attention=given)
        assert type(decoder.attention.score) is ConcatScore
        # Embedding, LSTM, two projections and their scale, tanh layer, output layer.
        assert len(decoder.weights) == 1 + 3 + 3 + 1 + 2
    assert made(attention_size=7).attention_layer.units == 7


def test_state_of_another_shape_names_the_bridge():
    decoder = made(depth=2)
    ((h, c), _), encoded = inputs_for(decoder)
    for wrong in (((h, c),), ((h,), (h,)), ((h[:, :2], c), (h, c)), (h, c)):
        for call in (
            lambda state: decoder(TARGET, state, encoded),
            lambda state: decoder.step(TARGET[:, 0], state, encoded),
        ):
            with pytest.raises(ValueError, match=r"\(\(4, 4\), \(4, 4\)\); got .*DenseBridge"):
                call(wrong)


def test_step_before_build_says_so():
    decoder = Decoder(**SETTINGS)
    with pytest.raises(ValueError, match="no weights yet"):
        decoder.step(TARGET[:, 0], *inputs_for(decoder))


def test_dot_attention_over_another_width_is_an_error():
    with pytest.raises(ValueError, match="decoder units 5 and memory width 4"):
        made(attention="dot", units=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(
            ("vocabulary_size", "embedding_size", "units", "depth"), (0, -1, 2.5, "3", True)
        ),
        ("cell", "rnn"),
        ("dropout", 1.0),
        ("dropout", None),
        ("attention_size", 0),
        ("attention_size", "8"),
        ("attention_size", True),
        ("embedding_scale", -1.0),
        ("embedding_scale", "2"),
    ],
)
def test_bad_argument_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*got {name}={value!r}"):
        Decoder(**{**SETTINGS, name: value})


def test_attention_size_without_attention_is_an_error():
    with pytest.raises(ValueError, match=r"`attention_size` needs attention.*attention_size=8"):
        Decoder(**SETTINGS, attention=None, attention_size=8)


@pytest.mark.parametrize("attention", [3, Attention, keras.layers.Dense(2)])
def test_attention_of_another_type_is_an_error(attention):
    with pytest.raises(TypeError, match=r"`attention` must be an Attention .*a Score"):
        Decoder(**SETTINGS, attention=attention)


def test_unknown_score_lists_the_known():
    with pytest.raises(ValueError, match=r"'dot', .*'general', .*'concat'.*'bahdanau'"):
        Decoder(**SETTINGS, attention="bahdanau")


@pytest.mark.parametrize("tied", [False, True])
def test_a_scaled_embedding_is_a_larger_one_where_it_enters(tied):
    options = {"tied_embedding": tied, "attention_size": 3, "dtype": "float64"}
    plain, scaled = made(**options), made(**options, embedding_scale=2.5)
    scaled.set_weights(plain.get_weights())
    state, encoded = inputs_for(plain, "float64")
    # The output layer takes the table as it is, so only an untied one can stand for the scaled.
    hidden, final, weights = scaled(TARGET, state, encoded, logits=False)
    logits, _, _ = scaled(TARGET, state, encoded)
    table = ops.convert_to_numpy(plain.embedding.embeddings)
    kernel = table.T if tied else ops.convert_to_numpy(plain.output_layer.kernel)
    same(logits, np.asarray(hidden) @ kernel, 1e-12)  # biases start at zero
    plain.embedding.embeddings.assign(2.5 * table)
    same((hidden, final, weights), plain(TARGET, state, encoded, logits=False), 1e-12)

    step_logits, _, _ = scaled.step(TARGET[:, 0], state, scaled.memory(encoded))
    same(step_logits, np.asarray(logits)[:, 0], 1e-12)
    assert Decoder.from_config(scaled.get_config()).embedding_scale == 2.5
