"""Translator: strings → ids → search → ids → strings. One `.keras` file holds all of it."""

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
from keras_s2s.translation.constraints import Constraints, Controls
from keras_s2s.translation.minimum_bayes_risk import MinimumBayesRisk
from keras_s2s.translation.results import Alignment, Translation, in_batches, source_rows
from keras_s2s.translation.scoring import ScoringModel, TargetScore, check_pairs, score_rows
from keras_s2s.translation.unknowns import UnknownReplacement

# What may be set to something else at any time, and its type.
_SETTINGS = {
    "search": Search,
    "unknown_replacement": UnknownReplacement,
    "choice": MinimumBayesRisk,
}
_PARTS = ("source_tokenizer", "target_tokenizer", *_SETTINGS)


class _Cache:
    """Holds the compiled models. A plain object: Keras neither tracks nor saves it."""

    model: InferenceModel | None = None
    scoring: ScoringModel | None = None


@keras.saving.register_keras_serializable(package="keras_s2s")
class Translator(keras.Model):
    """A trained model with its tokenizers and search settings: text in, text out.

    A source becomes `encode(text)[:max_source_length − 1] + [end]`; what is cut off is warned
    about. Texts are batched by length and come back in their own order. `save("x.keras")` keeps
    weights, tokenizers and search, and `keras.saving.load_model("x.keras")` gives them back, where
    `import keras_s2s` has told Keras of the classes.

    Args:
        model: a `Seq2Seq` or an `Ensemble`.
        source_tokenizer: a `Tokenizer` with the encoder's vocabulary size.
        target_tokenizer: a `Tokenizer` with the decoder's vocabulary size.
        search: a `Search`; `BeamSearch()` when omitted.
        max_source_length: longest source in ids, the end id counted.
        unknown_replacement: an `UnknownReplacement` for unknown tokens in outputs; None leaves
            them.
        choice: a `MinimumBayesRisk` that orders the hypotheses of a text; None leaves them in the
            order of the search.

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
                    f"{part} was made for {size}. Make the model with the tokenizer's "
                    "vocabulary_size."
                )
        check_size("max_source_length", max_source_length)
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_source_length = max_source_length
        self.supports_jit = False
        self._cache = _Cache()
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
                self._cache.model = None
            if name == "unknown_replacement" and value is not None and not self.model.attends:
                raise ValueError(
                    "`unknown_replacement` goes by attention, and this model has none. Train one "
                    "with attention, or leave it out."
                )
        super().__setattr__(name, value)

    def build(self, input_shape: Any = None) -> None:
        if not self.model.built:
            self.model.build()

    def inference_model(self, search: Search | None = None) -> InferenceModel:
        """Source ids to a `SearchResult`, with this translator's weights, special ids, search."""
        return InferenceModel(
            self.model,
            search or self.search,
            start_id=self.target_tokenizer.start_id,
            end_id=self.target_tokenizer.end_id,
            unknown_id=self.target_tokenizer.unknown_id,
        )

    def with_model(self, model: Decodable) -> Translator:
        """A translator with another model; tokenizers and all settings are those of this one."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in _PARTS}
        return Translator(model, max_source_length=self.max_source_length, **parts)

    def copy(self, *, mixed: bool = True) -> Translator:
        """One with weights of its own, never compiled: saved, it takes no optimizer along.

        Args:
            mixed: keep policies of mixed precision. They pay in training; without them outputs do
                not hang on how a machine rounds bfloat16.
        """
        config = self.model.get_config()
        model = type(self.model).from_config(config if mixed else unmixed(config))
        model.build()
        model.set_weights(self.model.get_weights())
        return self.with_model(model)

    def call(self, source_ids: Any) -> SearchResult:
        """Source ids `(B, S)` to a `SearchResult`; for texts, call the translator itself."""
        return self.inference_model().call(source_ids)

    def __call__(self, texts: Any, *args: Any, batch_size: int = 32, **kwargs: Any) -> Any:
        """Translates a text or a sequence of texts; ids are handled as by any Keras model.

        Args:
            texts: a string, or a list, tuple or 1-D array of strings.
            *args: passed on when `texts` are ids.
            batch_size: sentences per batch.
            **kwargs: passed on when `texts` are ids.

        Returns:
            A string for a string, a list of strings for a sequence; for ids, what `call` returns.

        Raises:
            TypeError: neither strings nor ids, or strings mixed with something else.
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
                f"integer array (B, S); got {type(texts).__name__}."
            )
        return super().__call__(texts, *args, **kwargs)

    def translate(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        constraints: Constraints | Sequence[Constraints] | None = None,
    ) -> list[list[Translation]]:
        """Translates texts, with everything that is known of each hypothesis.

        Args:
            texts: any number of strings; an empty string is a source of its end token alone.
            batch_size: sentences per batch; it changes the speed, not the result.
            constraints: what outputs must begin with, must not say and must say: a `Constraints`
                for all texts, or one for each.

        Returns:
            For every text, in order, its hypotheses, best first: one for greedy search, up to
            `n_best` for beam search.

        Raises:
            TypeError: one string, or something in the sequence that is not a string.
            ValueError: `batch_size` below 1; constraints that no output can fulfil; a model whose
                logits are not finite.
        """
        return list(self.stream(texts, batch_size=batch_size, constraints=constraints))

    def stream(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        constraints: Constraints | Sequence[Constraints] | None = None,
    ) -> Iterator[list[Translation]]:
        """The items of `translate`, each given out as soon as those before it are there.

        For texts that are too many to hold all their alignments: at most 64 batches are kept at a
        time. Arguments and errors are those of `translate`; texts are checked at once.
        """
        check_several("texts", texts)
        check_size("batch_size", batch_size)
        rows = self._source_rows(texts)
        controls = Controls(len(rows), constraints, self.target_tokenizer, self.search)
        # The search that the constraints were checked for, whatever is set before the last batch.
        model = self._compiled_model()

        def search(places: Sequence[int]) -> SearchResult:
            source_ids = padded([rows[place] for place in places])
            return model.search_batch({"source_ids": source_ids, **controls.of(places)})

        outputs = in_batches(rows, batch_size, search, self.target_tokenizer)
        return (self._finished(*pair) for pair in zip(texts, outputs, strict=True))

    def _finished(self, source: str, hypotheses: list[Translation]) -> list[Translation]:
        """Hypotheses of the search with what the settings make of them."""
        replace = self.unknown_replacement
        if replace is not None:
            sides = self.source_tokenizer, self.target_tokenizer
            hypotheses = [replace(each, source, *sides) for each in hypotheses]
        return hypotheses if self.choice is None else self.choice(hypotheses)

    def source_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to padded source ids `(B, S)` int32, each row ending with the end id."""
        return padded(self._source_rows(texts))

    def align(self, text: str) -> Alignment:
        """Translates one text; gives the pieces of both sides with the attention between them."""
        best = self.translate([text])[0][0]
        source = self.source_tokenizer
        ids = [*source.encode([text])[0][: self.max_source_length - 1], source.end_id]
        return Alignment(source.pieces(ids), self.target_tokenizer.pieces(best.ids), best.weights)

    def score(
        self, sources: Sequence[str], targets: Sequence[str], *, batch_size: int = 32
    ) -> list[TargetScore]:
        """How probable the model finds given targets, each as a whole: none is cut.

        Args:
            sources: texts; long ones are cut as in translation.
            targets: as many texts, one for each source.
            batch_size: pairs per batch; it changes the speed, not the result.

        Returns:
            A `TargetScore` for every pair, in order.

        Raises:
            TypeError: one string, or something in a sequence that is not a string.
            ValueError: counts differ, or `batch_size` below 1.
        """
        check_pairs(sources, targets)
        check_size("batch_size", batch_size)
        if self._cache.scoring is None:
            self._cache.scoring = ScoringModel(self.model)
        target = self.target_tokenizer
        return score_rows(
            self._cache.scoring,
            self._source_rows(sources),
            [[*ids, target.end_id] for ids in target.encode(targets)],
            start_id=target.start_id,
            pad_id=self.model.pad_id,
            batch_size=batch_size,
        )

    def _source_rows(self, texts: Sequence[str]) -> list[list[int]]:
        return source_rows(texts, self.source_tokenizer, self.max_source_length)

    def _compiled_model(self) -> InferenceModel:
        """The inference model of the search that is set, the same until another is set."""
        if self._cache.model is None:
            self._cache.model = self.inference_model()
        return self._cache.model

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
            if name in config  # files of earlier versions lack the newest
        }
        return cls(**{**config, **parts})
