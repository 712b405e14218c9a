"""Tasks from text to the best text, to several texts with scores, or to one with alignments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from keras_s2s.export.parity.reference import (
    BATCH_SIZE,
    best_texts,
    gap,
    n_best_translations,
    source_rows,
)
from keras_s2s.export.parity.report import Mismatch
from keras_s2s.export.parity.tasks.task import (
    NEAR,
    Judge,
    Task,
    as_text,
    relative_differences,
    weight_differences,
    with_samples,
)
from keras_s2s.export.specs.arrays import Arrays, Encode
from keras_s2s.export.specs.signatures import LOWEST
from keras_s2s.export.specs.spec import GraphSpec
from keras_s2s.search import Search
from keras_s2s.translation.results import Translation
from keras_s2s.translation.translator import Translator

T = TypeVar("T", bound=Task)


class TextTask(Task):
    """From text to the best target text, with the translator's own search."""

    kind = "text"

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], spec: GraphSpec) -> TextTask:
        """Returns the task on texts and on samples, with the translator's own search."""
        return task_with_samples(cls, spec, texts, Judge(translator, translator.search))

    @classmethod
    def keras_outputs(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        return best_texts(translator_of(judge), sources, BATCH_SIZE)

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        return as_text(outputs["translation"])

    def equal(self, place: int, received: Any) -> bool:
        return bool(received == self.expected[place])

    def mismatch(self, place: int, received: Any) -> Mismatch:
        source, expected = self.sources[place], self.expected[place]
        gap_fields: dict[str, Any] = {}
        if self.judge is not None:
            translator = self.judge.translator
            tokenizer = translator.target_tokenizer
            # Tokenizing a text gives its ids. Where decoding does not give the text back, the ids
            # are not those of the search, and there is no gap.
            target_rows = tokenizer.encode([expected, received])
            ids = [[*row, tokenizer.end_id] for row in target_rows]
            if tokenizer.decode(target_rows) == [expected, received]:
                row = source_rows(translator, [source])[0]
                gap_fields = self._gap_fields(gap(translator, self.judge.search, row, *ids))
        return Mismatch(source, expected, received, **gap_fields)


class BeamTask(Task):
    """From text to several target texts with their scores and lengths, best first."""

    kind = "beam"

    @classmethod
    def of(
        cls, translator: Translator, texts: Sequence[str], spec: GraphSpec, search: Search
    ) -> BeamTask:
        """Returns the task on texts and on samples, with `search.n_best` hypotheses each."""
        return task_with_samples(cls, spec, texts, Judge(translator, search))

    @classmethod
    def keras_outputs(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        n_best = judge.search.n_best

        def filled(hypotheses: list[Translation]) -> dict[str, list[Any]]:
            missing_count = n_best - len(hypotheses)
            return {
                "translations": [*(h.text for h in hypotheses), *[""] * missing_count],
                "scores": [*(h.score for h in hypotheses), *[LOWEST] * missing_count],
                "lengths": [*(len(h.ids) for h in hypotheses), *[0] * missing_count],
            }

        n_best_lists = n_best_translations(translator_of(judge), sources, BATCH_SIZE)
        return [filled(hypotheses) for hypotheses in n_best_lists]

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        arrays = (as_text(outputs["translations"]), outputs["scores"], outputs["lengths"])
        return [
            {"translations": texts, "scores": scores.tolist(), "lengths": lengths.tolist()}
            for texts, scores, lengths in zip(*arrays, strict=True)
        ]

    def equal(self, place: int, received: Any) -> bool:
        names = ("translations", "lengths")
        return all(received[name] == self.expected[place][name] for name in names)

    def mismatch(self, place: int, received: Any) -> Mismatch:
        source, expected = self.sources[place], self.expected[place]
        # Two hypotheses of nearly the same score may change places, so the gap is the difference of
        # the scores at the first rank where the texts differ.
        pairs = zip(expected["translations"], received["translations"], strict=True)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
        difference = expected["scores"][first] - received["scores"][first]
        return Mismatch(
            source, expected, received, score_gap=difference, near_tie=abs(difference) <= NEAR
        )

    def score_differences(self, place: int, received: Any) -> list[float]:
        return relative_differences(self.expected[place]["scores"], received["scores"])


class AlignmentsTask(Task):
    """From text to the best target text, the tokens of both sides, and their attention weights."""

    kind = "alignments"

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], spec: GraphSpec) -> AlignmentsTask:
        """Returns the task on texts and on samples, with the translator's own search."""
        return task_with_samples(cls, spec, texts, Judge(translator, translator.search))

    @classmethod
    def keras_outputs(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        translator = translator_of(judge)
        rows = source_rows(translator, sources)
        n_best_lists = n_best_translations(translator, sources, BATCH_SIZE)
        return [
            {
                "translation": best.text,
                "tokens": translator.target_tokenizer.pieces(best.ids),
                "weights": best.weights.tolist(),
                "source_tokens": translator.source_tokenizer.pieces(row),
            }
            for (best, *_), row in zip(n_best_lists, rows, strict=True)
        ]

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        names = ("translation", "tokens", "source_tokens")
        texts = zip(*(as_text(outputs[name]) for name in names), strict=True)
        return [
            {"translation": text, "tokens": tokens, "weights": weights, "source_tokens": source}
            for (text, tokens, source), weights in zip(texts, outputs["weights"], strict=True)
        ]

    def equal(self, place: int, received: Any) -> bool:
        expected = self.expected[place]
        return bool(
            received["translation"] == expected["translation"]
            and _equal_but_for_padding(expected["tokens"], received["tokens"])
            and _equal_but_for_padding(expected["source_tokens"], received["source_tokens"])
        )

    def mismatch(self, place: int, received: Any) -> Mismatch:
        def texts(row: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in row.items() if name != "weights"}

        return Mismatch(self.sources[place], texts(self.expected[place]), texts(received))

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        expected = self.expected[place]
        expected_weights = np.array(expected["weights"], np.float32)
        received_weights = np.asarray(received["weights"])
        length = len(expected["tokens"])
        padding = float(np.abs(received_weights[length:]).max(initial=0.0))
        return [padding, *weight_differences([expected_weights], [received_weights[:length]])]


def task_with_samples(kind: type[T], spec: GraphSpec, texts: Sequence[str], judge: Judge) -> T:
    """Returns a task on texts and on random samples of its declaration.

    Args:
        kind: the class of the task.
        spec: the declaration of a graph that takes text.
        texts: source texts.
        judge: the translator and the search that give the expected outputs.
    """
    sources, samples = with_samples(spec, texts)
    return kind(spec, sources, samples, kind.keras_outputs(judge, sources, spec), judge)


def translator_of(judge: Judge) -> Translator:
    """Returns the judge's translator with the judge's search."""
    translator = judge.translator
    if translator.search is judge.search:
        return translator
    other = translator.with_model(translator.model)
    other.search = judge.search
    return other


def _equal_but_for_padding(expected: list[str], received: list[str]) -> bool:
    return received == [*expected, *[""] * (len(received) - len(expected))]
