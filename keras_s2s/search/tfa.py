"""The beam search of TensorFlow Addons, for models that were tuned with it.

Owns what `tfa.seq2seq.BeamSearchDecoder` does otherwise than `BeamSearch`. Its length penalty
without its way of counting is `TFA` in `penalties`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.checks import check_size
from keras_s2s.search import loop
from keras_s2s.search.history import History, blank, read, write
from keras_s2s.search.result import IMPOSSIBLE, SearchResult, check_if_known, finish, is_real
from keras_s2s.search.search import Search, Step

LOWEST = -3.4028234663852886e38  # of float32; what tfa gives a finished beam's other tokens


class TFAResult(NamedTuple):
    """What `tfa.seq2seq.BeamSearchDecoder` returns, with `T = max_length`; see `TFABeamSearch`.

    Attributes:
        predicted_ids: `(B, T, K)` int32, the beams, best first, the end token from its first place
            on; tfa's `outputs.predicted_ids`.
        step_ids: `(B, T, K)` int32, the tokens as they were chosen at each step; pad at steps that
            were not taken.
        parent_ids: `(B, T, K)` int32, the beam of the step before that each continues; its own
            number at steps that were not taken.
        step_scores: `(B, T, K)` float32, what the beams were ranked by at each step; 0 at steps
            that were not taken.
        lengths: `(B, K)` int32, the end token counted; tfa's `final_state.lengths`.
        log_probs: `(B, K)` float32, tfa's `final_state.log_probs`.
        steps: int32 scalar, the steps taken: tfa's own `T`.
    """

    predicted_ids: Any
    step_ids: Any
    parent_ids: Any
    step_scores: Any
    lengths: Any
    log_probs: Any
    steps: Any


class _Beams(NamedTuple):
    """The loop's state; `R = B·K` rows, the beams of a sentence in a row."""

    log_probs: Any  # (R,) float32
    finished: Any  # (R,) bool
    lengths: Any  # (R,) int32
    coverage: Any  # (R, S) float32, or () without a coverage penalty
    tokens: Any  # (R,) int32, what the next step reads
    broken: Any  # (B, 1) int32, the step at which logits were no numbers, or −1
    history: History
    scores: Any  # (L, R) float32
    state: Any  # the step's own, R rows


@keras.saving.register_keras_serializable(package="keras_s2s")
class TFABeamSearch(Search):
    """`tfa.seq2seq.BeamSearchDecoder`, number for number: for migration, and nothing else.

    1. Every beam is extended by every token; a finished one by the end token only, for nothing.
    2. A candidate's score is `log_prob / ((5 + length) / 6)^length_penalty_weight`, plus
       `coverage_penalty_weight · Σ_s log(min(coverage_s, 1))` over the source positions that were
       attended to at all.
    3. The `width` candidates of the highest scores are the next beams.
    4. The search goes on until all beams of all sentences have finished, or for `max_length` steps.

    It repeats what makes tfa's results depend on more than the sentence, the model and the
    penalties; `BeamSearch` has none of it, and is for everything else:

    - The end token is not counted in a length at the step that takes it, and is counted at all
      later ones, so that the score of a finished beam changes with the next step.
    - Coverage counts only for beams that had finished before the step. A position without any
      attention costs nothing, and one with a little costs much.
    - A finished beam can be pushed out by others, also by some that never end: a result that fills
      `max_length` has no end token.
    - With a penalty, beams that have finished are ranked anew at every step, so their order can
      depend on how long the other sentences of the batch go on.
    - `predicted_ids` keeps the order of the step at which a sentence's longest beam ended, while
      `lengths` and `log_probs` of `decode` have that of the last step: they may not belong to the
      ids beside them. In the `SearchResult` of a call, everything belongs to the ids: lengths and
      log-probabilities are theirs, `scores` those of the step that put them in order.

    Args:
        width: beams per sentence, `K`; all are returned.
        length_penalty_weight: 0 ranks by log-probability.
        coverage_penalty_weight: 0 leaves coverage out; else the step must give weights.
        max_length: most steps, tfa's `maximum_iterations`.

    Example: a "network" that begins with "a" or, less likely, with "b", and then ends. As tfa
    counts, both have 1 token when they end and 2 at the step after.
    >>> import numpy as np
    >>> from keras import ops
    >>> table = np.full((6, 6), -99.0, "float32")  # ids: pad, unknown, start, end, a, b
    >>> table[2, 4], table[2, 5], table[4, 3], table[5, 3] = 2.0, 1.0, 9.0, 9.0
    >>> def step(tokens, state):
    ...     return ops.take(table, tokens, axis=0), state
    >>> search = TFABeamSearch(width=2, length_penalty_weight=1.0, max_length=4)
    >>> np.array(search(step, (), batch_size=1).ids).tolist()
    [[[4, 3, 0, 0], [5, 3, 0, 0]]]
    >>> np.array(search.decode(step, (), batch_size=1).predicted_ids).tolist()
    [[[4, 5], [3, 3], [3, 3], [3, 3]]]
    """

    def __init__(
        self,
        width: int,
        length_penalty_weight: float = 0.0,
        coverage_penalty_weight: float = 0.0,
        max_length: int = 100,
    ) -> None:
        super().__init__(max_length)
        check_size("width", width)
        self.width = self.n_best = width
        self.length_penalty_weight = _weight("length_penalty_weight", length_penalty_weight)
        self.coverage_penalty_weight = _weight("coverage_penalty_weight", coverage_penalty_weight)

    @property
    def needs_weights(self) -> bool:
        return self.coverage_penalty_weight != 0

    def __call__(  # type: ignore[override]  # what tfa's search cannot do is no argument here
        self,
        step: Step,
        state: Any,
        *,
        batch_size: Any,
        source_mask: Any = None,
        keep_weights: bool | None = None,
        initial_coverage: Any = None,
        start_id: int = 2,
        end_id: int = 3,
        pad_id: int = 0,
        unknown_id: int = 1,
    ) -> SearchResult:
        """Searches; `N = width`, and there are no constraints to satisfy.

        Args:
            step: as for every search.
            state: as for every search.
            batch_size: as for every search.
            source_mask: `(B, S)` bool, to keep the weights the step gives, and for coverage; as in
                tfa, coverage is of all positions that got weight.
            keep_weights: False keeps none.
            initial_coverage: `(B, S)` float32, what coverage begins with, zeros when omitted.
                tfa begins with the mechanism's initial alignments, which are on the first source
                position for monotonic attention.
            start_id: the token the first step reads.
            end_id: the token that ends a beam.
            pad_id: what follows the end.
            unknown_id: taken from callers that name all special ids; to tfa it is a token like
                others.

        Raises:
            ValueError: arguments that cannot be; called with values and not within a graph, also
                logits that are not finite.
        """
        if keep_weights and source_mask is None:
            raise ValueError(
                "`keep_weights` needs a `source_mask`, for the length of the source; got "
                f"keep_weights={keep_weights}, source_mask=None."
            )
        kept = keep_weights is not False and source_mask is not None
        source = ops.shape(source_mask)[1] if kept else None
        coverage = self._coverage(source_mask, initial_coverage, batch_size)
        end, _ = self._search(step, state, batch_size, source, coverage, start_id, end_id, pad_id)
        found, lengths, longest = self._traced(end, batch_size, end_id)
        inside = ops.arange(self.max_length)[None] < lengths[:, None]  # (R, L)
        token_log_probs = ops.where(inside, found.log_probs, 0.0)
        # Also what follows the end: a finished beam that was continued by another token, where
        # there was nothing else to fill a place with, is no sequence.
        traced = ops.arange(self.max_length)[None] < longest[:, None]
        log_probs = ops.sum(ops.where(traced, found.log_probs, 0.0), axis=1)
        weights = found.weights
        if kept:
            weights = ops.where(inside[:, :, None], weights, 0.0)
        # The step that put a sentence's ids in order is the last of its longest beam.
        rows = batch_size * self.width
        ordered_at = ops.maximum(longest - 1, 0) * rows + ops.arange(rows, dtype="int32")
        result = SearchResult(
            ids=ops.where(inside, found.tokens, pad_id),
            lengths=lengths,
            log_probs=log_probs,
            scores=ops.take(ops.reshape(end.scores, (-1,)), ordered_at, axis=0),
            weights=weights,
            token_log_probs=token_log_probs,
            satisfied=ops.ones((rows,), dtype="bool"),
        )
        by_sentence = keras.tree.map_structure(lambda x: self._split(x, batch_size), result)
        result = finish(by_sentence, end.broken, pad_id)
        return check_if_known(result)

    def decode(
        self,
        step: Step,
        state: Any,
        *,
        batch_size: Any,
        source_mask: Any = None,
        initial_coverage: Any = None,
        start_id: int = 2,
        end_id: int = 3,
        pad_id: int = 0,
    ) -> TFAResult:
        """Searches like a call, and gives what tfa gives: a `TFAResult`."""
        coverage = self._coverage(source_mask, initial_coverage, batch_size)
        end, steps = self._search(step, state, batch_size, None, coverage, start_id, end_id, pad_id)
        found, lengths, _ = self._traced(end, batch_size, end_id)
        inside = ops.arange(self.max_length)[None] < lengths[:, None]  # (R, L)

        def by_step(x: Any) -> Any:
            """`(L, R)` to `(B, T, K)`."""
            x = ops.reshape(x, (self.max_length, batch_size, self.width))
            return ops.transpose(x, (1, 0, 2))

        return TFAResult(
            predicted_ids=by_step(ops.transpose(ops.where(inside, found.tokens, end_id))),
            step_ids=by_step(end.history.tokens),
            parent_ids=by_step(end.history.parents % self.width),
            step_scores=by_step(end.scores),
            lengths=self._split(end.lengths, batch_size),
            log_probs=self._split(end.log_probs, batch_size),
            steps=steps,
        )

    def get_config(self) -> dict[str, Any]:
        names = ("width", "length_penalty_weight", "coverage_penalty_weight", "max_length")
        return {name: getattr(self, name) for name in names}

    def _coverage(self, source_mask: Any, initial: Any, batch_size: Any) -> Any:
        """`(R, S)`, what coverage begins with, or () without a coverage penalty."""
        if self.coverage_penalty_weight == 0:
            return ()
        if source_mask is None:
            raise ValueError(
                "A coverage penalty needs a `source_mask` of shape (B, S); got source_mask=None "
                f"with coverage_penalty_weight={self.coverage_penalty_weight}."
            )
        if initial is None:
            initial = ops.zeros((batch_size, ops.shape(source_mask)[1]), dtype="float32")
        return ops.repeat(ops.cast(initial, "float32"), self.width, axis=0)

    def _search(
        self,
        step: Step,
        state: Any,
        batch_size: Any,
        source: Any,
        coverage: Any,
        start_id: int,
        end_id: int,
        pad_id: int,
    ) -> tuple[_Beams, Any]:
        """The beams when the loop is over, and the steps taken."""
        rows = batch_size * self.width
        first = ops.equal(ops.arange(rows, dtype="int32") % self.width, 0)
        start = _Beams(
            # tfa's own start: all beams but the first of a sentence are finished and impossible.
            log_probs=ops.where(first, 0.0, -float("inf")),
            finished=ops.logical_not(first),
            lengths=ops.zeros((rows,), dtype="int32"),
            coverage=coverage,
            tokens=ops.full((rows,), start_id, dtype="int32"),
            broken=ops.full((batch_size, 1), -1, dtype="int32"),
            history=blank(self.max_length, rows, pad_id, source),
            scores=ops.zeros((self.max_length, rows), dtype="float32"),
            state=keras.tree.map_structure(lambda x: ops.repeat(x, self.width, axis=0), state),
        )

        def advance(t: Any, beams: _Beams) -> _Beams:
            return self._extend(step, t, beams, batch_size, end_id)

        steps, beams = loop.run(advance, start, self.max_length)
        return beams._replace(history=History(*beams.history)), steps

    def _extend(self, step: Step, t: Any, beams: _Beams, batch_size: Any, end_id: int) -> _Beams:
        logits, state, *weights = step(beams.tokens, beams.state)
        kept = not isinstance(beams.history.weights, tuple)
        covers = not isinstance(beams.coverage, tuple)
        vocabulary = ops.shape(logits)[-1]
        _check(vocabulary, end_id, needs_weights=kept or covers, has_weights=bool(weights))
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)  # (R, V)
        no_number = ops.any(ops.isnan(self._split(log_probs, batch_size)), axis=(1, 2))
        newly = ops.logical_and(beams.broken < 0, no_number[:, None])

        is_end = ops.equal(ops.arange(vocabulary), end_id)[None]  # (1, V)
        live = ops.logical_not(beams.finished)[:, None]  # (R, 1)
        log_probs = ops.where(live, log_probs, ops.where(is_end, 0.0, LOWEST))
        totals = beams.log_probs[:, None] + log_probs
        counted = ops.logical_and(live, ops.logical_not(is_end))
        scores = self._penalised(totals, beams.lengths[:, None] + ops.cast(counted, "int32"))
        coverage = beams.coverage
        if covers:
            coverage = coverage + ops.where(live, ops.cast(weights[0], "float32"), 0.0)
            scores = scores + ops.where(live, 0.0, self._covered(coverage)[:, None])

        scores = ops.reshape(scores, (batch_size, self.width * vocabulary))
        best, flat = ops.top_k(scores, self.width)  # (B, K)
        first_rows = ops.arange(batch_size, dtype="int32")[:, None] * self.width
        flat = ops.reshape(first_rows * vocabulary + ops.cast(flat, "int32"), (-1,))  # (R,)
        parents, tokens = flat // vocabulary, flat % vocabulary

        def of_parents(x: Any) -> Any:
            return ops.take(x, parents, axis=0)

        totals = ops.take(ops.reshape(totals, (-1,)), flat, axis=0)
        gained = ops.take(ops.reshape(log_probs, (-1,)), flat, axis=0)
        finished = of_parents(beams.finished)
        place = ops.reshape(ops.cast(t, "int32"), (1, 1))
        return _Beams(
            log_probs=totals,
            finished=ops.logical_or(finished, ops.equal(tokens, end_id)),
            lengths=of_parents(beams.lengths) + ops.cast(ops.logical_not(finished), "int32"),
            coverage=of_parents(coverage) if covers else (),
            tokens=tokens,
            broken=ops.where(newly, t, beams.broken),
            history=write(
                beams.history,
                t,
                History(
                    tokens=tokens,
                    parents=parents,
                    log_probs=ops.where(is_real(totals), gained, IMPOSSIBLE),
                    weights=of_parents(ops.cast(weights[0], "float32")) if kept else (),
                ),
            ),
            scores=ops.scatter_update(beams.scores, place, ops.reshape(best, (1, -1))),
            state=keras.tree.map_structure(of_parents, state),
        )

    def _penalised(self, totals: Any, lengths: Any) -> Any:
        if self.length_penalty_weight == 0:
            return totals
        weight = self.length_penalty_weight
        # Divided in two steps as in tfa, for the same rounding.
        divisors = ops.power(5.0 + ops.cast(lengths, "float32"), weight) / 6.0**weight
        return ops.divide(totals, divisors)

    def _covered(self, coverage: Any) -> Any:
        """The coverage penalty of each row; what has no coverage at all passes for padding."""
        coverage = ops.where(ops.equal(coverage, 0.0), 1.0, ops.minimum(coverage, 1.0))
        return self.coverage_penalty_weight * ops.sum(ops.log(coverage), axis=-1)

    def _traced(self, end: _Beams, batch_size: Any, end_id: int) -> tuple[History, Any, Any]:
        """The beams as tfa's `gather_tree` reads them.

        It follows the parents back from the step at which a sentence's longest beam ended, whatever
        changed places after.

        Returns:
            The sequences `(R, L)`, their lengths `(R,)`, and of each sentence's longest, `(R,)`.
        """
        # With `initial`, so that an empty batch has a maximum too.
        longest = ops.max(self._split(end.lengths, batch_size), axis=1, initial=0)  # (B,)
        longest = ops.repeat(longest, self.width, axis=0)  # (R,)
        rows = ops.arange(batch_size * self.width, dtype="int32")
        steps = ops.arange(self.max_length, dtype="int32")
        parents = ops.where(steps[:, None] < longest[None], end.history.parents, rows[None])
        found = read(end.history._replace(parents=parents), rows)
        ends = ops.where(ops.equal(found.tokens, end_id), steps[None], self.max_length)
        first_end = ops.min(ends, axis=1, initial=self.max_length)
        return found, ops.minimum(first_end + 1, longest), longest

    def _split(self, x: Any, batch_size: Any) -> Any:
        """`(R, …)` to `(B, K, …)`."""
        return ops.reshape(x, (batch_size, self.width, *ops.shape(x)[1:]))


def _weight(name: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number; got {name}={value!r}.")
    return float(value)


def _check(vocabulary: Any, end_id: int, needs_weights: bool, has_weights: bool) -> None:
    if needs_weights and not has_weights:
        raise ValueError(
            "A coverage penalty, and a `source_mask` without keep_weights=False, ask for the "
            "attention weights, but the step returned none. Let it return (logits, state, weights)."
        )
    if isinstance(vocabulary, int) and not 0 <= end_id < vocabulary:
        raise ValueError(
            f"`end_id` must be an id below the {vocabulary} logits; got end_id={end_id}."
        )
