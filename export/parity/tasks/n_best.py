"""The task of text-to-text graphs that tell details: n-best, scores, pieces, alignments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_s2s.export.parity.reference import BATCH_SIZE, quiet_translations, source_rows
from keras_s2s.export.parity.report import Mismatch
from keras_s2s.export.parity.tasks.task import (
    Judge,
    Task,
    as_text,
    relative_differences,
    weight_differences,
)
from keras_s2s.export.parity.tasks.text import TextTask, drawn, searching
from keras_s2s.export.specs.arrays import Arrays, Encode
from keras_s2s.export.specs.spec import GraphSpec, TextSpec
from keras_s2s.translation.translator import Translator

TEXTS = ("translation", "translations", "source_tokens", "target_tokens")


class DetailsTask(Task):
    """Text to text with details, held against `Translator.translate`.

    What is expected of a source is a dict of the `TEXTS`, `scores` and `weights`, the hypotheses in
    lists; where there are fewer than places, there are fewer in the lists.
    """

    kind = "details"

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], spec: TextSpec) -> DetailsTask:
        """What Keras gives with the translator's own search."""
        return drawn(cls, spec, texts, Judge(translator, translator.search))

    @classmethod
    def keras(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        translator = searching(judge)
        found = quiet_translations(translator, sources, BATCH_SIZE)
        rows = source_rows(translator, sources)
        aligned = any(value.name == "alignments" for value in spec.outputs)
        target = translator.target_tokenizer
        return [
            {
                "translation": hypotheses[0].text,
                "translations": [each.text for each in hypotheses],
                "source_tokens": translator.source_tokenizer.pieces(row),
                "target_tokens": [target.pieces(each.ids) for each in hypotheses],
                "scores": [each.score for each in hypotheses],
                "weights": [each.weights.tolist() for each in hypotheses] if aligned else [],
            }
            for row, hypotheses in zip(rows, found, strict=True)
        ]

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        texts = {name: as_text(outputs[name]) for name in TEXTS}
        weights = outputs.get("alignments")
        found = []
        for row, lengths in enumerate(outputs["lengths"].tolist()):
            scores = outputs["scores"][row].tolist()
            real = [n for n, score in enumerate(scores) if score != -np.inf]
            found.append(
                {
                    "translation": texts["translation"][row],
                    "translations": [texts["translations"][row][n] for n in real],
                    "source_tokens": [piece for piece in texts["source_tokens"][row] if piece],
                    "target_tokens": [texts["target_tokens"][row][n][: lengths[n]] for n in real],
                    "scores": [scores[n] for n in real],
                    "weights": []
                    if weights is None
                    else [weights[row, n, : lengths[n]] for n in real],
                }
            )
        return found

    def equal(self, place: int, received: Any) -> bool:
        return all(received[name] == self.expected[place][name] for name in TEXTS)

    def mismatch(self, place: int, received: Any) -> Mismatch:
        expected = self.expected[place]
        if expected["translation"] != received["translation"]:
            best = [each["translation"] for each in self.expected]
            task = TextTask(self.spec, self.sources, self.samples, best, self.judge)
            return task.mismatch(place, received["translation"])
        different = {name: expected[name] for name in TEXTS if expected[name] != received[name]}
        others = {name: received[name] for name in different}
        return Mismatch(self.sources[place], different, others)

    def score_differences(self, place: int, received: Any) -> list[float]:
        return relative_differences(self.expected[place]["scores"], received["scores"])

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        expected = [np.array(each, np.float32) for each in self.expected[place]["weights"]]
        return weight_differences(expected, received["weights"]) if expected else []
