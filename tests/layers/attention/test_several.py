"""Several mechanisms work at once; an error says what is not a mechanism."""

import numpy as np
import pytest

from keras_s2s.layers.attention import (
    Attention,
    ConcatScore,
    Encoded,
    LocalPredictiveWindow,
    MultiHeadAttention,
    SeveralAttentions,
    resolved_mechanism,
)
from support.attention_cases import (
    array,
    sample,
    with_random_weights,
)

pytestmark = pytest.mark.backend_neutral


def test_contexts_are_joined_in_order_and_weights_averaged():
    parts = [
        with_random_weights(Attention("general", dtype="float64")),
        with_random_weights(Attention("dot", "hardmax", dtype="float64")),
    ]
    query, values, mask = sample()
    (first, a), (second, b) = (part(query, Encoded(values, mask)) for part in parts)
    context, weights = SeveralAttentions(parts, dtype="float64")(query, Encoded(values, mask))
    np.testing.assert_allclose(
        array(context), np.concatenate([array(first), array(second)], axis=-1), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(array(weights), (array(a) + array(b)) / 2, rtol=0, atol=1e-12)


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
    made_of = resolved_mechanism(given, "mixed_float16")
    query, values, mask = sample(dtype="float32")
    context, _ = made_of(query, Encoded(values, mask))
    assert context.shape == (5, 3, made_of.context_size((None, None, 4)))
    assert resolved_mechanism(made_of) is made_of


@pytest.mark.parametrize("given", [3, Attention, {"dot": 1}])
def test_what_names_no_mechanism_is_an_error(given):
    with pytest.raises(TypeError, match=r"`attention` must be an Attention .*; got"):
        resolved_mechanism(given)


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
