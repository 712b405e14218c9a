"""What every search shares: its result, the state of its loop, the loop itself.

Greedy and beam search are in `greedy` and `beam`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.checks import check_size
from keras_s2s.penalties import LengthPenalty

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


class Hypotheses(NamedTuple):
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
        check_size("max_length", max_length)
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
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"max_length": self.max_length}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Search:
        return cls(**config)

    def _start(
        self, state: Any, rows: Any, source_length: Any, start_id: int, pad_id: int
    ) -> Hypotheses:
        kept: Any = ()
        if source_length is not None:
            kept = ops.zeros((rows, self.max_length, source_length), dtype="float32")
        return Hypotheses(
            ids=ops.full((rows, self.max_length), pad_id, dtype="int32"),
            lengths=ops.zeros((rows,), dtype="int32"),
            log_probs=ops.zeros((rows,), dtype="float32"),
            finished=ops.zeros((rows,), dtype="bool"),
            weights=kept,
            tokens=ops.full((rows,), start_id, dtype="int32"),
            state=state,
        )

    def _loop(
        self, advance: Callable[[Any, Hypotheses], Hypotheses], start: Hypotheses
    ) -> Hypotheses:
        """Runs `advance(t, hypotheses)` until every row is finished."""

        def unfinished(t: Any, hypotheses: Hypotheses) -> Any:
            return ops.logical_not(ops.all(hypotheses.finished))

        def body(t: Any, hypotheses: Hypotheses) -> tuple[Any, Hypotheses]:
            new = advance(t, hypotheses)
            return t + 1, keras.tree.map_structure(_shaped_like, new, hypotheses)

        first = ops.convert_to_tensor(0, dtype="int32")
        _, hypotheses = ops.while_loop(
            unfinished, body, (first, start), maximum_iterations=self.max_length
        )
        return Hypotheses(*hypotheses)

    def _predict(
        self, step: Step, hypotheses: Hypotheses, t: Any, end_id: int
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
        self, hypotheses: Hypotheses, t: Any, tokens: Any, end_id: int, weights: Any
    ) -> Hypotheses:
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


def finish(result: SearchResult, pad_id: int) -> SearchResult:
    """Blanks the places that hold no sequence, and says None where there are no weights."""
    real = is_real(result.log_probs)  # (B, N)
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


def is_real(log_probs: Any) -> Any:
    """False for empty places, which only stand in for sequences."""
    return log_probs > IMPOSSIBLE / 2


def _shaped_like(new: Any, old: Any) -> Any:
    """`new` with the static shape of `old`: a compiled loop refuses shapes that got less known."""
    if tuple(new.shape) == tuple(old.shape):
        return new
    return ops.reshape(new, ops.shape(old))
