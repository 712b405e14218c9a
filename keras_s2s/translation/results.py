"""What a translator says of a text, and how a search result becomes it.

Choosing among hypotheses, and words put in the place of unknown tokens, are `risk` and `unknowns`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_s2s.search import SearchResult
from keras_s2s.text import Tokenizer

# Sorted by length together: enough that little is padded, few enough to hold in memory.
_SORTED_BATCHES = 64


class Translation(NamedTuple):
    """One hypothesis for one text.

    Attributes:
        text: the output.
        score: what hypotheses are ranked by: the log-probability under the search's length penalty,
            or the expected utility where a `MinimumBayesRisk` chose.
        log_prob: sum of the tokens' natural log-probabilities, the end token's included.
        ids: the target ids, the end id last.
        weights: `(len(ids), S)` float32, attention of each target token over the source ids, the
            end id last.
        token_log_probs: the natural log-probability of each target token.
        satisfied: whether all required phrases are in it.
    """

    text: str
    score: float
    log_prob: float
    ids: list[int]
    weights: np.ndarray
    token_log_probs: Sequence[float] = ()
    satisfied: bool = True


class Alignment(NamedTuple):
    """`S` source pieces, `T` target pieces, and how much each target piece looked at each source's.

    `weights` is `(T, S)` float32; its rows sum to 1, or to less under monotonic or local-p
    attention, and are zero in a model without attention. The last piece of both sides is the end's.
    """

    source: list[str]
    target: list[str]
    weights: np.ndarray


def source_rows(
    texts: Sequence[str], tokenizer: Tokenizer, max_source_length: int
) -> list[list[int]]:
    """Source ids of each text, the end id last; what is cut off is warned about.

    Raises:
        TypeError: something among the texts that is not a string.
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


def in_batches(
    rows: Sequence[list[int]],
    batch_size: int,
    search: Callable[[Sequence[int]], SearchResult],
    tokenizer: Tokenizer,
) -> Iterator[list[Translation]]:
    """The hypotheses of each row of source ids, in order, found in batches of like lengths.

    Args:
        rows: source ids, the end id last.
        batch_size: rows per batch.
        search: from the places of a batch's rows to its result, as NumPy arrays.
        tokenizer: the target's.
    """
    for start in range(0, len(rows), _SORTED_BATCHES * batch_size):
        window = rows[start : start + _SORTED_BATCHES * batch_size]
        order = sorted(range(len(window)), key=lambda i: len(window[i]))
        results: list[list[Translation]] = [[] for _ in window]
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            found = search([start + i for i in chosen])
            for place, i in enumerate(chosen):
                results[i] = translations(found, place, len(window[i]), tokenizer)
        yield from results


def translations(
    found: SearchResult, place: int, source_length: int, tokenizer: Tokenizer
) -> list[Translation]:
    """The hypotheses of one text out of the result of its batch, best first.

    Args:
        found: a batch's result, as NumPy arrays.
        place: the text's row in it.
        source_length: number of its source ids, the end id counted.
        tokenizer: the target's.
    """
    kept = [n for n, length in enumerate(found.lengths[place]) if length > 0]
    ids = [found.ids[place, n, : found.lengths[place, n]].tolist() for n in kept]
    texts = tokenizer.decode(ids)
    return [
        Translation(
            text,
            float(found.scores[place, n]),
            float(found.log_probs[place, n]),
            row,
            # A copy, or each would keep the weights of its whole batch in memory.
            found.weights[place, n, : len(row), :source_length].copy(),
            found.token_log_probs[place, n, : len(row)].tolist(),
            bool(found.satisfied[place, n]),
        )
        for n, row, text in zip(kept, ids, texts, strict=True)
    ]
