"""Each of several heads has projections and parts of its own."""

import keras
import numpy as np
import pytest

from keras_s2s.layers.attention import (
    SCORES,
    ConcatScore,
    Encoded,
    Monotonic,
    MultiHeadAttention,
    NormalizedConcatScore,
)
from support.attention_cases import (
    array,
    check_oracle,
    each_score,
    random_attention,
    sample,
    with_random_weights,
)

pytestmark = pytest.mark.backend_neutral


@each_score
@pytest.mark.parametrize("heads", [1, 2])
def test_heads_over_each_score_are_the_oracle(score, heads):
    options = {"location": {"units": 3, "filters": 2, "width": 3}}.get(score, {})
    attention = MultiHeadAttention(
        SCORES[score](dtype="float64", **options), heads, units=4, dtype="float64"
    )
    query, values, mask = sample("general")
    check_oracle(with_random_weights(attention, 4, 5), query, values, mask)


def test_one_head_with_identities_is_the_score_alone():
    head = MultiHeadAttention("dot", heads=1, dtype="float64")
    head.build((None, None, 4), (None, None, 4))
    head.set_weights([np.eye(4)] * 4)
    query, values, mask = sample()
    for ours, plain in zip(
        head(query, Encoded(values, mask)),
        random_attention()(query, Encoded(values, mask)),
        strict=True,
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
