"""Greedy search, which takes the most probable token at every step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.search.constraints.candidates import candidates
from keras_s2s.search.request import Request
from keras_s2s.search.search import Search
from keras_s2s.search.state.hypotheses import Hypotheses, append
from keras_s2s.search.state.prediction import Prediction


@keras.saving.register_keras_serializable(package="keras_s2s")
class GreedySearch(Search, name="greedy"):
    """Greedy search: takes the most probable token at every step.

    The arguments are those of `Search`. Required phrases need a beam, so a call refuses them.

    Raises:
        ValueError: If a setting is out of its range, or if a call gets `required`.

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

    def __call__(self, *args: Any, required: Any = None, **kwargs: Any) -> Any:
        if required is not None:
            raise ValueError(
                "`required` phrases need a beam, which has room for hypotheses with and without "
                "them; greedy search has none. Use BeamSearch."
            )
        return super().__call__(*args, **kwargs)

    def like(self, **changes: Any) -> Search:
        """Returns this search with some settings changed, as `Search.like` does.

        A `width` or an `n_best` of 1 changes nothing, since greedy search has one hypothesis.
        """
        beam = ("width", "n_best")
        if all(changes.get(name) in (None, 1) for name in beam):
            changes = {name: value for name, value in changes.items() if name not in beam}
        return super().like(**changes)

    def _advance(
        self, t: Any, hypotheses: Hypotheses, prediction: Prediction, request: Request
    ) -> Hypotheses:
        options = candidates(1, prediction, hypotheses, t, request, self.allow_unknown)
        # ops.argmax would hold a Bitcast, which tf2onnx 1.17 cannot convert.
        best, place = ops.top_k(options.values, 1)
        place = ops.cast(place, "int32")
        tokens, log_probs = (
            ops.take_along_axis(x, place, axis=-1)[:, 0]
            for x in (options.tokens, options.log_probs)
        )
        totals = hypotheses.totals + ops.where(hypotheses.finished, 0.0, best[:, 0])
        tokens = ops.where(hypotheses.finished, request.end_id, tokens)
        new = append(hypotheses, t, tokens, log_probs, prediction.weights, request)
        return new._replace(totals=totals)
