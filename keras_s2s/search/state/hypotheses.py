"""Hypotheses, the state of a search's loop from the start to the result.

Every search starts with `empty_hypotheses`, calls `append` once in each step, and reads its result
with `read_result`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.search.request import Request
from keras_s2s.search.result import IMPOSSIBLE, SearchResult, is_real
from keras_s2s.search.state.history import History, blank, read, write
from keras_s2s.search.state.prediction import Prediction


class Hypotheses(NamedTuple):
    """The state of the loop, with `R` rows, where the `W` hypotheses of a sentence are neighbours.

    A field that a search does not need is `()`.
    """

    tokens: Any  # (R,) int32, the tokens that the next step reads
    lengths: Any  # (R,) int32
    log_probs: Any  # (R,) float32, sums of the model's log-probabilities
    totals: Any  # (R,) float32, sums of the numbers that the search chooses by
    finished: Any  # (R,) bool
    broken: Any  # (R,) int32, the step at which logits were not finite, or -1
    coverage: Any  # (R, S) float32, sums of the attention weights, or ()
    said: Any  # (R, L) int32, the tokens so far, -1 behind them, or ()
    met: Any  # (R, C) bool, required phrases that the hypothesis holds, or ()
    state: Any  # the state of the step function
    history: Any  # History


def empty_hypotheses(
    state: Any,
    request: Request,
    max_length: int,
    met: Any,
    *,
    keep_weights: bool,
    keep_coverage: bool,
    keep_said: bool,
    keep_parents: bool,
) -> Hypotheses:
    """Returns the hypotheses before the first step.

    Args:
        state: the state of the step function, `B` rows.
        request: the arguments of the call.
        max_length: the greatest number of steps, `L`.
        met: `(R, C)` bool, or `()` if no phrases are required.
        keep_weights: whether the history holds attention weights.
        keep_coverage: whether the search reads the sums of attention weights.
        keep_said: whether the search looks back at the tokens of a hypothesis.
        keep_parents: whether hypotheses can change places.
    """
    rows, mask = request.rows, request.source_mask
    source_length = None if mask is None else ops.shape(mask)[1]
    zeros = ops.zeros((rows,), dtype="float32")
    return Hypotheses(
        tokens=ops.full((rows,), request.start_id, dtype="int32"),
        lengths=ops.zeros((rows,), dtype="int32"),
        log_probs=zeros,
        totals=zeros,
        finished=ops.zeros((rows,), dtype="bool"),
        broken=ops.full((rows,), -1, dtype="int32"),
        coverage=ops.zeros((rows, source_length), dtype="float32") if keep_coverage else (),
        said=ops.full((rows, max_length), -1, dtype="int32") if keep_said else (),
        met=met,
        state=keras.tree.map_structure(request.by_row, state),
        history=blank(
            max_length,
            rows,
            request.pad_id,
            source_length if keep_weights else None,
            parents=keep_parents,
        ),
    )


def append(
    hypotheses: Hypotheses,
    t: Any,
    tokens: Any,
    log_probs: Any,
    weights: Any,
    request: Request,
    parents: Any = (),
) -> Hypotheses:
    """Appends one token to each hypothesis that has not finished.

    Args:
        hypotheses: the hypotheses, already in their new places.
        t: the step, an int32 scalar.
        tokens: `(R,)` int32.
        log_probs: `(R,)` float32, the model's log-probabilities of the tokens.
        weights: `(R, S)` float32 attention weights, or `()`.
        request: the arguments of the call.
        parents: `(R,)` int32, the row of the step before that each row continues; `()` if rows
            never change places.
    """
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
    if not isinstance(said, tuple):  # finished rows are written too, but not read
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

    Empty places do not count, since the model did not choose their tokens.
    """
    live = ops.logical_and(ops.logical_not(hypotheses.finished), is_real(hypotheses.totals))
    bad = ops.logical_and(live, ops.logical_not(ops.isfinite(prediction.normalizer[:, 0])))
    bad = request.by_row(ops.any(request.by_sentence(bad), axis=1))
    return hypotheses._replace(
        broken=ops.where(bad, t, hypotheses.broken),
        finished=ops.logical_or(hypotheses.finished, bad),
    )


def read_result(
    end: Hypotheses, rows: Any, scores: Any, request: Request, n_best: int
) -> SearchResult:
    """Reads the result of a search when its loop is over.

    Args:
        end: the hypotheses after the last step.
        rows: `(B·N,)` int32, the rows of the hypotheses that are returned, best first.
        scores: `(B·N,)` float32, the scores of these hypotheses.
        request: the arguments of the call.
        n_best: number `N` of hypotheses that are returned for each sentence.
    """
    sequences = read(end.history, rows)
    satisfied = ops.ones_like(rows, dtype="bool")
    if not isinstance(end.met, tuple):
        satisfied = ops.take(ops.all(end.met, axis=-1), rows, axis=0)
    log_probs = ops.where(is_real(end.totals), end.log_probs, IMPOSSIBLE)
    flat = SearchResult(
        ids=sequences.tokens,
        lengths=ops.take(end.lengths, rows, axis=0),
        log_probs=ops.take(log_probs, rows, axis=0),
        scores=scores,
        weights=sequences.weights,
        token_log_probs=sequences.log_probs,
        satisfied=satisfied,
    )
    per_sentence = request._replace(width=n_best)
    return keras.tree.map_structure(per_sentence.by_sentence, flat)
