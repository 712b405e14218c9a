"""Coverage penalties: the cost of source positions that a hypothesis did not attend to.

A coverage penalty is added to the score that the length penalty gives.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.system.checks import check_number

# A coverage below this number counts as this number, so that a source position without any
# attention costs 23 times the weight and not infinity.
LEAST_COVERAGE = 1e-10


class CoveragePenalty:
    """The base of coverage penalties, which are added to the scores of hypotheses.

    A subclass implements `__call__`. Its values must never be above zero and must only rise while
    attention adds up. Then the bound of a `LengthPenalty` also holds for the sum of both penalties,
    and beam search can rely on it to stop early.

    Example: a penalty of 1 for each source position with a coverage below one half.
    >>> class UnseenPositions(CoveragePenalty):
    ...     def __call__(self, coverage, mask):
    ...         unseen = ops.logical_and(mask, ops.less(coverage, 0.5))
    ...         return -ops.sum(ops.cast(unseen, "float32"), axis=-1)
    >>> import numpy as np
    >>> coverage, mask = np.float32([[0.9, 0.1, 0.0]]), np.array([[True, True, False]])
    >>> UnseenPositions()(coverage, mask).numpy().tolist()
    [-1.0]
    """

    def __call__(self, coverage: Any, mask: Any) -> Any:
        """Computes the numbers that are added to the scores.

        Args:
            coverage: `(..., S)` float32, attention weights summed over all target tokens.
            mask: `(..., S)` bool that broadcasts with `coverage`, True at real source positions.

        Returns:
            `(...)` float32, at most 0.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments from which `from_config` makes an equal penalty."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CoveragePenalty:
        """Makes the penalty that `get_config` described."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_s2s")
class GNMTCoverage(CoveragePenalty):
    """The coverage penalty of Google's translation system (Wu et al. 2016, eq. 14).

    `weight · Σ_s log(min(coverage_s, 1))` over the real source positions `s`. A coverage below
    1e-10 counts as 1e-10, so that a position without any attention costs 23 times the weight and
    not infinity. Padding costs nothing.

    Args:
        weight: factor on the penalty. 0 is no penalty, and the paper's best value was 0.2.

    Raises:
        ValueError: If `weight` is not a finite number from 0 on.

    Example: the second position costs log ½; the first has enough, and the third is padding.
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
