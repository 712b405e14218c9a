"""The translator, a trained model with its tokenizers and search that turns texts into texts.

A text becomes source ids, which the model and the search turn into target ids, which become text
again. One `.keras` file holds the whole translator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_s2s.data.padding import padded
from keras_s2s.models.inference import Decodable, InferenceModel
from keras_s2s.models.precision import unmixed
from keras_s2s.search import BeamSearch, Search, SearchResult
from keras_s2s.system.checks import check_instance, check_several, check_size
from keras_s2s.text import Tokenizer
from keras_s2s.translation.constraints import Constraints, SearchInputs
from keras_s2s.translation.minimum_bayes_risk import MinimumBayesRisk
from keras_s2s.translation.results import Alignment, Translation, decode_in_batches, source_rows
from keras_s2s.translation.scoring import ScoringModel, TargetScore, check_pairs, score_rows
from keras_s2s.translation.unknowns import UnknownReplacement

# Attributes that may be set to another value at any time, and their types.
_SETTINGS = {
    "search": Search,
    "unknown_replacement": UnknownReplacement,
    "choice": MinimumBayesRisk,
}
_PARTS = ("source_tokenizer", "target_tokenizer", *_SETTINGS)


class _CompiledModels:
    """The models that are compiled for this translator, once each.

    This is a plain object, so that Keras neither tracks nor saves the models.
    """

    inference: InferenceModel | None = None
    scoring: ScoringModel | None = None


@keras.saving.register_keras_serializable(package="keras_s2s")
class Translator(keras.Model):
    """A trained model with its tokenizers and search settings, which translates texts.

    The source ids of a text are `encode(text)[:max_source_length − 1] + [end]`, and a text that is
    cut raises a warning. Texts of similar lengths share a batch, and outputs come back in the order
    of the texts. `save("x.keras")` writes weights, tokenizers and search, and
    `keras.saving.load_model("x.keras")` restores them, once `import keras_s2s` has registered the
    classes with Keras.

    Args:
        model: a `Seq2Seq` or an `Ensemble`.
        source_tokenizer: a `Tokenizer` with the encoder's vocabulary size.
        target_tokenizer: a `Tokenizer` with the decoder's vocabulary size.
        search: a `Search`; `BeamSearch()` when omitted.
        max_source_length: the greatest number of source ids, the end id counted.
        unknown_replacement: an `UnknownReplacement` for unknown tokens in outputs; None leaves
            them as they are.
        choice: a `MinimumBayesRisk` that orders the hypotheses of a text; None leaves them in the
            order of the search.

    Raises:
        ValueError: If a tokenizer and the model differ in vocabulary size, if `max_source_length`
            is below 1, or if `unknown_replacement` is set for a model without attention.
        TypeError: If `search`, `unknown_replacement` or `choice` has another type.

    Example:
    >>> from keras_s2s import CharTokenizer, Decoder, Encoder, Seq2Seq
    >>> letters = CharTokenizer(["a", "b", "c"])
    >>> size = letters.vocabulary_size
    >>> translator = Translator(
    ...     Seq2Seq(
    ...         Encoder(vocabulary_size=size, embedding_size=4, units=4),
    ...         Decoder(vocabulary_size=size, embedding_size=4, units=8),
    ...     ),
    ...     letters,
    ...     letters,
    ...     search=BeamSearch(width=2, max_length=5),
    ... )
    >>> type(translator("abc")), len(translator(["abc", "", "cab"]))
    (<class 'str'>, 3)
    """

    def __init__(
        self,
        model: Decodable,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        search: Search | None = None,
        max_source_length: int = 100,
        unknown_replacement: UnknownReplacement | None = None,
        choice: MinimumBayesRisk | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for side, tokenizer, part, size in (
            ("source", source_tokenizer, "encoder", model.source_vocabulary_size),
            ("target", target_tokenizer, "decoder", model.target_vocabulary_size),
        ):
            if tokenizer.vocabulary_size != size:
                raise ValueError(
                    f"The {side} tokenizer has {tokenizer.vocabulary_size} ids, but the "
                    f"{part} was made for {size}. Make the model with the vocabulary_size of the "
                    "tokenizer."
                )
        check_size("max_source_length", max_source_length)
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_source_length = max_source_length
        self.supports_jit = False
        self._compiled_models = _CompiledModels()
        self.search = search or BeamSearch()
        self.unknown_replacement = unknown_replacement
        self.choice = choice
        self.build()

    def __setattr__(self, name: str, value: Any) -> None:
        kind = _SETTINGS.get(name)
        if kind is not None:
            if value is not None or name == "search":
                check_instance(name, value, kind)
            if name == "search":
                self._compiled_models.inference = None
            if name == "unknown_replacement" and value is not None and not self.model.attends:
                raise ValueError(
                    "`unknown_replacement` needs attention, and this model has none. Train a "
                    "model with attention, or set unknown_replacement=None."
                )
        super().__setattr__(name, value)

    def build(self, input_shape: Any = None) -> None:
        if not self.model.built:
            self.model.build()

    def inference_model(self, search: Search | None = None) -> InferenceModel:
        """Returns a model that turns source ids into a `SearchResult`.

        The model has the weights and special ids of this translator.

        Args:
            search: a `Search`; the translator's own when omitted.
        """
        return InferenceModel(
            self.model,
            search or self.search,
            start_id=self.target_tokenizer.start_id,
            end_id=self.target_tokenizer.end_id,
            unknown_id=self.target_tokenizer.unknown_id,
        )

    def with_model(self, model: Decodable) -> Translator:
        """Returns a translator with another model and the tokenizers and settings of this one."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in _PARTS}
        return Translator(model, max_source_length=self.max_source_length, **parts)

    def copy(self, *, mixed: bool = True) -> Translator:
        """Returns a translator with a copy of the weights.

        The copy is not compiled, so its file holds no optimizer.

        Args:
            mixed: whether layers keep mixed-precision policies, which speed up training. Without
                them, outputs do not depend on how a machine rounds bfloat16.
        """
        config = self.model.get_config()
        model = type(self.model).from_config(config if mixed else unmixed(config))
        model.build()
        model.set_weights(self.model.get_weights())
        return self.with_model(model)

    def call(self, source_ids: Any) -> SearchResult:
        """Searches with source ids `(B, S)`, and returns a `SearchResult`.

        To translate texts, call the translator itself.
        """
        return self.inference_model().call(source_ids)

    def __call__(self, texts: Any, *args: Any, batch_size: int = 32, **kwargs: Any) -> Any:
        """Translates a text or a sequence of texts. Ids are handled as by any Keras model.

        Args:
            texts: a string; a list, tuple or 1-D array of strings; or source ids `(B, S)`.
            *args: further arguments of a Keras model's call, which only ids take.
            batch_size: the number of sentences per batch.
            **kwargs: further arguments of a Keras model's call, which only ids take.

        Returns:
            A string for a string, a list of strings for a sequence of strings, and a `SearchResult`
            for ids.

        Raises:
            TypeError: If `texts` are neither strings nor ids, or mix strings with other objects.
        """
        if isinstance(texts, str):
            return self.translate([texts], batch_size=batch_size)[0][0].text
        if isinstance(texts, np.ndarray) and (texts.dtype.kind in "UO" or texts.shape == (0,)):
            texts = texts.tolist()
        if isinstance(texts, (list, tuple)):
            return [best[0].text for best in self.stream(texts, batch_size=batch_size)]
        if "int" not in str(getattr(texts, "dtype", "")):
            raise TypeError(
                "A translator takes a string, a list, tuple or array of strings, or ids as an "
                f"integer array (B, S); got {type(texts).__name__}. Decode bytes to strings first."
            )
        return super().__call__(texts, *args, **kwargs)

    def translate(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        constraints: Constraints | Sequence[Constraints] | None = None,
    ) -> list[list[Translation]]:
        """Translates texts, and returns the hypotheses with scores, ids and attention weights.

        Args:
            texts: any number of strings. The source ids of an empty string are the end id alone.
            batch_size: the number of sentences per batch, which affects the speed but not the
                result.
            constraints: one `Constraints` for all texts, or one for each text, with the prefix and
                the forbidden and required phrases of the output.

        Returns:
            A list of hypotheses for each text, in the order of the texts. The best hypothesis comes
            first. Greedy search gives one hypothesis, and beam search up to `n_best`.

        Raises:
            TypeError: If `texts` is one string, or holds something that is not a string.
            ValueError: If `batch_size` is below 1, if no output can fulfil the constraints, or if
                the model's logits are not finite.
        """
        return list(self.stream(texts, batch_size=batch_size, constraints=constraints))

    def stream(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        constraints: Constraints | Sequence[Constraints] | None = None,
    ) -> Iterator[list[Translation]]:
        """Yields the hypotheses of each text in turn, as soon as they are found.

        Use this method if memory cannot hold the alignments of all texts, since it keeps at most 64
        batches at a time. Arguments, items and errors are those of `translate`. All texts are
        checked in the call, before the first item.
        """
        check_several("texts", texts)
        check_size("batch_size", batch_size)
        rows = self._source_rows(texts)
        inputs = SearchInputs(len(rows), constraints, self.target_tokenizer, self.search)
        # The model is fixed here, because constraints are checked for this search, and another
        # search may be set before the last batch.
        model = self._current_inference_model()

        def search(places: Sequence[int]) -> SearchResult:
            source_ids = padded([rows[place] for place in places])
            return model.search_batch({"source_ids": source_ids, **inputs.for_batch(places)})

        outputs = decode_in_batches(rows, batch_size, search, self.target_tokenizer)
        return (self._processed(*pair) for pair in zip(texts, outputs, strict=True))

    def _processed(self, source: str, hypotheses: list[Translation]) -> list[Translation]:
        """Applies `unknown_replacement` and `choice` to the hypotheses of one text."""
        replace = self.unknown_replacement
        if replace is not None:
            tokenizers = self.source_tokenizer, self.target_tokenizer
            hypotheses = [replace(hypothesis, source, *tokenizers) for hypothesis in hypotheses]
        return hypotheses if self.choice is None else self.choice(hypotheses)

    def source_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the source ids of texts with end id and padding at the end, `(B, S)` int32."""
        return padded(self._source_rows(texts))

    def align(self, text: str) -> Alignment:
        """Translates one text, and returns the attention between its source and target pieces."""
        best = self.translate([text])[0][0]
        source = self.source_tokenizer
        ids = [*source.encode([text])[0][: self.max_source_length - 1], source.end_id]
        return Alignment(source.pieces(ids), self.target_tokenizer.pieces(best.ids), best.weights)

    def score(
        self, sources: Sequence[str], targets: Sequence[str], *, batch_size: int = 32
    ) -> list[TargetScore]:
        """Computes the log-probabilities of given targets under the model.

        Args:
            sources: the source texts. Long texts are cut as in translation.
            targets: one target text for each source. Targets are never cut.
            batch_size: the number of pairs per batch, which affects the speed but not the result.

        Returns:
            A `TargetScore` for each pair, in the order of the pairs.

        Raises:
            TypeError: If an argument is one string, or holds something that is not a string.
            ValueError: If there are not as many targets as sources, or if `batch_size` is below 1.
        """
        check_pairs(sources, targets)
        check_size("batch_size", batch_size)
        if self._compiled_models.scoring is None:
            self._compiled_models.scoring = ScoringModel(self.model)
        target = self.target_tokenizer
        return score_rows(
            self._compiled_models.scoring,
            self._source_rows(sources),
            [[*ids, target.end_id] for ids in target.encode(targets)],
            start_id=target.start_id,
            pad_id=self.model.pad_id,
            batch_size=batch_size,
        )

    def _source_rows(self, texts: Sequence[str]) -> list[list[int]]:
        return source_rows(texts, self.source_tokenizer, self.max_source_length)

    def _current_inference_model(self) -> InferenceModel:
        """Returns the inference model, which stays the same until another search is set."""
        if self._compiled_models.inference is None:
            self._compiled_models.inference = self.inference_model()
        return self._compiled_models.inference

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "max_source_length": self.max_source_length,
            **{name: serialize(getattr(self, name)) for name in ("model", *_PARTS)},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Translator:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("model", *_PARTS)
            if name in config  # files of earlier versions lack later settings
        }
        return cls(**{**config, **parts})
