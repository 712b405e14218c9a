"""What artefacts are compared on: what every task is. `text_tasks` and `ids_tasks` hold them.

A task owns sources, what Keras gives for them, and how an artefact's outputs are read and held
against that. It can be written to a file and read back without the model, so that an exported
folder can be verified where there is no Keras model any more.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from keras_s2s.export.parity.reference import Gap
from keras_s2s.export.parity.report import Mismatch
from keras_s2s.export.specs.arrays import Arrays, Encode
from keras_s2s.export.specs.signatures import LOWEST
from keras_s2s.export.specs.spec import GraphSpec, spec_from_json
from keras_s2s.search import Search
from keras_s2s.translation.translator import Translator

SAMPLES = ((1, 1), (3, 2), (5, 41))  # batch and source length, none of them met in tracing
NEAR = 1e-4  # a gap that rounding may decide
SEED = 0


class Judge(NamedTuple):
    """Who can say how close a call was: Keras with a search."""

    translator: Translator
    search: Search


class Task(abc.ABC):
    """Sources with the outputs that Keras gives for them. Make one with `of` of a subclass.

    Attributes:
        spec: the declaration of the graphs that do this task.
        sources: the sentences, then the samples of the spec.
        samples: of each sample, the places of its rows in `sources`.
        expected: what Keras gives for each source.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Task]]] = {}

    def __init_subclass__(cls) -> None:
        Task.kinds[cls.kind] = cls

    def __init__(
        self,
        spec: GraphSpec,
        sources: Sequence[Any],
        samples: Sequence[list[int]],
        expected: Sequence[Any],
        judge: Judge | None = None,
    ) -> None:
        self.spec = spec
        self.sources = list(sources)
        self.samples = list(samples)
        self.expected = list(expected)
        self.judge = judge
        self._search = None if judge is None else judge.search

    @abc.abstractmethod
    def inputs(self, places: Sequence[int], encode: Encode) -> Arrays:
        """A batch of the sources at these places."""

    @abc.abstractmethod
    def rows(self, outputs: Arrays) -> list[Any]:
        """The outputs of a batch, sentence by sentence."""

    @abc.abstractmethod
    def equal(self, place: int, received: Any) -> bool:
        """Whether the tokens or the text are those that Keras gives."""

    def mismatch(self, place: int, received: Any) -> Mismatch:
        """What differs, and how close a call it was."""
        return Mismatch(self.sources[place], self.expected[place], received)

    def score_differences(self, place: int, received: Any) -> list[float]:
        """By how much the numbers differ, relative to those above one."""
        return []

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        """The largest difference of attention weights of each hypothesis, where there are any."""
        return []

    @classmethod
    @abc.abstractmethod
    def keras(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        """What Keras gives for sources, as much as a declaration asks for."""

    def again(self, translator: Translator) -> Task:
        """The same task with what a translator gives now, with the search it was made with."""
        judge = Judge(translator, self.search)
        return type(self)(
            self.spec,
            self.sources,
            self.samples,
            self.keras(judge, self.sources, self.spec),
            judge,
        )

    @property
    def search(self) -> Search:
        """The search it was made with.

        Raises:
            ValueError: If none is known.
        """
        if self._search is None:
            raise ValueError(f"Nothing is known of the search of the task {self.kind!r}.")
        return self._search

    def to_json(self) -> dict[str, Any]:
        """All but the translator, as JSON types."""
        return {
            "kind": self.kind,
            "spec": self.spec.to_json(),
            "search": keras.saving.serialize_keras_object(self.search),
            "sources": self.sources,
            "samples": self.samples,
            "expected": self.expected,
        }

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Task:
        """The task that `to_json` described.

        Raises:
            ValueError: If there is no task of that kind.
        """
        kind = Task.kinds.get(found["kind"])
        if kind is None:
            raise ValueError(
                f"A task must be one of {', '.join(map(repr, Task.kinds))}; got {found['kind']!r}. "
                "The export was written by another version of this library."
            )
        expected = [kind._expected_from_json(each) for each in found["expected"]]
        task = kind(spec_from_json(found["spec"]), found["sources"], found["samples"], expected)
        task._search = keras.saving.deserialize_keras_object(found["search"])
        return task

    @classmethod
    def _expected_from_json(cls, found: Any) -> Any:
        return found

    def _near(self, difference: Gap | None) -> dict[str, Any]:
        if difference is None:
            return {}
        return {
            "score_gap": difference.score,
            "token_gap": difference.token,
            "near_tie": min(abs(difference.score), abs(difference.token)) <= NEAR,
        }


def weight_differences(expected: Sequence[Any], received: Sequence[Any]) -> list[float]:
    """Of each hypothesis, by how much attention weights `(T, S)` differ at most.

    A batch is as wide as its longest source, so one may be wider than the other.
    """
    differences = []
    for each, other in zip(expected, received, strict=True):
        a, b = np.asarray(each, np.float32), np.asarray(other, np.float32)
        width = min(a.shape[-1], b.shape[-1])
        parts = (a[:, width:], b[:, width:], a[:, :width] - b[:, :width])
        differences.append(float(max(np.abs(part).max(initial=0.0) for part in parts)))
    return differences


def relative_differences(expected: Sequence[float], received: Sequence[float]) -> list[float]:
    """Differences of scores, relative to those above one.

    Where there is no hypothesis the score is minus infinity, or the lowest number in graphs that
    are served over JSON.
    """
    pairs = [
        (a if a > LOWEST else LOWEST, b if b >= LOWEST or b != b else LOWEST)
        for a, b in zip(expected, received, strict=True)
    ]
    return [0.0 if a == b else abs(a - b) / max(1.0, abs(a)) for a, b in pairs]


def as_text(array: np.ndarray) -> list[Any]:
    """Strings of any shape as nested lists; bytes that are no UTF-8 are escaped."""
    if array.ndim > 1:
        return [as_text(row) for row in array]
    return [
        text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
        for text in array.tolist()
    ]


def with_samples(spec: GraphSpec, texts: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Texts and, behind them, those of a text graph's samples, with the places of each sample."""
    sources, samples = list(texts), [list[int]()]
    for seed, (batch, source_length) in enumerate(SAMPLES):
        drawn = spec.sample(batch, source_length, SEED + seed)["text"].tolist()
        samples.append(list(range(len(sources), len(sources) + batch)))
        sources += drawn
    return sources, samples
