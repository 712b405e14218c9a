"""Translations and alignments, which a translator makes from the results of a search.

`unknowns` and `minimum_bayes_risk` change and order translations afterwards.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_s2s.search import SearchResult
from keras_s2s.text import Tokenizer

# The number of batches whose texts are sorted by length together. They are enough for little
# padding, and few enough for memory to hold their results.
_SORTED_BATCHES = 64


class Translation(NamedTuple):
    """One hypothesis for one text.

    Attributes:
        text: the output.
        score: the number that ranks the hypotheses. It is the log-probability under the search's
            length penalty, or the expected utility if a `MinimumBayesRisk` orders them.
        log_prob: the sum of the natural log-probabilities of all tokens, the end token included.
        ids: the target ids, the end id last.
        weights: `(len(ids), S)` float32, the attention of each target token over the source ids,
            the end id last.
        token_log_probs: the natural log-probability of each target token.
        satisfied: whether the hypothesis contains all required phrases.
    """

    text: str
    score: float
    log_prob: float
    ids: list[int]
    weights: np.ndarray
    token_log_probs: Sequence[float] = ()
    satisfied: bool = True


class Alignment(NamedTuple):
    """The attention between the pieces of a text and the pieces of its translation.

    The last piece on both sides stands for the end token.

    Attributes:
        source: the `S` source pieces.
        target: the `T` target pieces.
        weights: `(T, S)` float32, the attention of each target piece over the source pieces. A row
            sums to 1, or to less under monotonic or local-p attention; it is zero in a model
            without attention.
    """

    source: list[str]
    target: list[str]
    weights: np.ndarray


def source_rows(
    texts: Sequence[str], tokenizer: Tokenizer, max_source_length: int
) -> list[list[int]]:
    """Returns the source ids of each text, the end id last, and warns of texts that are cut.

    Args:
        texts: the source texts.
        tokenizer: the source tokenizer.
        max_source_length: the greatest number of ids, the end id counted.

    Raises:
        TypeError: If an item of `texts` is not a string.
    """
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"`texts` must hold strings; got {type(text).__name__} at {i}.")
    room = max_source_length - 1
    encoded = tokenizer.encode(texts)
    long = [i for i, ids in enumerate(encoded) if len(ids) > room]
    if long:
        warnings.warn(
            f"{len(long)} of {len(texts)} texts are longer than {room} source tokens and are "
            f"cut there; the first is text {long[0] + 1}, with {len(encoded[long[0]])} tokens.",
            stacklevel=4,
        )
    return [[*ids[:room], tokenizer.end_id] for ids in encoded]


def decode_in_batches(
    rows: Sequence[list[int]],
    batch_size: int,
    search: Callable[[Sequence[int]], SearchResult],
    tokenizer: Tokenizer,
) -> Iterator[list[Translation]]:
    """Yields the hypotheses of each row of source ids in turn, from batches of similar lengths.

    Args:
        rows: source ids, the end id last.
        batch_size: the number of rows per batch.
        search: a function from the positions of the rows of a batch to their result, as NumPy
            arrays.
        tokenizer: the target tokenizer.
    """
    for start in range(0, len(rows), _SORTED_BATCHES * batch_size):
        window = rows[start : start + _SORTED_BATCHES * batch_size]
        order = sorted(range(len(window)), key=lambda i: len(window[i]))
        hypotheses: list[list[Translation]] = [[] for _ in window]
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            result = search([start + i for i in batch])
            for row, i in enumerate(batch):
                hypotheses[i] = translations(result, row, len(window[i]), tokenizer)
        yield from hypotheses


def translations(
    result: SearchResult, row: int, source_length: int, tokenizer: Tokenizer
) -> list[Translation]:
    """Reads the hypotheses of one text from the result of its batch, best first.

    Args:
        result: the result of a batch, as NumPy arrays.
        row: the row of the text in the batch.
        source_length: the number of source ids of the text, the end id counted.
        tokenizer: the target tokenizer.
    """
    ranks = [rank for rank, length in enumerate(result.lengths[row]) if length > 0]
    sequences = [result.ids[row, rank, : result.lengths[row, rank]].tolist() for rank in ranks]
    texts = tokenizer.decode(sequences)
    return [
        Translation(
            text,
            float(result.scores[row, rank]),
            float(result.log_probs[row, rank]),
            ids,
            # A view instead of a copy would keep the weights of the whole batch in memory.
            result.weights[row, rank, : len(ids), :source_length].copy(),
            result.token_log_probs[row, rank, : len(ids)].tolist(),
            bool(result.satisfied[row, rank]),
        )
        for rank, ids, text in zip(ranks, sequences, texts, strict=True)
    ]
