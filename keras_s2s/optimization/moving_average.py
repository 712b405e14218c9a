"""Evaluates a model with the moving average of its weights (Polyak & Juditsky 1992).

Keras computes the average. An optimizer made with `use_ema=True` updates it after every step,

```
average = momentum · average + (1 − momentum) · weights
```

and the first average is the weights themselves. The optimizer saves the average with its state, so
a resumed training continues it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[bool]:
    """Gives a model the moving average of its weights for the length of a `with` block.

    At the end of the block the model gets its own weights back, bit for bit. A model whose
    optimizer keeps no average, or has made no update yet, stays as it is.

    Args:
        model: a compiled model.

    Yields:
        Whether the model has the average within the block.

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
    # Copies bring the weights back exactly; Keras' own swap adds and subtracts, which rounds.
    weights = model.trainable_variables
    trained = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
    optimizer.finalize_variable_values(weights)
    if keras.backend.backend() == "jax":
        # On JAX the weights are now the optimizer's own arrays, which a test step would delete.
        for weight in weights:
            weight.assign(keras.ops.copy(weight))
    try:
        yield True
    finally:
        for weight, value in zip(weights, trained, strict=True):
            weight.assign(value)


class EvaluateMovingAverage(keras.callbacks.Callback):
    """A callback that runs the validation of `fit` with the moving average of the weights.

    After `fit`, Keras leaves the average in the model. Callbacks that look at the model at the end
    of an epoch see its own weights. Callbacks that measure decoded texts, such as `BLEU` and `WER`,
    take the average by themselves, and other callbacks can use `averaged_weights`. Keras'
    `SwapEMAWeights` restores the weights by additions that round, which changes the training. This
    callback restores them exactly.

    Example:
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.999), "mse")
    >>> x, callbacks = keras.ops.ones((4, 1)), [EvaluateMovingAverage()]
    >>> history = model.fit(x, x, validation_data=(x, x), callbacks=callbacks, verbose=0)
    >>> sorted(history.history)
    ['loss', 'val_loss']
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
