"""Beam search, which extends the most probable hypotheses of each sentence side by side."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from keras_s2s.search import penalties
from keras_s2s.search.constraints import required
from keras_s2s.search.constraints.candidates import Candidates, candidates
from keras_s2s.search.penalties import CoveragePenalty, GNMTCoverage, LengthPenalty
from keras_s2s.search.request import Request
from keras_s2s.search.result import IMPOSSIBLE, SearchResult, is_real
from keras_s2s.search.search import Search
from keras_s2s.search.state.hypotheses import Hypotheses, append, read_result
from keras_s2s.search.state.prediction import Prediction
from keras_s2s.system.checks import check_choice, check_size


@keras.saving.register_keras_serializable(package="keras_s2s")
class BeamSearch(Search, name="beam"):
    """Beam search: keeps the `width` most probable hypotheses of each sentence.

    1. Every live hypothesis is extended by every token. The most probable extensions fill the free
       places.
    2. A hypothesis that takes the end token keeps its place and its log-probability.
    3. A sentence is done when all places hold finished hypotheses, or when no live hypothesis can
       still be among the best `n_best`. The bound is exact, since log-probabilities only fall. With
       `stop="first"` a sentence is done as soon as one hypothesis has finished.
    4. The finished hypotheses are ranked by
       `length_penalty(log_prob, length) + coverage_penalty(coverage)`. Hypotheses that hold all
       required phrases come before the others.

    With required phrases, the places are divided among hypotheses that hold more and fewer tokens
    of the phrases, as `constraints/required.py` explains. Each returned hypothesis then holds all
    phrases, if they fit `max_length` and the model gives them any probability. `satisfied` in the
    result says which hypotheses do.

    Args:
        width: number `W` of places of each sentence, at most the number of token ids.
        length_penalty: a `LengthPenalty`, its name, or a number for the weight of `GNMT`; 0 ranks
            by log-probability.
        n_best: number of hypotheses that are returned for each sentence, at most `width`.
        max_length: number of tokens in the longest output, end token included.
        coverage_penalty: a `CoveragePenalty`, a number for the weight of `GNMTCoverage`, or
            None. It needs a step that returns attention weights.
        stop: 'exact' or 'first', as step 3 explains.
        **controls: the other arguments of `Search`.

    Raises:
        ValueError: If a setting is out of its range, or `n_best` is above `width`.

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
        length_penalty: LengthPenalty | float | str = 1.0,
        n_best: int = 1,
        max_length: int = 100,
        *,
        coverage_penalty: CoveragePenalty | float | None = None,
        stop: Literal["exact", "first"] = "exact",
        **controls: Any,
    ) -> None:
        super().__init__(max_length, **controls)
        check_size("width", width)
        check_size("n_best", n_best)
        if n_best > width:
            raise ValueError(
                f"`n_best` must be at most `width`; got n_best={n_best}, width={width}."
            )
        check_choice("stop", stop, ("exact", "first"))
        self.width = width
        self.length_penalty = penalties.length_penalty(length_penalty)
        self.n_best = n_best
        if coverage_penalty == 0:
            coverage_penalty = None
        elif coverage_penalty is not None and not isinstance(coverage_penalty, CoveragePenalty):
            coverage_penalty = GNMTCoverage(coverage_penalty)
        self.coverage_penalty = coverage_penalty
        self.stop = stop

    @property
    def needs_weights(self) -> bool:
        return self.coverage_penalty is not None

    @property
    def needs_source(self) -> bool:
        return super().needs_source or self.length_penalty.needs_source

    def _start(self, state: Any, request: Request, keep_weights: bool) -> Hypotheses:
        start = super()._start(state, request, keep_weights)
        # All hypotheses start alike, so only the first of each sentence may be extended.
        first = ops.equal(ops.arange(request.rows) % self._alike(), 0)
        return start._replace(totals=ops.where(first, 0.0, IMPOSSIBLE))

    def _alike(self) -> int:
        """Returns the number of places that start alike. Only one of them is extended first."""
        return self.width

    def _advance(
        self, t: Any, hypotheses: Hypotheses, prediction: Prediction, request: Request
    ) -> Hypotheses:
        options = candidates(self.width, prediction, hypotheses, t, request, self.allow_unknown)
        count = ops.shape(options.tokens)[-1]
        totals = hypotheses.totals[:, None] + options.values
        # A finished hypothesis has one extension, the end token again, which outranks every live
        # hypothesis. Empty places stay below, so that they give way to live hypotheses.
        frozen = ops.logical_and(hypotheses.finished, is_real(hypotheses.totals))[:, None]
        first = ops.equal(ops.arange(count), 0)[None]
        totals = ops.where(frozen, ops.where(first, -IMPOSSIBLE, 4 * IMPOSSIBLE), totals)
        tokens = ops.where(hypotheses.finished[:, None], request.end_id, options.tokens)
        places = self._choose(options._replace(tokens=tokens), totals, request)  # (B, W)

        first_rows = ops.arange(request.batch_size, dtype="int32")[:, None] * self.width
        parents = ops.reshape(first_rows + places // count, (-1,))
        chosen = ops.reshape(first_rows * count + places, (-1,))
        # Everything moves with its hypothesis, except the history.
        new = keras.tree.map_structure(
            lambda x: ops.take(x, parents, axis=0), hypotheses._replace(history=())
        )._replace(history=hypotheses.history)

        def picked(x: Any) -> Any:
            return ops.take(ops.reshape(x, (-1, *ops.shape(x)[2:])), chosen, axis=0)

        weights = prediction.weights
        if not isinstance(weights, tuple):
            weights = ops.take(weights, parents, axis=0)
        if not isinstance(options.met, tuple):
            new = new._replace(met=ops.where(new.finished[:, None], new.met, picked(options.met)))
        new = new._replace(totals=ops.where(new.finished, new.totals, picked(totals)))
        new = append(new, t, picked(tokens), picked(options.log_probs), weights, request, parents)
        return self._retire(new, request)

    def _fan_out(self) -> int:
        return self.width

    def _choose(self, options: Candidates, totals: Any, request: Request) -> Any:
        """Chooses the extensions that go on, `(B, W)` int32, among the `W·k` of each sentence."""
        shape = (request.batch_size, self.width * ops.shape(options.tokens)[-1])
        totals = ops.reshape(totals, shape)
        if isinstance(options.banks, tuple):
            return ops.cast(ops.top_k(totals, self.width)[1], "int32")
        # Finished hypotheses keep their places.
        keep = totals > -IMPOSSIBLE / 2
        banks = ops.where(keep, 0, ops.reshape(options.banks, shape))
        return required.dealt(totals, banks, keep, self.width)

    def _scores(self, hypotheses: Hypotheses, request: Request) -> Any:
        """Returns the score of each hypothesis as if it had ended, `(B, W)` float32.

        Places without a hypothesis have the score `IMPOSSIBLE`.
        """
        totals, lengths = (request.by_sentence(x) for x in (hypotheses.totals, hypotheses.lengths))
        scores = self.length_penalty(totals, ops.maximum(lengths, 1), request.source_lengths)
        if self.coverage_penalty is not None:
            mask = request.source_mask[:, None]
            scores = scores + self.coverage_penalty(request.by_sentence(hypotheses.coverage), mask)
        return ops.where(is_real(totals), scores, IMPOSSIBLE)

    def _retire(self, hypotheses: Hypotheses, request: Request) -> Hypotheses:
        """Ends the live hypotheses of sentences that are done, as step 3 of the class says."""
        finished, totals, lengths = (
            request.by_sentence(x)
            for x in (hypotheses.finished, hypotheses.totals, hypotheses.lengths)
        )
        counts = finished
        if not isinstance(hypotheses.met, tuple):
            met = ops.all(hypotheses.met, axis=-1)
            counts = ops.logical_and(finished, request.by_sentence(met))
        scores = ops.where(counts, self._scores(hypotheses, request), IMPOSSIBLE)
        if self.stop == "first":
            done = ops.any(is_real(scores), axis=1, keepdims=True)
        else:
            to_beat = ops.top_k(scores, self.n_best)[0][:, -1:]  # (B, 1)
            shortest = lengths + 1
            if request.shortest is not None:
                shortest = ops.maximum(shortest, request.shortest)
            # Coverage penalties are at most 0, so they need no bound of their own.
            reach = self.length_penalty.bound(
                totals, shortest, request.longest, request.source_lengths
            )
            hopeless = ops.logical_and(is_real(to_beat), reach <= to_beat)
            done = ops.all(ops.logical_or(finished, hopeless), axis=1, keepdims=True)
        retired = ops.reshape(ops.logical_and(done, ops.logical_not(finished)), (-1,))
        return hypotheses._replace(
            totals=ops.where(retired, IMPOSSIBLE, hypotheses.totals),
            finished=ops.logical_or(hypotheses.finished, retired),
        )

    def _best(self, end: Hypotheses, request: Request) -> tuple[SearchResult, Any]:
        scores = self._scores(end, request)
        best, places = ops.top_k(scores, self.width)
        if not isinstance(end.met, tuple):
            met = request.by_sentence(ops.all(end.met, axis=-1))
            met = ops.take_along_axis(met, ops.cast(places, "int32"), axis=-1)
            order = ops.cast(met, "float32") * self.width - ops.arange(self.width, dtype="float32")
            _, order = ops.top_k(order, self.width)
            best, places = (
                ops.take_along_axis(x, ops.cast(order, "int32"), axis=-1) for x in (best, places)
            )
        first_rows = ops.arange(request.batch_size, dtype="int32")[:, None] * self.width
        rows = ops.reshape(first_rows + ops.cast(places, "int32")[:, : self.n_best], (-1,))
        scores = ops.reshape(best[:, : self.n_best], (-1,))
        result = read_result(end, rows, scores, request, self.n_best)
        return result, request.by_sentence(end.broken)[:, :1]

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "width": self.width,
            "length_penalty": serialize(self.length_penalty),
            "n_best": self.n_best,
            "coverage_penalty": serialize(self.coverage_penalty),
            "stop": self.stop,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BeamSearch:
        parts: dict[str, Any] = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("length_penalty", "coverage_penalty")
            if name in config
        }
        return cls(**{**config, **parts})
