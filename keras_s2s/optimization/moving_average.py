"""The moving average of a training's weights, in place of the weights while a model is looked at.

The average itself is Keras': an optimizer made with `use_ema=True` keeps it, after every update

```
average = momentum · average + (1 − momentum) · weights        the first one: the weights
```

and saves it with its state, so a resumed training goes on with it (Polyak & Juditsky 1992).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[bool]:
    """Within it, a model has the moving average that its optimizer keeps; then its own weights.

    The weights come back bit for bit. A model whose optimizer keeps no average, or has made no
    update yet, stays as it is.

    Args:
        model: a compiled model.

    Yields:
        Whether the model has the average.

    Example:
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    >>> with averaged_weights(model) as averaged:
    ...     averaged
    False
    """
    # Mixed precision wraps the optimizer in one that scales the loss.
    optimizer: Any = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False) or int(optimizer.iterations) == 0:
        yield False
        return
    # Copies, not Keras' swap by additions, which rounds.
    weights = model.trainable_variables
    kept = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
    optimizer.finalize_variable_values(weights)
    if keras.backend.backend() == "jax":
        # There they are now the optimizer's own arrays, which a test step of Keras would delete.
        for weight in weights:
            weight.assign(keras.ops.copy(weight))
    try:
        yield True
    finally:
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


class EvaluateMovingAverage(keras.callbacks.Callback):
    """Takes validation in `fit` with the moving average of the weights.

    After `fit`, Keras leaves the average in the model. Callbacks that look at the model after an
    epoch see its own weights; those of `decoded` take the average by themselves, and
    `averaged_weights` is there for others. Keras' own `SwapEMAWeights` restores weights by
    additions that round, so that watching a training changes it; this one does not.

    Example:
        ```python
        import keras
        import keras_s2s as s2s

        model.compile(keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.999))
        model.fit(training, validation_data=held_out, callbacks=[s2s.EvaluateMovingAverage()])
        ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._swap: ExitStack | None = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._swap = ExitStack()
        self._swap.enter_context(averaged_weights(self.model))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._swap is not None:
            self._swap.close()
            self._swap = None
