"""Metrics of what a model says, not of what it would have said next: callbacks that decode.

A perplexity asks for the next token behind the true ones; BLEU, chrF, WER, PER and exact match are
of whole outputs. Decoding a validation set takes long, so it has a budget: so many sentences, one
search, once after each epoch, shared by all metrics of the same `DecodedValidation`.
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
    """Sources to decode after each epoch, what should come out, and how much may be spent on it.

    Args:
        translator: around the model that is trained; it shares the model's weights.
        sources: texts.
        references: for each source its target, or a list of targets any of which will do;
            `group_references` makes such lists of pairs.
        max_sentences: sources decoded, spread evenly over all of them; None for all.
        search: how to decode; `BeamSearch(width=1)` costs least. The translator's when omitted.
        batch_size: sentences decoded at once.

    Raises:
        ValueError: no sources, or another number of references; a size that is none.
        TypeError: a translator, search or list that is none.

    Example:
        ```python
        import keras
        import keras_s2s as s2s

        translator = s2s.Translator(model, source_tokenizer, target_tokenizer)
        held_out = s2s.DecodedValidation(translator, sources, references, max_sentences=200)
        model.fit(
            training,
            epochs=20,
            callbacks=[
                s2s.BLEU(held_out, tokenize="none"),
                s2s.ChrF(held_out),  # decodes nothing again
                keras.callbacks.EarlyStopping("val_bleu", mode="max", patience=3),
                keras.callbacks.ReduceLROnPlateau("val_bleu", mode="max", patience=1),
            ],
        )
        ```
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
                "There must be sources, and a reference or a list of them for each; got "
                f"{len(sources)} sources and {len(references)} references."
            )
        check_optional_size("max_sentences", max_sentences)
        check_size("batch_size", batch_size)
        # With the same model and settings, but a search of its own.
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
        """What the model says to the sources; decoded once, until `forget`.

        Args:
            model: the model that is trained. If its optimizer keeps a moving average of the
                weights, that is what decodes.
        """
        if self._outputs is None:
            with averaged_weights(model):
                found = self.translator(self.sources, batch_size=self.batch_size)
            # An output is one line, as the command line prints it.
            self._outputs = [" ".join(text.splitlines()) for text in found]
        return self._outputs

    def forget(self) -> None:
        """Makes the next `outputs` decode again."""
        self._outputs = None


class DecodedMetric(keras.callbacks.Callback):
    """Puts a score of decoded outputs into the logs of each epoch. Use a subclass.

    It belongs before the callbacks that read the value: `EarlyStopping`, `ModelCheckpoint`,
    `ReduceLROnPlateau`, with `mode` as the subclass says. The value is in `History` too.

    A subclass sets `metric`; or `metric_name` and `higher_is_better`, and overrides `score`.

    Args:
        validation: what is decoded; several metrics may share it.
        name: of the value in the logs, behind `val_`.

    Attributes:
        signature: of the settings behind the value; None before the first epoch has ended.
        higher_is_better: whether the value should rise.
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
        """The score of outputs."""
        if self.metric is None:
            raise NotImplementedError
        return self.metric.score(outputs, references)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        trained = {id(weight) for weight in self.model.weights}
        if trained.isdisjoint(map(id, self.validation.translator.model.weights)):
            raise ValueError(
                "The translator of a DecodedValidation must hold the model that is trained; got "
                "one that shares no weights with it."
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
    """`val_bleu`: sacreBLEU's corpus BLEU, 0 to 100; `mode="max"`. See `DecodedMetric`.

    Args:
        validation: what is decoded.
        tokenize: sacreBLEU's tokenizer, such as 'none' for text that is tokenised; None is '13a'.
        name: of the value in the logs, behind `val_`.

    Raises:
        ValueError: an unknown tokenizer.
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
    """`val_chrf`: sacreBLEU's corpus chrF2, 0 to 100; `mode="max"`. See `DecodedMetric`."""

    metric = METRICS["chrf"]


class ExactMatch(DecodedMetric):
    """`val_exact_match`: share of outputs equal to a reference; `mode="max"`.

    See `DecodedMetric`.
    """

    metric = METRICS["exact_match"]


class WER(DecodedMetric):
    """`val_wer`: share of outputs equal to no reference, as in G2P; `mode="min"`.

    See `DecodedMetric` and `word_error_rate`.
    """

    metric = METRICS["wer"]


class PER(DecodedMetric):
    """`val_per`: edits of tokens to the closest reference over its length; `mode="min"`.

    See `DecodedMetric` and `phone_error_rate`.
    """

    metric = METRICS["per"]


DECODED_METRICS: dict[str, type[DecodedMetric]] = {
    kind.metric_name: kind for kind in (BLEU, ChrF, WER, PER, ExactMatch)
}
