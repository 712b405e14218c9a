"""Several mechanisms and several heads: the sum of their parts, each with its own."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import (
    SCORES,
    Attention,
    ConcatScore,
    CoverageScore,
    Encoded,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
    LocationScore,
    Memory,
    Monotonic,
    MultiHeadAttention,
    NormalizedConcatScore,
    SeveralAttentions,
    mechanism,
)
from support.attention_cases import (
    array,
    check_gradients,
    check_oracle,
    each_score,
    filled,
    made,
    sample,
    stepped,
)
from support.backends import compiled, tensorflow_only

pytestmark = pytest.mark.backend_neutral

# Name to maker of what follows nothing, follows its weights, carries a position, nests.
GROUPS = {
    "several": lambda dtype, **kwargs: SeveralAttentions(
        ["general", Attention("dot", "sparsemax", dtype=dtype, **kwargs)], dtype=dtype
    ),
    "several_looped": lambda dtype, **kwargs: SeveralAttentions(
        [
            "dot",
            Attention(
                CoverageScore(3, 2.0, dtype=dtype), Monotonic(dtype=dtype), dtype=dtype, **kwargs
            ),
            Attention("dot", window=LocalMonotonicWindow(1, dtype=dtype), dtype=dtype),
        ],
        dtype=dtype,
    ),
    "nested": lambda dtype, **kwargs: SeveralAttentions(
        [
            MultiHeadAttention(heads=2, dtype=dtype, **kwargs),
            SeveralAttentions(["dot", LocationScore(2, 2, 3, dtype=dtype)], dtype=dtype),
        ],
        dtype=dtype,
    ),
    "heads": lambda dtype, **kwargs: MultiHeadAttention(heads=2, units=6, dtype=dtype, **kwargs),
    "heads_looped": lambda dtype, **kwargs: MultiHeadAttention(
        CoverageScore(3, 2.0, dtype=dtype),
        2,
        probability=Monotonic("parallel", dtype=dtype),
        window=LocalPredictiveWindow(2, units=3, dtype=dtype),
        dtype=dtype,
        **kwargs,
    ),
    "heads_local": lambda dtype, **kwargs: MultiHeadAttention(
        heads=4, window=LocalMonotonicWindow(1, dtype=dtype), dtype=dtype, **kwargs
    ),
}
each_group = pytest.mark.parametrize("group", GROUPS)


def group_of(name, dtype="float64", **kwargs):
    return filled(GROUPS[name](dtype, **kwargs), 4, 4)


@each_group
def test_is_the_oracle(group):
    weights = check_oracle(group_of(group), *sample())
    assert weights[:4].max() > 0.1


@each_score
@pytest.mark.parametrize("heads", [1, 2])
def test_heads_over_each_score_are_the_oracle(score, heads):
    options = {"location": {"units": 3, "filters": 2, "width": 3}}.get(score, {})
    attention = MultiHeadAttention(
        SCORES[score](dtype="float64", **options), heads, units=4, dtype="float64"
    )
    query, values, mask = sample("general")
    check_oracle(filled(attention, 4, 5), query, values, mask)


@each_group
def test_gradient_is_the_finite_difference(group):
    _, by_weights = check_gradients(group_of(group), *sample(), directions=1)
    assert min(np.abs(gradient).max() for gradient in by_weights) > 1e-6


@each_group
def test_step_looped_is_call(group):
    attention = group_of(group)
    query, values, mask = sample()
    encoded = Encoded(values, mask)
    memory = attention.memory(encoded)
    context, weights = attention(query, encoded)
    rows_context, rows_weights, _ = stepped(
        attention, query, memory, attention.initial_state(memory)
    )
    np.testing.assert_allclose(rows_weights, array(weights), rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows_context, array(context), rtol=0, atol=1e-11)
    for again in (
        attention(query, memory)[1],
        attention.sequence(query, memory, attention.initial_state(memory))[1],
    ):
        np.testing.assert_allclose(array(again), array(weights), rtol=0, atol=1e-12)


@each_group
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_masked_positions_weigh_zero_and_half_precision_is_near(group, dtype):
    attention = group_of(group, dtype)
    query, values, mask = sample(dtype="float32")
    wasted = np.where(mask[:, :, None], values, np.nan).astype("float32")
    context, weights = attention(query, Encoded(wasted, mask))
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    assert keras.backend.standardize_dtype(context.dtype) == attention.compute_dtype
    assert (array(weights)[~np.broadcast_to(mask[:, None], weights.shape)] == 0).all()
    assert (array(context)[4] == 0).all()
    exact, _ = group_of(group, "float32")(query, Encoded(values, mask))
    # Contexts of a few units, through scores and projections in steps of 1e-3 and 8e-3.
    close = {"float32": 1e-6, "mixed_float16": 0.03, "mixed_bfloat16": 0.25}[dtype]
    np.testing.assert_allclose(array(context), array(exact), rtol=0, atol=close)


@each_group
def test_round_trips_and_a_saved_model_gives_the_same(group, tmp_path):
    attention = GROUPS[group]("float32", dropout=0.5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(attention)))
    assert keras.saving.deserialize_keras_object(config).get_config() == attention.get_config()
    filled(attention, 4, 4)
    inputs = [keras.Input((None, 4)), keras.Input((None, 4)), keras.Input((None,), dtype="bool")]
    outputs = attention(inputs[0], Encoded(*inputs[1:]))
    assert outputs[0].shape == (None, None, attention.context_size((None, None, 4)))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    given = list(sample(dtype="float32"))
    for ours, theirs in zip(again(given), model(given), strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))


@tensorflow_only
@each_group
def test_one_trace_serves_every_size(group):
    attention = group_of(group, "float32", dropout=0.5)
    traces = []

    def run(query, values, mask):
        traces.append(1)
        return attention(query, Encoded(values, mask), training=True)

    one = keras.KerasTensor((None, None, 4))
    run = compiled(run, [one, one, keras.KerasTensor((None, None), "bool")])
    for rows, targets, sources in ((2, 3, 4), (1, 1, 1), (0, 2, 3)):
        query = np.ones((rows, targets, 4), "float32")
        values = np.ones((rows, sources, 4), "float32")
        _, weights = run(query, values, np.ones((rows, sources), bool))
        assert weights.shape == (rows, targets, sources)
    assert len(traces) == 1


def test_contexts_are_joined_in_order_and_weights_averaged():
    parts = [
        filled(Attention("general", dtype="float64")),
        filled(Attention("dot", "hardmax", dtype="float64")),
    ]
    query, values, mask = sample()
    (first, a), (second, b) = (part(query, Encoded(values, mask)) for part in parts)
    context, weights = SeveralAttentions(parts, dtype="float64")(query, Encoded(values, mask))
    np.testing.assert_allclose(
        array(context), np.concatenate([array(first), array(second)], axis=-1), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(array(weights), (array(a) + array(b)) / 2, rtol=0, atol=1e-12)


def test_one_head_with_identities_is_the_score_alone():
    head = MultiHeadAttention("dot", heads=1, dtype="float64")
    head.build((None, None, 4), (None, None, 4))
    head.set_weights([np.eye(4)] * 4)
    query, values, mask = sample()
    for ours, plain in zip(
        head(query, Encoded(values, mask)), made()(query, Encoded(values, mask)), strict=True
    ):
        np.testing.assert_allclose(array(ours), array(plain), rtol=0, atol=1e-12)


def test_heads_have_parts_of_their_own():
    noise = Monotonic(noise=1.0)
    attention = MultiHeadAttention(NormalizedConcatScore(3), 3, units=6, probability=noise)
    attention.build((None, None, 4), (None, None, 5))
    # Four projections; for each head three kernels, gain, bias and offset.
    assert len(attention.weights) == 4 + 3 * 6
    memory = attention.memory(Encoded(np.ones((2, 5, 5), "float32"), np.ones((2, 5), bool)))
    drawn = [array(x) for x in keras.tree.flatten(attention.noise(memory, 4))]
    assert len(drawn) == 3
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[1] != drawn[2]).any()


def test_noise_and_dropout_of_members_come_in_training_alone():
    attention = MultiHeadAttention("dot", 2, probability=Monotonic(noise=2.0), dropout=0.5)
    query, values, mask = sample(dtype="float32")
    first, again, trained = (
        array(attention(query, Encoded(values, mask), training=training)[0])
        for training in (None, False, True)
    )
    np.testing.assert_array_equal(first, again)
    assert (trained != first).any()
    assert (array(attention(query, Encoded(values, mask), training=True)[0]) != trained).any()


def test_projections_have_the_shapes_of_the_widths():
    attention = MultiHeadAttention(heads=2, units=6)
    attention.build((None, None, 4), (None, None, 5))
    shapes = {w.name: tuple(w.shape) for w in attention.weights}
    assert shapes == {
        "query_kernel": (4, 6),
        "keys_kernel": (5, 6),
        "values_kernel": (5, 6),
        "output_kernel": (6, 6),
    }


@pytest.mark.parametrize(
    ("query", "values", "score"), [(4, 4, "dot"), (4, 7, "dot"), (6, 3, "scaled_dot")]
)
def test_heads_make_dot_fit_any_memory(query, values, score):
    attention = MultiHeadAttention(score, heads=2)
    context, _ = attention(
        np.ones((1, 2, query), "float32"),
        Encoded(np.ones((1, 3, values), "float32"), np.ones((1, 3), bool)),
    )
    assert context.shape == (1, 2, query)


@pytest.mark.parametrize(
    "given",
    [
        "general",
        ConcatScore(3),
        Attention("dot"),
        ["dot", "general"],
        ("dot", MultiHeadAttention(heads=2)),
    ],
)
def test_a_mechanism_is_made_out_of_whatever_names_one(given):
    made_of = mechanism(given, "mixed_float16")
    query, values, mask = sample(dtype="float32")
    context, _ = made_of(query, Encoded(values, mask))
    assert context.shape == (5, 3, made_of.context_size((None, None, 4)))
    assert mechanism(made_of) is made_of


@pytest.mark.parametrize("given", [3, Attention, {"dot": 1}])
def test_what_names_no_mechanism_is_an_error(given):
    with pytest.raises(TypeError, match=r"`attention` must be an Attention .*; got"):
        mechanism(given)


@pytest.mark.parametrize("given", [[], (), "dot", None, 3])
def test_several_takes_a_list_of_at_least_one(given):
    with pytest.raises(ValueError, match="`attentions` must be a list of at least one mechanism;"):
        SeveralAttentions(given)


def test_members_share_no_part():
    """Keras saves such a model, and cannot load it again."""
    whole, score, window = Attention("dot"), ConcatScore(3), LocalPredictiveWindow(2)
    for members, name in (
        ([whole, "dot", whole], "Attention"),
        ([score, score], "ConcatScore"),
        ([score, SeveralAttentions([score])], "ConcatScore"),
        ([Attention("dot", window=window), Attention(window=window)], "LocalPredictiveWindow"),
    ):
        with pytest.raises(ValueError, match=f"parts of their own; got the same {name} twice"):
            SeveralAttentions(members)


def test_heads_copy_what_is_not_registered_for_saving():
    class Halved(ConcatScore):
        def keys(self, values):
            return super().keys(values) / 2

    query, values, mask = sample("general", dtype="float32")
    attention = MultiHeadAttention(Halved(3), 2)
    assert attention(query, Encoded(values, mask))[0].shape == (5, 3, 4)
    assert [type(member.score) for member in attention.members] == [Halved, Halved]
    assert [member.score.units for member in attention.members] == [3, 3]


@pytest.mark.parametrize(("name", "value"), [("heads", 0), ("heads", None), ("heads", True),
                                             ("units", 0), ("units", 2.0)])  # fmt: skip
def test_heads_and_units_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer; got {name}="):
        MultiHeadAttention(**{name: value})


def test_heads_that_do_not_divide_are_an_error_as_soon_as_it_is_known():
    with pytest.raises(ValueError, match=r"multiple of `heads`; got units=6, heads=4\.$"):
        MultiHeadAttention(heads=4, units=6)
    with pytest.raises(ValueError, match=r"units=6, heads=4\. `units` is the decoder's width unl"):
        MultiHeadAttention(heads=4).build((None, None, 6), (None, None, 4))


def test_a_memory_of_several_keeps_the_keys_of_each():
    attention = group_of("several_looped", "float32")
    _, values, mask = sample(dtype="float32")
    memory = attention.memory(Encoded(values, mask))
    assert isinstance(memory, Memory)
    assert len(memory.keys) == 3
    np.testing.assert_array_equal(
        array(memory.keys[0]), array(ops.where(mask[:, :, None], values, 0.0))
    )
