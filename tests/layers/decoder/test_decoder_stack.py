"""Every design equals its NumPy formula, in steps and in calls, and loops only where it must."""

import keras
import numpy as np
import pytest

from keras_s2s import BeamSearch, SearchResult
from oracles.decoder_reference import decode
from support.backends import BACKEND, gradients, tensorflow_only
from support.designs import (
    DESIGNS,
    SOURCE,
    TARGET,
    WIDTH,
    Attention,
    Encoded,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
    NestedCell,
    Seq2Seq,
    as_float32,
    decoder_of,
    encoder_with,
    monotonic,
    randomized,
    same,
    state_and_encoded,
)

ops = keras.ops
each_design = pytest.mark.parametrize("design", DESIGNS)
# Designs of which each part of the code sees one; the whole list is in the oracle's test.
some_designs = pytest.mark.parametrize(
    "design",
    [
        "Luong, two layers",
        "monotonic",
        "feeding",
        "feeding monotonic",
        "Bahdanau",
        "GNMT feeding",
        "residual, norm, feeding",
    ],
)
LOCAL = {"attention": lambda: Attention("general", window=LocalMonotonicWindow(1))}


@pytest.mark.quick_cases(3)
@each_design
def test_is_the_numpy_formula(design):
    """Logits, final state and weights in float64, with a gap and a row without a source."""
    decoder = decoder_of(design, "float64")
    state, encoded = state_and_encoded(decoder, "float64")
    logits, final, weights = decoder(TARGET, state, encoded)
    expected = decode(decoder, TARGET, state, *encoded)
    same((logits, final[: decoder.depth], weights), expected, 1e-10)


@pytest.mark.parametrize("design", ["feeding", "Bahdanau", "GNMT", "monotonic"])
def test_training_without_dropout_is_the_same_formula(design):
    decoder = decoder_of(design, "float64")
    state, encoded = state_and_encoded(decoder, "float64")
    same(decoder(TARGET, state, encoded, training=True), decoder(TARGET, state, encoded), 1e-12)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("design", [*DESIGNS, LOCAL], ids=[*DESIGNS, "local-m"])
def test_looped_step_is_call(design):
    """From the plain state and from what `initial_state` adds: logits, state and weights."""
    decoder = decoder_of(**design) if isinstance(design, dict) else decoder_of(design)
    state, encoded = state_and_encoded(decoder)
    expected = decoder(TARGET, state, encoded)
    memory = decoder.memory(encoded)
    logits, attended, now = [], [], decoder.initial_state(state, memory)
    keras.tree.assert_same_structure(now, expected[1])
    for t in range(TARGET.shape[1]):
        step, now, weights = decoder.step(TARGET[:, t], now, memory)
        logits.append(step)
        attended.append(weights)
    same((ops.stack(logits, 1), now, ops.stack(attended, 1)), expected, 1e-5)
    first = decoder.step(TARGET[:, 0], state, memory)
    same(first[0], expected[0][:, 0], 1e-5)


@some_designs
def test_a_call_goes_on_where_another_ended(design):
    decoder = decoder_of(design)
    state, encoded = state_and_encoded(decoder)
    logits, final, weights = decoder(TARGET, state, encoded)
    start, state, some = decoder(TARGET[:, :3], state, encoded)
    rest, state, others = decoder(TARGET[:, 3:], state, encoded)
    both = ops.concatenate([start, rest], axis=1), ops.concatenate([some, others], axis=1)
    same((*both, state), (logits, weights, final), 1e-5)


def test_a_local_window_goes_on_where_another_call_ended():
    decoder = decoder_of(**LOCAL)
    state, encoded = state_and_encoded(decoder)
    logits, _, _ = decoder(TARGET, state, encoded)
    _, state, _ = decoder(TARGET[:, :3], state, encoded)
    same(decoder(TARGET[:, 3:], state, encoded)[0], logits[:, 3:], 1e-5)


@some_designs
def test_rows_of_one_source_share_its_memory(design):
    """Two rows per source, as beams, give what repeating the memory gives; for two steps."""
    decoder = decoder_of(design)
    state, encoded = state_and_encoded(decoder)
    rng = np.random.default_rng(1)
    state = keras.tree.map_structure(
        lambda x: np.repeat(x, 2, axis=0) + rng.normal(size=(8, x.shape[1])).astype("float32"),
        state,
    )
    repeated = decoder.memory(Encoded(*(np.repeat(x, 2, axis=0) for x in encoded)))
    shared, own = decoder.memory(encoded), state
    for tokens in (np.array([4, 5, 6, 7, 8, 3, 4, 4]), np.array([8, 8, 3, 4, 5, 6, 7, 2])):
        ours, theirs = decoder.step(tokens, state, shared), decoder.step(tokens, own, repeated)
        same(ours, theirs, 1e-6)
        state, own = ours[1], theirs[1]


@some_designs
def test_later_tokens_do_not_change_earlier_logits(design):
    decoder = decoder_of(design)
    state, encoded = state_and_encoded(decoder)
    changed = TARGET.copy()
    changed[:, 2:] = 3
    logits, other = (decoder(ids, state, encoded)[0] for ids in (TARGET, changed))
    same(other[:, :2], logits[:, :2], 1e-6)
    assert np.abs(ops.convert_to_numpy(other - logits))[:, 2:].max() > 1e-3


# Search


SEARCHED = ["monotonic", "feeding monotonic", "Bahdanau", "GNMT feeding"]


def searching(design):
    model = Seq2Seq(encoder_with(units=2), decoder_of(design))
    model.build()
    randomized(model, seed=3, scale=0.9)
    model.decoder.output_layer.bias.assign(np.eye(9)[3] * 3)  # outputs end at different places
    return model


@pytest.mark.parametrize("design", SEARCHED)
def test_batch_mates_and_padding_change_no_beam(design):
    inference = searching(design).inference_model(BeamSearch(3, 0.7, 2, 5))
    together = SearchResult(*map(np.array, inference(SOURCE)))
    assert len(np.unique(together.lengths)) > 1
    for row in (0, 3):
        source = np.pad(SOURCE[row][SOURCE[row] != 0], (0, 3))[None]
        alone = SearchResult(*map(np.array, inference(source)))
        np.testing.assert_array_equal(alone.ids[0], together.ids[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], rtol=0, atol=1e-5)
        n = np.count_nonzero(SOURCE[row])
        ours, theirs = alone.weights[0, :, :, :n], together.weights[row, :, :, :n]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("design", ["feeding monotonic", "Bahdanau"])
def test_beams_carry_what_belongs_to_them(design):
    """Teacher forcing what the search found gives its log-probabilities and its weights."""
    model = searching(design)
    found = model.inference_model(BeamSearch(3, 0.7, 3, 5))(SOURCE)
    found = SearchResult(*map(np.array, found))
    memory, state = model.encode(SOURCE)
    for n in range(3):
        ids = np.concatenate([np.full((4, 1), 2), found.ids[:, n, :-1]], axis=1)
        logits, _, weights = model.decoder(ids, state, memory)
        taken = np.take_along_axis(
            np.array(ops.log_softmax(logits)), found.ids[:, n, :, None], axis=-1
        )
        real = np.arange(5) < found.lengths[:, n, None]
        total = (taken[:, :, 0] * real).sum(axis=1)
        np.testing.assert_allclose(total, found.log_probs[:, n], rtol=0, atol=1e-4)
        expected = np.array(weights) * real[:, :, None]
        np.testing.assert_allclose(found.weights[:, n], expected, rtol=0, atol=1e-5)


# Loops


def loops(function, *arguments):
    """How many loops there are in what TensorFlow traces, those inside of loops included."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None] * x.ndim, x.dtype) for x in arguments]
    graph = tf.function(function, input_signature=signature).get_concrete_function().graph
    bodies = graph.as_graph_def().library.function
    nodes = [*graph.as_graph_def().node, *(node for body in bodies for node in body.node_def)]
    return sum(node.op in ("While", "StatelessWhile") for node in nodes)


def decoder_loops(**options):
    decoder = decoder_of("", **options)
    state, encoded = state_and_encoded(decoder)
    return loops(lambda ids: decoder(ids, state, encoded)[0], TARGET.astype("int32"))


@pytest.mark.quick_cases(3)
@tensorflow_only
@pytest.mark.parametrize(
    ("options", "count"),
    [
        # Vectorised: the recurrences, and nothing else.
        ({"attention": None}, 1),
        ({}, 1),
        ({"depth": 3}, 3),
        ({"attention": "concat", "depth": 2}, 2),
        ({"attention_in": "first", "depth": 2}, 2),
        ({"attention": ["general", "concat"]}, 1),
        ({"attention": lambda: Attention("general", window=LocalMonotonicWindow(1))}, 1),
        ({"attention": lambda: Attention("general", window=LocalPredictiveWindow(1))}, 1),
        ({"cell": NestedCell(WIDTH), "units": None}, 1),
        # The recurrences, and a loop of the attention alone.
        ({"attention": lambda: Attention("general", "monotonic"), "depth": 2}, 3),
        ({"attention": "location", "depth": 2}, 3),
        ({"attention": "coverage", "depth": 2}, 3),
        # One loop over everything.
        ({"input_feeding": True, "depth": 3}, 1),
        ({"attend_with": "previous", "depth": 3}, 1),
        ({"attention": "coverage", "input_feeding": True, "depth": 3}, 1),
        ({"attention": lambda: Attention("general", "monotonic"), "attend_with": "previous"}, 1),
        # Recursive monotonic attention loops over the source as well, inside of the other.
        ({"attention": monotonic}, 3),
        ({"attention": monotonic, "input_feeding": True}, 2),
    ],
)
def test_there_is_a_loop_only_where_a_step_needs_the_one_before(options, count):
    assert decoder_loops(**options) == count


@tensorflow_only
def test_a_search_computes_the_memory_outside_its_loop():
    model = Seq2Seq(encoder_with(units=2), decoder_of("feeding"))
    model.build()
    count = loops(model.inference_model(BeamSearch(2, max_length=4)), SOURCE.astype("int32"))
    assert count == 3  # both directions of the encoder, and the search


def test_looped_says_which_designs_loop():
    looped = {name for name in DESIGNS if decoder_of(name).looped}
    words = ("feeding", "Bahdanau", "previous")
    assert looped == {name for name in DESIGNS if any(word in name for word in words)}


# Dropout


def weighing(decoder, state, encoded, training=True):
    return decoder(TARGET, state, encoded, training=training)[0]


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    "name", ["dropout", "recurrent_dropout", "embedding_dropout", "word_dropout"]
)
@pytest.mark.parametrize("design", ["Luong, two layers", "feeding", "Bahdanau"])
def test_dropout_is_on_in_training_only(design, name):
    plain, decoder = decoder_of(design), decoder_of(design, **{name: 0.5})
    decoder.set_weights(plain.get_weights())
    state, encoded = state_and_encoded(decoder)
    expected = weighing(plain, state, encoded)
    same(weighing(decoder, state, encoded, training=False), expected, 1e-6)
    same(decoder(TARGET, state, encoded)[0], expected, 1e-6)
    dropped, again = (ops.convert_to_numpy(weighing(decoder, state, encoded)) for _ in range(2))
    assert np.abs(dropped - again).max() > 1e-3
    same(decoder.step(TARGET[:, 0], state, encoded)[0], expected[:, 0], 1e-6)


def test_recurrent_dropout_in_a_loop_keeps_one_mask_for_all_steps():
    """The loop and the vectorised recurrence drop alike: `h` is zero or doubled, one mask a row.

    The context does not reach the cell (its rows of the kernel are zero), so that the looped
    decoder computes what one without attention would with the same mask.
    """
    decoder = decoder_of("Bahdanau, logits from the cell", recurrent_dropout=0.5)
    layer = decoder.blocks[0].recurrent
    kernel = np.array(layer.kernel)
    kernel[WIDTH:] = 0
    layer.kernel.assign(kernel)
    mask = np.array([[0, 2, 2, 0], [2, 2, 2, 2], [0, 0, 0, 2], [2, 0, 2, 0]], "float32")
    layer.dropout_mask = lambda rows: (ops.convert_to_tensor(mask),)
    state, encoded = state_and_encoded(decoder)
    logits = weighing(decoder, state, encoded)
    x = decoder.embedding(TARGET)
    now, outputs = state[0], []
    padded = ops.concatenate([x, ops.zeros((4, 4, WIDTH))], axis=-1)
    for t in range(4):
        h, now = layer.step(padded[:, t], now, (mask,))
        outputs.append(h)
    same(logits, decoder.output_layer(ops.stack(outputs, axis=1)), 1e-5)


def test_dropout_in_a_loop_differs_from_step_to_step():
    """With one token at all steps and no recurrence, only the dropped inputs tell steps apart."""
    decoder = decoder_of("Bahdanau, logits from the cell", dropout=0.5, cell="gru")
    layer = decoder.blocks[0].recurrent
    layer.recurrent_kernel.assign(np.zeros((WIDTH, 3 * WIDTH)))
    decoder.dropping.rate = 0.0
    decoder.dropping.call = lambda x, training=None: x
    state, encoded = state_and_encoded(decoder)
    logits = ops.convert_to_numpy(decoder(np.full((4, 12), 5), state, encoded, training=True)[0])
    still = ops.convert_to_numpy(decoder(np.full((4, 12), 5), state, encoded)[0])
    moves = np.abs(np.diff(logits, axis=1)).max(axis=(0, 2))
    assert (moves[4:] > 1e-3).all()
    assert np.abs(np.diff(still, axis=1)).max(axis=(0, 2))[-1] < 0.05


# State


@pytest.mark.parametrize("design", ["feeding", "monotonic", "feeding monotonic", "Luong"])
def test_another_state_than_the_layers_names_the_bridge(design):
    """Also one layer too many, which is not what feeding and attention carry."""
    decoder = decoder_of(design, depth=1)
    (layer,), encoded = state_and_encoded(decoder)
    for wrong in ((layer, layer), (layer[:1],), layer, ((layer[0][:, :2], layer[1]),)):
        for call in (
            lambda state: decoder(TARGET, state, encoded),
            lambda state: decoder.step(TARGET[:, 0], state, encoded),
        ):
            with pytest.raises(ValueError, match=r"\(\(4, 4\),\); got .*DenseBridge"):
                call(wrong)


@pytest.mark.skipif(BACKEND == "torch", reason="Torch infers no size of an empty tensor")
@pytest.mark.parametrize("design", ["Luong", "feeding monotonic", "plain"])
def test_no_sources_give_no_logits(design):
    decoder = decoder_of(design)
    state, encoded = state_and_encoded(decoder, rows=0)
    assert decoder(TARGET[:0], state, encoded)[0].shape == (0, 4, 9)
    logits, _, weights = decoder.step(TARGET[:0, 0], state, encoded)
    assert (tuple(logits.shape), tuple(weights.shape)) == ((0, 9), (0, 5))


def test_a_source_without_a_real_token_gives_finite_gradients():
    for design in ("Luong", "feeding", "Bahdanau", "monotonic"):
        decoder = decoder_of(design)
        state, encoded = state_and_encoded(decoder)

        def loss(values, decoder=decoder, state=state, encoded=encoded):
            logits = decoder(TARGET, state, Encoded(values, encoded.mask), training=True)[0]
            return ops.sum(ops.square(logits))

        _, (by_values,), _ = gradients(loss, [encoded.values])
        assert np.isfinite(by_values).all()
        assert not by_values[2].any()
        assert by_values[0].any()


@some_designs
def test_mixed_precision_is_near_float32_and_keeps_its_dtypes(design):
    exact, half = decoder_of(design), decoder_of(design, "mixed_bfloat16")
    state, encoded = state_and_encoded(exact)
    memory = half.memory(encoded)
    begun = half.initial_state(
        keras.tree.map_structure(lambda x: ops.cast(x, half.compute_dtype), state), memory
    )
    logits, after, weights = half.step(TARGET[:, 0], begun, memory)
    dtype_of = keras.backend.standardize_dtype
    assert dtype_of(logits.dtype) == half.compute_dtype
    assert dtype_of(weights.dtype) == "float32"
    for before, now in zip(keras.tree.flatten(begun), keras.tree.flatten(after), strict=True):
        assert dtype_of(before.dtype) == dtype_of(now.dtype)
    ours = half(TARGET, state, encoded, training=True)
    # bfloat16 has 8 bits: steps of 1/256 of numbers of size one, several of them summed.
    same(as_float32(ours[0]), exact(TARGET, state, encoded)[0], 0.25)
