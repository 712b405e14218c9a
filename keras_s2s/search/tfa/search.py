"""The beam search of TensorFlow Addons, with its arguments and its results.

`TFABeamSearch` repeats everything in which `tfa.seq2seq.BeamSearchDecoder` differs from
`BeamSearch`. `TFA` in `penalties/toolkits.py` brings the length penalty of TensorFlow Addons to
`BeamSearch`, with the end token counted at every step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_s2s.search.result import SearchResult, check_if_known, finish
from keras_s2s.search.search import Search, Step
from keras_s2s.search.tfa.beams import Decoding
from keras_s2s.system.checks import check_number, check_size


class TFAResult(NamedTuple):
    """The outputs of `tfa.seq2seq.BeamSearchDecoder`, with `T = max_length`.

    Attributes:
        predicted_ids: `(B, T, K)` int32, tfa's `outputs.predicted_ids`: the beams, best first,
            filled with the end token behind its first appearance.
        step_ids: `(B, T, K)` int32, the tokens that each step chose; padding at steps that were not
            taken.
        parent_ids: `(B, T, K)` int32, the beam of the step before that each beam continues; the
            beam's own number at steps that were not taken.
        step_scores: `(B, T, K)` float32, the numbers that the beams were ranked by at each step; 0
            at steps that were not taken.
        lengths: `(B, K)` int32, tfa's `final_state.lengths`, which count the end token.
        log_probs: `(B, K)` float32, tfa's `final_state.log_probs`.
        steps: int32 scalar, the number of steps that were taken, which is tfa's own `T`.
    """

    predicted_ids: Any
    step_ids: Any
    parent_ids: Any
    step_scores: Any
    lengths: Any
    log_probs: Any
    steps: Any


@keras.saving.register_keras_serializable(package="keras_s2s")
class TFABeamSearch(Search):
    """The beam search of `tfa.seq2seq.BeamSearchDecoder`, number for number, for migration only.

    1. Every beam is extended by every token. A finished beam is extended only by the end token, at
       no cost.
    2. A candidate's score is `log_prob / ((5 + length) / 6)^length_penalty_weight`, plus
       `coverage_penalty_weight · Σ_s log(min(coverage_s, 1))` over the source positions that were
       attended to at all.
    3. The `width` candidates with the highest scores are the next beams.
    4. The search goes on until all beams of all sentences have finished, or for `max_length` steps.

    This search repeats the traits by which tfa's results depend on more than the sentence, the
    model and the penalties. `BeamSearch` has none of them and is the better search for new models:

    - A length does not count the end token at the step that takes it, but counts it at all later
      steps. So the score of a finished beam changes with the next step.
    - Coverage counts only for beams that had finished before the step. A position without any
      attention costs nothing, and a position with a little attention costs much.
    - Other beams can push out a finished beam, even beams that never end. A result that fills
      `max_length` has no end token.
    - With a penalty, beams that have finished are ranked anew at every step, so their order can
      depend on how long the other sentences of the batch go on.
    - `predicted_ids` of `decode` has the beams in the order of the step at which a sentence's
      longest beam ended. `lengths` and `log_probs` have the order of the last step, so they may not
      belong to the ids beside them. In the `SearchResult` of a call, lengths and log-probabilities
      belong to the ids, and `scores` are those of the step that put the ids in order.

    Args:
        width: number `K` of beams of each sentence. All of them are returned.
        length_penalty_weight: exponent of the length penalty; 0 ranks by log-probability.
        coverage_penalty_weight: factor on the coverage penalty. Weights other than 0 need a step
            that returns attention weights.
        max_length: the greatest number of steps, tfa's `maximum_iterations`.

    Raises:
        ValueError: If `width` or `max_length` is not a positive integer, or if a weight is not
            finite.

    Example: a "network" that begins with "a" or, less likely, with "b", and then ends. tfa counts
    1 token of both when they end and 2 at the next step.
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
        self.length_penalty_weight = check_number("length_penalty_weight", length_penalty_weight)
        self.coverage_penalty_weight = check_number(
            "coverage_penalty_weight", coverage_penalty_weight
        )

    @property
    def needs_weights(self) -> bool:
        return self.coverage_penalty_weight != 0

    def __call__(  # type: ignore[override]  # tfa's search has no constraints
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
        """Runs the search and returns `N = width` hypotheses of each sentence.

        Args:
            step: as for `Search`.
            state: as for `Search`.
            batch_size: as for `Search`.
            source_mask: `(B, S)` bool. Returned attention weights and coverage need it. As in tfa,
                coverage counts all positions that got attention, masked or not.
            keep_weights: False for a result without attention weights.
            initial_coverage: `(B, S)` float32, the coverage before the first step, zeros when
                omitted. tfa begins with the mechanism's initial alignments, which are on the first
                source position for monotonic attention.
            start_id: the token that the first step reads.
            end_id: the token that ends a beam.
            pad_id: the id that follows the end.
            unknown_id: not used, because to tfa it is a token like others. It is accepted for
                callers that name all special ids.

        Returns:
            A `SearchResult`. All hypotheses are `satisfied`, since there are no required phrases.

        Raises:
            ValueError: If arguments have wrong shapes or ids, or if they contradict each other.
                Outside a graph, the call also raises it if logits are not finite.
        """
        if keep_weights and source_mask is None:
            raise ValueError(
                "`keep_weights` needs a `source_mask`, for the length of the source; got "
                f"keep_weights={keep_weights}, source_mask=None."
            )
        with_weights = keep_weights is not False and source_mask is not None
        source = ops.shape(source_mask)[1] if with_weights else None
        coverage = self._coverage(source_mask, initial_coverage, batch_size)
        decoding = self._decoding(batch_size, end_id)
        end, _ = decoding.run(step, state, source, coverage, start_id, pad_id)
        sequences, lengths, longest = decoding.traced(end)
        inside = ops.arange(self.max_length)[None] < lengths[:, None]  # (R, L)
        token_log_probs = ops.where(inside, sequences.log_probs, 0.0)
        # The sum includes tokens behind the end. A finished beam that was continued by another
        # token, because nothing else could fill its place, is no sequence.
        traced = ops.arange(self.max_length)[None] < longest[:, None]
        log_probs = ops.sum(ops.where(traced, sequences.log_probs, 0.0), axis=1)
        weights = sequences.weights
        if with_weights:
            weights = ops.where(inside[:, :, None], weights, 0.0)
        # The step that put a sentence's ids in order is the last of its longest beam.
        rows = batch_size * self.width
        ordered_at = ops.maximum(longest - 1, 0) * rows + ops.arange(rows, dtype="int32")
        result = SearchResult(
            ids=ops.where(inside, sequences.tokens, pad_id),
            lengths=lengths,
            log_probs=log_probs,
            scores=ops.take(ops.reshape(end.scores, (-1,)), ordered_at, axis=0),
            weights=weights,
            token_log_probs=token_log_probs,
            satisfied=ops.ones((rows,), dtype="bool"),
        )
        by_sentence = keras.tree.map_structure(decoding.by_sentence, result)
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
        """Runs the search as a call does and returns the arrays that tfa returns.

        Args:
            step: as for a call.
            state: as for a call.
            batch_size: as for a call.
            source_mask: as for a call, but no attention weights are returned.
            initial_coverage: as for a call.
            start_id: as for a call.
            end_id: as for a call.
            pad_id: the id of steps that were not taken.

        Returns:
            A `TFAResult`.

        Raises:
            ValueError: If arguments have wrong shapes or ids.
        """
        coverage = self._coverage(source_mask, initial_coverage, batch_size)
        decoding = self._decoding(batch_size, end_id)
        end, steps = decoding.run(step, state, None, coverage, start_id, pad_id)
        sequences, lengths, _ = decoding.traced(end)
        inside = ops.arange(self.max_length)[None] < lengths[:, None]  # (R, L)

        def by_step(x: Any) -> Any:
            """Reshapes `(L, R)` to `(B, T, K)`."""
            x = ops.reshape(x, (self.max_length, batch_size, self.width))
            return ops.transpose(x, (1, 0, 2))

        return TFAResult(
            predicted_ids=by_step(ops.transpose(ops.where(inside, sequences.tokens, end_id))),
            step_ids=by_step(end.history.tokens),
            parent_ids=by_step(end.history.parents % self.width),
            step_scores=by_step(end.scores),
            lengths=decoding.by_sentence(end.lengths),
            log_probs=decoding.by_sentence(end.log_probs),
            steps=steps,
        )

    def get_config(self) -> dict[str, Any]:
        names = ("width", "length_penalty_weight", "coverage_penalty_weight", "max_length")
        return {name: getattr(self, name) for name in names}

    def _decoding(self, batch_size: Any, end_id: int) -> Decoding:
        weights = self.length_penalty_weight, self.coverage_penalty_weight
        return Decoding(self.width, *weights, self.max_length, batch_size, end_id)

    def _coverage(self, source_mask: Any, initial: Any, batch_size: Any) -> Any:
        """Returns the coverage before the first step, `(R, S)`, or () without a penalty."""
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
