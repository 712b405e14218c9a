"""Greedy search: the most probable token at every step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.penalties import LengthPenalty
from keras_s2s.search.hypotheses import Hypotheses, Search, SearchResult, Step, finish


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
        def advance(t: Any, hypotheses: Hypotheses) -> Hypotheses:
            log_probs, state, weights = self._predict(step, hypotheses, t, end_id)  # (B, V)
            # Not ops.argmax: it holds a Bitcast, which tf2onnx 1.17 cannot convert.
            best, tokens = (x[:, 0] for x in ops.top_k(log_probs, 1))
            gained = ops.where(hypotheses.finished, 0.0, best)
            tokens = ops.cast(tokens, "int32")
            hypotheses = self._append(hypotheses, t, tokens, end_id, weights)
            return hypotheses._replace(log_probs=hypotheses.log_probs + gained, state=state)

        end = self._loop(advance, self._start(state, batch_size, source_length, start_id, pad_id))
        result = SearchResult(end.ids, end.lengths, end.log_probs, end.log_probs, end.weights)
        return finish(keras.tree.map_structure(lambda x: x[:, None], result), pad_id)

    def like(
        self,
        *,
        width: int | None = None,
        length_penalty: LengthPenalty | float | None = None,
        n_best: int | None = None,
    ) -> Search:
        from keras_s2s.search.beam import BeamSearch  # it imports this module

        if width in (None, 1) and length_penalty is None and n_best in (None, 1):
            return GreedySearch(self.max_length)
        given = {"width": width, "length_penalty": length_penalty, "n_best": n_best}
        settings: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        return BeamSearch(**settings, max_length=self.max_length)
