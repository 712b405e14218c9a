"""What a translator says of a text, and how a search result becomes it.

Choosing among hypotheses, and words put in the place of unknown tokens, are `risk` and `unknowns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_s2s.search import SearchResult
from keras_s2s.text import Tokenizer


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
    """

    text: str
    score: float
    log_prob: float
    ids: list[int]
    weights: np.ndarray


class Alignment(NamedTuple):
    """`S` source pieces, `T` target pieces, and how much each target piece looked at each source's.

    `weights` is `(T, S)` float32; its rows sum to 1, or to less under monotonic or local-p
    attention, and are zero in a model without attention. The last piece of both sides is the end's.
    """

    source: list[str]
    target: list[str]
    weights: np.ndarray


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
        )
        for n, row, text in zip(kept, ids, texts, strict=True)
    ]


def padded(rows: Sequence[Sequence[int]], pad_id: int = 0) -> np.ndarray:
    """Rows of ids as one array `(B, longest)` int32; of no rows, `(0, 1)`."""
    longest = max((len(row) for row in rows), default=1)
    ids = np.full((len(rows), longest), pad_id, dtype="int32")
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return ids
