"""Validation by decoding, with Keras callbacks that score whole outputs after each epoch.

Perplexity measures how well a model predicts the next token after the true ones. BLEU, chrF, WER,
PER and exact match measure whole outputs, which must be decoded first. Decoding a validation set
takes long. So a `DecodedValidation` limits the number of sentences and the search, decodes once
after each epoch, and serves all its metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_s2s.evaluation.metrics import METRICS, Metric, References, Score
from keras_s2s.optimization.moving_average import averaged_weights
from keras_s2s.search import Search
from keras_s2s.system.checks import check_instance, check_optional_size, check_several, check_size
from keras_s2s.translation.translator import Translator


class DecodedValidation:
    """A validation set that is decoded once after each epoch, for all metrics that share it.

    Args:
        translator: a `Translator` of the model that is trained, whose weights it shares.
        sources: the source texts.
        references: the target of each source, or a list of targets that are all right.
            `group_references` makes such lists from pairs.
        max_sentences: the number of sources to decode, spread evenly over all of them; None decodes
            all.
        search: the search that decodes; the translator's own when omitted. `BeamSearch(width=1)`
            costs least.
        batch_size: the number of sentences that are decoded at once.

    Raises:
        ValueError: If there are no sources, if there are not as many references as sources, or if a
            size is below 1.
        TypeError: If an argument has another type.

    Example: two metrics, the second of which needs no further decoding, and early stopping by the
        first. The callbacks go to `model.fit(..., callbacks=callbacks)` in this order.
    >>> letters = CharTokenizer(["a", "b", "c"])
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=7, embedding_size=4, units=4),
    ...     Decoder(vocabulary_size=7, embedding_size=4, units=8),
    ... )
    >>> translator = Translator(model, letters, letters)
    >>> search = BeamSearch(width=1, max_length=5)
    >>> held_out = DecodedValidation(translator, ["abc", "cab"], ["cba", "bac"], search=search)
    >>> callbacks = [
    ...     BLEU(held_out, tokenize="none"),
    ...     ChrF(held_out),
    ...     keras.callbacks.EarlyStopping("val_bleu", mode="max", patience=3),
    ... ]
    >>> len(held_out.outputs(model))
    2
    """

    def __init__(
        self,
        translator: Translator,
        sources: Sequence[str],
        references: References,
        *,
        max_sentences: int | None = None,
        search: Search | None = None,
        batch_size: int = 64,
    ) -> None:
        if not isinstance(translator, Translator):
            raise TypeError(
                f"`translator` must be a Translator; got {type(translator).__name__}. Put model "
                "and tokenizers into one: Translator(model, source_tokenizer, target_tokenizer)."
            )
        check_several("sources", sources)
        check_several("references", references)
        if not sources or len(sources) != len(references):
            raise ValueError(
                "Every source needs a reference or a list of references; got "
                f"{len(sources)} sources and {len(references)} references."
            )
        check_optional_size("max_sentences", max_sentences)
        check_size("batch_size", batch_size)
        # This translator has the same model and settings, but its search can be set without
        # changing the search of the caller's translator.
        self.translator = translator.with_model(translator.model)
        self.translator.search = translator.search if search is None else search
        count = min(max_sentences or len(sources), len(sources))
        rows = [i * len(sources) // count for i in range(count)]
        self.sources = [sources[row] for row in rows]
        self.references = [references[row] for row in rows]
        self.max_sentences = max_sentences
        self.batch_size = batch_size
        self._outputs: list[str] | None = None

    def outputs(self, model: keras.Model) -> list[str]:
        """Returns the outputs for the sources, which are decoded only once until `forget`.

        Args:
            model: the model that is trained. If its optimizer keeps a moving average of the
                weights, the average decodes.
        """
        if self._outputs is None:
            with averaged_weights(model):
                texts = self.translator(self.sources, batch_size=self.batch_size)
            # An output is one line, as the command line prints it.
            self._outputs = [" ".join(text.splitlines()) for text in texts]
        return self._outputs

    def forget(self) -> None:
        """Makes the next `outputs` decode again."""
        self._outputs = None


class DecodedMetric(keras.callbacks.Callback):
    """The base of callbacks that put a score of decoded outputs into the logs of each epoch.

    In the list of callbacks it stands before the callbacks that read the value, such as
    `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau`, which need the `mode` that the
    subclass names. `History` has the value, too.

    A subclass either sets `metric`, or sets `metric_name` and `higher_is_better` and overrides
    `score`.

    Args:
        validation: the `DecodedValidation` to score. Several metrics may share it.
        name: the name of the value in the logs, after `val_`; the name of the metric when omitted.

    Attributes:
        signature: the signature of the value; None before the end of the first epoch.
        higher_is_better: whether a good model has a high value.

    Raises:
        TypeError: If `validation` is not a `DecodedValidation`.
        ValueError: If training starts with a model that shares no weights with the translator.
    """

    metric: Metric | None = None
    metric_name = ""
    higher_is_better = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        metric = cls.__dict__.get("metric")
        if metric is not None:
            cls.metric_name = metric.name
            cls.higher_is_better = metric.higher_is_better

    def __init__(self, validation: DecodedValidation, *, name: str | None = None) -> None:
        super().__init__()
        check_instance("validation", validation, DecodedValidation)
        self.validation = validation
        self.name = self.metric_name if name is None else name
        self.signature: str | None = None

    def score(self, outputs: Sequence[str], references: References) -> Score:
        """Returns the score of outputs against their references."""
        if self.metric is None:
            raise NotImplementedError(
                f"{type(self).__name__} must set `metric` or override `score`; it does neither."
            )
        return self.metric.score(outputs, references)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        trained = {id(weight) for weight in self.model.weights}
        if trained.isdisjoint(map(id, self.validation.translator.model.weights)):
            raise ValueError(
                "The translator of a DecodedValidation must hold the model that is trained; got "
                "one that shares no weights with it. Make the translator with this model."
            )
        self.validation.forget()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.validation.forget()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        outputs = self.validation.outputs(self.model)
        value, self.signature = self.score(outputs, self.validation.references)
        if logs is not None:
            logs[f"val_{self.name}"] = value


class BLEU(DecodedMetric):
    """A callback that logs `val_bleu`: sacreBLEU's corpus BLEU, 0 to 100, with `mode="max"`.

    See `DecodedMetric` for its place among the callbacks.

    Args:
        validation: the `DecodedValidation` to score.
        tokenize: the name of sacreBLEU's tokenizer. None is '13a', and 'none' is for text that is
            tokenised already.
        name: the name of the value in the logs, after `val_`.

    Raises:
        ValueError: If sacreBLEU has no such tokenizer.
    """

    metric = METRICS["bleu"]

    def __init__(
        self,
        validation: DecodedValidation,
        *,
        tokenize: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(validation, name=name)
        self.tokenize = tokenize
        self.score([""], [""])  # an unknown tokenizer fails now, not after the first epoch

    def score(self, outputs: Sequence[str], references: References) -> Score:
        return self.metric.score(outputs, references, tokenize=self.tokenize)


class ChrF(DecodedMetric):
    """A callback that logs `val_chrf`: sacreBLEU's corpus chrF2, 0 to 100, with `mode="max"`.

    See `DecodedMetric` for its arguments and its place among the callbacks.
    """

    metric = METRICS["chrf"]


class ExactMatch(DecodedMetric):
    """A callback that logs `val_exact_match`: the share of right outputs, with `mode="max"`.

    An output is right if it equals one of its references. See `DecodedMetric` for the arguments and
    the place among the callbacks.
    """

    metric = METRICS["exact_match"]


class WER(DecodedMetric):
    """A callback that logs `val_wer`: the share of wrong outputs, as in G2P, with `mode="min"`.

    See `word_error_rate` for the metric, and `DecodedMetric` for the arguments and the place among
    the callbacks.
    """

    metric = METRICS["wer"]


class PER(DecodedMetric):
    """A callback that logs `val_per`: edits to the closest reference per token, with `mode="min"`.

    See `phone_error_rate` for the metric, and `DecodedMetric` for the arguments and the place among
    the callbacks.
    """

    metric = METRICS["per"]


DECODED_METRICS: dict[str, type[DecodedMetric]] = {
    kind.metric_name: kind for kind in (BLEU, ChrF, WER, PER, ExactMatch)
}
