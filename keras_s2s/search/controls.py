"""What a search may not say, or should rather not: controls of the next token's log-probabilities.

They look back at the tokens of a hypothesis, which the loop keeps in a window for them, and change
what the search chooses by; the log-probabilities it reports stay the model's.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_s2s.search import phrases
from keras_s2s.search.result import IMPOSSIBLE


def controlled(
    log_probs: Any,
    window: Any,
    *,
    forbidden: Any = None,
    repetition_penalty: float = 1.0,
    no_repeat_ngram: int = 0,
) -> Any:
    """Log-probabilities to choose by.

    Args:
        log_probs: `(R, V)` float32.
        window: `(R, W)` int32, the tokens so far, −1 before the first.
        forbidden: `(R, F, M)` int32 phrases that may not appear, −1 behind each, or None.
        repetition_penalty: `θ ≥ 1`: the log-probability of a token that appeared is multiplied by
            it. (Keskar et al. 2019 divide the logit, whose sign means nothing.)
        no_repeat_ngram: `n`: a token that would complete n tokens which appeared already is
            impossible (Paulus et al. 2018, §2.5, for n = 3); 0 allows all.

    Returns:
        `(R, V)` float32.
    """
    vocabulary = ops.shape(log_probs)[-1]
    if repetition_penalty != 1:
        seen = _marked(window, window >= 0, vocabulary)
        log_probs = ops.where(seen, repetition_penalty * log_probs, log_probs)
    if no_repeat_ngram:
        banned = _marked(*_repeating(window, no_repeat_ngram), vocabulary)
        log_probs = ops.where(banned, IMPOSSIBLE, log_probs)
    if forbidden is not None:
        banned = _marked(*_completing(window, forbidden), vocabulary)
        log_probs = ops.where(banned, IMPOSSIBLE, log_probs)
    return log_probs


def _repeating(window: Any, size: int) -> tuple[Any, Any]:
    """Tokens that followed the last `size − 1` tokens before, `(R, J)`, and where there are any."""
    width = window.shape[-1]
    starts = width - size + 1
    repeats = window[:, :starts] >= 0
    for i in range(size - 1):
        last = window[:, width - size + 1 + i, None]
        repeats = ops.logical_and(repeats, ops.equal(window[:, i : i + starts], last))
    return window[:, size - 1 :], repeats


def _completing(window: Any, forbidden: Any) -> tuple[Any, Any]:
    """The last token of each phrase, `(R, F)`, and where all those before it were just said."""
    lengths = phrases.sizes(forbidden)
    at = ops.arange(ops.shape(forbidden)[-1], dtype="int32")
    is_last = ops.equal(at, (lengths - 1)[:, :, None])  # (R, F, M); nowhere in an empty phrase
    last = ops.max(ops.where(is_last, forbidden, -1), axis=-1)
    said = ops.logical_and(is_last, phrases.begun(forbidden, window))
    return last, ops.any(said, axis=-1)


def _marked(tokens: Any, active: Any, vocabulary: Any) -> Any:
    """`(R, V)` bool: True at the `tokens` `(R, J)` that are `active`."""
    rows = ops.shape(tokens)[0]
    size = rows * vocabulary
    own = ops.arange(rows, dtype="int32")[:, None] * vocabulary
    # Those that are not active mark one more place, behind all.
    places = ops.reshape(ops.where(active, own + tokens, size), (-1, 1))
    marks = ops.scatter(places, ops.ones_like(places[:, 0], dtype="float32"), (size + 1,))
    return ops.reshape(marks[:size] > 0, (rows, vocabulary))
