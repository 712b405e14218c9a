"""Draws the ids of a large vocabulary for which a training step computes logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DISTRIBUTIONS = ("log_uniform", "uniform")


class Candidates(NamedTuple):
    """The C ids that were drawn from a vocabulary of V ids, for all tokens of a batch together."""

    ids: Any  # (C,) int32, all different, ascending
    log_expected: Any  # (V,) float32: log of the expected count of each id among the candidates


def proposal(distribution: str, vocabulary_size: int) -> NDArray[np.float64]:
    """Returns the probability of each id of a vocabulary, `(V,)` float64.

    ```
    log_uniform   log((v + 2) / (v + 1)) / log(V + 1)   about 1/(v + 1), Zipf's law
    uniform       1 / V
    ```
    """
    if distribution == "uniform":
        return np.full(vocabulary_size, 1 / vocabulary_size)
    return np.log1p(1 / np.arange(1, vocabulary_size + 1)) / np.log(vocabulary_size + 1)


def draw_candidates(probabilities: NDArray[np.float64], count: int, seed: Any) -> Candidates:
    """Draws `count` different ids. The result depends only on the arguments.

    1. Each id arrives at a random time. The times are distributed exponentially, and the rate of an
       id is its probability.
    2. The first `count` ids to arrive are the candidates.
    3. With τ the time at which the next id would have arrived,

       ```
       expected[v] = P(v arrives before τ) = 1 − exp(−τ·probability[v])
       ```

    For every function f, the mean over draws of `Σ f(v) / expected[v]`, summed over the candidates,
    is `Σ f(v)` over the vocabulary (Cohen & Kaplan 2007). If all ids are drawn, each of them is
    expected once.

    Args:
        probabilities: `(V,)` probabilities above zero, which need not sum to one.
        count: number of candidates C, from 1 to V.
        seed: two whole numbers, `(2,)` int32. The same seed gives the same candidates.

    Returns:
        `Candidates` with ids `(C,)` int32 and logarithms `(V,)` float32.

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
    # Negative arrival times, so that the largest are the earliest.
    earliness, ids = tf.math.top_k(tf.math.log1p(-drawn) / rates, count + 1)
    expected = -tf.math.expm1(earliness[count] * rates)  # (V,)
    return Candidates(tf.sort(ids[:count]), tf.math.log(expected))
