"""Candidates: for each hypothesis the few tokens it may be continued with.

A search that keeps `W` hypotheses needs no more than `W` tokens of each, so the vocabulary is read
once for its normaliser and once for its largest entries, and never sorted.
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
    """`k` tokens of each of `R` hypotheses.

    Attributes:
        tokens: `(R, k)` int32.
        log_probs: `(R, k)` float32, the model's.
        values: `(R, k)` float32, what they are chosen by; `IMPOSSIBLE` where they may not be.
        banks: `(R, k)` int32, see `required`, or `()` where no phrases are required.
        met: `(R, k, C)` bool, required phrases met with the token, or `()`.
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
    """At least the `count` best tokens of each hypothesis that are allowed, best first.

    Where a token is forced, by a prefix or because only the end fits, it is the first and the
    others are impossible.
    """
    # As many more as may turn out to be forbidden.
    ends_late = request.shortest is not None or request.required is not None
    count = count + ends_late + (not allow_unknown)
    vocabulary = prediction.logits.shape[-1]
    if vocabulary is not None:
        count = min(count, vocabulary)
    by_model = isinstance(prediction.values, tuple)
    top, tokens = largest(prediction.logits if by_model else prediction.values, count)
    values = top - prediction.normalizer
    found = Candidates(tokens, values if by_model else prediction.log_probs(tokens), values)
    phrases = None
    if request.required is not None:
        ids = request.by_row(request.required)
        phrases = required.required(ids, hypotheses.met, hypotheses.said, t)
        found = _with_leading(found, phrases, prediction, request)
    found = found._replace(
        values=ops.where(
            _allowed(found.tokens, hypotheses, t, request, allow_unknown), found.values, IMPOSSIBLE
        )
    )
    found = _forced(found, prediction, t, request)
    if phrases is not None:
        met, banks = phrases.after(found.tokens)
        found = found._replace(met=met, banks=banks)
    return found


def _allowed(
    tokens: Any, hypotheses: Hypotheses, t: Any, request: Request, allow_unknown: bool
) -> Any:
    """`(R, k)` bool, or True."""
    allowed: Any = True
    ends = ends_allowed(hypotheses, t, request)
    if ends is not True:
        allowed = ops.logical_or(ends, ops.not_equal(tokens, request.end_id))
    if not allow_unknown:
        allowed = ops.logical_and(allowed, ops.not_equal(tokens, request.unknown_id))
    return allowed


def ends_allowed(hypotheses: Hypotheses, t: Any, request: Request) -> Any:
    """Whether a hypothesis may end at step `t`: `(R, 1)` bool, or True."""
    allowed: Any = True
    if request.shortest is not None:
        allowed = request.by_row(t + 1 >= request.shortest)
    if not isinstance(hypotheses.met, tuple):
        allowed = ops.logical_and(allowed, ops.all(hypotheses.met, axis=-1, keepdims=True))
    return allowed


def forced_tokens(t: Any, request: Request) -> Any:
    """The token that must follow at step `t`, `(R, 1)` int32; -1 where there is a choice."""
    forced = ops.where(t + 1 >= request.longest, request.end_id, -1)
    if request.prefix is not None:
        last = ops.shape(request.prefix)[1] - 1
        given = ops.take(request.prefix, ops.minimum(t, last), axis=1)[:, None]
        begins = ops.logical_and(given >= 0, ops.logical_and(t <= last, t + 1 < request.longest))
        forced = ops.where(begins, given, forced)
    return request.by_row(ops.cast(forced, "int32"))


def _forced(found: Candidates, prediction: Prediction, t: Any, request: Request) -> Candidates:
    token = forced_tokens(t, request)
    forced = token >= 0
    first = ops.equal(ops.arange(ops.shape(found.tokens)[-1]), 0)[None]
    token = ops.where(forced, token, request.end_id)
    its = prediction.log_probs(token)
    here = ops.logical_and(forced, first)
    instead = ops.where(first, its, IMPOSSIBLE)
    tokens = ops.where(here, token, found.tokens)
    return found._replace(
        tokens=tokens,
        log_probs=ops.where(here, its, found.log_probs),
        values=ops.where(forced, instead, found.values),
    )


def _with_leading(
    found: Candidates, phrases: required.Required, prediction: Prediction, request: Request
) -> Candidates:
    """The candidates, and behind them the tokens that lead the required phrases on."""
    leading, is_open = phrases.next_tokens()
    leading = ops.where(is_open, leading, request.end_id)  # any id; it may not be chosen
    values, log_probs = prediction.chosen_by(leading), prediction.log_probs(leading)
    known = ops.any(ops.equal(leading[:, :, None], found.tokens[:, None]), axis=-1)
    count = ops.shape(leading)[1]
    earlier = (ops.arange(count)[:, None] > ops.arange(count)[None])[None]
    twice = ops.logical_and(ops.equal(leading[:, :, None], leading[:, None]), earlier)
    new = ops.logical_and(is_open, ops.logical_not(ops.logical_or(known, ops.any(twice, axis=-1))))
    return Candidates(
        ops.concatenate([found.tokens, leading], axis=1),
        ops.concatenate([found.log_probs, log_probs], axis=1),
        ops.concatenate([found.values, ops.where(new, values, IMPOSSIBLE)], axis=1),
    )
