"""Scores of given targets: how probable a model finds them, token by token.

How outputs compare with references is `scores`; searching is `search`.
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
    """What a model thinks of one target, given its source.

    Attributes:
        log_prob: sum of the tokens' natural log-probabilities, the end token's included.
        token_log_probs: that of each token, as many as there are ids.
        ids: the target ids, the end id last.
        perplexity: `exp(−log_prob / len(ids))`, 1 for a target that was sure to come.
    """

    log_prob: float
    token_log_probs: list[float]
    ids: list[int]
    perplexity: float


class ScoringModel(keras.Model):
    """Log-probabilities of given targets under a model, with its weights and none of its own.

    Takes `{"source_ids": (B, S), "target_ids": (B, 1 + T)}`, the targets from the start id to the
    end id, and gives `(B, T)` float32: `log_softmax(logits)[b, t, target_ids[b, t + 1]]`. What
    stands at padding means nothing. The logits never leave the graph.

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
    """Scores targets as ids, in batches of like lengths.

    Args:
        model: a `ScoringModel`.
        sources: source ids, each row with its end id.
        targets: as many rows of target ids, each with its end id.
        start_id: what the decoder reads first.
        pad_id: what fills rows up to the longest.
        batch_size: pairs per batch.

    Returns:
        A `TargetScore` for every pair, in order. It does not depend on the other pairs.
    """
    order = sorted(range(len(targets)), key=lambda i: (len(targets[i]), len(sources[i])))
    found: dict[int, TargetScore] = {}
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        inputs = {
            "source_ids": padded([sources[i] for i in chosen], pad_id),
            "target_ids": padded([[start_id, *targets[i]] for i in chosen], pad_id),
        }
        log_probs = np.asarray(model.predict_on_batch(inputs))
        for i, row in zip(chosen, log_probs, strict=True):
            ids = list(targets[i])
            tokens = row[: len(ids)].tolist()
            total = math.fsum(tokens)
            found[i] = TargetScore(total, tokens, ids, perplexity([total], [len(ids)]))
    return [found[i] for i in range(len(targets))]


def check_pairs(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Raises unless there is one target for each source.

    Raises:
        TypeError: one string in place of a sequence.
        ValueError: counts differ.
    """
    check_several("sources", sources)
    check_several("targets", targets)
    if len(sources) != len(targets):
        raise ValueError(
            f"There must be one target for each source; got {len(sources)} sources and "
            f"{len(targets)} targets."
        )


def perplexity(log_probs: Sequence[float], lengths: Sequence[int]) -> float:
    """Perplexity per token of targets together.

    Args:
        log_probs: the log-probability of each target.
        lengths: its number of tokens, the end token counted.

    Returns:
        `exp(−Σ log_probs / Σ lengths)`; infinite where that is beyond a float.

    Raises:
        ValueError: there are no tokens.

    Example:
    >>> round(perplexity([-1.0, -3.0], [2, 2]), 3)  # e
    2.718
    """
    if not sum(lengths):
        raise ValueError("A perplexity is per token; got no tokens. Give at least one target.")
    exponent = -math.fsum(log_probs) / sum(lengths)
    return math.exp(exponent) if exponent < 709 else math.inf
