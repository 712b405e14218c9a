"""Warns when training compiles its step again and again, which takes longer than the steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_s2s.models.steps import TokenSteps
from keras_s2s.system.checks import check_size


class RetraceWarning(keras.callbacks.Callback):
    """Warns once when `fit` compiles the training step more often than `limit`.

    The callback counts traces of the step, each of which is also a compilation on JAX. With
    `jit_compile` on TensorFlow, it counts the shapes of batches, for each of which XLA compiles a
    traced step. A `Seq2Seq` on TensorFlow without `jit_compile` has one trace for batches of all
    lengths. With `run_eagerly` and on Torch, nothing is compiled and nothing is counted.

    Args:
        limit: largest number of compilations in one call of `fit` without a warning.
        say: function that is called with the message; `warnings.warn` when omitted.

    Attributes:
        compilations: number of times that the last call of `fit` has compiled its step.

    Raises:
        ValueError: If `limit` is not a positive integer.
        TypeError: If the model that `fit` trains is not a `Seq2Seq`.

    Example:
    >>> import numpy as np
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=9, embedding_size=4, units=4),
    ...     Decoder(vocabulary_size=9, embedding_size=4, units=8),
    ... )
    >>> model.compile()
    >>> ids, callback = np.ones((6, 3), int), RetraceWarning()
    >>> x = {"source_ids": ids, "target_ids": ids}
    >>> history = model.fit(x, ids, batch_size=4, verbose=0, callbacks=[callback])
    >>> callback.compilations
    1
    """

    def __init__(self, limit: int = 32, say: Callable[[str], Any] | None = None) -> None:
        super().__init__()
        check_size("limit", limit)
        self.limit = limit
        self.say = say
        self.compilations = 0
        self._warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(self.model, TokenSteps):
            raise TypeError(
                f"RetraceWarning counts the steps of a Seq2Seq; got {type(self.model).__name__}. "
                "Leave the callback out."
            )
        self._shapes: set[tuple[int, ...]] = set()
        self._before = self.model.traces.count
        self.compilations, self._warned = 0, False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.run_eagerly or keras.backend.backend() == "torch":
            return
        traces = self.model.traces
        shape = traces.shape()
        if shape is not None:
            self._shapes.add(shape)
        self.compilations = max(traces.count - self._before, len(self._shapes))
        if self.compilations > self.limit and not self._warned:
            self._warned = True
            message = self._message(batch + 1)
            warnings.warn(message, stacklevel=2) if self.say is None else self.say(message)

    def _message(self, steps: int) -> str:
        counted = f"{self.compilations} times in {steps} steps of this epoch"
        if self.model.jit_compile:
            return (
                f"The training step was compiled {counted}, once for each shape of batches; more "
                f"than {self.limit} is slow. Give batches fewer shapes with a `length_multiple` of "
                "Corpus.dataset (train --length-multiple), or a larger one; on TensorFlow, "
                "compiling the model without `jit_compile` serves all shapes at once."
            )
        return (
            f"The training step was traced {counted}; more than {self.limit} is slow. Train on "
            "batches of one structure whose dtypes and ranks are the same, such as those of "
            "Corpus.dataset."
        )
