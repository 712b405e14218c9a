"""The two things that artefacts are compared on: text to text, and ids to ids.

A task owns sources, what Keras gives for them, and how an artefact's outputs are read and held
against that.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_s2s.export.comparison import Mismatch
from keras_s2s.export.graphs import spec_of_ids, spec_of_text
from keras_s2s.export.reference import (
    BATCH_SIZE,
    Gap,
    Hypotheses,
    gap,
    hypotheses,
    padded,
    source_rows,
    translations,
    unpadded,
)
from keras_s2s.export.spec import GraphSpec
from keras_s2s.search import Search
from keras_s2s.translator import Translator

SAMPLES = ((1, 1), (3, 2), (5, 41))  # batch and source length, none of them met in tracing
NEAR = 1e-4  # a gap that rounding may decide
SEED = 0

Arrays = Mapping[str, np.ndarray]
Encode = Callable[[Sequence[str]], np.ndarray]


class Task(abc.ABC):
    """Sources with the outputs that Keras gives for them. Use a subclass.

    Attributes:
        spec: the declaration of the graphs that do this task.
        sources: the sentences, then the samples of the spec.
        samples: of each sample, the places of its rows in `sources`.
    """

    spec: GraphSpec
    sources: list[Any]
    samples: list[list[int]]

    def __init__(self, translator: Translator, search: Search, spec: GraphSpec) -> None:
        self.translator = translator
        self.search = search
        self.spec = spec

    @abc.abstractmethod
    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        """A batch of the sources at these places."""

    @abc.abstractmethod
    def rows(self, outputs: Arrays) -> list[Any]:
        """The outputs of a batch, sentence by sentence."""

    @abc.abstractmethod
    def equal(self, place: int, received: Any) -> bool:
        """Whether the tokens or the text are those that Keras gives."""

    @abc.abstractmethod
    def mismatch(self, place: int, received: Any) -> Mismatch:
        """What differs, and how close a call it was."""

    def score_differences(self, place: int, received: Any) -> list[float]:
        """By how much the scores differ, relative to scores above one."""
        return []

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        """The largest difference of attention weights, where there are any."""
        return []

    def _with_samples(self, sources: Sequence[Any], sample: Callable[[Arrays], list[Any]]) -> None:
        self.sources, self.samples = list(sources), [[]]
        for seed, (batch, source_length) in enumerate(SAMPLES):
            drawn = sample(self.spec.sample(batch, source_length, SEED + seed))
            self.samples.append(list(range(len(self.sources), len(self.sources) + batch)))
            self.sources += drawn

    def _near(self, difference: Gap | None) -> dict[str, Any]:
        if difference is None:
            return {}
        return {
            "score_gap": difference.score,
            "token_gap": difference.token,
            "near_tie": min(abs(difference.score), abs(difference.token)) <= NEAR,
        }


class TextTask(Task):
    """Text to the best target text, with the translator's own search."""

    def __init__(self, translator: Translator, texts: Sequence[str]) -> None:
        super().__init__(translator, translator.search, spec_of_text(translator))
        self._with_samples(texts, lambda arrays: arrays["text"].tolist())
        self.expected = translations(translator, self.sources, BATCH_SIZE)

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        return {"text": encode([self.sources[place] for place in places])}

    def rows(self, outputs: Arrays) -> list[Any]:
        return [
            text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
            for text in outputs["translation"].tolist()
        ]

    def equal(self, place: int, received: Any) -> bool:
        return bool(received == self.expected[place])

    def mismatch(self, place: int, received: Any) -> Mismatch:
        source, expected = self.sources[place], self.expected[place]
        tokenizer = self.translator.target_tokenizer
        # The ids behind a text are guessed by tokenizing it; where that is no round trip, there is
        # no gap.
        guessed = tokenizer.encode([expected, received])
        ids = [[*row, tokenizer.end_id] for row in guessed]
        near: dict[str, Any] = {}
        if tokenizer.decode(guessed) == [expected, received]:
            row = source_rows(self.translator, [source])[0]
            near = self._near(gap(self.translator, self.search, row, *ids))
        return Mismatch(source, expected, received, **near)


class IdsTask(Task):
    """Source ids to target ids of all hypotheses, with any search."""

    def __init__(
        self,
        translator: Translator,
        name: str,
        search: Search,
        rows: Sequence[list[int]],
        spec: GraphSpec | None = None,
    ) -> None:
        super().__init__(translator, search, spec or spec_of_ids(translator, name, search))
        self._with_samples(
            rows,
            lambda arrays: [
                ids[:length].tolist()
                for ids, length in zip(arrays["input_ids"], arrays["input_lengths"], strict=True)
            ],
        )
        self.expected: list[Hypotheses] = hypotheses(translator, search, self.sources)

    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        rows = [self.sources[place] for place in places]
        # A server may pad with anything; the lengths alone must count.
        return {
            "input_ids": padded(rows, fill=np.random.default_rng(SEED)),
            "input_lengths": np.array([len(row) for row in rows], np.int64),
        }

    def rows(self, outputs: Arrays) -> list[Any]:
        return list(
            unpadded(
                outputs["output_ids"],
                outputs["output_lengths"],
                outputs["scores"],
                outputs.get("alignments"),
            )
        )

    def equal(self, place: int, received: Any) -> bool:
        return bool(received.ids == self.expected[place].ids)

    def mismatch(self, place: int, received: Any) -> Mismatch:
        source, expected = self.sources[place], self.expected[place]
        different = [
            pair for pair in zip(expected.ids, received.ids, strict=False) if pair[0] != pair[1]
        ]
        near = self._near(gap(self.translator, self.search, source, *different[0]))
        return Mismatch(source, expected.ids, received.ids, **near)

    def score_differences(self, place: int, received: Any) -> list[float]:
        return score_differences(self.expected[place].scores, received.scores)

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        return alignment_differences(self.expected[place].alignments, received.alignments)


def score_differences(expected: Sequence[float], received: Sequence[float]) -> list[float]:
    """By how much scores differ, relative to those above one."""
    pairs = zip(expected, received, strict=True)
    # Where there is no hypothesis both are minus infinity, and equal.
    return [0.0 if a == b else abs(a - b) / max(1.0, abs(a)) for a, b in pairs]


def alignment_differences(
    expected: Sequence[np.ndarray], received: Sequence[np.ndarray]
) -> list[float]:
    """By how much attention weights differ, hypothesis by hypothesis; none where none came."""
    if not received:
        return []
    differences = []
    for a, b in zip(expected, received, strict=True):
        # A batch is as wide as its longest source.
        width = min(a.shape[-1], b.shape[-1])
        beyond = max(np.abs(a[:, width:]).max(initial=0), np.abs(b[:, width:]).max(initial=0))
        near = np.abs(a[:, :width] - b[:, :width]).max(initial=0)
        differences.append(float(max(beyond, near)))
    return differences
