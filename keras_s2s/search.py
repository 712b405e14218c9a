"""Search: from a step callable and an opaque state to the best sequences of ids.

Owns greedy and beam search. It sees a callable, never a network: `step(tokens, state)` takes `(N,)`
int32 and a structure of tensors with `N` rows, and returns `(logits (N, V), state)` or `(logits,
state, weights (N, S))`. The loop is one `ops.while_loop` over shapes that do not change, so it runs
eagerly, compiled and exported.

Every hypothesis ends with the end token: at the last of `max_length` steps nothing else may follow.
So every returned score is the score of a whole sentence, and is what re-scoring the returned ids
gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.penalties import GNMT, LengthPenalty

Step = Callable[[Any, Any], tuple[Any, ...]]

# Below every log-probability a search can meet, and far enough from float32's end to add to.
IMPOSSIBLE = -1e30


class SearchResult(NamedTuple):
    """Hypotheses of each sentence, best first: `N` of them (1 for greedy) of `L = max_length` ids.

    Attributes:
        ids: `(B, N, L)` int32, without the start token, with the end token, then pad.
        lengths: `(B, N)` int32, the end token counted; 0 where there are fewer than `N` sequences
            at all.
        log_probs: `(B, N)` float32, sum of the tokens' log-probabilities, the end token's included.
        scores: `(B, N)` float32, what the hypotheses are ranked by.
        weights: `(B, N, L, S)` float32 attention weights of each target position, zero after the
            end; None when no `source_length` was given.
    """

    ids: Any
    lengths: Any
    log_probs: Any
    scores: Any
    weights: Any


class _Hypotheses(NamedTuple):
    """The loop's state; `R` rows: `B` sentences, or `B·K` with the beams of a sentence in a row."""

    ids: Any  # (R, L) int32
    lengths: Any  # (R,) int32
    log_probs: Any  # (R,) float32
    finished: Any  # (R,) bool
    weights: Any  # (R, L, S) float32, or () when none are kept
    tokens: Any  # (R,) int32, what the next step reads
    state: Any  # the step's own, R rows


class Search:
    """What greedy and beam share: the longest output, the special ids, the loop. Use a subclass."""

    def __init__(self, max_length: int = 100) -> None:
        _check_positive("max_length", max_length)
        self.max_length = max_length

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
        """Searches.

        Args:
            step: `step(tokens (N,), state) -> (logits (N, V), state[, weights (N, S)])`. `N` is the
                batch size, or with beams `batch_size · width`, the beams of a sentence in a row.
            state: structure of tensors with `batch_size` rows, the state before the first step.
            batch_size: number of sentences, int or scalar tensor.
            source_length: `S`, int or scalar tensor, to keep the weights the step gives; None keeps
                none.
            start_id: the token the first step reads.
            end_id: the token that ends a hypothesis.
            pad_id: what follows the end.

        Returns:
            A `SearchResult`. A sentence's part of it does not depend on the other sentences.
        """
        raise NotImplementedError

    def like(
        self,
        *,
        width: int | None = None,
        length_penalty: LengthPenalty | float | None = None,
        n_best: int | None = None,
    ) -> Search:
        """The same search with other settings; what is None stays.

        Greedy search becomes a beam search when any of them asks for one.
        """
        if width in (None, 1) and length_penalty is None and n_best in (None, 1):
            return GreedySearch(self.max_length)
        given = {"width": width, "length_penalty": length_penalty, "n_best": n_best}
        settings: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        return BeamSearch(**settings, max_length=self.max_length)

    def get_config(self) -> dict[str, Any]:
        return {"max_length": self.max_length}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Search:
        return cls(**config)

    def _start(
        self, state: Any, rows: Any, source_length: Any, start_id: int, pad_id: int
    ) -> _Hypotheses:
        kept: Any = ()
        if source_length is not None:
            kept = ops.zeros((rows, self.max_length, source_length), dtype="float32")
        return _Hypotheses(
            ids=ops.full((rows, self.max_length), pad_id, dtype="int32"),
            lengths=ops.zeros((rows,), dtype="int32"),
            log_probs=ops.zeros((rows,), dtype="float32"),
            finished=ops.zeros((rows,), dtype="bool"),
            weights=kept,
            tokens=ops.full((rows,), start_id, dtype="int32"),
            state=state,
        )

    def _loop(
        self, advance: Callable[[Any, _Hypotheses], _Hypotheses], start: _Hypotheses
    ) -> _Hypotheses:
        """Runs `advance(t, hypotheses)` until every row is finished."""

        def unfinished(t: Any, hypotheses: _Hypotheses) -> Any:
            return ops.logical_not(ops.all(hypotheses.finished))

        def body(t: Any, hypotheses: _Hypotheses) -> tuple[Any, _Hypotheses]:
            new = advance(t, hypotheses)
            return t + 1, keras.tree.map_structure(_shaped_like, new, hypotheses)

        first = ops.convert_to_tensor(0, dtype="int32")
        _, hypotheses = ops.while_loop(
            unfinished, body, (first, start), maximum_iterations=self.max_length
        )
        return _Hypotheses(*hypotheses)

    def _predict(
        self, step: Step, hypotheses: _Hypotheses, t: Any, end_id: int
    ) -> tuple[Any, Any, Any]:
        """Log-probabilities `(R, V)` of the next token, the new state, the weights (() if none).

        At the last position only the end token is possible.
        """
        logits, state, *weights = step(hypotheses.tokens, hypotheses.state)
        kept = not isinstance(hypotheses.weights, tuple)
        if kept and not weights:
            raise ValueError(
                "`source_length` asks for the attention weights, but the step returned none. "
                "Let it return (logits, state, weights), or leave `source_length` out."
            )
        vocabulary = ops.shape(logits)[-1]
        if isinstance(vocabulary, int) and not 0 <= end_id < vocabulary:
            raise ValueError(
                f"`end_id` must be an id below the {vocabulary} logits; got end_id={end_id}."
            )
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        is_end = ops.equal(ops.arange(vocabulary), end_id)[None]
        allowed = ops.logical_or(t < self.max_length - 1, is_end)
        log_probs = ops.where(allowed, log_probs, IMPOSSIBLE)
        return log_probs, state, ops.cast(weights[0], "float32") if kept else ()

    def _append(
        self, hypotheses: _Hypotheses, t: Any, tokens: Any, end_id: int, weights: Any
    ) -> _Hypotheses:
        """Writes tokens (and weights) at position `t` of the rows that are not finished."""
        live = ops.logical_not(hypotheses.finished)
        here = ops.logical_and(ops.equal(ops.arange(self.max_length), t)[None], live[:, None])
        kept = hypotheses.weights
        if not isinstance(kept, tuple):
            kept = ops.where(here[:, :, None], weights[:, None, :], kept)
        return hypotheses._replace(
            ids=ops.where(here, tokens[:, None], hypotheses.ids),
            lengths=hypotheses.lengths + ops.cast(live, "int32"),
            finished=ops.logical_or(hypotheses.finished, ops.equal(tokens, end_id)),
            weights=kept,
            tokens=tokens,
        )


@keras.saving.register_keras_serializable(package="keras_s2s")
class GreedySearch(Search):
    """Takes the most probable token at every step.

    Args:
        max_length: longest output in tokens, the end token counted.

    Example: a "network" that always continues the alphabet and ends after "c".

    >>> import numpy as np
    >>> from keras import ops
    >>> table = np.full((7, 7), -9.0, "float32")  # ids: pad, unknown, start, end, a, b, c
    >>> table[2, 4] = table[4, 5] = table[5, 6] = table[6, 3] = 9.0
    >>> def step(tokens, state):
    ...     return ops.take(table, tokens, axis=0), state
    >>> result = GreedySearch(max_length=6)(step, (), batch_size=1)
    >>> np.array(result.ids).tolist()
    [[[4, 5, 6, 3, 0, 0]]]
    """

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
        def advance(t: Any, hypotheses: _Hypotheses) -> _Hypotheses:
            log_probs, state, weights = self._predict(step, hypotheses, t, end_id)  # (B, V)
            # Not ops.argmax: it holds a Bitcast, which tf2onnx 1.17 cannot convert.
            best, tokens = (x[:, 0] for x in ops.top_k(log_probs, 1))
            gained = ops.where(hypotheses.finished, 0.0, best)
            tokens = ops.cast(tokens, "int32")
            hypotheses = self._append(hypotheses, t, tokens, end_id, weights)
            return hypotheses._replace(log_probs=hypotheses.log_probs + gained, state=state)

        end = self._loop(advance, self._start(state, batch_size, source_length, start_id, pad_id))
        result = SearchResult(end.ids, end.lengths, end.log_probs, end.log_probs, end.weights)
        return _finish(keras.tree.map_structure(lambda x: x[:, None], result), pad_id)


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
        _check_positive("width", width)
        _check_positive("n_best", n_best)
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

        def advance(t: Any, hypotheses: _Hypotheses) -> _Hypotheses:
            log_probs, state, weights = self._predict(step, hypotheses, t, end_id)  # (R, V)
            vocabulary = ops.shape(log_probs)[-1]
            totals = hypotheses.log_probs[:, None] + log_probs
            # A finished hypothesis has one extension, by the end again, that outranks every live
            # one. Empty places stay below: they may take the end too, but must make room.
            frozen = ops.logical_and(hypotheses.finished, _is_real(hypotheses.log_probs))
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
        return _finish(
            SearchResult(pick(end.ids), pick(end.lengths), pick(end.log_probs), scores, weights),
            pad_id,
        )

    def _scores(self, log_probs: Any, lengths: Any) -> Any:
        scores = self.length_penalty(log_probs, ops.maximum(lengths, 1))
        return ops.where(_is_real(log_probs), scores, IMPOSSIBLE)

    def _retire(self, hypotheses: _Hypotheses, batch_size: Any) -> _Hypotheses:
        """Ends the live hypotheses of sentences whose best `n_best` they can no longer reach."""
        shape = (batch_size, self.width)
        finished = ops.reshape(hypotheses.finished, shape)
        log_probs = ops.reshape(hypotheses.log_probs, shape)
        lengths = ops.reshape(hypotheses.lengths, shape)
        scores = ops.where(finished, self._scores(log_probs, lengths), IMPOSSIBLE)
        to_beat = ops.top_k(scores, self.n_best)[0][:, -1:]  # (B, 1)
        reach = self.length_penalty.bound(log_probs, lengths + 1, self.max_length)
        hopeless = ops.logical_and(_is_real(to_beat), reach <= to_beat)
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
        return super().like(
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


def _finish(result: SearchResult, pad_id: int) -> SearchResult:
    """Blanks the places that hold no sequence, and says None where there are no weights."""
    real = _is_real(result.log_probs)  # (B, N)
    nothing = ops.full_like(result.scores, -float("inf"))
    weights = None
    if not isinstance(result.weights, tuple):
        weights = ops.where(real[:, :, None, None], result.weights, 0.0)
    return SearchResult(
        ids=ops.where(real[:, :, None], result.ids, pad_id),
        lengths=ops.where(real, result.lengths, 0),
        log_probs=ops.where(real, result.log_probs, nothing),
        scores=ops.where(real, result.scores, nothing),
        weights=weights,
    )


def _is_real(log_probs: Any) -> Any:
    """False for empty places, which only stand in for sequences."""
    return log_probs > IMPOSSIBLE / 2


def _shaped_like(new: Any, old: Any) -> Any:
    """`new` with the static shape of `old`: a compiled loop refuses shapes that got less known."""
    if tuple(new.shape) == tuple(old.shape):
        return new
    return ops.reshape(new, ops.shape(old))


def _check_positive(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer; got {name}={value!r}.")
