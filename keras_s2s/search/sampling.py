"""Sampling, which draws outputs from the model's distribution or its more probable part."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.search.constraints.candidates import ends_allowed, forced_tokens
from keras_s2s.search.request import Request
from keras_s2s.search.result import IMPOSSIBLE, is_real
from keras_s2s.search.search import Search
from keras_s2s.search.state.hypotheses import Hypotheses, append
from keras_s2s.search.state.prediction import Prediction
from keras_s2s.system.checks import (
    check_number,
    check_positive,
    check_shares,
    check_size,
    check_whole,
)


@keras.saving.register_keras_serializable(package="keras_s2s")
class SamplingSearch(Search, name="sampling"):
    """Sampling: draws each token from `softmax(log_probs / temperature)`, truncated and normalised.

    A token may be drawn if it passes all truncations that are given. Each truncation sees the
    distribution under the temperature. The most probable token passes all of them.

    - `top_k`: the token is among the `k` most probable ones (Fan et al. 2018).
    - `top_p`: all more probable tokens together have a probability below `p` (nucleus sampling,
      Holtzman et al. 2020).
    - `epsilon`: the token's probability is at least `ε` (Hewitt et al. 2022).

    The samples of a sentence stand in the order in which they were drawn, not sorted by score, so
    that the first one is a fair sample. `log_probs` and `scores` are the model's own
    log-probabilities.

    One uniform random number determines each token by the cumulative distribution. These numbers
    come from `seed`, or from the caller as `noise`. A `Translator` draws them for each text by its
    position, so that neither the batch size nor other texts change the samples of a text.

    Args:
        samples: number of hypotheses that are drawn for each sentence.
        temperature: number above 0. Below 1 the distribution is sharper than the model's, and above
            1 flatter.
        top_k: number of tokens to draw from; None for all.
        top_p: total probability of the tokens to draw from, in (0, 1]; None for all.
        epsilon: least probability of a token, in [0, 1); None for 0.
        seed: whole number for the same samples at every call; None for different samples.
        max_length: number of tokens in the longest output, end token included.
        **controls: the other arguments of `Search`.

    Raises:
        ValueError: If a setting is out of its range. A call also raises it if it gets `required`,
            or `noise` of another shape than `(B, samples, max_length)`.

    Example: two samples of six coin tosses each.
    >>> import numpy as np
    >>> table = np.tile(np.float32([-99, -99, -99, -99, 0, 0]), (6, 1))
    >>> def step(tokens, state):
    ...     return ops.take(table, tokens, axis=0), state
    >>> result = SamplingSearch(samples=2, seed=1, max_length=7)(step, (), batch_size=1)
    >>> set(np.array(result.ids)[0, :, :6].ravel().tolist())
    {4, 5}
    """

    def __init__(
        self,
        samples: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        epsilon: float | None = None,
        seed: int | None = None,
        max_length: int = 100,
        **controls: Any,
    ) -> None:
        super().__init__(max_length, **controls)
        check_size("samples", samples)
        check_number("temperature", temperature, 0)
        if temperature == 0:
            raise ValueError(
                "`temperature` must be above 0; at 0 only the most probable token is left: use "
                "GreedySearch."
            )
        if top_k is not None:
            check_size("top_k", top_k)
        if top_p is not None:
            check_positive("top_p", top_p, most=1)
        if epsilon is not None:
            check_shares(epsilon=epsilon)
        self.samples = samples
        self.temperature = float(temperature)
        self.top_k = top_k
        self.top_p = top_p
        self.epsilon = epsilon
        self.seed = None if seed is None else check_whole("seed", seed, 0)
        self.width = self.n_best = samples

    @property
    def needs_noise(self) -> bool:
        return True

    def __call__(self, *args: Any, required: Any = None, **kwargs: Any) -> Any:
        if required is not None:
            raise ValueError(
                "`required` phrases need a beam; SamplingSearch cannot draw them. Use BeamSearch."
            )
        return super().__call__(*args, **kwargs)

    def _noise(self, request: Request) -> Any:
        shape = (request.batch_size, self.samples, self.max_length)
        if request.noise is None:
            return keras.random.uniform(shape, seed=self.seed)
        if tuple(request.noise.shape)[1:] != shape[1:]:
            raise ValueError(
                f"`noise` must have the shape (B, samples, max_length) = (B, {self.samples}, "
                f"{self.max_length}); got {tuple(request.noise.shape)}."
            )
        return ops.cast(request.noise, "float32")

    def _advance(
        self, t: Any, hypotheses: Hypotheses, prediction: Prediction, request: Request
    ) -> Hypotheses:
        draws = ops.reshape(ops.take(request.noise, t, axis=2), (request.rows, 1))
        values = self._values(prediction, hypotheses, t, request)
        token = self._draw(values, draws)
        forced = forced_tokens(t, request)
        # If no token is allowed, not even the end, the hypothesis must not count as an output.
        possible = ops.logical_or(
            is_real(ops.take_along_axis(values, token, axis=-1)), forced >= 0
        )[:, 0]
        token = ops.where(forced >= 0, forced, token)
        token = ops.where(hypotheses.finished[:, None], request.end_id, token)
        log_probs = prediction.log_probs(token)[:, 0]
        new = append(hypotheses, t, token[:, 0], log_probs, prediction.weights, request)
        counts = ops.logical_and(
            ops.logical_or(hypotheses.finished, possible), is_real(hypotheses.totals)
        )
        return new._replace(totals=ops.where(counts, new.log_probs, IMPOSSIBLE))

    def _values(
        self, prediction: Prediction, hypotheses: Hypotheses, t: Any, request: Request
    ) -> Any:
        """Returns the logits to draw from, `(R, V)` float32, `IMPOSSIBLE` for forbidden tokens."""
        values = prediction.values
        if isinstance(values, tuple):
            values = prediction.logits
        ids = ops.arange(ops.shape(values)[-1])[None]
        ends = ends_allowed(hypotheses, t, request)
        if ends is not True:
            values = ops.where(
                ops.logical_or(ends, ops.not_equal(ids, request.end_id)), values, IMPOSSIBLE
            )
        if not self.allow_unknown:
            values = ops.where(ops.equal(ids, request.unknown_id), IMPOSSIBLE, values)
        return values

    def _draw(self, values: Any, draws: Any) -> Any:
        """Returns a token `(R, 1)` int32 for each uniform number `(R, 1)`."""
        if self.top_k is None and self.top_p is None:
            probabilities = ops.softmax(values / self.temperature, axis=-1)
            highest = ops.max(probabilities, axis=-1, keepdims=True)
            return _places(self._truncated(probabilities, highest), draws)
        # The tokens are sorted by probability. Only a nucleus needs the whole vocabulary sorted.
        most = values.shape[-1] if self.top_p is not None else min(self.top_k, values.shape[-1])
        best, tokens = ops.top_k(values, most)
        normalizer = ops.logsumexp(values / self.temperature, axis=-1, keepdims=True)
        probabilities = ops.exp(best / self.temperature - normalizer)
        shares = self._truncated(probabilities, probabilities[:, :1])
        if self.top_k is not None:
            shares = ops.where(ops.arange(most)[None] < self.top_k, shares, 0.0)
        if self.top_p is not None:
            before = ops.cumsum(probabilities, axis=-1) - probabilities
            first = ops.equal(ops.arange(most), 0)[None]
            shares = ops.where(ops.logical_or(before < self.top_p, first), shares, 0.0)
        place = _places(shares, draws)
        return ops.take_along_axis(ops.cast(tokens, "int32"), place, axis=-1)

    def _truncated(self, probabilities: Any, highest: Any) -> Any:
        """Returns the probabilities with 0 in place of those below `epsilon`."""
        if self.epsilon is None:
            return probabilities
        least = ops.minimum(self.epsilon, highest)
        return ops.where(probabilities >= least, probabilities, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "samples": self.samples,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "epsilon": self.epsilon,
            "seed": self.seed,
        }


def _places(shares: Any, draws: Any) -> Any:
    """Inverts cumulative distributions.

    Args:
        shares: `(R, n)` float32 probabilities that need not sum to 1.
        draws: `(R, 1)` float32 uniform numbers in [0, 1).

    Returns:
        `(R, 1)` int32, the positions at which the cumulative sums pass `draws` times the whole sum.
    """
    reached = ops.cumsum(shares, axis=-1)
    # The whole sum is taken slightly smaller, so that rounding cannot lead behind the last share.
    target = draws * (reached[:, -1:] * (1 - 1e-6))
    places = ops.sum(ops.cast(reached <= target, "int32"), axis=-1, keepdims=True)
    return ops.cast(places, "int32")  # with 64 bits enabled, JAX sums integers in 64 bits
