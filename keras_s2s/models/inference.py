"""Decoding with a model: what it offers for that, and the model that searches over it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_s2s.search import GreedySearch, Search, SearchResult
from keras_s2s.system.checks import check_instance

# Of the inputs, what a search takes for each sentence.
CONTROLS = ("prefix", "forbidden", "required", "noise")


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

    def inference_model(self, search: Search | None = None, **ids: int) -> InferenceModel:
        """A model of its own that decodes with these weights; see `InferenceModel`."""
        return InferenceModel(self, search, **ids)


@keras.saving.register_keras_serializable(package="keras_s2s")
class InferenceModel(keras.Model):
    """Decodes autoregressively, with the weights of a model: source ids to a `SearchResult`.

    `predict(source_ids)` gives a `SearchResult` of NumPy arrays. A sentence's result does not
    depend on the others in its batch. A search that draws with a seed begins its draws anew with
    each `predict`, so that the same call gives the same samples.

    Args:
        seq2seq: the trained model, a `Seq2Seq` or an `Ensemble`.
        search: a `Search`; `GreedySearch()` when omitted.
        start_id: the token that starts every target.
        end_id: the token that ends every target.
        unknown_id: the token of unknown words.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import BeamSearch, Decoder, Encoder, Seq2Seq
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=9, embedding_size=8, units=8),
    ...     Decoder(vocabulary_size=9, embedding_size=8, units=16),
    ... )
    >>> inference = InferenceModel(model, BeamSearch(width=4, n_best=2, max_length=6))
    >>> result = inference(np.array([[5, 6, 7, 3]]))
    >>> result.ids.shape, result.weights.shape
    (TensorShape([1, 2, 6]), TensorShape([1, 2, 6, 4]))
    """

    def __init__(
        self,
        seq2seq: Decodable,
        search: Search | None = None,
        start_id: int = 2,
        end_id: int = 3,
        unknown_id: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        search = GreedySearch() if search is None else search
        check_instance("seq2seq", seq2seq, Decodable)
        check_instance("search", search, Search)
        search.check_vocabulary(seq2seq.target_vocabulary_size, end_id)
        self.seq2seq = seq2seq
        self.search = search
        self.start_id = start_id
        self.end_id = end_id
        self.unknown_id = unknown_id
        self.seeds = None
        if search.needs_noise:
            self.seeds = keras.random.SeedGenerator(getattr(search, "seed", None))
            self._first_seed = ops.convert_to_numpy(self.seeds.state.value).copy()
        self.supports_jit = seq2seq.supports_jit
        if seq2seq.built:
            # It adds no weights, so it is complete; saving a model that is not built is warned of.
            self.build()

    def build(self, input_shape: Any = None) -> None:
        if not self.seq2seq.built:
            self.seq2seq.build()

    def __call__(self, source_ids: Any, *args: Any, **kwargs: Any) -> Any:
        self._check(source_ids)
        return super().__call__(source_ids, *args, **kwargs)

    def call(self, source_ids: Any) -> SearchResult:
        """Searches: source ids `(B, S)` int to a `SearchResult`.

        With more than ids, a dict: `"source_ids"`; for an encoder with source features
        `"source_features": (B, S, F)`; and what a search takes for each sentence, `"prefix"`,
        `"forbidden"`, `"required"`, `"noise"`, as in `Search.__call__`.
        """
        inputs = dict(source_ids) if isinstance(source_ids, dict) else {"source_ids": source_ids}
        unknown = set(inputs) - {"source_ids", "source_features", *CONTROLS}
        if unknown or "source_ids" not in inputs:
            raise ValueError(
                "An InferenceModel takes source ids, or a dict of 'source_ids' and, as needed, "
                f"'source_features', {', '.join(map(repr, CONTROLS))}; got {sorted(inputs)}."
            )
        source_ids = inputs["source_ids"]
        batch_size = ops.shape(source_ids)[0]
        controls = {name: inputs[name] for name in CONTROLS if name in inputs}
        if self.seeds is not None and "noise" not in controls:
            shape = (batch_size, self.search.n_best, self.search.max_length)
            controls["noise"] = keras.random.uniform(shape, seed=self.seeds)
        memory, state = self.seq2seq.encode(source_ids, inputs.get("source_features"))
        return self.search(
            lambda tokens, state: self.seq2seq.step(tokens, state, memory),
            state,
            batch_size=batch_size,
            source_mask=ops.not_equal(source_ids, self.seq2seq.pad_id),
            start_id=self.start_id,
            end_id=self.end_id,
            pad_id=self.seq2seq.pad_id,
            unknown_id=self.unknown_id,
            **controls,
        )

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> SearchResult:
        """As `keras.Model.predict`; no sentences at all give a result without any.

        Raises:
            ValueError: ids out of range, demands that no output can fulfil, or logits that are not
                finite.
        """
        if self._check(x) == 0:
            return self._of_nothing(x)
        if self.seeds is not None and getattr(self.search, "seed", None) is not None:
            self.seeds.state.assign(self._first_seed)
        return SearchResult(*super().predict(x, *args, **kwargs)).check()

    def predict_on_batch(self, x: Any) -> SearchResult:
        """As `keras.Model.predict_on_batch`; the draws of a search go on from the last batch.

        Raises:
            ValueError: as `predict` does.
        """
        return self._of_nothing(x) if self._check(x) == 0 else self.search_batch(x)

    def search_batch(self, x: Any) -> SearchResult:
        """As `predict_on_batch`, for inputs that were checked before, of at least one sentence.

        A `Translator` checks the constraints of all its texts together, before the first batch.

        Raises:
            ValueError: If logits are not finite.
        """
        return SearchResult(*super().predict_on_batch(x)).check()

    def _of_nothing(self, x: Any) -> SearchResult:
        """The result of no sentences, eagerly: traced for 0 rows, TensorFlow refuses to write."""
        return SearchResult(*map(ops.convert_to_numpy, self(x)))

    def _check(self, x: Any) -> int | None:
        """Raises ValueError for what can be seen to be wrong in NumPy arrays; their rows, or None.

        Within a graph nothing can be: embeddings of ids out of range are another's, or zero.
        """
        inputs = x if isinstance(x, dict) else {"source_ids": x}
        known = {
            name: np.asarray(value)
            for name, value in inputs.items()
            if isinstance(value, (np.ndarray, list))
        }
        ids = known.get("source_ids")
        size = self.seq2seq.source_vocabulary_size
        if ids is not None and ids.size and not 0 <= ids.min() <= ids.max() < size:
            raise ValueError(
                f"Source ids must be from 0 to below {size}, the encoder's vocabulary size; got "
                f"{ids.min()} to {ids.max()}."
            )
        phrases = {name: known[name] for name in CONTROLS[:3] if name in known}
        self.search.check_phrases(
            phrases, self.end_id, self.unknown_id, self.seq2seq.target_vocabulary_size
        )
        return None if ids is None or not ids.ndim else len(ids)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "seq2seq": serialize(self.seq2seq),
            "search": serialize(self.search),
            "start_id": self.start_id,
            "end_id": self.end_id,
            "unknown_id": self.unknown_id,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> InferenceModel:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("seq2seq", "search")
        }
        return cls(**{**config, **parts})
