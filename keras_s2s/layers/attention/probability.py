"""Probability functions, which turn scores into weights over the real source positions.

To add a function, write one `Probability` subclass and give it a name with `named_probability`. The
monotonic functions, which depend on past alignments, are in the module `monotonic`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from keras_s2s.layers.scan import Tensors

PROBABILITIES: dict[str, type[Probability]] = {}

# The minimum of float32, which stands for −∞. With it, a row without a real position stays finite,
# forward and backward.
LOWEST = -3.4028234663852886e38


class Probability(keras.layers.Layer):
    """A function from scores to weights over the source. Abstract.

    A subclass defines `call`, which must give masked positions a weight of exactly zero. A function
    that depends on past alignments sets `follows_alignment` and defines `initial_state` and
    `advance`; `call` then takes the state's tensors as arguments after the mask. A function that is
    random in training defines `noise`, which is drawn before any loop; `call` takes its tensors as
    arguments after the state.
    """

    follows_alignment: ClassVar[bool] = False

    def __init__(self, **kwargs: Any) -> None:
        # Scores arrive in float32, or float64, and keep their dtype under any policy.
        super().__init__(autocast=False, **kwargs)

    def build(self, scores_shape: Any = None) -> None:
        """Makes the weights of the function, if it has any. They depend on no shape."""

    def call(self, scores: Any, mask: Any, *state_and_noise: Any) -> Any:
        """Computes weights `(B, T, S)` from scores `(B, T, S)` and a mask `(B, T or 1, S)`."""
        raise NotImplementedError

    def initial_state(self, mask: Any, dtype: str) -> Tensors:
        """Returns the state before the first step: tensors `(B, S)`, or () without a state.

        Args:
            mask: `(B, S)` bool, True where the source has a real token.
            dtype: dtype of the state.
        """
        return ()

    def advance(self, state: Tensors, weights: Any) -> Tensors:
        """Returns the state after a step with these weights; all tensors are `(B, T, S)`."""
        return ()

    def noise(self, shape: tuple[Any, ...], dtype: str) -> Tensors:
        """Draws the noise of training: a tuple with one tensor of `shape`, or () without noise."""
        return ()

    # Defined so that Keras accepts a subclass without options, which needs no `get_config`.
    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


def named_probability(name: str) -> Callable[[type[Probability]], type[Probability]]:
    """Makes a class decorator that registers a `Probability` under a name.

    From then on `Attention(probability=name)` makes this function with its default arguments, and
    Keras saves and loads it with a model. A second class of the same name replaces the first.

    Args:
        name: the word by which the function is asked for.

    Returns:
        A decorator that returns the class unchanged.
    """

    def register(kind: type[Probability]) -> type[Probability]:
        PROBABILITIES[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register


@named_probability("softmax")
class Softmax(Probability):
    """Computes `weights = exp(scores) / Σ exp(scores)` over the real positions.

    Example: The exponentials of 0, ln 2 and ln 3 are 1, 2 and 3. The third position is padding.
    >>> import numpy as np
    >>> scores = np.log([[[1.0, 2.0, 3.0]]]).astype("float32")
    >>> Softmax()(scores, np.array([[[True, True, False]]])).numpy().round(3)
    array([[[0.333, 0.667, 0.   ]]], dtype=float32)
    """

    def call(self, scores: Any, mask: Any) -> Any:
        return masked_softmax(scores, mask)


@named_probability("hardmax")
class Hardmax(Probability):
    """Gives a weight of one to the highest real score and zero to all others.

    If several scores are equally high, the first of them has the weight.

    No gradient flows back to the scores, as in TensorFlow Addons.

    Example: The third position is padding, so the second score is the highest.
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
    """Computes the point of the probability simplex that is nearest to the scores.

    Martins & Astudillo (2016), Algorithm 1:

    ```
    weights = max(scores − τ, 0)        with τ such that the weights sum to one
    ```

    Scores that are 1 or more below the highest score get a weight of exactly zero, so a person can
    see which source tokens counted.

    Example: τ = (1.2 + 0.8 − 1) / 2 = 0.5.
    >>> import numpy as np
    >>> scores = np.array([[[1.2, 0.8, -1.0]]], "float32")
    >>> Sparsemax()(scores, np.ones((1, 1, 3), bool)).numpy().round(3)
    array([[[0.7, 0.3, 0. ]]], dtype=float32)
    """

    def call(self, scores: Any, mask: Any) -> Any:
        relative = scores - highest(ops.where(mask, scores, LOWEST))
        # A score 1 or more below the highest gets a weight of zero, so −2 does the work of −∞.
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
    """Computes the softmax over the positions of the last axis where `mask` is True.

    Masked positions get exactly zero, also in a row that is masked everywhere.
    """
    weights = ops.softmax(ops.where(mask, scores, LOWEST), axis=-1)
    return ops.where(mask, weights, 0.0)


def highest(scores: Any) -> Any:
    """Returns the highest score of each row: `(B, T, S)` to `(B, T, 1)`.

    Scores without elements come back as they are, because their shape broadcasts with itself.
    """
    # Keras (3.15) takes the maximum of an empty tensor only with `initial`, which its Torch backend
    # makes on the CPU even where the scores are elsewhere.
    if 0 in scores.shape:
        return scores
    return ops.max(scores, axis=-1, keepdims=True)
