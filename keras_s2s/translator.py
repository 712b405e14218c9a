"""Translator: strings → ids → search → ids → strings. One `.keras` file holds all of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np

from keras_s2s.folder import find_translator
from keras_s2s.inference import Decodable, InferenceModel
from keras_s2s.scoring import ScoringModel, TargetScore, score_rows
from keras_s2s.search import BeamSearch, Search, SearchResult
from keras_s2s.text import Tokenizer
from keras_s2s.translation import Alignment, Translation, padded, translations

# Sorted by length together: enough that little is padded, few enough to hold in memory.
_SORTED_BATCHES = 64


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
        if not isinstance(max_source_length, int) or max_source_length < 1:
            raise ValueError(
                f"`max_source_length` must be a positive integer; got {max_source_length!r}."
            )
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.max_source_length = max_source_length
        self.supports_jit = False
        self._cache = _Cache()
        self.search = search or BeamSearch()
        self.build()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "search":
            if not isinstance(value, Search):
                raise TypeError(f"`search` must be a Search; got {type(value).__name__}.")
            self._cache.model = None
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
        )

    def with_model(self, model: Decodable) -> Translator:
        """A translator with another model; tokenizers and all settings are those of this one."""
        return Translator(
            model,
            self.source_tokenizer,
            self.target_tokenizer,
            self.search,
            self.max_source_length,
        )

    def copy(self) -> Translator:
        """One with weights of its own, never compiled: saved, it takes no optimizer along."""
        model = type(self.model).from_config(self.model.get_config())
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

    def translate(self, texts: Sequence[str], *, batch_size: int = 32) -> list[list[Translation]]:
        """Translates texts, with everything that is known of each hypothesis.

        Args:
            texts: any number of strings; an empty string is a source of its end token alone.
            batch_size: sentences per batch; it changes the speed, not the result.

        Returns:
            For every text, in order, its hypotheses, best first: one for greedy search, up to
            `n_best` for beam search.

        Raises:
            TypeError: one string, or something in the sequence that is not a string.
            ValueError: `batch_size` below 1.
        """
        return list(self.stream(texts, batch_size=batch_size))

    def stream(self, texts: Sequence[str], *, batch_size: int = 32) -> Iterator[list[Translation]]:
        """The items of `translate`, each given out as soon as those before it are there.

        For texts that are too many to hold all their alignments: at most 64 batches are sorted by
        length and kept at a time.

        Arguments and errors are those of `translate`; texts are checked, and warned about, at once.
        """
        if isinstance(texts, str):
            raise TypeError("`texts` must be a sequence of strings; got one string. Pass [text].")
        _check_batch_size(batch_size)
        return self._stream(self._source_rows(texts), batch_size)

    def _stream(self, rows: list[list[int]], batch_size: int) -> Iterator[list[Translation]]:
        for start in range(0, len(rows), _SORTED_BATCHES * batch_size):
            window = rows[start : start + _SORTED_BATCHES * batch_size]
            order = sorted(range(len(window)), key=lambda i: len(window[i]))
            results: list[list[Translation]] = [[] for _ in window]
            for first in range(0, len(order), batch_size):
                chosen = order[first : first + batch_size]
                found = self._search(padded([window[i] for i in chosen]))
                for place, i in enumerate(chosen):
                    results[i] = translations(found, place, len(window[i]), self.target_tokenizer)
            yield from results

    def source_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Texts to padded source ids `(B, S)` int32, each row ending with the end id."""
        return padded(self._source_rows(texts))

    def align(self, text: str) -> Alignment:
        """Translates one text; gives the pieces of both sides with the attention between them."""
        rows = self._source_rows([text])
        best = next(self._stream(rows, 1))[0]
        return Alignment(
            self.source_tokenizer.pieces(rows[0]),
            self.target_tokenizer.pieces(best.ids),
            best.weights,
        )

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
        for name, texts in (("sources", sources), ("targets", targets)):
            if isinstance(texts, str):
                raise TypeError(
                    f"`{name}` must be a sequence of strings; got one string. Pass [text]."
                )
        if len(sources) != len(targets):
            raise ValueError(
                f"There must be one target for each source; got {len(sources)} sources and "
                f"{len(targets)} targets."
            )
        _check_batch_size(batch_size)
        if self._cache.scoring is None:
            self._cache.scoring = ScoringModel(self.model)
        end_id = self.target_tokenizer.end_id
        return score_rows(
            self._cache.scoring,
            self._source_rows(sources),
            [[*ids, end_id] for ids in self.target_tokenizer.encode(targets)],
            start_id=self.target_tokenizer.start_id,
            pad_id=self.model.pad_id,
            batch_size=batch_size,
        )

    def _source_rows(self, texts: Sequence[str]) -> list[list[int]]:
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"`texts` must hold strings; got {type(text).__name__} at {i}.")
        room = self.max_source_length - 1
        encoded = self.source_tokenizer.encode(texts)
        long = [i for i, ids in enumerate(encoded) if len(ids) > room]
        if long:
            warnings.warn(
                f"{len(long)} of {len(texts)} texts are longer than {room} source tokens and are "
                f"cut there; the first is text {long[0] + 1}, with {len(encoded[long[0]])} tokens.",
                stacklevel=3,
            )
        return [[*ids[:room], self.source_tokenizer.end_id] for ids in encoded]

    def _search(self, source_ids: np.ndarray) -> SearchResult:
        if self._cache.model is None:
            self._cache.model = self.inference_model()
        return SearchResult(*self._cache.model.predict_on_batch(source_ids))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "model": serialize(self.model),
            "source_tokenizer": serialize(self.source_tokenizer),
            "target_tokenizer": serialize(self.target_tokenizer),
            "search": serialize(self.search),
            "max_source_length": self.max_source_length,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Translator:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("model", "source_tokenizer", "target_tokenizer", "search")
        }
        return cls(**{**config, **parts})


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1; got {batch_size}.")


def load_translator(path: str | PathLike[str]) -> Translator:
    """Loads a translator from its `.keras` file, or from the folder that training wrote it to.

    Args:
        path: `translator.keras`, or a folder that holds one.

    Returns:
        The `Translator`, with tokenizers and search settings as saved.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if what is there is not a saved translator.
    """
    return keras.saving.load_model(find_translator(path))
