"""Minimum Bayes risk: of several hypotheses, the one that agrees most with the others.

Kumar & Byrne 2004; with samples as hypotheses, Eikema & Aziz 2020.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_s2s.system.checks import check_choice
from keras_s2s.translation.results import Translation

METRICS = ("chrf",)


@keras.saving.register_keras_serializable(package="keras_s2s")
class MinimumBayesRisk:
    """Orders the hypotheses of a text by how much they agree with one another.

    The expected utility of a hypothesis is the mean of its sentence chrF2 (0 to 100, sacreBLEU's)
    against each of the others as reference; a text that occurs twice among them counts twice. A
    lone hypothesis has the utility 100. Hypotheses come back best first, equals in the order they
    had, each with its utility as `score`; nothing is dropped.

    Many hypotheses make it worth while: a wide beam with as large an `n_best`, or samples. A
    `Translator` takes it as `choice` and saves it.

    Args:
        metric: 'chrf'.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import Translation
    >>> found = [
    ...     Translation(text, 0.0, 0.0, [], np.zeros((0, 1)))
    ...     for text in ("one dog", "a big cat", "a big cat", "the big cat")
    ... ]
    >>> [one.text for one in MinimumBayesRisk()(found)]
    ['a big cat', 'a big cat', 'the big cat', 'one dog']
    """

    def __init__(self, metric: str = "chrf") -> None:
        check_choice("metric", metric, METRICS)
        self.metric = metric

    def __call__(self, hypotheses: Sequence[Translation]) -> list[Translation]:
        """The hypotheses of one text, ordered by utility."""
        utilities = expected_utilities([each.text for each in hypotheses])
        scored = [
            each._replace(score=utility)
            for each, utility in zip(hypotheses, utilities, strict=True)
        ]
        return sorted(scored, key=lambda each: -each.score)

    def get_config(self) -> dict[str, Any]:
        return {"metric": self.metric}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MinimumBayesRisk:
        return cls(**config)


def expected_utilities(texts: Sequence[str]) -> list[float]:
    """The mean chrF2 of each text against the others.

    Example:
    >>> expected_utilities(["ab", "ab", "cd"])
    [50.0, 50.0, 0.0]
    """
    if len(texts) < 2:
        return [100.0] * len(texts)
    counts = Counter(texts)
    table = chrf_table(list(counts))  # each text once: equal ones share their row
    occurrences = np.array(list(counts.values()), "float64")
    # A text is no judge of itself, its doubles are.
    means = (table @ occurrences - table.diagonal()) / (len(texts) - 1)
    utility = dict(zip(counts, means.tolist(), strict=True))
    return [utility[text] for text in texts]


def chrf_table(texts: Sequence[str]) -> np.ndarray:
    """Sentence chrF2 `(N, N)` of each text, in rows, against each as reference.

    sacreBLEU's n-grams and formula (orders 1 to 6, white space left out, beta 2, averaged over the
    orders that both sides have), for all pairs at once: with 100 texts, 10,000 of them.
    """
    from sacrebleu.metrics import CHRF
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    each = [extract_all_char_ngrams(text, CHRF.CHAR_ORDER) for text in texts]
    precision = np.zeros((len(texts), len(texts)))
    recall = np.zeros_like(precision)
    orders = np.zeros_like(precision)
    for grams in zip(*each, strict=True):  # of one order, for every text
        counts = _count_table(grams)  # (N, G)
        totals = counts.sum(axis=1)
        matches = np.stack([np.minimum(counts, row).sum(axis=1) for row in counts])  # (N, N)
        both = np.outer(totals > 0, totals > 0)
        precision += np.where(both, matches / np.maximum(totals, 1)[:, None], 0.0)
        recall += np.where(both, matches / np.maximum(totals, 1)[None, :], 0.0)
        orders += both
    precision /= np.maximum(orders, 1)
    recall /= np.maximum(orders, 1)
    factor = CHRF.BETA**2
    bottom = factor * precision + recall
    table: np.ndarray = 100 * (1 + factor) * precision * recall / np.where(bottom > 0, bottom, 1.0)
    return table


def _count_table(grams: Sequence[Counter[str]]) -> np.ndarray:
    """How often each n-gram occurs in each text: `(texts, n-grams)`."""
    columns = {gram: i for i, gram in enumerate(dict.fromkeys(g for each in grams for g in each))}
    table = np.zeros((len(grams), len(columns)), "int32")
    for row, each in zip(table, grams, strict=True):
        row[[columns[gram] for gram in each]] = list(each.values())
    return table
