"""The beams of TensorFlow Addons' search, with their state, one step, and their sequences."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.search import loop
from keras_s2s.search.result import IMPOSSIBLE, is_real
from keras_s2s.search.search import Step
from keras_s2s.search.state.history import History, blank, read, write

# The lowest float32. tfa gives this log-probability to all tokens of a finished beam but the end.
LOWEST = -3.4028234663852886e38


class Beams(NamedTuple):
    """The state of the loop, with `R = B·K` rows, where the beams of a sentence are neighbours."""

    log_probs: Any  # (R,) float32
    finished: Any  # (R,) bool
    lengths: Any  # (R,) int32
    coverage: Any  # (R, S) float32, or () without a coverage penalty
    tokens: Any  # (R,) int32, the tokens that the next step reads
    broken: Any  # (B, 1) int32, the step at which logits were NaN, or −1
    history: History
    scores: Any  # (L, R) float32, the scores of each step
    state: Any  # the state of the step function, R rows


class Decoding(NamedTuple):
    """One call of a `TFABeamSearch`, with its settings, its sizes and the end token.

    Attributes:
        width: `K`.
        length_weight: the weight of the length penalty.
        coverage_weight: the weight of the coverage penalty.
        max_length: `L`.
        batch_size: `B`.
        end_id: the token that ends a beam.
    """

    width: int
    length_weight: float
    coverage_weight: float
    max_length: int
    batch_size: Any
    end_id: int

    def run(
        self,
        step: Step,
        state: Any,
        source: Any,
        coverage: Any,
        start_id: int,
        pad_id: int,
    ) -> tuple[Beams, Any]:
        """Runs the loop and returns the beams after it and the number of steps taken.

        Args:
            step: the step function.
            state: the state of the step function, `B` rows.
            source: the source length `S` for a history with attention weights, or None.
            coverage: `(R, S)` float32, the coverage before the first step, or ().
            start_id: the token that the first step reads.
            pad_id: the id of steps that are not taken.
        """
        rows = self.batch_size * self.width
        first = ops.equal(ops.arange(rows, dtype="int32") % self.width, 0)
        start = Beams(
            # As in tfa, all beams but the first of a sentence start finished and impossible.
            log_probs=ops.where(first, 0.0, -float("inf")),
            finished=ops.logical_not(first),
            lengths=ops.zeros((rows,), dtype="int32"),
            coverage=coverage,
            tokens=ops.full((rows,), start_id, dtype="int32"),
            broken=ops.full((self.batch_size, 1), -1, dtype="int32"),
            history=blank(self.max_length, rows, pad_id, source),
            scores=ops.zeros((self.max_length, rows), dtype="float32"),
            state=keras.tree.map_structure(lambda x: ops.repeat(x, self.width, axis=0), state),
        )

        def advance(t: Any, beams: Beams) -> Beams:
            return self._extend(step, t, beams)

        steps, beams = loop.run(advance, start, self.max_length)
        return beams._replace(history=History(*beams.history)), steps

    def _extend(self, step: Step, t: Any, beams: Beams) -> Beams:
        """Runs one step: extends every beam by every token and chooses the best extensions."""
        logits, state, *weights = step(beams.tokens, beams.state)
        with_weights = not isinstance(beams.history.weights, tuple)
        covers = not isinstance(beams.coverage, tuple)
        vocabulary = ops.shape(logits)[-1]
        _check(
            vocabulary, self.end_id, needs_weights=with_weights or covers, has_weights=bool(weights)
        )
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)  # (R, V)
        no_number = ops.any(ops.isnan(self.by_sentence(log_probs)), axis=(1, 2))
        newly = ops.logical_and(beams.broken < 0, no_number[:, None])

        is_end = ops.equal(ops.arange(vocabulary), self.end_id)[None]  # (1, V)
        live = ops.logical_not(beams.finished)[:, None]  # (R, 1)
        log_probs = ops.where(live, log_probs, ops.where(is_end, 0.0, LOWEST))
        totals = beams.log_probs[:, None] + log_probs
        counted = ops.logical_and(live, ops.logical_not(is_end))
        scores = self._penalised(totals, beams.lengths[:, None] + ops.cast(counted, "int32"))
        coverage = beams.coverage
        if covers:
            coverage = coverage + ops.where(live, ops.cast(weights[0], "float32"), 0.0)
            scores = scores + ops.where(live, 0.0, self._covered(coverage)[:, None])

        scores = ops.reshape(scores, (self.batch_size, self.width * vocabulary))
        best, flat = ops.top_k(scores, self.width)  # (B, K)
        first_rows = ops.arange(self.batch_size, dtype="int32")[:, None] * self.width
        flat = ops.reshape(first_rows * vocabulary + ops.cast(flat, "int32"), (-1,))  # (R,)
        parents, tokens = flat // vocabulary, flat % vocabulary

        def of_parents(x: Any) -> Any:
            return ops.take(x, parents, axis=0)

        totals = ops.take(ops.reshape(totals, (-1,)), flat, axis=0)
        gained = ops.take(ops.reshape(log_probs, (-1,)), flat, axis=0)
        finished = of_parents(beams.finished)
        place = ops.reshape(ops.cast(t, "int32"), (1, 1))
        return Beams(
            log_probs=totals,
            finished=ops.logical_or(finished, ops.equal(tokens, self.end_id)),
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
                    weights=of_parents(ops.cast(weights[0], "float32")) if with_weights else (),
                ),
            ),
            scores=ops.scatter_update(beams.scores, place, ops.reshape(best, (1, -1))),
            state=keras.tree.map_structure(of_parents, state),
        )

    def _penalised(self, totals: Any, lengths: Any) -> Any:
        """Returns the log-probabilities under tfa's length penalty."""
        if self.length_weight == 0:
            return totals
        weight = self.length_weight
        # Divided in two steps as in tfa, for the same rounding.
        divisors = ops.power(5.0 + ops.cast(lengths, "float32"), weight) / 6.0**weight
        return ops.divide(totals, divisors)

    def _covered(self, coverage: Any) -> Any:
        """Returns the coverage penalty of each row. Positions without coverage cost nothing."""
        coverage = ops.where(ops.equal(coverage, 0.0), 1.0, ops.minimum(coverage, 1.0))
        return self.coverage_weight * ops.sum(ops.log(coverage), axis=-1)

    def traced(self, end: Beams) -> tuple[History, Any, Any]:
        """Reads the sequences of the beams as tfa's `gather_tree` does.

        This method follows the parents back from the step at which a sentence's longest beam ended,
        and ignores later changes of places.

        Returns:
            The sequences `(R, L)`, their lengths `(R,)`, and the lengths of the longest beam of
            their sentences `(R,)`.
        """
        lengths = self.by_sentence(end.lengths)  # (B, K)
        # Keras takes no maximum of an empty array, which an empty batch gives.
        longest = lengths if 0 in lengths.shape else ops.max(lengths, axis=1, keepdims=True)
        longest = ops.reshape(ops.broadcast_to(longest, ops.shape(lengths)), (-1,))  # (R,)
        rows = ops.arange(self.batch_size * self.width, dtype="int32")
        steps = ops.arange(self.max_length, dtype="int32")
        parents = ops.where(steps[:, None] < longest[None], end.history.parents, rows[None])
        sequences = read(end.history._replace(parents=parents), rows)
        ends = ops.where(ops.equal(sequences.tokens, self.end_id), steps[None], self.max_length)
        first_end = ops.min(ends, axis=1, initial=self.max_length)
        return sequences, ops.minimum(first_end + 1, longest), longest

    def by_sentence(self, x: Any) -> Any:
        """Reshapes `(R, …)` to `(B, K, …)`."""
        return ops.reshape(x, (self.batch_size, self.width, *ops.shape(x)[1:]))


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
