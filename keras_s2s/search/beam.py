"""Beam search: the most probable hypotheses of each sentence, side by side."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.checks import check_size
from keras_s2s.penalties import GNMT, LengthPenalty
from keras_s2s.search.greedy import GreedySearch
from keras_s2s.search.hypotheses import (
    IMPOSSIBLE,
    Hypotheses,
    Search,
    SearchResult,
    Step,
    finish,
    is_real,
)


@keras.saving.register_keras_serializable(package="keras_s2s")
class BeamSearch(Search):
    """Keeps the `width` most probable hypotheses of each sentence.

    1. Every live hypothesis is extended by every token; the most probable extensions fill the free
       places.
    2. A hypothesis that takes the end token keeps its place, its log-probability frozen.
    3. A sentence is done when all places hold finished hypotheses, or when no live one can still
       reach the best `n_best` under the length penalty (an exact bound: log-probabilities only
       fall).
    4. The finished hypotheses are ranked by `length_penalty(log_prob, length)`.

    Args:
        width: places per sentence, `K`.
        length_penalty: a `LengthPenalty`; a number is the weight of `GNMT`; 0 ranks by
            log-probability.
        n_best: hypotheses returned per sentence, at most `width`.
        max_length: longest output in tokens, the end token counted.

    Example: a "network" that begins with "a" or, less likely, with "b", and then ends.
    >>> import numpy as np
    >>> from keras import ops
    >>> table = np.full((6, 6), -9.0, "float32")  # ids: pad, unknown, start, end, a, b
    >>> table[2, 4], table[2, 5], table[4, 3], table[5, 3] = 2.0, 1.0, 9.0, 9.0
    >>> def step(tokens, state):
    ...     return ops.take(table, tokens, axis=0), state
    >>> result = BeamSearch(width=3, n_best=2, max_length=4)(step, (), batch_size=1)
    >>> np.array(result.ids).tolist()
    [[[4, 3, 0, 0], [5, 3, 0, 0]]]
    """

    def __init__(
        self,
        width: int = 5,
        length_penalty: LengthPenalty | float = 1.0,
        n_best: int = 1,
        max_length: int = 100,
    ) -> None:
        super().__init__(max_length)
        check_size("width", width)
        check_size("n_best", n_best)
        if n_best > width:
            raise ValueError(
                f"`n_best` must be at most `width`; got n_best={n_best}, width={width}."
            )
        if not isinstance(length_penalty, LengthPenalty):
            length_penalty = GNMT(length_penalty)
        self.width = width
        self.length_penalty = length_penalty
        self.n_best = n_best

    def __call__(
        self,
        step: Step,
        state: Any,
        *,
        batch_size: Any,
        source_length: Any = None,
        start_id: int = 2,
        end_id: int = 3,
        pad_id: int = 0,
    ) -> SearchResult:
        width = self.width
        rows = batch_size * width
        state = keras.tree.map_structure(lambda x: ops.repeat(x, width, axis=0), state)
        first_rows = ops.arange(batch_size, dtype="int32")[:, None] * width  # (B, 1)

        def advance(t: Any, hypotheses: Hypotheses) -> Hypotheses:
            log_probs, state, weights = self._predict(step, hypotheses, t, end_id)  # (R, V)
            vocabulary = ops.shape(log_probs)[-1]
            totals = hypotheses.log_probs[:, None] + log_probs
            # A finished hypothesis has one extension, by the end again, that outranks every live
            # one. Empty places stay below: they may take the end too, but must make room.
            frozen = ops.logical_and(hypotheses.finished, is_real(hypotheses.log_probs))
            is_end = ops.equal(ops.arange(vocabulary), end_id)[None]
            extension = ops.where(is_end, -IMPOSSIBLE, 4 * IMPOSSIBLE)
            totals = ops.where(frozen[:, None], extension, totals)
            totals = ops.reshape(totals, (batch_size, width * vocabulary))
            best, flat = ops.top_k(totals, width)  # (B, K)
            flat = ops.cast(flat, "int32")
            parents = ops.reshape(first_rows + flat // vocabulary, (rows,))
            tokens = ops.reshape(flat % vocabulary, (rows,))

            new = keras.tree.map_structure(
                lambda x: ops.take(x, parents, axis=0), hypotheses._replace(state=state)
            )
            if not isinstance(new.weights, tuple):
                weights = ops.take(weights, parents, axis=0)
            kept = ops.where(new.finished, new.log_probs, ops.reshape(best, (rows,)))
            new = self._append(new._replace(log_probs=kept), t, tokens, end_id, weights)
            return self._retire(new, batch_size)

        start = self._start(state, rows, source_length, start_id, pad_id)
        # All beams start alike: only the first of each sentence may be extended.
        first = ops.equal(ops.arange(rows) % width, 0)
        start = start._replace(log_probs=ops.where(first, 0.0, IMPOSSIBLE))
        end = self._loop(advance, start)

        log_probs = ops.reshape(end.log_probs, (batch_size, width))
        lengths = ops.reshape(end.lengths, (batch_size, width))
        scores, places = ops.top_k(self._scores(log_probs, lengths), self.n_best)  # (B, N)
        chosen = ops.reshape(first_rows + ops.cast(places, "int32"), (-1,))

        def pick(x: Any) -> Any:
            shape = (batch_size, self.n_best, *ops.shape(x)[1:])
            return ops.reshape(ops.take(x, chosen, axis=0), shape)

        weights = end.weights if isinstance(end.weights, tuple) else pick(end.weights)
        return finish(
            SearchResult(pick(end.ids), pick(end.lengths), pick(end.log_probs), scores, weights),
            pad_id,
        )

    def _scores(self, log_probs: Any, lengths: Any) -> Any:
        scores = self.length_penalty(log_probs, ops.maximum(lengths, 1))
        return ops.where(is_real(log_probs), scores, IMPOSSIBLE)

    def _retire(self, hypotheses: Hypotheses, batch_size: Any) -> Hypotheses:
        """Ends the live hypotheses of sentences whose best `n_best` they can no longer reach."""
        shape = (batch_size, self.width)
        finished = ops.reshape(hypotheses.finished, shape)
        log_probs = ops.reshape(hypotheses.log_probs, shape)
        lengths = ops.reshape(hypotheses.lengths, shape)
        scores = ops.where(finished, self._scores(log_probs, lengths), IMPOSSIBLE)
        to_beat = ops.top_k(scores, self.n_best)[0][:, -1:]  # (B, 1)
        reach = self.length_penalty.bound(log_probs, lengths + 1, self.max_length)
        hopeless = ops.logical_and(is_real(to_beat), reach <= to_beat)
        done = ops.all(ops.logical_or(finished, hopeless), axis=1, keepdims=True)
        retired = ops.reshape(ops.logical_and(done, ops.logical_not(finished)), (-1,))
        return hypotheses._replace(
            log_probs=ops.where(retired, IMPOSSIBLE, hypotheses.log_probs),
            finished=ops.logical_or(hypotheses.finished, retired),
        )

    def like(
        self,
        *,
        width: int | None = None,
        length_penalty: LengthPenalty | float | None = None,
        n_best: int | None = None,
    ) -> Search:
        return GreedySearch(self.max_length).like(
            width=self.width if width is None else width,
            length_penalty=self.length_penalty if length_penalty is None else length_penalty,
            n_best=self.n_best if n_best is None else n_best,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "length_penalty": keras.saving.serialize_keras_object(self.length_penalty),
            "n_best": self.n_best,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BeamSearch:
        penalty = keras.saving.deserialize_keras_object(config["length_penalty"])
        return cls(**{**config, "length_penalty": penalty})
