"""The task from source ids to target ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_s2s.data.padding import padded
from keras_s2s.export.parity.reference import Hypotheses, gap, hypotheses, unpadded
from keras_s2s.export.parity.report import Mismatch
from keras_s2s.export.parity.tasks.task import (
    SAMPLES,
    SEED,
    Judge,
    Task,
    relative_differences,
    weight_differences,
)
from keras_s2s.export.specs.arrays import Arrays, Encode
from keras_s2s.export.specs.spec import GraphSpec, IdsSpec
from keras_s2s.search import Search
from keras_s2s.translation.translator import Translator


class IdsTask(Task):
    """From source ids to the target ids of all hypotheses, with any search."""

    kind = "ids"
    spec: IdsSpec

    @classmethod
    def of(
        cls,
        translator: Translator,
        rows: Sequence[list[int]],
        spec: IdsSpec,
        search: Search,
    ) -> IdsTask:
        """Returns the task on rows of ids and on samples of its declaration.

        Args:
            translator: the translator that gives the expected outputs.
            rows: the source ids of each sentence, the end id last.
            spec: the declaration of the graph.
            search: the search inside the graph.
        """
        sources, samples = [*rows], [list[int]()]
        for seed, (batch, source_length) in enumerate(SAMPLES):
            sample = spec.sample(batch, source_length, SEED + seed)
            samples.append(list(range(len(sources), len(sources) + batch)))
            pairs = zip(sample["input_ids"], sample["input_lengths"], strict=True)
            sources += [ids[:length].tolist() for ids, length in pairs]
        judge = Judge(translator, search)
        return cls(spec, sources, samples, cls.keras_outputs(judge, sources, spec), judge)

    @classmethod
    def keras_outputs(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        outputs = hypotheses(judge.translator, judge.search, sources)
        if any(value.name == "alignments" for value in spec.outputs):
            return outputs
        return [output._replace(alignments=()) for output in outputs]

    @classmethod
    def _expected_from_json(cls, fields: Any) -> Hypotheses:
        ids, scores, alignments = fields
        weights = [np.array(rows, np.float32).reshape(len(rows), -1) for rows in alignments]
        return Hypotheses(ids, [float(score) for score in scores], weights)

    def to_json(self) -> dict[str, Any]:
        expected = [
            [
                output.ids,
                [_json_number(score) for score in output.scores],
                [weights.tolist() for weights in output.alignments],
            ]
            for output in self.expected
        ]
        return {**super().to_json(), "expected": expected}

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        rows = [self.sources[place] for place in places]
        ids = padded(rows, dtype="int64")
        lengths = np.array([len(row) for row in rows], self.spec.dtype)
        # A server may pad with any id, so only the lengths may count.
        padding = np.random.default_rng(SEED).integers(1, 4, size=ids.shape)
        real = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
        ids = np.where(real, ids, padding).astype(self.spec.dtype)
        return {"input_ids": ids, "input_lengths": lengths}

    def rows(self, outputs: Arrays) -> list[Any]:
        ids, lengths, scores = (
            outputs[name] for name in ("output_ids", "output_lengths", "scores")
        )
        return list(unpadded(ids, lengths, scores, outputs.get("alignments")))

    def equal(self, place: int, received: Any) -> bool:
        return bool(received.ids == self.expected[place].ids)

    def mismatch(self, place: int, received: Any) -> Mismatch:
        source, expected = self.sources[place], self.expected[place]
        gap_fields: dict[str, Any] = {}
        if self.judge is not None:
            pairs = zip(expected.ids, received.ids, strict=False)
            different = next((pair for pair in pairs if pair[0] != pair[1]), None)
            if different is not None:
                gap_fields = self._gap_fields(gap(*self.judge, source, *different))
        return Mismatch(source, expected.ids, received.ids, **gap_fields)

    def score_differences(self, place: int, received: Any) -> list[float]:
        return relative_differences(self.expected[place].scores, received.scores)

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        expected, received = self.expected[place].alignments, received.alignments
        return weight_differences(expected, received) if expected else []


def _json_number(score: float) -> float | str:
    return score if np.isfinite(score) else str(score)  # JSON has no infinity
