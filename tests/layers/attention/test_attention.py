"""Every score with every probability function and window equals the oracle, gradients included.

What one score, function or window does by itself is in the test file of its module.
"""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import (
    PROBABILITIES,
    SCORES,
    Attention,
    ConcatScore,
    DotScore,
    Encoded,
    LocalMonotonicWindow,
    Memory,
    Monotonic,
    Score,
)
from oracles import attention_reference
from support.attention_cases import (
    MASK,
    PROBABILITY_CASES,
    SMALL,
    WINDOWS,
    WITHOUT_GRADIENT,
    array,
    attention,
    check_gradients,
    check_oracle,
    each_probability,
    each_score,
    each_window,
    random_attention,
    sample,
    stepped,
    values_width,
)
from support.backends import compiled, gradients, tensorflow_only

pytestmark = pytest.mark.backend_neutral

# The oracle is met on the whole grid. Other facts are shown of each score with softmax, and of each
# function behind a score that loops and one that does not: neither knows anything of the other.
EACH_PART = [
    *[(score, "softmax") for score in SCORES],
    *[(s, probability) for s in ("dot", "coverage") for probability in PROBABILITY_CASES],
]
each_part = pytest.mark.parametrize(("score", "probability"), dict.fromkeys(EACH_PART))
GRADIENT_CASES = [
    *[(score, "softmax", "no_window") for score in SCORES],
    *[
        ("coverage", probability, window)
        for probability in PROBABILITY_CASES
        for window in WINDOWS
        if (probability, window) != ("softmax", "no_window") and probability not in WITHOUT_GRADIENT
    ],
    ("dot", "sparsemax", "local_predictive"),
]


@pytest.mark.quick_cases(3)
@each_score
@each_probability
@each_window
def test_is_the_oracle(score, probability, window):
    mechanism = random_attention(score, probability, window)
    weights = check_oracle(mechanism, *sample(score), atol=1e-11)
    assert 0 <= weights.min()
    assert weights.sum(-1).max() <= 1 + 1e-12
    assert weights[:4].max() > 0.1


def test_every_part_has_an_oracle():
    def names(registry):
        return {kind.__name__ for kind in registry.values()}

    assert names(SCORES) == set(attention_reference.SCORES)
    assert names(PROBABILITIES) == set(attention_reference.PROBABILITIES)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(("score", "probability", "window"), GRADIENT_CASES)
def test_gradient_is_the_finite_difference(score, probability, window):
    mechanism = random_attention(score, probability, window)
    query, values, mask = sample(score)
    (d_query, d_values), d_weights = check_gradients(mechanism, query, values, mask)
    assert (d_query[4] == 0).all(), "nothing to attend to"
    assert (d_values[~mask] == 0).all()
    assert np.abs(d_query[:4]).max() > 1e-3
    for gradient in d_weights:
        assert np.abs(gradient).max() > 1e-5


@pytest.mark.parametrize("probability", sorted(WITHOUT_GRADIENT))
def test_hard_choices_have_no_gradient_by_the_scores(probability):
    mechanism = random_attention("general", probability)
    query, values, mask = sample("general")

    def loss(query, values):
        return ops.sum(mechanism(query, Encoded(values, mask))[0])

    _, (d_query, d_values), d_weights = gradients(
        loss, [query, values], mechanism.trainable_weights
    )
    for gradient in (d_query, *d_weights):
        assert (gradient == 0).all()
    assert np.abs(d_values).max() > 0, "what is chosen still has its own"


@pytest.mark.quick_cases(3)
@each_part
def test_step_looped_is_call_and_rows_of_a_source_go_their_own_ways(score, probability):
    """K rows per source, as in beam search, are as many copies of the source in a batch."""
    mechanism = random_attention(score, probability, "local_monotonic")
    query, values, mask = sample(score)
    rows = 3
    rng = np.random.default_rng(4)
    query = rng.normal(size=(len(mask) * rows, 3, 4))
    memory = mechanism.memory(Encoded(values, mask))
    repeated = Encoded(np.repeat(values, rows, axis=0), np.repeat(mask, rows, axis=0))
    expected_context, expected_weights, after = mechanism.sequence(
        query, mechanism.memory(repeated), mechanism.initial_state(mechanism.memory(repeated))
    )
    state = keras.tree.map_structure(
        lambda x: ops.repeat(x, rows, axis=0), mechanism.initial_state(memory)
    )
    context, weights, state = stepped(mechanism, query, memory, state)
    np.testing.assert_allclose(weights, array(expected_weights), rtol=0, atol=1e-12)
    np.testing.assert_allclose(context, array(expected_context), rtol=0, atol=1e-12)
    keras.tree.assert_same_structure(state, after)
    for ours, theirs in zip(keras.tree.flatten(state), keras.tree.flatten(after), strict=True):
        np.testing.assert_allclose(array(ours), array(theirs), rtol=0, atol=1e-12)


@each_window
@pytest.mark.parametrize("score", ["dot", "coverage"])
def test_a_sequence_goes_on_where_the_last_one_stopped(score, window):
    mechanism = random_attention(score, "softmax", window)
    query, values, mask = sample(score, targets=5)
    memory = mechanism.memory(Encoded(values, mask))
    _, weights, _ = mechanism.sequence(query, memory, mechanism.initial_state(memory))
    _, first, state = mechanism.sequence(query[:, :2], memory, mechanism.initial_state(memory))
    _, second, _ = mechanism.sequence(query[:, 2:], memory, state)
    both = np.concatenate([array(first), array(second)], axis=1)
    np.testing.assert_allclose(both, array(weights), rtol=0, atol=1e-12)


@pytest.mark.quick_cases(3)
@each_score
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("waste", [1e30, np.nan])
def test_masked_positions_weigh_exactly_zero_whatever_they_hold(score, dtype, waste):
    mechanism = random_attention(score, dtype=dtype)
    query, values, mask = sample(score, dtype="float32")
    expected, _ = mechanism(query, Encoded(values, mask))
    wasted = np.where(mask[:, :, None], values, waste).astype("float32")
    context, weights = mechanism(query, Encoded(wasted, mask))
    assert (array(weights)[~np.broadcast_to(mask[:, None], weights.shape)] == 0).all()
    np.testing.assert_array_equal(array(context), array(expected))


@each_probability
@each_window
def test_any_function_and_window_leave_masked_positions_at_zero(probability, window):
    query, values, mask = sample(dtype="float32")
    mechanism = random_attention("dot", probability, window, dtype="float32")
    values = np.where(mask[:, :, None], values, 1e30).astype("float32")
    context, weights = mechanism(query, Encoded(values, mask))
    assert (array(weights)[~np.broadcast_to(mask[:, None], weights.shape)] == 0).all()
    assert np.abs(array(context)).max() < 10


@pytest.mark.quick_cases(3)
@each_part
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_row_with_nothing_to_attend_to_gives_zeros_and_finite_gradients(
    score, probability, dtype
):
    mechanism = random_attention(score, probability, dtype=dtype)
    query, values, mask = sample(score, dtype="float32")
    values = np.where(mask[:, :, None], values, 1e30).astype("float32")

    def loss(query, values):
        context, weights = mechanism(query, Encoded(values, mask))
        return ops.sum(ops.cast(context, "float32") ** 2) + ops.sum(weights**2)

    _, (d_query, d_values), d_weights = gradients(
        loss, [query, values], mechanism.trainable_weights
    )
    context, weights = mechanism(query, Encoded(values, mask))
    assert (array(weights)[4] == 0).all()
    assert (array(context)[4] == 0).all()
    assert (d_query[4] == 0).all()
    assert (d_values[4] == 0).all()
    for gradient in (d_query, d_values, *d_weights):
        assert np.isfinite(gradient).all()


@each_score
@pytest.mark.parametrize(
    ("probability", "window"),
    [("softmax", "no_window"), ("monotonic_parallel", "local_predictive")],
)
def test_padding_at_the_ends_does_not_change_context(score, probability, window):
    mechanism = random_attention(score, probability, window)
    query, values, _ = sample(score, mask=np.ones((2, 5), bool))
    context, weights = mechanism(query, Encoded(values, np.ones((2, 5), bool)))
    padded = np.pad(values, [(0, 0), (3, 2), (0, 0)], constant_values=7.0)
    mask = np.pad(np.ones((2, 5), bool), [(0, 0), (3, 2)])
    padded_context, padded_weights = mechanism(query, Encoded(padded, mask))
    np.testing.assert_allclose(array(padded_context), array(context), rtol=0, atol=1e-12)
    np.testing.assert_allclose(array(padded_weights)[:, :, 3:8], array(weights), rtol=0, atol=1e-12)


@each_score
@pytest.mark.parametrize("probability", ["softmax", "monotonic_parallel"])
def test_padding_in_between_changes_location_alone(score, probability):
    mechanism = random_attention(score, probability)
    query, values, _ = sample(score, mask=np.ones((2, 5), bool))
    context, _ = mechanism(query, Encoded(values, np.ones((2, 5), bool)))
    padded = np.insert(values, [2, 2, 4], 7.0, axis=1)
    mask = np.insert(np.ones((2, 5), bool), [2, 2, 4], False, axis=1)
    padded_context, _ = mechanism(query, Encoded(padded, mask))
    difference = np.abs(array(padded_context) - array(context)).max()
    assert (difference < 1e-12) == (score != "location")


@pytest.mark.parametrize("score", [name for name in SCORES if name != "location"])
@pytest.mark.parametrize("probability", ["softmax", "hardmax", "sparsemax"])
def test_order_of_the_source_does_not_matter(score, probability):
    mechanism = random_attention(score, probability)
    query, values, mask = sample(score)
    context, weights = mechanism(query, Encoded(values, mask))
    order = np.array([2, 0, 4, 3, 1])
    turned_context, turned = mechanism(query, Encoded(values[:, order], mask[:, order]))
    np.testing.assert_allclose(array(turned_context), array(context), rtol=0, atol=1e-12)
    np.testing.assert_allclose(array(turned), array(weights)[:, :, order], rtol=0, atol=1e-12)


@each_score
def test_memory_and_encoded_give_the_same(score):
    mechanism = random_attention(score)
    query, values, mask = sample(score)
    memory = mechanism.memory(Encoded(values, mask))
    assert isinstance(memory, Memory)
    assert mechanism.memory(memory) == memory
    for a, b in zip(mechanism(query, memory), mechanism(query, Encoded(values, mask)), strict=True):
        np.testing.assert_array_equal(array(a), array(b))


@pytest.mark.quick_cases(3)
@each_score
@pytest.mark.parametrize(("policy", "close"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.08)])
def test_mixed_precision_keeps_weights_in_float32(score, policy, close):
    query, values, mask = sample(score, dtype="float32")
    parts = (score, "monotonic_parallel", "local_predictive")
    mechanism = random_attention(*parts, dtype=policy)
    memory = mechanism.memory(Encoded(values, mask))
    # Made outside of a call too, keys and values are in half precision.
    for tensor in (*keras.tree.flatten(memory.keys), memory.values):
        assert keras.backend.standardize_dtype(tensor.dtype) == mechanism.compute_dtype
    start = mechanism.initial_state(memory)
    for context, weights, state in (
        (*mechanism(query, Encoded(values, mask)), start),
        mechanism.sequence(query, memory, start),
        mechanism.step(query[:, 0], memory, start),
    ):
        assert keras.backend.standardize_dtype(context.dtype) == mechanism.compute_dtype
        for tensor in (weights, *keras.tree.flatten(state)):
            assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    exact = random_attention(*parts, dtype="float32")
    _, weights = mechanism(query, memory)
    # Scores of a few units are good to their half precision steps, 1e-3 and 8e-3 of them.
    _, expected = exact(query, Encoded(values, mask))
    np.testing.assert_allclose(array(weights), array(expected), rtol=0, atol=close)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_sums_to_one_in_float32(policy):
    query, values, mask = sample(dtype="float32")
    _, weights = random_attention("dot", dtype=policy)(query, Encoded(values, mask))
    # Half precision would be off by its own steps, 1e-3 and 8e-3.
    np.testing.assert_allclose(array(weights)[:4].sum(-1), 1, rtol=0, atol=1e-6)


@each_window
@pytest.mark.parametrize("dtype", ["float64", "mixed_float16"])
def test_parts_of_another_dtype_are_converted(window, dtype):
    parts = attention("location", "monotonic_recursive", window, dtype="float32")
    mechanism = Attention(parts.score, parts.probability, parts.window, dtype=dtype)
    query, values, mask = sample("location", dtype="float32")
    context, weights = mechanism(query, Encoded(values, mask))
    assert keras.backend.standardize_dtype(context.dtype) == mechanism.compute_dtype
    assert np.isfinite(array(weights)).all()


@pytest.mark.quick_cases(3)
@tensorflow_only
@pytest.mark.parametrize(
    ("score", "probability", "window"),
    [
        *[(score, "sparsemax", "local_predictive") for score in SCORES],
        *[("dot", probability, "local_monotonic") for probability in PROBABILITY_CASES],
    ],
)
def test_one_trace_serves_every_size(score, probability, window):
    mechanism = random_attention(score, probability, window, dtype="float32")
    width = values_width(score)
    traces = []

    def run(query, values, mask):
        traces.append(1)
        return mechanism(query, Encoded(values, mask), training=True)

    signature = [
        keras.KerasTensor((None, None, 4)),
        keras.KerasTensor((None, None, width)),
        keras.KerasTensor((None, None), "bool"),
    ]
    run = compiled(run, signature)
    for rows, targets, sources in ((2, 3, 4), (1, 1, 1), (0, 2, 3)):
        query = np.ones((rows, targets, 4), "float32")
        values = np.ones((rows, sources, width), "float32")
        context, weights = run(query, values, np.ones((rows, sources), bool))
        assert context.shape == (rows, targets, width)
        assert weights.shape == (rows, targets, sources)
    assert len(traces) == 1


@pytest.mark.quick_cases(3)
@each_part
def test_symbolic_call_knows_its_widths(score, probability):
    mechanism = attention(score, probability, "local_monotonic", dtype="float32", dropout=0.5)
    width = values_width(score)
    query, values = keras.Input((None, 4)), keras.Input((None, width))
    mask = keras.Input((None,), dtype="bool")
    context, weights = mechanism(query, Encoded(values, mask))
    assert context.shape == (None, None, width)
    assert weights.shape == (None, None, None)


@each_part
@pytest.mark.parametrize("window", list(WINDOWS)[1:])
def test_round_trips_through_json(score, probability, window):
    mechanism = attention(score, probability, window, "mixed_bfloat16", dropout=0.25, name="one")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(mechanism)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == mechanism.get_config()
    assert (again.name, again.dropout, again.compute_dtype) == ("one", 0.25, "bfloat16")
    for name, value in SMALL.get(score, {}).items():
        assert getattr(again.score, name) == value
    for part in ("score", "probability", "window"):
        assert type(getattr(again, part)) is type(getattr(mechanism, part))


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("score", "probability", "window"),
    [
        *[(score, "softmax", "no_window") for score in SCORES],
        *[("dot", probability, "local_predictive") for probability in PROBABILITY_CASES],
    ],
)
def test_a_saved_model_gives_the_same(score, probability, window, tmp_path):
    mechanism = random_attention(score, probability, window, dtype="float32", dropout=0.5)
    width = values_width(score)
    inputs = [
        keras.Input((None, 4)),
        keras.Input((None, width)),
        keras.Input((None,), dtype="bool"),
    ]
    model = keras.Model(inputs, mechanism(inputs[0], Encoded(*inputs[1:])))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    given = list(sample(score, dtype="float32"))
    for ours, theirs in zip(again(given), model(given), strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))


# Dropout


def test_dropout_drops_whole_weights_in_training_and_keeps_their_mean():
    mechanism = random_attention(dropout=0.25)
    # The values are unit vectors, so the context is the weights that were used.
    query = np.random.default_rng(5).normal(size=(200, 20, 4))
    encoded = Encoded(np.tile(np.eye(4), (200, 1, 1)), np.ones((200, 4), bool))
    used, weights = map(array, mechanism(query, encoded, training=True))
    _, whole = mechanism(query, encoded)
    np.testing.assert_array_equal(weights, array(whole))
    kept = used / weights
    assert set(np.unique(kept.round(6))) == {0, round(1 / 0.75, 6)}
    # Of 16000 draws, four standard deviations of their mean: 4·√(0.25/0.75/16000) = 0.018.
    assert abs(kept.mean() - 1) < 0.018
    assert kept.std(axis=(0, 2)).min() > 0, "each step is drawn anew"
    assert kept.std(axis=1).max() > 0


def test_without_training_nothing_is_dropped():
    query, values, mask = sample()
    for training in (False, None):
        context, _ = random_attention(dropout=0.5)(query, Encoded(values, mask), training=training)
        np.testing.assert_array_equal(
            array(context), array(random_attention()(query, Encoded(values, mask))[0])
        )


def test_a_mechanism_that_follows_its_weights_follows_whole_ones():
    """Dropout leaves the weights returned, and what later steps see of them, as they were."""
    query, values, mask = sample("coverage", targets=6)
    _, dropped = random_attention("coverage", dropout=0.5)(
        query, Encoded(values, mask), training=True
    )
    _, whole = random_attention("coverage")(query, Encoded(values, mask))
    np.testing.assert_allclose(array(dropped), array(whole), rtol=0, atol=1e-12)


def test_a_seed_repeats_what_is_dropped():
    query, values, mask = sample()

    def drawn(seed):
        keras.utils.set_random_seed(seed)
        return array(random_attention(dropout=0.5)(query, Encoded(values, mask), training=True)[0])

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


# A score from outside


@keras.saving.register_keras_serializable(package="tests")
class HalfDotScore(Score):
    """A score from outside, with an option."""

    def __init__(self, share=0.5, **kwargs):
        super().__init__(**kwargs)
        self.share = share

    def keys(self, values):
        return values * self.share

    def call(self, query, keys):
        return ops.einsum("btu,bsu->bts", query, keys)

    def get_config(self):
        return {**super().get_config(), "share": self.share}


def test_a_score_from_outside_works_like_its_formula():
    query, values, mask = sample("dot")
    ours = Attention(HalfDotScore(0.25, dtype="float64"), dtype="float64")
    _, weights = ours(query, Encoded(values, mask))
    _, expected = random_attention("dot")(query * 0.25, Encoded(values, mask))
    np.testing.assert_allclose(array(weights), array(expected), rtol=0, atol=1e-12)


def test_a_score_from_outside_round_trips():
    mechanism = Attention(HalfDotScore(share=0.25))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(mechanism)))
    assert keras.saving.deserialize_keras_object(config).score.share == 0.25


# Bad input


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match=r"`score` must be .*'dot', .* or a Score.*'luo'"):
        Attention("luo")
    with pytest.raises(
        ValueError, match=r"`probability` must be .*'softmax', .* or a Probability; got .*'max'"
    ):
        Attention("dot", "max")


@pytest.mark.parametrize(
    ("given", "received"),
    [
        (3, "int"),
        (None, "NoneType"),
        (DotScore, r"the class DotScore, not DotScore\(...\)"),
        (keras.layers.Dense(2), "Dense"),
    ],
)
def test_parts_of_another_type_are_errors(given, received):
    with pytest.raises(TypeError, match=f"`score` must be a name or a Score; got {received}"):
        Attention(given)
    with pytest.raises(TypeError, match=f"`probability` must be a name .* got {received}"):
        Attention("dot", given)


@pytest.mark.parametrize(
    ("given", "received"), [(2, "int"), ("local", "str"), (LocalMonotonicWindow, "the class")]
)
def test_window_of_another_type_is_an_error(given, received):
    with pytest.raises(TypeError, match=f"`window` must be a Window or None; got {received}"):
        Attention("dot", window=given)


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.5, True, "0.1", None, float("nan")])
def test_dropout_must_be_a_share(dropout):
    with pytest.raises(ValueError, match=r"`dropout` must be at least 0 and below 1; got dropout="):
        Attention(dropout=dropout)


def test_unknown_memory_width_is_an_error():
    with pytest.raises(ValueError, match="last axis of the memory's values must be known"):
        Attention("general").build((None, None, 4), (None, None, None))


@pytest.mark.parametrize(
    ("values", "mask", "error", "message"),
    [
        ((2, 5), (2, 5), ValueError, r"`values` must have the shape .* width\); got \(2, 5\)"),
        ((2, 5, 4, 1), (2, 5), ValueError, r"`values` must have .* got \(2, 5, 4, 1\)"),
        ((2, 5, 4), (2, 4), ValueError, r"`mask` must have .* values \(2, 5, 4\); got \(2, 4\)"),
        ((2, 5, 4), (1, 5), ValueError, r"`mask` must have the shape .* got \(1, 5\)"),
        ((2, 5, 4), (2, 5, 1), ValueError, r"`mask` must have the shape .* got \(2, 5, 1\)"),
        ((2, 5, 4), (2,), ValueError, r"`mask` must have the shape .* got \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_errors(values, mask, error, message):
    encoded = Encoded(np.ones(values, "float32"), np.ones(mask, bool))
    with pytest.raises(error, match=message):
        random_attention("dot", dtype="float32").memory(encoded)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_mask_of_numbers_is_an_error(dtype):
    query, values, mask = sample(dtype="float32")
    expected = rf"`mask` must be bool, True where .*; got {dtype}\. Write `source_ids != pad_id`"
    with pytest.raises(TypeError, match=expected):
        random_attention("dot", dtype="float32")(query, Encoded(values, mask.astype(dtype)))


def test_missing_mask_is_an_error():
    query, values, _ = sample(dtype="float32")
    with pytest.raises(TypeError, match=r"`mask` must be bool, .* got None\. .*np\.ones"):
        random_attention("dot", dtype="float32")(query, Encoded(values, None))


@pytest.mark.parametrize("rows", [2, 3])
def test_values_alone_are_an_error(rows):
    values = np.ones((rows, 5, 4), "float32")
    with pytest.raises(TypeError, match=r"`memory` must be an Encoded .* or a Memory .*; got "):
        random_attention("dot", dtype="float32")(np.ones((rows, 1, 4), "float32"), values)


def test_query_of_another_rank_is_an_error():
    query, values, mask = sample(dtype="float32")
    with pytest.raises(
        ValueError, match=r"`query` must have the shape .*; got \(5, 4\)\. One step"
    ):
        random_attention("dot", dtype="float32")(query[:, 0], Encoded(values, mask))


def test_query_of_another_batch_is_an_error():
    query, values, mask = sample(dtype="float32")
    expected = r"`query` must have one row per source .*\(5, 3, 4\) and values of \(1, 5, 4\)"
    with pytest.raises(ValueError, match=expected):
        random_attention("dot", dtype="float32")(query, Encoded(values[:1], mask[:1]))


def test_values_of_whole_numbers_are_read_as_such():
    query, values, mask = sample(dtype="float32")
    whole = values.round().astype("int32")
    for of_ints, of_floats in zip(
        random_attention("dot", dtype="float32")(query, Encoded(whole, mask)),
        random_attention("dot", dtype="float32")(query, Encoded(whole.astype("float32"), mask)),
        strict=True,
    ):
        np.testing.assert_array_equal(array(of_ints), array(of_floats))


def test_every_name_makes_its_part():
    for name, kind in SCORES.items():
        assert type(Attention(name).score) is kind
    for name, kind in PROBABILITIES.items():
        assert type(Attention(probability=name).probability) is kind


def test_only_what_depends_on_past_weights_loops():
    loops = {name for name in SCORES if Attention(name).follows_alignment}
    assert loops == {"coverage", "location"}
    assert not Attention(window=LocalMonotonicWindow(1)).follows_alignment
    assert Attention(window=LocalMonotonicWindow(1)).remembers
    assert Attention("dot", Monotonic()).follows_alignment
    assert not Attention(ConcatScore()).remembers


def test_masks_of_the_cases_cover_every_pattern():
    """What the tests above rest on."""
    assert MASK[0].all()
    assert not MASK[4].any()
    assert not MASK[1, -1]
    assert not MASK[2, 0]
    assert (np.diff(MASK[3].astype(int)) != 0).sum() > 2
