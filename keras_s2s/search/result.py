"""The result of a search, and the error for a model whose logits are not finite."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from keras import ops

# The log-probability of tokens that may not be chosen and of places without a hypothesis. It is
# below every log-probability of a model, and the sum of several such numbers still fits float32.
IMPOSSIBLE = -1e30


class SearchResult(NamedTuple):
    """The `N` best hypotheses of each sentence, best first, as arrays of `L = max_length` ids.

    If the logits of a sentence were not finite, its `scores` and `log_probs` are NaN, its `lengths`
    hold the number of that step, counted from 0, and `check` raises an error.

    Attributes:
        ids: `(B, N, L)` int32, without the start token, with the end token, then padding.
        lengths: `(B, N)` int32, numbers of tokens with the end token; 0 in places without a
            sequence, if fewer than `N` exist.
        log_probs: `(B, N)` float32, sums of the log-probabilities of all tokens, the end token
            included. They are the model's own, even if the search chose by other numbers.
        scores: `(B, N)` float32, the numbers that the hypotheses are ranked by.
        weights: `(B, N, L, S)` float32 attention weights of each target position, zero after the
            end; None if they were not asked for.
        token_log_probs: `(B, N, L)` float32, the summands of `log_probs`, zero after the end.
        satisfied: `(B, N)` bool, whether a hypothesis holds all required phrases.
    """

    ids: Any
    lengths: Any
    log_probs: Any
    scores: Any
    weights: Any
    token_log_probs: Any
    satisfied: Any

    def check(self) -> SearchResult:
        """Returns the result itself if the model's logits were finite. The result must have values.

        Raises:
            ValueError: If the model's logits were not finite.
        """
        broken = np.isnan(ops.convert_to_numpy(self.scores))
        if broken.any():
            row = int(np.argmax(broken.any(axis=-1)))
            step = int(ops.convert_to_numpy(self.lengths)[row, 0])
            raise ValueError(
                f"The model gave logits that are not finite at step {step} of sentence {row} of "
                f"the batch (both counted from 0); {int(broken.any(axis=-1).sum())} sentences of "
                f"{len(broken)} are affected. Look for NaN or infinity in its weights and inputs: "
                "a training that diverged leaves them behind."
            )
        return self


def check_if_known(result: SearchResult) -> SearchResult:
    """Checks a result if it has values, which tensors of a graph that is being traced lack.

    Raises:
        ValueError: If the model's logits were not finite.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of a graph's tensor before it fails
            ops.convert_to_numpy(result.scores)
    except (NotImplementedError, TypeError, RuntimeError):  # TensorFlow, JAX, Torch
        return result
    return result.check()


def is_real(log_probs: Any) -> Any:
    """Returns False for places without a hypothesis, whose value is `IMPOSSIBLE`, and for NaN."""
    return log_probs > IMPOSSIBLE / 2


def finish(result: SearchResult, broken: Any, pad_id: int) -> SearchResult:
    """Blanks places without a sequence and marks sentences whose logits were not finite.

    Args:
        result: the result as read from the loop; `weights` may be `()`.
        broken: `(B, 1)` int32, the step at which logits were not finite, or −1.
        pad_id: the id that blank places hold.
    """
    failed = broken >= 0
    real = ops.logical_and(is_real(result.log_probs), ops.logical_not(failed))  # (B, N)
    nothing = ops.where(failed, float("nan"), ops.full_like(result.scores, -float("inf")))
    weights = None
    if not isinstance(result.weights, tuple):
        weights = ops.where(real[:, :, None, None], result.weights, 0.0)
    return SearchResult(
        ids=ops.where(real[:, :, None], result.ids, pad_id),
        lengths=ops.where(real, result.lengths, ops.where(failed, broken, 0)),
        log_probs=ops.where(real, result.log_probs, nothing),
        scores=ops.where(real, result.scores, nothing),
        weights=weights,
        token_log_probs=ops.where(real[:, :, None], result.token_log_probs, 0.0),
        satisfied=ops.logical_and(result.satisfied, real),
    )
