"""What a model offers to be decoded, scored and exported, whatever it is inside."""

from __future__ import annotations

from typing import Any

import keras


class Decodable(keras.Model):
    """A model that a search runs over: `encode` a source once, then `step` token by token.

    `Seq2Seq` is one, and `Ensemble`, several of them at once. `InferenceModel`, `Translator` and
    the exporters use nothing of a model but what is named here and Keras' own methods. Called with
    `{"source_ids": (B, S), "target_ids": (B, T)}` it gives teacher-forced logits `(B, T, V)`.
    """

    @property
    def pad_id(self) -> int:
        """The id that fills rows up to the longest."""
        raise NotImplementedError

    @property
    def source_vocabulary_size(self) -> int:
        """Number of source ids."""
        raise NotImplementedError

    @property
    def target_vocabulary_size(self) -> int:
        """Number of target ids, `V`."""
        raise NotImplementedError

    @property
    def attends(self) -> bool:
        """Whether `step` gives attention weights; without attention they are zero."""
        raise NotImplementedError

    @property
    def compute_dtypes(self) -> set[str]:
        """The dtypes that its parts compute in."""
        raise NotImplementedError

    def encode(self, source_ids: Any, source_features: Any = None) -> tuple[Any, Any]:
        """Source ids `(B, S)` to the memory and the first state, ready for `step`."""
        raise NotImplementedError

    def step(self, tokens: Any, state: Any, memory: Any) -> tuple[Any, Any, Any]:
        """One token of each row: `(logits (N, V), state, weights (N, S))`.

        `N` is the memory's `B`, or `B·K` for `K` rows in a row per source, as beam search keeps
        them: the memory is not repeated.
        """
        raise NotImplementedError
