"""The outputs of Keras, which exported artefacts must give, and how close a decision was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import keras
import numpy as np

from keras_s2s.data.padding import padded
from keras_s2s.search import BeamSearch, Search
from keras_s2s.translation.results import Translation
from keras_s2s.translation.translator import Translator

BATCH_SIZE = 32


class Hypotheses(NamedTuple):
    """The hypotheses that a search returns for one sentence, best first.

    Attributes:
        ids: the target ids of each hypothesis, the end id last.
        scores: the score that ranks each hypothesis.
        alignments: the attention weights of each hypothesis, `(T, S)` float32; empty when the
            search kept none.
    """

    ids: list[list[int]]
    scores: list[float]
    alignments: Sequence[np.ndarray] = ()


class Gap(NamedTuple):
    """How much Keras prefers one output to another. Near zero, rounding decides.

    Attributes:
        score: the difference of the scores of the whole outputs.
        token: the difference of the log-probabilities of the first tokens that differ.
    """

    score: float
    token: float


def source_rows(translator: Translator, texts: Sequence[str]) -> list[list[int]]:
    """Returns the source ids of each text, cut to the translator's limit, the end id last."""
    with _quiet_cuts():
        ids = translator.source_ids(texts)
    pad_id = translator.source_tokenizer.pad_id
    return [row[row != pad_id].tolist() for row in ids]


def best_texts(translator: Translator, texts: Sequence[str], batch_size: int) -> list[str]:
    """Returns the translator's best target text for each source text."""
    with _quiet_cuts():
        translated: list[str] = translator(list(texts), batch_size=batch_size)
    return translated


def n_best_translations(
    translator: Translator, texts: Sequence[str], batch_size: int
) -> list[list[Translation]]:
    """Returns the translator's hypotheses for each source text, best first."""
    with _quiet_cuts():
        return translator.translate(texts, batch_size=batch_size)


@contextmanager
def _quiet_cuts() -> Iterator[None]:
    """Silences the warning that a source is cut: the over-long text is cut on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")
        yield


def hypotheses(
    translator: Translator, search: Search, rows: Sequence[Sequence[int]]
) -> list[Hypotheses]:
    """Returns the hypotheses of `translator.inference_model(search)` for source ids.

    Args:
        translator: the model and its special ids.
        search: the search that decodes.
        rows: the source ids of each sentence, the end id last.
    """
    model = translator.inference_model(search)
    sentences: list[Hypotheses] = []
    for first in range(0, len(rows), BATCH_SIZE):
        result = model.predict_on_batch(padded(rows[first : first + BATCH_SIZE], dtype="int64"))
        sentences += unpadded(result.ids, result.lengths, result.scores, result.weights)
    return sentences


def unpadded(
    ids: np.ndarray, lengths: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> list[Hypotheses]:
    """Returns the hypotheses of each sentence of a batch, cut to their lengths.

    Args:
        ids: target ids `(B, K, L)`.
        lengths: ids per hypothesis `(B, K)`, the end id counted.
        scores: scores `(B, K)`.
        weights: attention weights `(B, K, L, S)`, or None.
    """
    return [
        Hypotheses(
            [row[:length].tolist() for row, length in zip(rows, counts, strict=True)],
            values.tolist(),
            ()
            if weights is None
            else [row[:length] for row, length in zip(weights[place], counts, strict=True)],
        )
        for place, (rows, counts, values) in enumerate(zip(ids, lengths, scores, strict=True))
    ]


def gap(
    translator: Translator,
    search: Search,
    source: Sequence[int],
    expected: Sequence[int],
    received: Sequence[int],
) -> Gap | None:
    """Returns how much Keras prefers one output to another.

    Args:
        translator: the model and its special ids.
        search: the search whose length penalty scores the outputs; its other controls do not count.
        source: source ids, the end id last.
        expected: target ids of the output of Keras, the end id last.
        received: target ids of the other output, the end id last.

    Returns:
        The gap; None if both outputs are the same, or if one is empty or has ids outside the
        vocabulary.
    """
    size = translator.target_tokenizer.vocabulary_size
    outputs = [list(ids) for ids in (expected, received)]
    if outputs[0] == outputs[1] or not all(ids and max(ids) < size for ids in outputs):
        return None
    tables = [_log_probs(translator, source, ids) for ids in outputs]
    scores = [
        _score(search, table[np.arange(len(ids)), ids].sum(), len(ids), len(source))
        for table, ids in zip(tables, outputs, strict=True)
    ]
    both = zip(*outputs, strict=False)
    place = next((t for t, (a, b) in enumerate(both) if a != b), None)
    if place is None:  # the longer output begins with the shorter one, which lacks an end id
        return Gap(scores[0] - scores[1], float("inf"))
    first, second = (ids[place] for ids in outputs)
    return Gap(scores[0] - scores[1], float(tables[0][place, first] - tables[0][place, second]))


def _log_probs(translator: Translator, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
    """Returns the log-probabilities `(T, V)` float32 of every token at every target position."""
    prefix = [translator.target_tokenizer.start_id, *target[:-1]]
    # One position of padding makes at least two: Keras warns about a softmax over a single one.
    source = [*source, translator.source_tokenizer.pad_id]
    logits = translator.model.predict_on_batch(
        {"source_ids": np.array([source], "int32"), "target_ids": np.array([prefix], "int32")}
    )[0].astype("float32")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    table: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return table


def _score(search: Search, log_prob: float, length: int, source_length: int) -> float:
    """Returns a beam search's score of an output; other searches score by log-probability."""
    if not isinstance(search, BeamSearch):
        return float(log_prob)
    lengths, source_lengths = np.array([length], "int32"), np.array([source_length], "int32")
    scores = search.length_penalty(np.array([log_prob], "float32"), lengths, source_lengths)
    return float(keras.ops.convert_to_numpy(scores)[0])
