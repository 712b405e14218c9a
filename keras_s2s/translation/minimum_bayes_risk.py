"""Minimum Bayes risk, the choice of the hypothesis that agrees most with the others.

Kumar & Byrne (2004) introduced this choice to machine translation. Eikema & Aziz (2020) choose
among samples.
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
    """Orders the hypotheses of a text by their agreement with the others.

    The expected utility of a hypothesis `h` among `n` hypotheses is

    ```
    Σ chrF2(h, r) / (n − 1)      over all other hypotheses r, as references
    ```

    with sacreBLEU's sentence chrF2, 0 to 100. A text that occurs twice counts twice. A lone
    hypothesis has the utility 100. Hypotheses are returned best first, each with its utility as
    `score`. Hypotheses of equal utility keep their order, and none is dropped.

    The choice is worthwhile among many hypotheses, from a wide beam with an equally large `n_best`
    or from samples. A `Translator` takes an instance as `choice`, and saves it.

    Args:
        metric: the utility, 'chrf'.

    Raises:
        ValueError: If `metric` is not 'chrf'.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import Translation
    >>> hypotheses = [
    ...     Translation(text, 0.0, 0.0, [], np.zeros((0, 1)))
    ...     for text in ("one dog", "a big cat", "a big cat", "the big cat")
    ... ]
    >>> [hypothesis.text for hypothesis in MinimumBayesRisk()(hypotheses)]
    ['a big cat', 'a big cat', 'the big cat', 'one dog']
    """

    def __init__(self, metric: str = "chrf") -> None:
        check_choice("metric", metric, METRICS)
        self.metric = metric

    def __call__(self, hypotheses: Sequence[Translation]) -> list[Translation]:
        """Returns the hypotheses of one text, in falling order of utility."""
        utilities = expected_utilities([hypothesis.text for hypothesis in hypotheses])
        scored = [
            hypothesis._replace(score=utility)
            for hypothesis, utility in zip(hypotheses, utilities, strict=True)
        ]
        return sorted(scored, key=lambda hypothesis: -hypothesis.score)

    def get_config(self) -> dict[str, Any]:
        return {"metric": self.metric}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MinimumBayesRisk:
        return cls(**config)


def expected_utilities(texts: Sequence[str]) -> list[float]:
    """Computes the mean chrF2 of each text against the other texts, from 0 to 100.

    Example:
    >>> expected_utilities(["ab", "ab", "cd"])
    [50.0, 50.0, 0.0]
    """
    if len(texts) < 2:
        return [100.0] * len(texts)
    counts = Counter(texts)
    table = chrf_table(list(counts))  # equal texts share a row
    occurrences = np.array(list(counts.values()), "float64")
    # A text is not compared with itself, but with its other occurrences.
    means = (table @ occurrences - table.diagonal()) / (len(texts) - 1)
    utility = dict(zip(counts, means.tolist(), strict=True))
    return [utility[text] for text in texts]


def chrf_table(texts: Sequence[str]) -> np.ndarray:
    """Computes the sentence chrF2 of each text against each text as reference.

    The n-grams and the formula are sacreBLEU's: orders 1 to 6, white space left out, beta 2,
    averaged over the orders that both texts have. All pairs are computed at once, since 100 texts
    make 10,000 pairs.

    Returns:
        `(N, N)` float64, 0 to 100, with texts in rows and references in columns.
    """
    from sacrebleu.metrics import CHRF
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    ngrams = [extract_all_char_ngrams(text, CHRF.CHAR_ORDER) for text in texts]
    precision = np.zeros((len(texts), len(texts)))
    recall = np.zeros_like(precision)
    orders = np.zeros_like(precision)
    for of_order in zip(*ngrams, strict=True):  # the n-grams of one order, for every text
        counts = _count_table(of_order)  # (N, G)
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


def _count_table(counters: Sequence[Counter[str]]) -> np.ndarray:
    """Returns how often each n-gram occurs in each text, `(texts, n-grams)` int32."""
    distinct = dict.fromkeys(gram for counter in counters for gram in counter)
    columns = {gram: i for i, gram in enumerate(distinct)}
    table = np.zeros((len(counters), len(columns)), "int32")
    for row, counter in zip(table, counters, strict=True):
        row[[columns[gram] for gram in counter]] = list(counter.values())
    return table
