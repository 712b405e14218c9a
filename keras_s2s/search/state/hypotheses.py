"""Hypotheses: the state of a search's loop, and what every search does with it at a step."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_s2s.search.state.history import History, write
from keras_s2s.search.state.prediction import Prediction
from keras_s2s.search.request import Request
from keras_s2s.search.result import is_real


class Hypotheses(NamedTuple):
    """The loop's state; `R` rows: `B` sentences, the `W` hypotheses of a sentence in a row."""

    tokens: Any  # (R,) int32, what the next step reads
    lengths: Any  # (R,) int32
    log_probs: Any  # (R,) float32, the model's
    totals: Any  # (R,) float32, what the search adds up to choose by
    finished: Any  # (R,) bool
    broken: Any  # (R,) int32, the step at which logits were not finite, or -1
    coverage: Any  # (R, S) float32, sum of the weights, or ()
    said: Any  # (R, L) int32, the tokens so far, -1 behind them, or ()
    met: Any  # (R, C) bool, required phrases, or ()
    state: Any  # the step's own
    history: Any  # History


def append(
    hypotheses: Hypotheses,
    t: Any,
    tokens: Any,
    log_probs: Any,
    weights: Any,
    request: Request,
    parents: Any = (),
) -> Hypotheses:
    """Appends tokens `(R,)`, their log-probabilities and weights to the live rows."""
    live = ops.logical_not(hypotheses.finished)
    log_probs = ops.where(live, log_probs, 0.0)
    if not isinstance(weights, tuple):
        weights = ops.where(live[:, None], weights, 0.0)
    history = hypotheses.history
    written = History(
        tokens=ops.where(live, tokens, request.pad_id),
        parents=() if isinstance(history.parents, tuple) else parents,
        log_probs=log_probs,
        weights=() if isinstance(history.weights, tuple) else weights,
    )
    coverage, said = hypotheses.coverage, hypotheses.said
    if not isinstance(coverage, tuple):
        coverage = coverage + weights
    if not isinstance(said, tuple):  # what finished rows would say next is never asked for
        now = ops.equal(ops.arange(said.shape[1], dtype="int32"), t)
        said = ops.where(now[None], tokens[:, None], said)
    ends = ops.equal(tokens, request.end_id)
    return hypotheses._replace(
        tokens=tokens,
        lengths=hypotheses.lengths + ops.cast(live, "int32"),
        log_probs=hypotheses.log_probs + log_probs,
        finished=ops.logical_or(hypotheses.finished, ends),
        coverage=coverage,
        said=said,
        history=write(history, t, written),
    )


def end_broken(
    hypotheses: Hypotheses, prediction: Prediction, t: Any, request: Request
) -> Hypotheses:
    """Ends the sentences that have logits which are not finite.

    Empty places do not count: nothing but the search itself ever read those tokens.
    """
    live = ops.logical_and(ops.logical_not(hypotheses.finished), is_real(hypotheses.totals))
    bad = ops.logical_and(live, ops.logical_not(ops.isfinite(prediction.normalizer[:, 0])))
    bad = request.by_row(ops.any(request.by_sentence(bad), axis=1))
    return hypotheses._replace(
        broken=ops.where(bad, t, hypotheses.broken),
        finished=ops.logical_or(hypotheses.finished, bad),
    )
