"""Tests of the callbacks that decode: their scores, their budget, the weights and the order."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_s2s.evaluation import metrics as scores
from keras_s2s.evaluation.validation import (
    BLEU,
    DECODED_METRICS,
    PER,
    WER,
    ChrF,
    DecodedMetric,
    DecodedValidation,
    ExactMatch,
)
from keras_s2s.optimization.moving_average import averaged_weights
from keras_s2s.search import BeamSearch
from keras_s2s.translation.translator import Translator
from support.translators import tiny_translator

SOURCES = ["the cat", "a dog", "zebra", "fox", "mat"]
REFERENCES = [["the cat sat", "a cat"], ["a dog"], ["zebra"], ["quick fox"], ["mat", "the mat"]]
SEARCH = BeamSearch(width=1, max_length=4)
# One batch an epoch; what is learned does not matter.
IDS = np.random.default_rng(1).integers(4, 9, (6, 5))


@pytest.fixture(scope="module")
def translator() -> Translator:
    made = tiny_translator(search=SEARCH)
    made.model.compile(
        keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5), run_eagerly=False
    )
    return made


def fit(translator: Translator, *callbacks: Any, epochs: int = 2) -> dict[str, list[float]]:
    found = translator.model.fit(
        {"source_ids": IDS, "target_ids": IDS},
        IDS,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )
    history: dict[str, list[float]] = found.history
    return history


class Watch(keras.callbacks.Callback):
    """What the logs hold after each epoch, and what the averaged model says then."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.translator = translator
        self.logs: list[dict[str, float]] = []
        self.outputs: list[list[str]] = []
        self.raw: list[list[str]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.logs.append(dict(logs or {}))
        self.raw.append(self.translator(SOURCES))
        with averaged_weights(self.model):
            self.outputs.append(self.translator(SOURCES))


def test_values_are_the_scores_of_what_the_average_says_after_each_epoch(
    translator: Translator,
) -> None:
    validation = DecodedValidation(translator, SOURCES, REFERENCES)
    metrics = [kind(validation) for kind in DECODED_METRICS.values()]
    watch = Watch(translator)

    history = fit(translator, *metrics, watch)

    functions = {
        "bleu": scores.bleu,
        "chrf": scores.chrf,
        "wer": scores.word_error_rate,
        "per": scores.phone_error_rate,
        "exact_match": scores.exact_match,
    }
    of_outputs = [name for name, metric in scores.METRICS.items() if metric.needs_outputs]
    assert set(DECODED_METRICS) == set(functions) == set(of_outputs)
    assert any(raw != averaged for raw, averaged in zip(watch.raw, watch.outputs, strict=True))
    for metric in metrics:
        score = functions[metric.metric_name]
        found = [score(outputs, REFERENCES) for outputs in watch.outputs]
        name = f"val_{metric.metric_name}"
        assert [logs[name] for logs in watch.logs] == [each.value for each in found]
        assert history[name] == [each.value for each in found]
        assert metric.signature == found[-1].signature
        assert "nrefs:var" in found[-1].signature


def test_metrics_of_one_validation_decode_once_an_epoch(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    translate = Translator.__call__

    def counting(self: Translator, texts: Any, *args: Any, **given: Any) -> Any:
        calls.append(len(texts))
        return translate(self, texts, *args, **given)

    monkeypatch.setattr(Translator, "__call__", counting)
    validation = DecodedValidation(translator, SOURCES, REFERENCES, max_sentences=2)

    fit(translator, BLEU(validation), WER(validation), epochs=2)
    fit(translator, WER(validation), epochs=1)  # another training decodes anew

    assert calls == [2, 2, 2]


@pytest.mark.parametrize(
    ("most", "expected"),
    [(None, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (2, [0, 2]), (3, [0, 1, 3]), (1, [0])],
)
def test_a_budget_takes_sentences_from_all_over(
    translator: Translator, most: int | None, expected: list[int]
) -> None:
    validation = DecodedValidation(translator, SOURCES, REFERENCES, max_sentences=most)

    assert validation.sources == [SOURCES[row] for row in expected]
    assert validation.references == [REFERENCES[row] for row in expected]


def test_the_search_is_its_own(translator: Translator) -> None:
    wide = BeamSearch(width=3, max_length=2)
    validation = DecodedValidation(translator, SOURCES, REFERENCES, search=wide)

    assert (validation.translator.search, translator.search) == (wide, SEARCH)
    assert validation.translator.model is translator.model
    assert max(len(text.split()) for text in validation.outputs(translator.model)) <= 2


def test_keras_stops_saves_and_lowers_the_rate_by_it(translator: Translator, tmp_path: Any) -> None:
    class Given(DecodedMetric):
        metric_name = "given"
        values = iter([3.0, 5.0, 4.0, 4.0, 9.0])

        def score(self, outputs: Any, references: Any) -> scores.Score:
            return scores.Score(next(self.values), "")

    validation = DecodedValidation(translator, SOURCES, REFERENCES, max_sentences=1)
    rate = float(translator.model.optimizer.learning_rate)
    saved = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5",
        monitor="val_given",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        "val_given", mode="max", patience=1, factor=0.5, min_delta=0
    )
    stop = keras.callbacks.EarlyStopping("val_given", mode="max", patience=2)

    history = fit(translator, Given(validation), saved, plateau, stop, epochs=5)

    assert history["val_given"] == [3.0, 5.0, 4.0, 4.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "2.weights.h5"]
    assert float(translator.model.optimizer.learning_rate) == pytest.approx(rate / 4)


def test_a_translator_of_another_model_is_refused(translator: Translator) -> None:
    other = DecodedValidation(tiny_translator(seed=2, search=SEARCH), SOURCES, REFERENCES)

    with pytest.raises(ValueError, match="shares no weights"):
        fit(translator, WER(other))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"translator": None}, TypeError, "`translator` must be a Translator; got NoneType"),
        ({"sources": "text"}, TypeError, "`sources` must be a list of strings; got one str"),
        ({"references": "text"}, TypeError, "`references` must be a list"),
        ({"sources": [], "references": []}, ValueError, "got 0 sources and 0 references"),
        ({"sources": SOURCES[:2]}, ValueError, "got 2 sources and 5 references"),
        ({"max_sentences": 0}, ValueError, "`max_sentences` must be a positive integer or None"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a positive integer"),
        ({"search": "beam"}, TypeError, "`search` must be a Search"),
    ],
)
def test_validations_that_cannot_be_decoded_are_refused(
    translator: Translator, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    usual = {"translator": translator, "sources": SOURCES, "references": REFERENCES}
    with pytest.raises(error, match=message):
        DecodedValidation(**{**usual, **given})


def test_metrics_name_what_they_take(translator: Translator) -> None:
    validation = DecodedValidation(translator, SOURCES, REFERENCES)
    with pytest.raises(ValueError, match="`tokenize` must be one of"):
        BLEU(validation, tokenize="words")
    with pytest.raises(TypeError, match="must be a DecodedValidation; got Translator"):
        PER(translator)  # type: ignore[arg-type]
    assert ChrF(validation, name="chrf_raw").name == "chrf_raw"
    assert {kind: kind.higher_is_better for kind in (BLEU, ChrF, ExactMatch, WER, PER)} == {
        BLEU: True,
        ChrF: True,
        ExactMatch: True,
        WER: False,
        PER: False,
    }
