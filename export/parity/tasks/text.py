"""Tasks from text: to the best text, to several with scores, to one with its alignments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from keras_s2s.export.parity.reference import (
    BATCH_SIZE,
    gap,
    quiet_translations,
    source_rows,
    translations,
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
    """Text to the best target text, with the translator's own search."""

    kind = "text"

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], spec: GraphSpec) -> TextTask:
        """What Keras gives for texts and for samples of the declaration."""
        return drawn(cls, spec, texts, Judge(translator, translator.search))

    @classmethod
    def keras(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        return translations(searching(judge), sources, BATCH_SIZE)

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        return as_text(outputs["translation"])

    def equal(self, place: int, received: Any) -> bool:
        return bool(received == self.expected[place])

    def mismatch(self, place: int, received: Any) -> Mismatch:
        source, expected = self.sources[place], self.expected[place]
        near: dict[str, Any] = {}
        if self.judge is not None:
            translator = self.judge.translator
            tokenizer = translator.target_tokenizer
            # The ids behind a text are guessed by tokenizing it; where that is no round trip, there
            # is no gap.
            guessed = tokenizer.encode([expected, received])
            ids = [[*row, tokenizer.end_id] for row in guessed]
            if tokenizer.decode(guessed) == [expected, received]:
                row = source_rows(translator, [source])[0]
                near = self._near(gap(translator, self.judge.search, row, *ids))
        return Mismatch(source, expected, received, **near)


class BeamTask(Task):
    """Text to several texts with their scores and lengths, best first."""

    kind = "beam"

    @classmethod
    def of(
        cls, translator: Translator, texts: Sequence[str], spec: GraphSpec, search: Search
    ) -> BeamTask:
        """What Keras gives with a search, which gives `search.n_best` hypotheses."""
        return drawn(cls, spec, texts, Judge(translator, search))

    @classmethod
    def keras(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        n_best = judge.search.n_best

        def filled(found: list[Translation]) -> dict[str, list[Any]]:
            missing = n_best - len(found)
            return {
                "translations": [*(each.text for each in found), *[""] * missing],
                "scores": [*(each.score for each in found), *[LOWEST] * missing],
                "lengths": [*(len(each.ids) for each in found), *[0] * missing],
            }

        found = quiet_translations(searching(judge), sources, BATCH_SIZE)
        return [filled(each) for each in found]

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
        # Two hypotheses of nearly one score may change places: the gap is read off the scores.
        pairs = zip(expected["translations"], received["translations"], strict=True)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
        difference = expected["scores"][first] - received["scores"][first]
        return Mismatch(
            source, expected, received, score_gap=difference, near_tie=abs(difference) <= NEAR
        )

    def score_differences(self, place: int, received: Any) -> list[float]:
        return relative_differences(self.expected[place]["scores"], received["scores"])


class AlignmentsTask(Task):
    """Text to the best target text, its tokens, and the attention between them and the source's."""

    kind = "alignments"

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], spec: GraphSpec) -> AlignmentsTask:
        """What Keras gives, with the translator's own search."""
        return drawn(cls, spec, texts, Judge(translator, translator.search))

    @classmethod
    def keras(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        translator = searching(judge)
        rows = source_rows(translator, sources)
        found = quiet_translations(translator, sources, BATCH_SIZE)
        return [
            {
                "translation": best.text,
                "tokens": translator.target_tokenizer.pieces(best.ids),
                "weights": best.weights.tolist(),
                "source_tokens": translator.source_tokenizer.pieces(row),
            }
            for (best, *_), row in zip(found, rows, strict=True)
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
            and _is_followed_by_nothing(expected["tokens"], received["tokens"])
            and _is_followed_by_nothing(expected["source_tokens"], received["source_tokens"])
        )

    def mismatch(self, place: int, received: Any) -> Mismatch:
        def shown(row: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in row.items() if name != "weights"}

        return Mismatch(self.sources[place], shown(self.expected[place]), shown(received))

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        expected = self.expected[place]
        found = np.asarray(received["weights"])
        rows = len(expected["tokens"])
        weights = np.array(expected["weights"], np.float32)
        behind = float(np.abs(found[rows:]).max(initial=0.0))
        return [behind, *weight_differences([weights], [found[:rows]])]


def drawn(kind: type[T], spec: GraphSpec, texts: Sequence[str], judge: Judge) -> T:
    """A task on texts and on samples of its declaration."""
    sources, samples = with_samples(spec, texts)
    return kind(spec, sources, samples, kind.keras(judge, sources, spec), judge)


def searching(judge: Judge) -> Translator:
    """The judge's translator with the judge's search."""
    translator = judge.translator
    if translator.search is judge.search:
        return translator
    other = translator.with_model(translator.model)
    other.search = judge.search
    return other


def _is_followed_by_nothing(expected: list[str], received: list[str]) -> bool:
    return received == [*expected, *[""] * (len(received) - len(expected))]
