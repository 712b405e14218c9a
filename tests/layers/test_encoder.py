"""The encoder is a NumPy stack of cells; padding changes nothing, and reversal only the order."""

import itertools
import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import Encoded
from keras_s2s.layers.encoder import Encoder
from oracles import reference
from oracles.decoder_reference import encode
from support.backends import compiled, gradients, tensorflow_only
from support.designs import randomized

pytestmark = pytest.mark.backend_neutral

SETTINGS = {"vocabulary_size": 11, "embedding_size": 3, "units": 4}
# Right padding, a gap, left padding, no padding, nothing at all.
SOURCE = np.array(
    [[4, 5, 6, 3, 0], [7, 0, 8, 0, 3], [0, 0, 9, 10, 3], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]]
)
SHAPES = [
    {"cell": cell, "bidirectional": bidirectional, "depth": depth, "reverse_source": reverse}
    for cell, (bidirectional, depth, reverse) in itertools.product(
        ("lstm", "gru"), [(False, 1, False), (True, 1, False), (True, 2, True), (False, 2, True)]
    )
]
each_shape = pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values()))
)


def made(**kwargs):
    encoder = Encoder(**{**SETTINGS, **kwargs})
    encoder.build()
    return encoder


def same(ours, theirs, atol):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.mark.quick_cases(3)
@each_shape
@pytest.mark.parametrize("training", [False, True])
def test_is_a_numpy_stack_of_cells(shape, training):
    encoder = made(**shape, dtype="float64")
    encoded, state = encoder(SOURCE, training=training)
    values, mask, expected_state = reference.encode(encoder, SOURCE)
    np.testing.assert_allclose(encoded.values, values, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(encoded.mask, mask)
    same(state, expected_state, 1e-12)


@each_shape
def test_shapes_are_those_it_declares(shape):
    encoder = made(**shape)
    encoded, state = encoder(SOURCE)
    assert encoded.values.shape == (5, 5, encoder.memory_size)
    widths = tuple(tuple(part.shape[-1] for part in layer) for layer in state)
    assert widths == encoder.state_sizes


@pytest.mark.quick_cases(3)
@each_shape
@pytest.mark.parametrize(
    "padded",
    [[4, 5, 6, 3, 0, 0], [0, 0, 4, 5, 6, 3], [4, 0, 5, 6, 0, 3]],
    ids=["right", "left", "gaps"],
)
def test_padding_changes_neither_memory_nor_state(shape, padded):
    encoder = made(**shape)
    encoded, state = encoder(np.array([[4, 5, 6, 3]]))
    padded_encoded, padded_state = encoder(np.array([padded]))
    kept = np.array(padded_encoded.values)[np.array(padded_encoded.mask)]
    np.testing.assert_allclose(kept, encoded.values[0], rtol=0, atol=1e-6)
    same(padded_state, state, 1e-6)


@each_shape
def test_batch_mates_change_nothing(shape):
    encoder = made(**shape)
    encoded, state = encoder(SOURCE)
    for row in (0, 2, 4):
        alone, alone_state = encoder(SOURCE[row : row + 1])
        np.testing.assert_allclose(alone.values[0], encoded.values[row], rtol=0, atol=1e-6)
        same(alone_state, keras.tree.map_structure(lambda x, r=row: x[r : r + 1], state), 1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_reverse_source_is_the_flipped_source_with_its_memory_flipped_back(cell, bidirectional):
    plain = made(cell=cell, bidirectional=bidirectional, depth=2)
    turned = made(cell=cell, bidirectional=bidirectional, depth=2, reverse_source=True)
    turned.set_weights(plain.get_weights())
    encoded, state = turned(SOURCE)
    expected, expected_state = plain(SOURCE[:, ::-1])
    np.testing.assert_allclose(
        encoded.values, np.array(expected.values)[:, ::-1], rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(encoded.mask, SOURCE != 0)
    same(state, expected_state, 1e-6)


def test_state_of_each_direction_is_the_one_after_its_last_token():
    encoder = made(cell="gru")
    encoded, ((state,),) = encoder(np.array([[4, 5, 6, 0, 0]]))
    values = np.array(encoded.values)[0]
    # Forward units end at the last real token, backward units at the first.
    np.testing.assert_allclose(state[0, :4], values[2, :4], rtol=0, atol=1e-6)
    np.testing.assert_allclose(state[0, 4:], values[0, 4:], rtol=0, atol=1e-6)


def test_a_source_of_padding_alone_is_encoded_as_zeros():
    encoded, state = made()(SOURCE[4:])
    assert not np.any(np.array(encoded.values))
    assert not np.any(np.array(encoded.mask))
    assert not any(np.any(np.array(part)) for part in keras.tree.flatten(state))


def test_pad_id_says_which_positions_are_masked():
    encoded, _ = made(pad_id=5)(SOURCE)
    np.testing.assert_array_equal(encoded.mask, SOURCE != 5)


def test_dropout_is_on_in_training_only():
    encoder, plain = made(dropout=0.5), made()
    plain.set_weights(encoder.get_weights())
    expected, expected_state = plain(SOURCE)
    for training in (None, False):
        encoded, state = encoder(SOURCE, training=training)
        np.testing.assert_array_equal(encoded.values, expected.values)
        same(state, expected_state, 0)
    dropped, _ = encoder(SOURCE, training=True)
    values = np.array(dropped.values)[np.array(dropped.mask)]
    # Half of the memory is dropped; 112 values, so 0.2 is over four standard deviations.
    assert abs((values == 0).mean() - 0.5) < 0.2
    again, _ = encoder(SOURCE, training=True)
    assert np.any(np.array(again.values) != np.array(dropped.values))


def test_gradient_reaches_every_weight():
    encoder = made(depth=2)

    def loss():
        encoded, state = encoder(SOURCE, training=True)
        return ops.sum(encoded.values**2) + sum(
            ops.sum(part**2) for part in keras.tree.flatten(state)
        )

    _, _, found = gradients(loss, [], encoder.trainable_weights)
    for weight, gradient in zip(encoder.trainable_weights, found, strict=True):
        assert np.isfinite(gradient).all(), weight.path
        assert np.any(gradient), weight.path


@tensorflow_only
def test_one_trace_serves_every_size():
    encoder = made(reverse_source=True)
    traces = []

    def run(source_ids):
        traces.append(1)
        return encoder(source_ids)

    run = compiled(run, [keras.KerasTensor((None, None), "int32")])

    for source in (SOURCE, SOURCE[:1, :3], SOURCE[:0]):
        encoded, state = run(source.astype("int32"))
        expected, expected_state = encoder(source)
        np.testing.assert_allclose(encoded.values, expected.values, rtol=0, atol=1e-6)
        same(state, expected_state, 1e-6)
    assert len(traces) == 1


def test_symbolic_call_gives_an_encoded_with_its_widths():
    encoded, state = Encoder(**SETTINGS, depth=2)(keras.Input((None,), dtype="int32"))
    assert isinstance(encoded, Encoded)
    assert encoded.values.shape == (None, None, 8)
    assert encoded.mask.shape == (None, None)
    assert [[part.shape for part in layer] for layer in state] == [[(None, 8)] * 2] * 2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_the_memory_in_half_precision(policy):
    half, exact = made(dtype=policy), made()
    half.set_weights(exact.get_weights())
    encoded, state = half(SOURCE)
    tensors = [encoded.values, *keras.tree.flatten(state)]
    assert {keras.backend.standardize_dtype(x.dtype) for x in tensors} == {half.compute_dtype}
    same(ops.cast(encoded.values, "float32"), exact(SOURCE)[0].values, 0.03)


@each_shape
def test_round_trips_through_json_and_weights(shape):
    encoder = made(**shape, dropout=0.1, pad_id=1, name="reader")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(encoder)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == encoder.get_config()
    # Its weights are there already: the shapes it was built for are saved with it.
    again.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(again(SOURCE)[0].values, encoder(SOURCE)[0].values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(
            ("vocabulary_size", "embedding_size", "units", "depth"), (0, -1, 2.5, "3", True)
        ),
        ("cell", "rnn"),
        ("cell", "LSTM"),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", None),
        ("pad_id", -1),
        ("pad_id", 11),
        ("pad_id", None),
        ("embedding_scale", 0),
        ("embedding_scale", True),
        ("embedding_scale", float("inf")),
    ],
)
def test_bad_argument_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*got {name}={value!r}"):
        Encoder(**{**SETTINGS, name: value})


def test_misspelled_argument_is_an_error():
    with pytest.raises((TypeError, ValueError), match="unit"):
        Encoder(**SETTINGS, unit=3)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 1)])
def test_source_ids_of_another_rank_are_an_error(shape):
    with pytest.raises(ValueError, match=r"shape \(batch, source length\)"):
        made()(np.ones(shape, "int32"))


# Every option against the oracle

FEATURES = np.arange(50).reshape(5, 5, 2) % 3
OPTIONS = [
    {"cell": "lstm", "bidirectional": "first", "depth": 3, "residual": True},
    {"cell": "gru", "depth": 2, "residual": True, "layer_norm": True},
    {"cell": "gru", "depth": 3, "residual": True, "bidirectional": False},
    {"cell": "layer_norm_lstm", "depth": 2, "layer_norm": True, "bidirectional": "first"},
    {"cell": ["lstm", "gru"], "reverse_source": True, "residual": True, "layer_norm": True},
    {"source_features": ((5, 2), (3, 1))},
    {"source_features": ((5, 2), (3, 1)), "reverse_source": True, "bidirectional": "first"},
    {"pad_id": 5, "reverse_source": True},
]


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_every_option_is_the_numpy_formula(options, training):
    encoder = randomized(made(**options, dtype="float64"))
    features = FEATURES if "source_features" in options else None
    encoded, state = encoder(SOURCE, features, training=training)
    values, mask, expected = encode(encoder, SOURCE, features)
    np.testing.assert_allclose(encoded.values, values, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(encoded.mask, mask)
    same(state, tuple(expected), 1e-10)


def test_source_features_are_off_by_default_and_both_or_neither():
    with pytest.raises(ValueError, match=r"has 0 source features .*got source_features=a tensor"):
        made()(SOURCE, FEATURES)
    encoder = made(source_features=((5, 2), (3, 1)))
    with pytest.raises(ValueError, match=r"has 2 source features .*got source_features=none"):
        encoder(SOURCE)
    for wrong in (FEATURES[:, :, :1], FEATURES[:, :, 0]):
        with pytest.raises(ValueError, match=r"shape \(batch, source length, 2\)"):
            encoder(SOURCE, wrong)


@pytest.mark.parametrize("value", [5, (5, 2), ((5,),), ((5, 0),), ((5, 2.0),), ((True, 2),), "ab"])
def test_source_features_of_another_form_are_an_error(value):
    with pytest.raises(ValueError, match="`source_features` must be pairs of positive integers"):
        Encoder(**SETTINGS, source_features=value)


@pytest.mark.parametrize("value", [1, 0, "last", None])
def test_bidirectional_is_true_false_or_first(value):
    with pytest.raises(ValueError, match=f"True, False, 'first'; got bidirectional={value!r}"):
        Encoder(**SETTINGS, bidirectional=value)


def test_pad_id_is_no_flag():
    with pytest.raises(ValueError, match=r"`pad_id` must be an id .*got pad_id=True"):
        Encoder(**SETTINGS, pad_id=True)


@pytest.mark.parametrize(
    ("name", "whole"), [("embedding_dropout", False), ("word_dropout", True), ("dropout", False)]
)
def test_each_dropout_is_on_in_training_only(name, whole):
    plain, encoder = made(), made(**{name: 0.5})
    encoder.set_weights(plain.get_weights())
    expected = np.array(plain(SOURCE)[0].values)
    for training in (None, False):
        np.testing.assert_array_equal(encoder(SOURCE, training=training)[0].values, expected)
    one, two = (np.array(encoder(SOURCE, training=True)[0].values) for _ in range(2))
    assert np.abs(one - two).max() > 1e-3
    if name != "dropout":
        # What the recurrence sees of one word: all of it or nothing with `word_dropout`.
        x = np.array(encoder.embed(np.full((20, 20), 4), training=True))
        gone = (x == 0).mean(axis=-1)
        assert np.isin(gone, (0.0, 1.0)).all() == whole
        assert abs(gone.mean() - 0.5) < 0.12


def test_a_frozen_embedding_is_no_trainable_weight():
    names = [w.path for w in made(trainable_embedding=False).trainable_weights]
    assert not any("embedding" in name for name in names)
    assert len(names) == len(made().trainable_weights) - 1


def test_a_scaled_embedding_is_a_larger_one():
    features = {"source_features": ((4, 2),)}
    plain, scaled = made(**features), made(**features, embedding_scale=2.5)
    scaled.set_weights(plain.get_weights())
    plain.embedding.embeddings.assign(2.5 * plain.embedding.embeddings)
    ids = np.zeros((*SOURCE.shape, 1), "int32")
    same(scaled(SOURCE, ids), plain(SOURCE, ids), 1e-6)
    again = Encoder.from_config(scaled.get_config())
    assert again.embedding_scale == 2.5


def test_embeddings_start_with_rows_of_length_one():
    encoder = made(vocabulary_size=500, embedding_size=64)
    lengths = np.linalg.norm(ops.convert_to_numpy(encoder.embedding.embeddings), axis=-1)
    np.testing.assert_allclose(lengths.mean(), 1, atol=0.02)
