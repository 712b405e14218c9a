"""Penalties: from a hypothesis' log-probability, length and coverage to what it is ranked by.

The length penalties themselves are in `families`. To add one, write a `LengthPenalty` subclass and
give it a name with `named_penalty`.
Log-probabilities are at most 0, lengths at least 1; a length counts the end token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_s2s.system.checks import check_number

PENALTIES: dict[str, type[LengthPenalty]] = {}

# The least coverage that is told from none, so that a source position without any attention costs
# 23 times the weight and not infinity.
LEAST_COVERAGE = 1e-10


class LengthPenalty:
    """Ranks hypotheses: `penalty(log_probs, lengths, source_lengths) -> scores`.

    A subclass gives `__call__`, which must rise with the log-probability. Where it neither rises
    with the length throughout nor falls with it throughout, it also gives `bound`, on which the
    early stop of the search rests.

    Example:
    >>> class Halved(LengthPenalty):
    ...     def __call__(self, log_probs, lengths, source_lengths=None):
    ...         return log_probs / 2
    >>> search = BeamSearch(4, Halved())
    """

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        """Scores, the higher the better.

        Args:
            log_probs: float32 of any shape, the sums of the tokens' log-probabilities.
            lengths: int32 that broadcasts with `log_probs`, the end token counted.
            source_lengths: int32 that broadcasts with `log_probs`, the source's real tokens; None
                where no penalty asks for them.

        Returns:
            float32 of the shape of `log_probs`.
        """
        raise NotImplementedError

    def bound(self, log_probs: Any, shortest: Any, longest: Any, source_lengths: Any = None) -> Any:
        """The best score within reach of a hypothesis that goes on.

        Its log-probability only falls, and its length is an integer from `shortest` to `longest`,
        int32 that broadcast with `log_probs`. Here the better of the two ends, which is exact for a
        penalty that rises with the length or falls with it.
        """
        return ops.maximum(
            self(log_probs, shortest, source_lengths), self(log_probs, longest, source_lengths)
        )

    @property
    def needs_source(self) -> bool:
        """Whether it reads the source lengths."""
        return False

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LengthPenalty:
        return cls(**config)


def named_penalty(name: str) -> Callable[[type[LengthPenalty]], type[LengthPenalty]]:
    """Class decorator: `length_penalty(name)` makes this penalty, and Keras saves and loads it."""

    def register(kind: type[LengthPenalty]) -> type[LengthPenalty]:
        PENALTIES[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register


def length_penalty(value: LengthPenalty | float | str) -> LengthPenalty:
    """A `LengthPenalty` from one, from the weight of `GNMT`, or from a name in `PENALTIES`.

    Example: a name gives the penalty with its default arguments.
    >>> length_penalty(0.6).get_config()
    {'weight': 0.6}
    >>> length_penalty("sockeye").get_config()
    {'alpha': 1.0, 'beta': 0.0, 'brevity_weight': 0.0, 'length_ratio': 1.0}
    """
    if isinstance(value, LengthPenalty):
        return value
    if isinstance(value, str) and value in PENALTIES:
        return PENALTIES[value]()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return PENALTIES["gnmt"](weight=value)  # type: ignore[call-arg]
    raise ValueError(
        f"`length_penalty` must be one of {', '.join(map(repr, PENALTIES))}, a number (the weight "
        "of GNMT) or an instance of a LengthPenalty, such as GNMT(0.6); got "
        f"length_penalty={value!r}."
    )


class CoveragePenalty:
    """What is added to scores for source positions that were not attended to.

    A subclass gives `__call__`. It is never above zero and only rises as attention adds up, so that
    the bound of a `LengthPenalty` holds for the sum as well.

    Example:
    >>> class UnseenPositions(CoveragePenalty):
    ...     def __call__(self, coverage, mask):
    ...         unseen = ops.logical_and(mask, ops.less(coverage, 0.5))
    ...         return -ops.sum(ops.cast(unseen, "float32"), axis=-1)
    """

    def __call__(self, coverage: Any, mask: Any) -> Any:
        """From the coverage of each source position to what is added to the score.

        Args:
            coverage: `(..., S)` float32, attention weights summed over all target tokens.
            mask: `(..., S)` bool that broadcasts with `coverage`, True at real source positions.

        Returns:
            `(...)` float32, at most 0.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CoveragePenalty:
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_s2s")
class GNMTCoverage(CoveragePenalty):
    """`weight · Σ_s log(min(coverage_s, 1))` over the real positions (Wu et al. 2016, eq. 14).

    A coverage below 1e-10 counts as 1e-10, so that a position without any attention costs
    23 times the weight and not infinity. Padding costs nothing.

    Args:
        weight: 0 is no penalty; the paper's best was 0.2.

    Example: log ½ for the second position; the first has enough, the third is padding.
    >>> import numpy as np
    >>> coverage, mask = np.float32([[1.5, 0.5, 0.0]]), np.array([[True, True, False]])
    >>> GNMTCoverage(1.0)(coverage, mask).numpy().round(4).tolist()
    [-0.693...]
    """

    def __init__(self, weight: float = 0.2) -> None:
        self.weight = check_number("weight", weight, 0, of="coverage penalty")

    def __call__(self, coverage: Any, mask: Any) -> Any:
        covered = ops.clip(ops.cast(coverage, "float32"), LEAST_COVERAGE, 1.0)
        costs = ops.where(mask, ops.log(covered), 0.0)  # (..., S)
        return self.weight * ops.sum(costs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight}
