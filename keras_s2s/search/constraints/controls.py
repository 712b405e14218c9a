"""What a search may not say, or should rather not: controls of the next token's log-probabilities.

They look back at the tokens of a hypothesis, which the loop keeps for them, and change what the
search chooses by; the log-probabilities it reports stay the model's.
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
    """Logits to choose by. Only those that change are computed; the others are the model's.

    Args:
        logits: `(R, V)` float32.
        normalizer: `(R, 1)` float32, their log-sum-exp: a log-probability is a logit less this.
        said: `(R, L)` int32, the tokens so far, −1 behind them.
        t: how many they are.
        forbidden: `(R, F, M)` int32 phrases that may not appear, −1 behind each, or None.
        repetition_penalty: `θ ≥ 1`: the log-probability of a token that appeared is multiplied by
            it. (Keskar et al. 2019 divide the logit, whose sign means nothing.)
        no_repeat_ngram: `n`: a token that would complete n tokens which appeared already is
            impossible (Paulus et al. 2018, §2.5, for n = 3); 0 allows all.

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
    """Tokens that followed the last `size − 1` tokens before, `(R, J)`, and where there are any."""
    count = said.shape[-1] - size + 1
    following = said[:, size - 1 :]
    repeats = following >= 0
    last = phrases.last_said(said, t, size - 1)
    for i in range(size - 1):
        repeats = ops.logical_and(repeats, ops.equal(said[:, i : i + count], last[:, i, None]))
    return following, repeats


def _completing(said: Any, t: Any, forbidden: Any) -> tuple[Any, Any]:
    """The last token of each phrase, `(R, F)`, and where all those before it were just said."""
    lengths = phrases.sizes(forbidden)
    at = ops.arange(ops.shape(forbidden)[-1], dtype="int32")
    is_last = ops.equal(at, (lengths - 1)[:, :, None])  # (R, F, M); nowhere in an empty phrase
    last = ops.max(ops.where(is_last, forbidden, -1), axis=-1)
    complete = ops.logical_and(is_last, phrases.begun(forbidden, said, t))
    return last, ops.any(complete, axis=-1)


def _banned(logits: Any, tokens: Any, active: Any) -> Any:
    """`logits` with `IMPOSSIBLE` at the `tokens` `(R, J)` that are `active`."""
    tokens, some = _aimed(tokens, active)
    old = ops.where(some, IMPOSSIBLE, logits[:, :1])
    return _put(logits, tokens, ops.broadcast_to(old, ops.shape(tokens)))


def _aimed(tokens: Any, active: Any) -> tuple[Any, Any]:
    """The active tokens `(R, J)`, those of each row that are not replaced by one of them.

    Returns:
        Them, with id 0 throughout where none of a row is active; and `(R, 1)`, where any is.
    """
    one = ops.max(ops.where(active, tokens, -1), axis=-1, keepdims=True)
    return ops.where(active, tokens, ops.maximum(one, 0)), one >= 0


def _put(logits: Any, tokens: Any, values: Any) -> Any:
    """`logits` with `values` at `tokens`, `(R, J)` both; the same token has the same value."""
    rows = ops.broadcast_to(
        ops.arange(ops.shape(tokens)[0], dtype="int32")[:, None], ops.shape(tokens)
    )
    places = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(tokens, (-1,))], axis=-1)
    return ops.scatter_update(logits, places, ops.reshape(values, (-1,)))
