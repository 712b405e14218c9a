"""What artefacts are compared on: text to text, text to n-best or alignments, ids to ids.

A task owns sources, what Keras gives for them, and how an artefact's outputs are read and held
against that. It can be written to a file and read back without the model, so that an exported
folder can be verified where there is no Keras model any more.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

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
    quiet_translations,
    source_rows,
    translations,
    unpadded,
)
from keras_s2s.export.signatures import LOWEST, alignments_spec, beam_spec
from keras_s2s.export.spec import GraphSpec, IdsSpec, spec_from_json
from keras_s2s.search import Search
from keras_s2s.translation import Translation
from keras_s2s.translator import Translator

SAMPLES = ((1, 1), (3, 2), (5, 41))  # batch and source length, none of them met in tracing
NEAR = 1e-4  # a gap that rounding may decide
SEED = 0

Arrays = Mapping[str, np.ndarray]
Encode = Callable[[Sequence[str]], np.ndarray]


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

    def to_json(self) -> dict[str, Any]:
        """All but the judge, as JSON types."""
        return {
            "kind": self.kind,
            "spec": self.spec.to_json(),
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
        return kind(spec_from_json(found["spec"]), found["sources"], found["samples"], expected)

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


class TextTask(Task):
    """Text to the best target text, with the translator's own search."""

    kind = "text"

    @classmethod
    def of(cls, translator: Translator, texts: Sequence[str]) -> TextTask:
        """What Keras gives for texts and for samples of the declaration."""
        spec = spec_of_text(translator)
        sources, samples = with_samples(spec, texts)
        expected = translations(translator, sources, BATCH_SIZE)
        return cls(spec, sources, samples, expected, Judge(translator, translator.search))

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
    def of(cls, translator: Translator, texts: Sequence[str], search: Search) -> BeamTask:
        """What Keras gives with a search, which gives `search.n_best` hypotheses."""
        spec = beam_spec(translator.source_tokenizer, n_best=search.n_best)
        sources, samples = with_samples(spec, texts)
        other = translator.with_model(translator.model)
        other.search = search

        def filled(found: list[Translation]) -> dict[str, list[Any]]:
            missing = search.n_best - len(found)
            return {
                "translations": [*(each.text for each in found), *[""] * missing],
                "scores": [*(each.score for each in found), *[LOWEST] * missing],
                "lengths": [*(len(each.ids) for each in found), *[0] * missing],
            }

        expected = [filled(found) for found in quiet_translations(other, sources, BATCH_SIZE)]
        return cls(spec, sources, samples, expected, Judge(translator, search))

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
    def of(cls, translator: Translator, texts: Sequence[str]) -> AlignmentsTask:
        """What Keras gives, with the translator's own search."""
        spec = alignments_spec(translator.source_tokenizer, max_length=translator.search.max_length)
        sources, samples = with_samples(spec, texts)
        rows = source_rows(translator, sources)
        found = quiet_translations(translator, sources, BATCH_SIZE)
        expected = [
            {
                "translation": best.text,
                "tokens": translator.target_tokenizer.pieces(best.ids),
                "weights": best.weights.tolist(),
                "source_tokens": translator.source_tokenizer.pieces(row),
            }
            for (best, *_), row in zip(found, rows, strict=True)
        ]
        return cls(spec, sources, samples, expected, Judge(translator, translator.search))

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

    def score_differences(self, place: int, received: Any) -> list[float]:
        expected = self.expected[place]
        whole = np.zeros(received["weights"].shape, np.float32)
        rows, columns = len(expected["tokens"]), len(expected["source_tokens"])
        whole[:rows, :columns] = expected["weights"]
        return [float(np.abs(whole - received["weights"]).max(initial=0.0))]


class IdsTask(Task):
    """Source ids to target ids of all hypotheses, with any search."""

    kind = "ids"
    spec: IdsSpec

    @classmethod
    def of(
        cls,
        translator: Translator,
        name: str,
        search: Search,
        rows: Sequence[list[int]],
        dtype: str = "int64",
        spec: IdsSpec | None = None,
    ) -> IdsTask:
        """What Keras gives with a search for rows of ids, the end id last."""
        spec = spec or spec_of_ids(translator, name, search, dtype)
        sources, samples = [*rows], [list[int]()]
        for seed, (batch, source_length) in enumerate(SAMPLES):
            drawn = spec.sample(batch, source_length, SEED + seed)
            samples.append(list(range(len(sources), len(sources) + batch)))
            pairs = zip(drawn["input_ids"], drawn["input_lengths"], strict=True)
            sources += [ids[:length].tolist() for ids, length in pairs]
        expected = hypotheses(translator, search, sources)
        if not any(value.name == "alignments" for value in spec.outputs):
            expected = [each._replace(alignments=()) for each in expected]
        return cls(spec, sources, samples, expected, Judge(translator, search))

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
        # A server may pad with anything; the lengths alone must count.
        return {
            "input_ids": padded(rows, fill=np.random.default_rng(SEED)).astype(self.spec.dtype),
            "input_lengths": np.array([len(row) for row in rows], self.spec.dtype),
        }

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


def weight_differences(
    expected: Sequence[np.ndarray], received: Sequence[np.ndarray]
) -> list[float]:
    """Of each hypothesis, by how much attention weights `(T, S)` differ at most.

    A batch is as wide as its longest source, so one may be wider than the other.
    """
    differences = []
    for a, b in zip(expected, received, strict=True):
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


def _is_followed_by_nothing(expected: list[str], received: list[str]) -> bool:
    return received == [*expected, *[""] * (len(received) - len(expected))]


def _plain(score: float) -> float | str:
    return score if np.isfinite(score) else str(score)  # JSON has no infinity
