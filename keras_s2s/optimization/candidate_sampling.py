"""Which ids of a large vocabulary a training step looks at, and how likely it was to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DISTRIBUTIONS = ("log_uniform", "uniform")


class Candidates(NamedTuple):
    """Ids drawn from a vocabulary of V, shared by a batch."""

    ids: Any  # (C,) int32, each once, ascending
    log_expected: Any  # (V,) float32: of every id, log of how often it is expected among them


def proposal(distribution: str, vocabulary_size: int) -> NDArray[np.float64]:
    """The probability of each id, `(V,)`.

    ```
    log_uniform   log((v + 2) / (v + 1)) / log(V + 1)   about 1/(v + 1), Zipf's law
    uniform       1 / V
    ```
    """
    if distribution == "uniform":
        return np.full(vocabulary_size, 1 / vocabulary_size)
    return np.log1p(1 / np.arange(1, vocabulary_size + 1)) / np.log(vocabulary_size + 1)


def draw_candidates(probabilities: NDArray[np.float64], count: int, seed: Any) -> Candidates:
    """Draws ids without replacement, until there are `count` of them. A pure function.

    Each id arrives at a random time, exponentially distributed with its probability for the rate;
    the first `count` to arrive are taken. With τ the time when the next would have come,

    ```
    expected[v] = P(v arrives before τ) = 1 − exp(−τ·probability[v])
    ```

    Then `Σ f(v) / expected[v]` over the candidates is `Σ f(v)` over the vocabulary in the mean over
    draws, for every f (Cohen & Kaplan 2007). Where all ids are drawn, all are expected once.

    Args:
        probabilities: `(V,)`, above zero; they need not sum to one.
        count: C, from 1 to V.
        seed: two whole numbers, `(2,)` int32; the same two give the same candidates.

    Example:
    >>> candidates = draw_candidates(proposal("log_uniform", 1000), 3, [1, 0])
    >>> candidates.ids.shape, candidates.log_expected.shape
    (TensorShape([3]), TensorShape([1000]))
    """
    import tensorflow as tf

    vocabulary_size = len(probabilities)
    if count == vocabulary_size:
        return Candidates(tf.range(vocabulary_size), tf.zeros(vocabulary_size))
    rates = tf.constant(probabilities, "float32")
    drawn = tf.random.stateless_uniform((vocabulary_size,), seed)  # from 0 to below 1
    earliness, ids = tf.math.top_k(tf.math.log1p(-drawn) / rates, count + 1)  # minus the times
    expected = -tf.math.expm1(earliness[count] * rates)  # (V,)
    return Candidates(tf.sort(ids[:count]), tf.math.log(expected))
