"""The task of text-to-text graphs that tell details: n-best, scores, pieces, alignments."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.export.comparison import Mismatch
from keras_s2s.export.reference import BATCH_SIZE, source_rows
from keras_s2s.export.spec import GraphSpec
from keras_s2s.export.tasks import (
    Arrays,
    Task,
    TextTask,
    alignment_differences,
    score_differences,
)
from keras_s2s.translator import Translator


class Details(NamedTuple):
    """What a graph tells of one sentence.

    Attributes:
        translation: the best target text.
        translations: the n-best list.
        source_tokens: the pieces of the source.
        target_tokens: of each hypothesis the pieces, the end's last.
        scores: of each hypothesis.
        alignments: of each hypothesis `(length, S)`.
    """

    translation: str
    translations: list[str]
    source_tokens: list[str]
    target_tokens: list[list[str]]
    scores: list[float]
    alignments: Sequence[np.ndarray]


class DetailedTextTask(TextTask):
    """Text to text with details, held against `Translator.translate`."""

    def __init__(self, translator: Translator, texts: Sequence[str], spec: GraphSpec) -> None:
        Task.__init__(self, translator, translator.search, spec)
        self._with_samples(texts, lambda arrays: arrays["text"].tolist())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*source tokens")  # cut on purpose
            found = translator.translate(self.sources, batch_size=BATCH_SIZE)
        rows = source_rows(translator, self.sources)
        self.details = [
            Details(
                hypotheses[0].text,
                [hypothesis.text for hypothesis in hypotheses],
                translator.source_tokenizer.pieces(row),
                [translator.target_tokenizer.pieces(each.ids) for each in hypotheses],
                [hypothesis.score for hypothesis in hypotheses],
                [hypothesis.weights for hypothesis in hypotheses],
            )
            for row, hypotheses in zip(rows, found, strict=True)
        ]
        self.expected = [details.translation for details in self.details]

    def rows(self, outputs: Arrays) -> list[Any]:
        found = []
        for row, text in enumerate(super().rows(outputs)):
            # Where there are fewer hypotheses than places, a translator gives fewer.
            real = [n for n, score in enumerate(outputs["scores"][row]) if score != -np.inf]
            lengths = outputs["lengths"][row].tolist()
            weights = outputs.get("alignments")
            found.append(
                Details(
                    text,
                    [outputs["translations"][row, n] for n in real],
                    [piece for piece in outputs["source_tokens"][row].tolist() if piece],
                    [outputs["target_tokens"][row, n, : lengths[n]].tolist() for n in real],
                    [float(outputs["scores"][row, n]) for n in real],
                    () if weights is None else [weights[row, n, : lengths[n]] for n in real],
                )
            )
        return found

    def equal(self, place: int, received: Any) -> bool:
        expected = self.details[place]
        return bool(received[:4] == expected[:4])  # all but numbers

    def mismatch(self, place: int, received: Any) -> Mismatch:
        if received.translation != self.expected[place]:
            return super().mismatch(place, received.translation)
        different = ((a, b) for a, b in zip(self.details[place], received, strict=True) if a != b)
        return Mismatch(self.sources[place], *next(different))

    def score_differences(self, place: int, received: Any) -> list[float]:
        return score_differences(self.details[place].scores, received.scores)

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        return alignment_differences(self.details[place].alignments, received.alignments)
