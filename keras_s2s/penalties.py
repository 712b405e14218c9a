"""Length penalties: from a hypothesis' log-probability and length to the score it is ranked by."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class LengthPenalty:
    """Ranks hypotheses: `penalty(log_probs, lengths) -> scores`; lengths count the end token.

    A subclass must be monotone in the length at a fixed log-probability, and rising in the
    log-probability; `bound`, and with it the early stop of the search, rests on that.
    """

    def __call__(self, log_probs: Any, lengths: Any) -> Any:
        """Scores of float32, of the shape of `log_probs`."""
        raise NotImplementedError

    def bound(self, log_probs: Any, shortest: Any, longest: int) -> Any:
        """The best score that `log_probs` can reach at a length from `shortest` to `longest`."""
        longest_like = ops.zeros_like(shortest) + longest
        return ops.maximum(self(log_probs, shortest), self(log_probs, longest_like))

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LengthPenalty:
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_s2s")
class GNMT(LengthPenalty):
    """`log_prob / ((5 + length) / 6)^weight` (Wu et al. 2016, eq. 14, without coverage).

    Args:
        weight: 0 ranks by log-probability alone; larger values favour longer outputs.

    Example:
    >>> import numpy as np
    >>> GNMT(1.0)(np.float32([-6.0, -6.0]), np.int32([1, 7])).numpy().tolist()
    [-6.0, -3.0]
    """

    def __init__(self, weight: float = 1.0) -> None:
        if (
            not isinstance(weight, (int, float))
            or isinstance(weight, bool)
            or not 0 <= weight < 100
        ):
            raise ValueError(
                "The length penalty's `weight` must be a number from 0 to below 100; "
                f"got weight={weight!r}."
            )
        self.weight = float(weight)

    def __call__(self, log_probs: Any, lengths: Any) -> Any:
        if self.weight == 0:
            return log_probs
        divisors = ops.power((5.0 + ops.cast(lengths, "float32")) / 6.0, self.weight)
        return ops.divide(log_probs, divisors)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight}
