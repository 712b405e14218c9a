"""Candidates, the few tokens that may continue each hypothesis.

This module joins the model's prediction with all constraints: prefixes, least and greatest lengths,
the unknown token, required phrases. A search with `W` hypotheses needs no more than `W` tokens for
each hypothesis. So the vocabulary is read once for its normaliser and once for its largest entries,
and is never sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from keras import ops

from keras_s2s.search.constraints import required
from keras_s2s.search.request import Request
from keras_s2s.search.result import IMPOSSIBLE
from keras_s2s.search.state.prediction import Prediction, largest

if TYPE_CHECKING:
    from keras_s2s.search.state.hypotheses import Hypotheses


class Candidates(NamedTuple):
    """The `k` tokens that may continue each of `R` hypotheses.

    Attributes:
        tokens: `(R, k)` int32.
        log_probs: `(R, k)` float32, the model's log-probabilities.
        values: `(R, k)` float32, the numbers that the search chooses by; `IMPOSSIBLE` for tokens
            that are not allowed.
        banks: `(R, k)` int32, the banks that `Required.after` describes, or `()` without required
            phrases.
        met: `(R, k, C)` bool, the required phrases that the hypothesis holds with the token, or
            `()`.
    """

    tokens: Any
    log_probs: Any
    values: Any
    banks: Any = ()
    met: Any = ()


def candidates(
    count: int,
    prediction: Prediction,
    hypotheses: Hypotheses,
    t: Any,
    request: Request,
    allow_unknown: bool,
) -> Candidates:
    """Returns at least the `count` best tokens of each hypothesis that are allowed, best first.

    If a prefix or the greatest length forces a token, it is the first one and the others are
    impossible.

    Args:
        count: number of allowed tokens that the search needs.
        prediction: the model's prediction.
        hypotheses: the hypotheses that are continued.
        t: the step, an int32 scalar.
        request: the arguments of the call.
        allow_unknown: whether the unknown token is allowed.
    """
    # The end and the unknown token may turn out to be forbidden.
    ends_late = request.shortest is not None or request.required is not None
    count = count + ends_late + (not allow_unknown)
    vocabulary = prediction.logits.shape[-1]
    if vocabulary is not None:
        count = min(count, vocabulary)
    by_model = isinstance(prediction.values, tuple)
    top, tokens = largest(prediction.logits if by_model else prediction.values, count)
    values = top - prediction.normalizer
    best = Candidates(tokens, values if by_model else prediction.log_probs(tokens), values)
    phrases = None
    if request.required is not None:
        ids = request.by_row(request.required)
        phrases = required.required(ids, hypotheses.met, hypotheses.said, t)
        best = _with_leading(best, phrases, prediction, request)
    best = best._replace(
        values=ops.where(
            _allowed(best.tokens, hypotheses, t, request, allow_unknown), best.values, IMPOSSIBLE
        )
    )
    best = _forced(best, prediction, t, request)
    if phrases is not None:
        met, banks = phrases.after(best.tokens)
        best = best._replace(met=met, banks=banks)
    return best


def _allowed(
    tokens: Any, hypotheses: Hypotheses, t: Any, request: Request, allow_unknown: bool
) -> Any:
    """Returns which tokens `(R, k)` int32 may be chosen: `(R, k)` bool, or True for all."""
    allowed: Any = True
    ends = ends_allowed(hypotheses, t, request)
    if ends is not True:
        allowed = ops.logical_or(ends, ops.not_equal(tokens, request.end_id))
    if not allow_unknown:
        allowed = ops.logical_and(allowed, ops.not_equal(tokens, request.unknown_id))
    return allowed


def ends_allowed(hypotheses: Hypotheses, t: Any, request: Request) -> Any:
    """Returns which hypotheses may end at step `t`: `(R, 1)` bool, or True for all."""
    allowed: Any = True
    if request.shortest is not None:
        allowed = request.by_row(t + 1 >= request.shortest)
    if not isinstance(hypotheses.met, tuple):
        allowed = ops.logical_and(allowed, ops.all(hypotheses.met, axis=-1, keepdims=True))
    return allowed


def forced_tokens(t: Any, request: Request) -> Any:
    """Returns the token that must follow at step `t`, `(R, 1)` int32, or -1 if any may."""
    forced = ops.where(t + 1 >= request.longest, request.end_id, -1)
    if request.prefix is not None:
        last = ops.shape(request.prefix)[1] - 1
        token = ops.take(request.prefix, ops.minimum(t, last), axis=1)[:, None]
        begins = ops.logical_and(token >= 0, ops.logical_and(t <= last, t + 1 < request.longest))
        forced = ops.where(begins, token, forced)
    return request.by_row(ops.cast(forced, "int32"))


def _forced(best: Candidates, prediction: Prediction, t: Any, request: Request) -> Candidates:
    """Returns the candidates with forced tokens in the first place of their rows."""
    token = forced_tokens(t, request)
    forced = token >= 0
    first = ops.equal(ops.arange(ops.shape(best.tokens)[-1]), 0)[None]
    token = ops.where(forced, token, request.end_id)
    log_probs = prediction.log_probs(token)
    here = ops.logical_and(forced, first)
    values = ops.where(first, log_probs, IMPOSSIBLE)
    tokens = ops.where(here, token, best.tokens)
    return best._replace(
        tokens=tokens,
        log_probs=ops.where(here, log_probs, best.log_probs),
        values=ops.where(forced, values, best.values),
    )


def _with_leading(
    best: Candidates, phrases: required.Required, prediction: Prediction, request: Request
) -> Candidates:
    """Returns the candidates, followed by the tokens that continue required phrases."""
    leading, is_open = phrases.next_tokens()
    # Any id will do for a phrase that is not open, since its candidate may not be chosen.
    leading = ops.where(is_open, leading, request.end_id)
    values, log_probs = prediction.chosen_by(leading), prediction.log_probs(leading)
    known = ops.any(ops.equal(leading[:, :, None], best.tokens[:, None]), axis=-1)
    count = ops.shape(leading)[1]
    earlier = (ops.arange(count)[:, None] > ops.arange(count)[None])[None]
    twice = ops.logical_and(ops.equal(leading[:, :, None], leading[:, None]), earlier)
    new = ops.logical_and(is_open, ops.logical_not(ops.logical_or(known, ops.any(twice, axis=-1))))
    return Candidates(
        ops.concatenate([best.tokens, leading], axis=1),
        ops.concatenate([best.log_probs, log_probs], axis=1),
        ops.concatenate([best.values, ops.where(new, values, IMPOSSIBLE)], axis=1),
    )
