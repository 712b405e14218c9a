"""What Keras gives: the outputs that exported artefacts must give, and how close a call was."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from keras_s2s.data.padding import padded
from keras_s2s.search import BeamSearch, Search
from keras_s2s.translation.results import Translation
from keras_s2s.translation.translator import Translator

BATCH_SIZE = 32


class Hypotheses(NamedTuple):
    """What a search found for one sentence.

    Attributes:
        ids: per hypothesis, best first, the target ids with the end id last.
        scores: what they are ranked by.
        alignments: per hypothesis the attention weights `(length, S)`; empty where none were kept.
    """

    ids: list[list[int]]
    scores: list[float]
    alignments: Sequence[np.ndarray] = ()


class Gap(NamedTuple):
    """How much better Keras thinks one output is than another; near zero, rounding decides.

    Attributes:
        score: difference of the scores of the whole outputs.
        token: difference of the log-probabilities of the first tokens that differ.
    """

    score: float
    token: float


def source_rows(translator: Translator, texts: Sequence[str]) -> list[list[int]]:
    """Source ids of each text, cut to the limit, the end id last."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")  # cut on purpose
        ids = translator.source_ids(texts)
    pad_id = translator.source_tokenizer.pad_id
    return [row[row != pad_id].tolist() for row in ids]


def translations(translator: Translator, texts: Sequence[str], batch_size: int) -> list[str]:
    """What the translator gives for texts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")
        translated: list[str] = translator(list(texts), batch_size=batch_size)
    return translated


def quiet_translations(
    translator: Translator, texts: Sequence[str], batch_size: int
) -> list[list[Translation]]:
    """What the translator gives for texts, with all that is known of each hypothesis."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")
        return translator.translate(texts, batch_size=batch_size)


def hypotheses(
    translator: Translator, search: Search, rows: Sequence[Sequence[int]]
) -> list[Hypotheses]:
    """What `translator.inference_model(search)` gives for source ids."""
    model = translator.inference_model(search)
    found: list[Hypotheses] = []
    for first in range(0, len(rows), BATCH_SIZE):
        result = model.predict_on_batch(padded(rows[first : first + BATCH_SIZE], dtype="int64"))
        found += unpadded(result.ids, result.lengths, result.scores, result.weights)
    return found


def unpadded(
    ids: np.ndarray, lengths: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> list[Hypotheses]:
    """Hypotheses of a batch out of arrays (B, N, L), (B, N), (B, N) and (B, N, L, S)."""
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
    """How much Keras prefers `expected` to `received`; None when there is nothing to compare.

    Args:
        translator: the model.
        search: gives the length penalty; other controls it has are not counted.
        source: source ids, the end id last.
        expected: target ids, the end id last.
        received: other target ids, the end id last.
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
    if place is None:  # one goes on where the other stops; it must have ended without the end id
        return Gap(scores[0] - scores[1], float("inf"))
    first, second = (ids[place] for ids in outputs)
    return Gap(scores[0] - scores[1], float(tables[0][place, first] - tables[0][place, second]))


def _log_probs(translator: Translator, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
    """Log-probabilities (T, V) of every token at every position of a target."""
    before = [translator.target_tokenizer.start_id, *target[:-1]]
    # At least two positions, one of them padding: Keras warns of a softmax over one.
    source = [*source, translator.source_tokenizer.pad_id]
    logits = translator.model.predict_on_batch(
        {"source_ids": np.array([source], "int32"), "target_ids": np.array([before], "int32")}
    )[0].astype("float32")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    table: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return table


def _score(search: Search, log_prob: float, length: int, source_length: int) -> float:
    if not isinstance(search, BeamSearch):
        return float(log_prob)
    lengths, source_lengths = np.array([length], "int32"), np.array([source_length], "int32")
    scores = search.length_penalty(np.array([log_prob], "float32"), lengths, source_lengths)
    return float(keras.ops.convert_to_numpy(scores)[0])
