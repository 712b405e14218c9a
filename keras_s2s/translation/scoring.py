"""Scores given targets by their log-probabilities under a model, token by token.

Nothing is decoded here. `keras_s2s.evaluation.metrics` compares outputs with references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_s2s.data.padding import padded
from keras_s2s.models.inference import Decodable
from keras_s2s.system.checks import check_several


class TargetScore(NamedTuple):
    """The log-probability of one target, given its source.

    Attributes:
        log_prob: the sum of the natural log-probabilities of all tokens, the end token included.
        token_log_probs: the natural log-probability of each of the `ids`.
        ids: the target ids, the end id last.
        perplexity: `exp(−log_prob / len(ids))`; 1 for a target of probability 1.
    """

    log_prob: float
    token_log_probs: list[float]
    ids: list[int]
    perplexity: float


class ScoringModel(keras.Model):
    """Computes the log-probabilities of given targets, with only the weights of a model.

    Its inputs are `{"source_ids": (B, S), "target_ids": (B, 1 + T)}`, with targets from the start
    id to the end id. Its output is `(B, T)` float32, `log_softmax(logits)[b, t, target_ids[b, t +
    1]]`. Values at padding have no meaning. The logits never leave the graph.

    Args:
        model: a `Seq2Seq` or an `Ensemble`.

    Example:
    >>> from keras_s2s import Decoder, Encoder, Seq2Seq
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=9, embedding_size=8, units=8),
    ...     Decoder(vocabulary_size=9, embedding_size=8, units=16),
    ... )
    >>> inputs = {"source_ids": np.array([[5, 6, 3]]), "target_ids": np.array([[2, 7, 8, 3]])}
    >>> ScoringModel(model)(inputs).shape
    TensorShape([1, 3])
    """

    def __init__(self, model: Decodable, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.supports_jit = keras.backend.backend() == "jax"

    def build(self, input_shape: Any = None) -> None:
        if not self.model.built:
            self.model.build()

    def call(self, inputs: dict[str, Any]) -> Any:
        target_ids = ops.cast(inputs["target_ids"], "int32")
        logits = self.model(
            {"source_ids": inputs["source_ids"], "target_ids": target_ids[:, :-1]}, training=False
        )
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)  # (B, T, V)
        return ops.take_along_axis(log_probs, target_ids[:, 1:, None], axis=-1)[:, :, 0]


def score_rows(
    model: ScoringModel,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    *,
    start_id: int,
    pad_id: int,
    batch_size: int = 32,
) -> list[TargetScore]:
    """Scores rows of target ids, in batches of similar lengths.

    Args:
        model: a `ScoringModel`.
        sources: rows of source ids, the end id last.
        targets: one row of target ids for each source, the end id last.
        start_id: the id that the decoder reads first.
        pad_id: the id that fills rows up to the longest.
        batch_size: the number of pairs per batch.

    Returns:
        A `TargetScore` for each pair, in the order of the pairs. It does not depend on the other
        pairs.
    """
    order = sorted(range(len(targets)), key=lambda i: (len(targets[i]), len(sources[i])))
    scores: dict[int, TargetScore] = {}
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        inputs = {
            "source_ids": padded([sources[i] for i in batch], pad_id),
            "target_ids": padded([[start_id, *targets[i]] for i in batch], pad_id),
        }
        log_probs = np.asarray(model.predict_on_batch(inputs))
        for i, row in zip(batch, log_probs, strict=True):
            ids = list(targets[i])
            tokens = row[: len(ids)].tolist()
            total = math.fsum(tokens)
            scores[i] = TargetScore(total, tokens, ids, perplexity([total], [len(ids)]))
    return [scores[i] for i in range(len(targets))]


def check_pairs(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Checks that there is one target for each source.

    Raises:
        TypeError: If an argument is one string instead of a sequence.
        ValueError: If there are not as many targets as sources.
    """
    check_several("sources", sources)
    check_several("targets", targets)
    if len(sources) != len(targets):
        raise ValueError(
            f"There must be one target for each source; got {len(sources)} sources and "
            f"{len(targets)} targets."
        )


def perplexity(log_probs: Sequence[float], lengths: Sequence[int]) -> float:
    """Computes the perplexity per token of several targets.

    Args:
        log_probs: the natural log-probability of each target.
        lengths: the number of tokens of each target, the end token counted.

    Returns:
        `exp(−Σ log_probs / Σ lengths)`, or infinity if it is too large for a float.

    Raises:
        ValueError: If the targets have no tokens.

    Example:
    >>> round(perplexity([-1.0, -3.0], [2, 2]), 3)  # e
    2.718
    """
    if not sum(lengths):
        raise ValueError("A perplexity needs tokens; got none. Give at least one target.")
    exponent = -math.fsum(log_probs) / sum(lengths)
    return math.exp(exponent) if exponent < 709 else math.inf
