"""The base class of all tasks, with the differences of scores and of attention weights.

A task owns its sources and the outputs that Keras gives for them. It knows how to read an
artefact's outputs and how to compare them with those of Keras. A task can be written to a file and
read back without the model, so that an exported folder can be verified where the Keras model is no
longer at hand. The tasks themselves are in `text`, `n_best` and `ids`.
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

SAMPLES = ((1, 1), (3, 2), (5, 41))  # batch and source length; no graph is traced with these
NEAR = 1e-4  # the largest gap that rounding may decide
SEED = 0


class Judge(NamedTuple):
    """A translator and a search with which Keras can say how close a decision was."""

    translator: Translator
    search: Search


class Task(abc.ABC):
    """Sources with the outputs that Keras gives for them. Make one with `of` of a subclass.

    Attributes:
        spec: the declaration of the graphs that do this task.
        sources: the sentences, then the rows of the random samples of `spec`.
        samples: for each sample, the indices of its rows in `sources`; the first sample is an empty
            batch.
        expected: the output of Keras for each source.
        judge: the translator and the search that gave `expected`; None for a task that was read
            from a file.
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
        """Returns a batch of the sources at these indices.

        Args:
            places: indices in `sources`.
            encode: the function that turns strings into the array that a runtime takes.
        """

    @abc.abstractmethod
    def rows(self, outputs: Arrays) -> list[Any]:
        """Returns the outputs of a batch sentence by sentence, in the form of `expected`."""

    @abc.abstractmethod
    def equal(self, place: int, received: Any) -> bool:
        """Returns whether the tokens or the text are those that Keras gives."""

    def mismatch(self, place: int, received: Any) -> Mismatch:
        """Returns what differs, and how close the decision between the two outputs was."""
        return Mismatch(self.sources[place], self.expected[place], received)

    def score_differences(self, place: int, received: Any) -> list[float]:
        """Returns the differences of the scores; those of scores above one are relative."""
        return []

    def alignment_differences(self, place: int, received: Any) -> list[float]:
        """Returns the largest difference of weights of each hypothesis; none without weights."""
        return []

    @classmethod
    @abc.abstractmethod
    def keras_outputs(cls, judge: Judge, sources: Sequence[Any], spec: GraphSpec) -> list[Any]:
        """Returns the output of Keras for each source, with the values that `spec` declares."""

    def recomputed(self, translator: Translator) -> Task:
        """Returns the same task with the outputs that a translator gives now with `search`."""
        judge = Judge(translator, self.search)
        return type(self)(
            self.spec,
            self.sources,
            self.samples,
            self.keras_outputs(judge, self.sources, self.spec),
            judge,
        )

    @property
    def search(self) -> Search:
        """The search that the task was made with.

        Raises:
            ValueError: If the task was made without a judge.
        """
        if self._search is None:
            raise ValueError(
                f"The search of this task of the kind {self.kind!r} is unknown, because the task "
                "was made without a judge. Make it with `of`."
            )
        return self._search

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the translator as JSON types."""
        return {
            "kind": self.kind,
            "spec": self.spec.to_json(),
            "search": keras.saving.serialize_keras_object(self.search),
            "sources": self.sources,
            "samples": self.samples,
            "expected": self.expected,
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Task:
        """Returns the task that `to_json` described.

        Raises:
            ValueError: If the kind of the task is unknown.
        """
        kind = Task.kinds.get(fields["kind"])
        if kind is None:
            raise ValueError(
                f"A task must be one of {', '.join(map(repr, Task.kinds))}; got "
                f"{fields['kind']!r}. Another version of this library wrote the export; verify it "
                "with that version, or export once more."
            )
        expected = [kind._expected_from_json(output) for output in fields["expected"]]
        task = kind(spec_from_json(fields["spec"]), fields["sources"], fields["samples"], expected)
        task._search = keras.saving.deserialize_keras_object(fields["search"])
        return task

    @classmethod
    def _expected_from_json(cls, fields: Any) -> Any:
        return fields

    def _gap_fields(self, gap: Gap | None) -> dict[str, Any]:
        """Returns a gap as the fields of a `Mismatch`."""
        if gap is None:
            return {}
        return {
            "score_gap": gap.score,
            "token_gap": gap.token,
            "near_tie": min(abs(gap.score), abs(gap.token)) <= NEAR,
        }


def weight_differences(expected: Sequence[Any], received: Sequence[Any]) -> list[float]:
    """Returns the largest difference of the attention weights `(T, S)` of each hypothesis.

    A batch is as wide as its longest source, so `S` may differ. Weights that only one side has must
    be zero, and count with their absolute value.
    """
    differences = []
    for expected_weights, received_weights in zip(expected, received, strict=True):
        a = np.asarray(expected_weights, np.float32)
        b = np.asarray(received_weights, np.float32)
        width = min(a.shape[-1], b.shape[-1])
        parts = (a[:, width:], b[:, width:], a[:, :width] - b[:, :width])
        differences.append(float(max(np.abs(part).max(initial=0.0) for part in parts)))
    return differences


def relative_differences(expected: Sequence[float], received: Sequence[float]) -> list[float]:
    """Returns the differences of scores; those of scores above one in size are relative.

    The score of a missing hypothesis is minus infinity, or the lowest float32 in graphs that are
    served over JSON. Both count as equal.
    """
    pairs = [
        (a if a > LOWEST else LOWEST, b if b >= LOWEST or b != b else LOWEST)
        for a, b in zip(expected, received, strict=True)
    ]
    return [0.0 if a == b else abs(a - b) / max(1.0, abs(a)) for a, b in pairs]


def as_text(array: np.ndarray) -> list[Any]:
    """Returns an array of strings as nested lists, with bytes that are not UTF-8 escaped."""
    if array.ndim > 1:
        return [as_text(row) for row in array]
    return [
        text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
        for text in array.tolist()
    ]


def with_samples(spec: GraphSpec, texts: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Returns texts followed by those of random samples, and the indices of each sample.

    Args:
        spec: the declaration of a graph that takes text.
        texts: source texts.
    """
    sources, samples = list(texts), [list[int]()]
    for seed, (batch, source_length) in enumerate(SAMPLES):
        samples.append(list(range(len(sources), len(sources) + batch)))
        sources += spec.sample(batch, source_length, SEED + seed)["text"].tolist()
    return sources, samples
