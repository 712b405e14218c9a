"""Training metrics that are exact means over all real tokens of an epoch, not of batch means."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.optimization.losses import token_cross_entropy, token_weights


class TokenMetric(keras.metrics.Metric):
    """The weighted mean of a value over real tokens. A subclass computes the value in `_tokens`.

    Args:
        pad_id: the label that marks padding.
    """

    def __init__(self, pad_id: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pad_id = pad_id
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def _tokens(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any]:
        """Returns the value and the weight of each token, both `(B, T)` float32."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        values, weights = self._tokens(ops.cast(y_true, "int32"), y_pred, sample_weight)
        self.add(ops.sum(values * weights), ops.sum(weights))

    def add(self, total: Any, count: Any) -> None:
        """Adds tokens, given the weighted sum of their values and the sum of their weights."""
        self.total.assign_add(total)
        self.count.assign_add(count)

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="keras_s2s")
class TokenAccuracy(TokenMetric):
    """The share of real tokens whose most probable id is the label.

    Args:
        pad_id: the label that marks padding.

    Example:
    >>> import numpy as np
    >>> accuracy = TokenAccuracy()
    >>> accuracy.update_state(np.array([[1, 2, 0]]), np.eye(3)[[[1, 1, 1]]])
    >>> float(accuracy.result())
    0.5
    """

    def __init__(self, pad_id: int = 0, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(pad_id, name=name, **kwargs)

    def _tokens(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any]:
        correct = ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), y_true)
        return ops.cast(correct, "float32"), token_weights(y_true, sample_weight, self.pad_id)


@keras.saving.register_keras_serializable(package="keras_s2s")
class Perplexity(TokenMetric):
    """The perplexity: `exp` of the mean cross-entropy, in nats, over the real tokens.

    Args:
        pad_id: the label that marks padding.

    Example:
    >>> import numpy as np
    >>> perplexity = Perplexity()
    >>> perplexity.update_state(np.array([[1, 0]]), np.zeros((1, 2, 4)))
    >>> round(float(perplexity.result()), 4)
    4.0
    """

    def __init__(self, pad_id: int = 0, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(pad_id, name=name, **kwargs)

    def _tokens(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any]:
        return token_cross_entropy(y_true, y_pred, sample_weight, self.pad_id)

    def result(self) -> Any:
        return ops.exp(super().result())
