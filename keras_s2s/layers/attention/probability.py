"""Probability functions: from scores to weights over the real source positions.

To add one, write one `Probability` subclass and give it a name with `named_probability`. The
monotonic functions, which depend on past alignments, are in `monotonic`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from keras_s2s.layers.scan import Tensors

PROBABILITIES: dict[str, type[Probability]] = {}

# The dtype's minimum, not −inf: a row without a real position stays finite, forward and backward.
LOWEST = -3.4028234663852886e38


class Probability(keras.layers.Layer):
    """From scores to weights. Subclasses give `call`; masked positions must weigh exactly zero.

    One that depends on past alignments sets `follows_alignment` and gives `initial_state` and
    `advance`; its state is handed to `call` behind the mask. One that is random in training gives
    `noise`, which is drawn before any loop and handed to `call` behind the state.
    """

    follows_alignment: ClassVar[bool] = False

    def __init__(self, **kwargs: Any) -> None:
        # Scores come in float32 and stay so whatever the policy.
        super().__init__(autocast=False, **kwargs)

    def build(self, scores_shape: Any = None) -> None:
        """Makes the weights, if any; they depend on no shape."""

    def call(self, scores: Any, mask: Any, *state_and_noise: Any) -> Any:
        """Scores `(B, T, S)` and a mask `(B, T or 1, S)` to weights `(B, T, S)`."""
        raise NotImplementedError

    def initial_state(self, mask: Any, dtype: str) -> Tensors:
        """What of past alignments the first step sees: tensors `(B, S)` in `dtype`."""
        return ()

    def advance(self, state: Tensors, weights: Any) -> Tensors:
        """The state after a step with `weights`, all of them `(B, T, S)`."""
        return ()

    def noise(self, shape: tuple[Any, ...], dtype: str) -> Tensors:
        """What training adds to the scores: a tensor of `shape` as a tuple, or ()."""
        return ()

    # Defined, so that Keras takes the base configuration where there are no options.
    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


def named_probability(name: str) -> Callable[[type[Probability]], type[Probability]]:
    """Class decorator: `Attention(probability=name)` makes it, and Keras saves and loads it."""

    def register(kind: type[Probability]) -> type[Probability]:
        PROBABILITIES[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register


@named_probability("softmax")
class Softmax(Probability):
    """`weights = exp(scores) / Σ exp(scores)` over the real positions.

    Example: exp of 0, ln 2 and ln 3 is 1, 2 and 3; the third position is padding.
    >>> import numpy as np
    >>> scores = np.log([[[1.0, 2.0, 3.0]]]).astype("float32")
    >>> Softmax()(scores, np.array([[[True, True, False]]])).numpy().round(3)
    array([[[0.333, 0.667, 0.   ]]], dtype=float32)
    """

    def call(self, scores: Any, mask: Any) -> Any:
        return masked_softmax(scores, mask)


@named_probability("hardmax")
class Hardmax(Probability):
    """One at the highest real score, zero elsewhere; of equal scores the first wins.

    No gradient flows back to the scores, as in TensorFlow Addons.

    Example:
    >>> import numpy as np
    >>> scores = np.array([[[1.0, 2.0, 3.0]]], "float32")
    >>> Hardmax()(scores, np.array([[[True, True, False]]])).numpy().tolist()
    [[[0.0, 1.0, 0.0]]]
    """

    def call(self, scores: Any, mask: Any) -> Any:
        scores = ops.where(mask, scores, LOWEST)
        best = ops.equal(scores, highest(scores))
        best = ops.cast(ops.logical_and(best, mask), scores.dtype)
        return best * ops.cast(ops.equal(ops.cumsum(best, axis=-1), 1.0), scores.dtype)


@named_probability("sparsemax")
class Sparsemax(Probability):
    """The nearest point of the probability simplex (Martins & Astudillo 2016, Algorithm 1).

    ```
    weights = max(scores − τ, 0),  τ such that they sum to one
    ```

    Scores more than 1 below the highest get a weight of exactly zero, so a person can read which
    source tokens counted.

    Example: τ = (1.2 + 0.8 − 1) / 2 = 0.5.
    >>> import numpy as np
    >>> scores = np.array([[[1.2, 0.8, -1.0]]], "float32")
    >>> Sparsemax()(scores, np.ones((1, 1, 3), bool)).numpy().round(3)
    array([[[0.7, 0.3, 0. ]]], dtype=float32)
    """

    def call(self, scores: Any, mask: Any) -> Any:
        relative = scores - highest(ops.where(mask, scores, LOWEST))
        # Whatever is 1 or more below the highest weighs zero: −2 is as good as −∞.
        scores = ops.where(mask, ops.maximum(relative, -2.0), -2.0)
        length = ops.shape(scores)[-1]
        ordered, _ = ops.top_k(ops.stop_gradient(scores), length)
        ranks = ops.cast(ops.arange(1, length + 1), scores.dtype)
        inside = 1.0 + ranks * ordered > ops.cumsum(ordered, axis=-1)
        count = ops.sum(ops.cast(inside, scores.dtype), axis=-1, keepdims=True)
        total = ops.sum(ops.where(inside, ordered, 0.0), axis=-1, keepdims=True)
        # The support is found without a gradient; within it τ is a plain mean.
        support = ops.stop_gradient(scores > (total - 1.0) / ops.maximum(count, 1.0))
        size = ops.maximum(ops.sum(ops.cast(support, scores.dtype), axis=-1, keepdims=True), 1.0)
        tau = (ops.sum(ops.where(support, scores, 0.0), axis=-1, keepdims=True) - 1.0) / size
        return ops.where(ops.logical_and(support, mask), scores - tau, 0.0)


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Softmax over the last axis where `mask` is True, exactly zero elsewhere, whatever the row."""
    weights = ops.softmax(ops.where(mask, scores, LOWEST), axis=-1)
    return ops.where(mask, weights, 0.0)


def highest(scores: Any) -> Any:
    """`(B, T, S)` to `(B, T, 1)`; of no scores at all to what broadcasts with them."""
    # Keras (3.15) takes no maximum of nothing without `initial`, which its Torch backend makes on
    # the CPU, wherever the scores are.
    if 0 in scores.shape:
        return scores
    return ops.max(scores, axis=-1, keepdims=True)
