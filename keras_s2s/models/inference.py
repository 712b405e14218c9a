"""`Decodable`, the base class of models for decoding, and `InferenceModel`, which runs a search."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_s2s.search import GreedySearch, Search, SearchResult
from keras_s2s.system.checks import check_instance

# The inputs that a search takes for each sentence.
CONTROLS = ("prefix", "forbidden", "required", "noise")


class Decodable(keras.Model):
    """The base class of models that a search can run over.

    A search encodes a source once with `encode`, then goes on token by token with `step`. `Seq2Seq`
    and `Ensemble` are such models. `InferenceModel`, `Translator` and the exporters use only the
    methods defined here and Keras' own. Called with `{"source_ids": (B, S), "target_ids": (B, T)}`,
    a model returns teacher-forced logits `(B, T, V)`.
    """

    @property
    def pad_id(self) -> int:
        """The id that pads rows to the length of the longest."""
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
        """Whether `step` returns attention weights; without attention they are zeros."""
        raise NotImplementedError

    @property
    def compute_dtypes(self) -> set[str]:
        """The dtypes that the parts of the model compute in."""
        raise NotImplementedError

    def encode(self, source_ids: Any, source_features: Any = None) -> tuple[Any, Any]:
        """Encodes source ids `(B, S)`: the memory and the first state, for `step`."""
        raise NotImplementedError

    def step(self, tokens: Any, state: Any, memory: Any) -> tuple[Any, Any, Any]:
        """Runs one step, one token for each row: `(logits (N, V), state, weights (N, S))`.

        `N` is the memory's `B`, or `B·K` with `K` adjacent rows for each source, as in beam search,
        where the memory is not repeated.
        """
        raise NotImplementedError

    def inference_model(self, search: Search | None = None, **ids: int) -> InferenceModel:
        """Makes an `InferenceModel` that decodes with the weights of this model.

        Args:
            search: a `Search`; `GreedySearch()` when omitted.
            **ids: `start_id`, `end_id` and `unknown_id` of the `InferenceModel`.
        """
        return InferenceModel(self, search, **ids)


@keras.saving.register_keras_serializable(package="keras_s2s")
class InferenceModel(keras.Model):
    """Decodes source ids to a `SearchResult`, token by token, with the weights of a model.

    `predict(source_ids)` returns a `SearchResult` of NumPy arrays. The result of a sentence does
    not depend on the other sentences in its batch. A search that draws with a seed starts its draws
    anew with each `predict`, so the same call returns the same samples.

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
            # This model adds no weights, so nothing is left to build. Keras warns when it saves a
            # model that is not built.
            self.build()

    def build(self, input_shape: Any = None) -> None:
        if not self.seq2seq.built:
            self.seq2seq.build()

    def __call__(self, source_ids: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_inputs(source_ids)
        return super().__call__(source_ids, *args, **kwargs)

    def call(self, source_ids: Any) -> SearchResult:
        """Runs the search: source ids `(B, S)` int to a `SearchResult`.

        Further inputs come in a dict beside `"source_ids"`: `"source_features": (B, S, F)` for an
        encoder with source features, and the inputs of a search for each sentence, `"prefix"`,
        `"forbidden"`, `"required"` and `"noise"`, as in `Search.__call__`.
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
        """Decodes in batches, as `keras.Model.predict` does. No sentences give an empty result.

        Raises:
            ValueError: If ids are out of range, if no output can fulfil the constraints, or if
                logits are not finite.
        """
        if self._check_inputs(x) == 0:
            return self._empty_result(x)
        if self.seeds is not None and getattr(self.search, "seed", None) is not None:
            self.seeds.state.assign(self._first_seed)
        return SearchResult(*super().predict(x, *args, **kwargs)).check()

    def predict_on_batch(self, x: Any) -> SearchResult:
        """Decodes one batch. The random draws of a search continue from the batch before.

        Raises:
            ValueError: If `predict` would raise it.
        """
        return self._empty_result(x) if self._check_inputs(x) == 0 else self.search_batch(x)

    def search_batch(self, x: Any) -> SearchResult:
        """Decodes one batch of at least one sentence, whose inputs were checked before.

        A `Translator` checks the constraints of all texts together before the first batch.

        Raises:
            ValueError: If logits are not finite.
        """
        return SearchResult(*super().predict_on_batch(x)).check()

    def _empty_result(self, x: Any) -> SearchResult:
        """Returns the result of no sentences.

        The search runs eagerly, because a loop that TensorFlow traced for 0 rows cannot write
        outputs.
        """
        return SearchResult(*map(ops.convert_to_numpy, self(x)))

    def _check_inputs(self, x: Any) -> int | None:
        """Checks inputs that are arrays, and returns the number of sentences, or None if unknown.

        Tensors in a graph cannot be checked. There an id out of range gets the embedding of another
        id, or zeros.

        Raises:
            ValueError: If ids are out of range or no output can fulfil the constraints.
        """
        inputs = x if isinstance(x, dict) else {"source_ids": x}
        arrays = {
            name: np.asarray(value)
            for name, value in inputs.items()
            if isinstance(value, (np.ndarray, list))
        }
        ids = arrays.get("source_ids")
        size = self.seq2seq.source_vocabulary_size
        if ids is not None and ids.size and not 0 <= ids.min() <= ids.max() < size:
            raise ValueError(
                f"Source ids must be from 0 to below {size}, the encoder's vocabulary size; got "
                f"{ids.min()} to {ids.max()}."
            )
        phrases = {name: arrays[name] for name in CONTROLS[:3] if name in arrays}
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
