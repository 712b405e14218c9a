"""Controls of the next token: repetition penalty, no repeated n-grams, forbidden phrases.

The controls look back at the tokens of a hypothesis and change the logits that the search chooses
by. The log-probabilities that the search returns stay the model's.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_s2s.search.constraints import phrases
from keras_s2s.search.result import IMPOSSIBLE


def controlled(
    logits: Any,
    normalizer: Any,
    said: Any,
    t: Any,
    *,
    forbidden: Any = None,
    repetition_penalty: float = 1.0,
    no_repeat_ngram: int = 0,
) -> Any:
    """Returns the logits that a search chooses by.

    Only the logits that the controls change are computed anew. The others are the model's.

    Args:
        logits: `(R, V)` float32, the model's logits.
        normalizer: `(R, 1)` float32, the log-sum-exp of the logits. A log-probability is a logit
            minus this number.
        said: `(R, L)` int32, the tokens so far, −1 behind them.
        t: the number of these tokens, an int32 scalar.
        forbidden: `(R, F, M)` int32 phrases that may not appear, −1 behind each, or None.
        repetition_penalty: a factor `θ ≥ 1` on the log-probability of each token that has appeared.
            Keskar et al. (2019) divide the logit instead, but the sign of a logit has no meaning.
        no_repeat_ngram: `n`. A token is impossible if it would complete a sequence of `n` tokens
            that has appeared already (Paulus et al. 2018, §2.5, for n = 3). 0 allows all.

    Returns:
        `(R, V)` float32.
    """
    if repetition_penalty != 1:
        tokens, any_said = _aimed(said, said >= 0)
        old = ops.take_along_axis(logits, tokens, axis=-1)
        lower = repetition_penalty * (old - normalizer) + normalizer
        logits = _put(logits, tokens, ops.where(any_said, lower, old))
    if 0 < no_repeat_ngram <= said.shape[-1]:
        logits = _banned(logits, *_repeating(said, t, no_repeat_ngram))
    if forbidden is not None:
        logits = _banned(logits, *_completing(said, t, forbidden))
    return logits


def _repeating(said: Any, t: Any, size: int) -> tuple[Any, Any]:
    """Finds the tokens that would repeat a sequence of `size` tokens.

    Returns:
        `(R, J)` int32, the token behind each earlier sequence of `size − 1` tokens; and `(R, J)`
        bool, whether this sequence equals the last `size − 1` tokens.
    """
    count = said.shape[-1] - size + 1
    following = said[:, size - 1 :]
    repeats = following >= 0
    last = phrases.last_said(said, t, size - 1)
    for i in range(size - 1):
        repeats = ops.logical_and(repeats, ops.equal(said[:, i : i + count], last[:, i, None]))
    return following, repeats


def _completing(said: Any, t: Any, forbidden: Any) -> tuple[Any, Any]:
    """Finds the tokens that would complete a forbidden phrase.

    Returns:
        `(R, F)` int32, the last token of each phrase; and `(R, F)` bool, whether the last tokens of
        the hypothesis are all the tokens of the phrase before it.
    """
    lengths = phrases.sizes(forbidden)
    at = ops.arange(ops.shape(forbidden)[-1], dtype="int32")
    is_last = ops.equal(at, (lengths - 1)[:, :, None])  # (R, F, M), all False for an empty phrase
    last = ops.max(ops.where(is_last, forbidden, -1), axis=-1)
    complete = ops.logical_and(is_last, phrases.begun(forbidden, said, t))
    return last, ops.any(complete, axis=-1)


def _banned(logits: Any, tokens: Any, active: Any) -> Any:
    """Returns the logits with `IMPOSSIBLE` at the `tokens` `(R, J)` that are `active`."""
    tokens, any_active = _aimed(tokens, active)
    values = ops.where(any_active, IMPOSSIBLE, logits[:, :1])
    return _put(logits, tokens, ops.broadcast_to(values, ops.shape(tokens)))


def _aimed(tokens: Any, active: Any) -> tuple[Any, Any]:
    """Replaces the tokens `(R, J)` that are not active by an active token of the same row.

    Returns:
        `(R, J)` int32, all 0 in a row without an active token; and `(R, 1)` bool, whether a row has
        an active token.
    """
    highest = ops.max(ops.where(active, tokens, -1), axis=-1, keepdims=True)
    return ops.where(active, tokens, ops.maximum(highest, 0)), highest >= 0


def _put(logits: Any, tokens: Any, values: Any) -> Any:
    """Returns the logits with `values` `(R, J)` at `tokens` `(R, J)`.

    Equal tokens of a row must have equal values.
    """
    rows = ops.broadcast_to(
        ops.arange(ops.shape(tokens)[0], dtype="int32")[:, None], ops.shape(tokens)
    )
    places = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(tokens, (-1,))], axis=-1)
    return ops.scatter_update(logits, places, ops.reshape(values, (-1,)))
