"""Cases that the tests of attention share: every part by name, random mechanisms and inputs.

The cases come from the registries, so every test of `each_score` and `each_probability` also runs
for a score or a probability function that is added. One without an oracle fails there.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.layers.attention import (
    PROBABILITIES,
    SCORES,
    Attention,
    DotScore,
    Encoded,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
)
from keras_s2s.layers.attention.monotonic import MODES
from oracles import attention_reference
from support.backends import gradients, product_sum

# The rows have no padding, right padding, left padding, gaps, and no token at all.
MASK = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]],
    bool,
)
# Options that keep a case small; a score that is not named here has none.
SMALL = {
    "concat": {"units": 3},
    "normalized_concat": {"units": 3},
    "location": {"units": 3, "filters": 2, "width": 3},
    "coverage": {"units": 3, "fertility": 2.0},
}
# A probability function with modes is a case in each mode.
PROBABILITY_CASES = {name: (name, {}) for name in PROBABILITIES if name != "monotonic"} | {
    f"monotonic_{mode}": ("monotonic", {"mode": mode}) for mode in MODES
}
WITHOUT_GRADIENT = {"hardmax", "monotonic_hard"}
WINDOWS = {
    "no_window": None,
    "local_monotonic": lambda dtype: LocalMonotonicWindow(1, dtype=dtype),
    "local_predictive": lambda dtype: LocalPredictiveWindow(2, units=3, dtype=dtype),
}

each_score = pytest.mark.parametrize("score", SCORES)
each_probability = pytest.mark.parametrize("probability", PROBABILITY_CASES)
each_window = pytest.mark.parametrize("window", WINDOWS)


def attention(score="dot", probability="softmax", window="no_window", dtype="float64", **kwargs):
    """Makes an `Attention` of the named parts, which is not built yet."""
    kind, options = PROBABILITY_CASES[probability]
    return Attention(
        SCORES[score](dtype=dtype, **SMALL.get(score, {})) if isinstance(score, str) else score,
        PROBABILITIES[kind](dtype=dtype, **options),
        WINDOWS[window](dtype) if WINDOWS[window] else None,
        dtype=dtype,
        **kwargs,
    )


def with_random_weights(mechanism, query_width=4, values_width=4, scale=0.8):
    """Gives random weights to a mechanism and returns it."""
    if not mechanism.built:
        mechanism.build((None, None, query_width), (None, None, values_width))
    rng = np.random.default_rng(1)
    # The monotonic offset is above zero: attention that stops nowhere leaves nothing to compare.
    mechanism.set_weights(
        [
            np.array(0.5) if w.name == "offset" else rng.normal(0, scale, w.shape)
            for w in mechanism.weights
        ]
    )
    return mechanism


def random_attention(
    score="dot", probability="softmax", window="no_window", dtype="float64", **kwargs
):
    """Makes an `Attention` of the named parts with random weights."""
    return with_random_weights(
        attention(score, probability, window, dtype, **kwargs), 4, values_width(score)
    )


def values_width(score):
    """Returns 5 beside queries of 4, or 4 for scores that compare the two as they are."""
    kind = SCORES[score] if isinstance(score, str) else type(score)
    return 4 if issubclass(kind, DotScore) else 5


def sample(score="dot", targets=3, dtype="float64", mask=MASK):
    """Returns a random query `(B, targets, 4)`, random values `(B, S, M)` and the mask."""
    rng = np.random.default_rng(2)
    query = rng.normal(size=(len(mask), targets, 4)).astype(dtype)
    values = rng.normal(size=(*mask.shape, values_width(score))).astype(dtype)
    return query, values, mask


def array(tensor):
    """Returns a tensor as a NumPy array, in float32 where NumPy does not know the dtype."""
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = ops.cast(tensor, "float32")
    return ops.convert_to_numpy(tensor)


def stepped(mechanism, query, memory, state):
    """Loops `step` over queries `(N, T, U)` and returns contexts, weights and state."""
    contexts, weights = [], []
    for t in range(query.shape[1]):
        context, attended, state = mechanism.step(query[:, t], memory, state)
        contexts.append(array(context))
        weights.append(array(attended))
    return np.stack(contexts, axis=1), np.stack(weights, axis=1), state


def check_oracle(mechanism, query, values, mask, atol=1e-12):
    """Checks that context and weights equal the oracle, and returns the weights."""
    context, weights = mechanism(query, Encoded(values, mask))
    expected_context, expected = attention_reference.attend(mechanism, query, values, mask)
    # Both sides compute in float64, in some tens of operations on numbers of about 1.
    np.testing.assert_allclose(array(weights), expected, rtol=0, atol=atol)
    np.testing.assert_allclose(array(context), expected_context, rtol=0, atol=10 * atol)
    return array(weights)


def check_gradients(mechanism, query, values, mask, directions=2):
    """Checks all gradients against central differences along random directions; returns them."""
    rng = np.random.default_rng(3)
    context, weights = mechanism(query, Encoded(values, mask))
    of_context, of_weights = rng.normal(size=context.shape), rng.normal(size=weights.shape)

    def loss(query, values):
        context, weights = mechanism(query, Encoded(values, mask))
        return product_sum(context, of_context) + product_sum(weights, of_weights)

    variables = mechanism.trainable_weights
    _, by_inputs, by_variables = gradients(loss, [query, values], variables)
    start = [query, values, *mechanism.get_weights()]
    found = [*by_inputs, *by_variables]

    def at(arrays):
        mechanism.set_weights(arrays[2:])
        return float(loss(*map(ops.convert_to_tensor, arrays[:2])))

    step = 1e-6
    for _ in range(directions):
        way = [rng.normal(size=x.shape) for x in start]
        up, down = (
            at([x + sign * step * d for x, d in zip(start, way, strict=True)]) for sign in (1, -1)
        )
        slope = sum((g * d).sum() for g, d in zip(found, way, strict=True))
        # A float64 loss of about 10 over a step of 2e-6 gives the slope to about 1e-9.
        np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-6, atol=1e-7)
    mechanism.set_weights(start[2:])
    return by_inputs, by_variables
