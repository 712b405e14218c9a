"""The task from text to the n-best list, with its scores, tokens and alignments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_s2s.export.parity.reference import BATCH_SIZE, n_best_translations, source_rows
from keras_s2s.export.parity.report import Mismatch
from keras_s2s.export.parity.tasks.task import (
    Judge,
    Task,
    as_text,
    relative_differences,
    weight_differences,
)
from keras_s2s.export.parity.tasks.text import TextTask, task_with_samples, translator_of
from keras_s2s.export.specs.arrays import Arrays, Encode
from keras_s2s.export.specs.spec import GraphSpec, TextSpec
from keras_s2s.translation.translator import Translator

TEXTS = ("translation", "translations", "source_tokens", "target_tokens")


class NBestTask(Task):
    """From text to all hypotheses, compared with those of `Translator.translate`.

    The expected output of a source is a dict of the `TEXTS`, `scores` and `weights`, with the
    hypotheses in lists. A source with fewer hypotheses than the graph has places for has shorter
    lists.
    """

    kind = "details"  # the name in files that were exported already

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str], spec: TextSpec) -> NBestTask:
        """Returns the task on texts and on samples, with the translator's own search."""
        return task_with_samples(cls, spec, texts, Judge(translator, translator.search))

    @classmethod
    def keras_outputs(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        translator = translator_of(judge)
        n_best_lists = n_best_translations(translator, sources, BATCH_SIZE)
        rows = source_rows(translator, sources)
        aligned = any(value.name == "alignments" for value in spec.outputs)
        target = translator.target_tokenizer
        return [
            {
                "translation": n_best[0].text,
                "translations": [hypothesis.text for hypothesis in n_best],
                "source_tokens": translator.source_tokenizer.pieces(row),
                "target_tokens": [target.pieces(hypothesis.ids) for hypothesis in n_best],
                "scores": [hypothesis.score for hypothesis in n_best],
                "weights": [h.weights.tolist() for h in n_best] if aligned else [],
            }
            for row, n_best in zip(rows, n_best_lists, strict=True)
        ]

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        texts = {name: as_text(outputs[name]) for name in TEXTS}
        weights = outputs.get("alignments")
        sentences = []
        for row, lengths in enumerate(outputs["lengths"].tolist()):
            scores = outputs["scores"][row].tolist()
            real = [n for n, score in enumerate(scores) if score != -np.inf]
            sentences.append(
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
        return sentences

    def equal(self, place: int, received: Any) -> bool:
        return all(received[name] == self.expected[place][name] for name in TEXTS)

    def mismatch(self, place: int, received: Any) -> Mismatch:
        expected = self.expected[place]
        if expected["translation"] != received["translation"]:
            best = [output["translation"] for output in self.expected]
            task = TextTask(self.spec, self.sources, self.samples, best, self.judge)
            return task.mismatch(place, received["translation"])
        expected_values = {
            name: expected[name] for name in TEXTS if expected[name] != received[name]
        }
        received_values = {name: received[name] for name in expected_values}
        return Mismatch(self.sources[place], expected_values, received_values)

    def score_differences(self, place: int, received: Any) -> list[float]:
        return relative_differences(self.expected[place]["scores"], received["scores"])

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        expected = [np.array(weights, np.float32) for weights in self.expected[place]["weights"]]
        return weight_differences(expected, received["weights"]) if expected else []
