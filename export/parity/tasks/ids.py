"""Tasks from source ids to target ids."""

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
    """Source ids to target ids of all hypotheses, with any search."""

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
        """What Keras gives with a search for rows of ids, the end id last."""
        sources, samples = [*rows], [list[int]()]
        for seed, (batch, source_length) in enumerate(SAMPLES):
            drawn = spec.sample(batch, source_length, SEED + seed)
            samples.append(list(range(len(sources), len(sources) + batch)))
            pairs = zip(drawn["input_ids"], drawn["input_lengths"], strict=True)
            sources += [ids[:length].tolist() for ids, length in pairs]
        judge = Judge(translator, search)
        return cls(spec, sources, samples, cls.keras(judge, sources, spec), judge)

    @classmethod
    def keras(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        found = hypotheses(judge.translator, judge.search, sources)
        if any(value.name == "alignments" for value in spec.outputs):
            return found
        return [each._replace(alignments=()) for each in found]

    @classmethod
    def _expected_from_json(cls, found: Any) -> Hypotheses:
        ids, scores, alignments = found
        weights = [np.array(each, np.float32).reshape(len(each), -1) for each in alignments]
        return Hypotheses(ids, [float(score) for score in scores], weights)

    def to_json(self) -> dict[str, Any]:
        expected = [
            [
                found.ids,
                [_plain(score) for score in found.scores],
                [weights.tolist() for weights in found.alignments],
            ]
            for found in self.expected
        ]
        return {**super().to_json(), "expected": expected}

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        rows = [self.sources[place] for place in places]
        ids = padded(rows, dtype="int64")
        lengths = np.array([len(row) for row in rows], self.spec.dtype)
        # A server may pad with anything; the lengths alone must count.
        anything = np.random.default_rng(SEED).integers(1, 4, size=ids.shape)
        real = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
        ids = np.where(real, ids, anything).astype(self.spec.dtype)
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
        near: dict[str, Any] = {}
        if self.judge is not None:
            pairs = zip(expected.ids, received.ids, strict=False)
            different = next((pair for pair in pairs if pair[0] != pair[1]), None)
            if different is not None:
                near = self._near(gap(*self.judge, source, *different))
        return Mismatch(source, expected.ids, received.ids, **near)

    def score_differences(self, place: int, received: Any) -> list[float]:
        return relative_differences(self.expected[place].scores, received.scores)

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        expected, received = self.expected[place].alignments, received.alignments
        return weight_differences(expected, received) if expected else []


def _plain(score: float) -> float | str:
    return score if np.isfinite(score) else str(score)  # JSON has no infinity
