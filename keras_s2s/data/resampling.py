"""Pairs of texts that are segmented anew each time they are asked for, for training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.pairs import Batch, IdPairs

if TYPE_CHECKING:
    from keras_s2s.text import SubwordSampling, Tokenizer


class SampledSide:
    """The texts of one side of a corpus, and how they are drawn.

    Args:
        tokenizer: encodes them.
        sampling: draws other segmentations; None for the one that `tokenizer.encode` gives.
        most: longest text in ids, end id included. A drawn segmentation above it gives way to the
            usual one, by which the corpus chose its pairs.

    Raises:
        TypeError: a tokenizer that has one segmentation only.
    """

    def __init__(self, tokenizer: Tokenizer, sampling: SubwordSampling | None, most: float) -> None:
        self.tokenizer = tokenizer
        self.sampler = None if sampling is None else sampling.sampler(tokenizer)
        self.most = most
        self.texts: list[str] = []

    def ids(self, rows: NDArray[np.int64], seed: int) -> list[list[int]]:
        """The ids of some texts, by a seed."""
        texts = [self.texts[row] for row in rows]
        if self.sampler is None:
            return self.tokenizer.encode(texts)
        drawn = self.sampler.encode(texts, seed=seed)
        if self.most == math.inf or all(len(ids) < self.most for ids in drawn):
            return drawn
        usual = self.tokenizer.encode(texts)
        return [
            one if len(one) < self.most else other for one, other in zip(drawn, usual, strict=True)
        ]


class SampledPairs:
    """Sources and targets that are drawn anew in every batch of every epoch.

    What is drawn depends on the shuffle seed, the epoch and the place of the batch in it, and on
    nothing before: a resumed training draws what it would have drawn.

    Args:
        source: the sources.
        target: the targets.
        start_id: as for `IdPairs`.
        end_id: as for `IdPairs`.
        pad_id: as for `IdPairs`.
    """

    def __init__(
        self, source: SampledSide, target: SampledSide, *, start_id: int, end_id: int, pad_id: int
    ) -> None:
        self.source = source
        self.target = target
        self.special = {"start_id": start_id, "end_id": end_id, "pad_id": pad_id}

    def append(self, source: str, target: str) -> None:
        """Add one pair of texts."""
        self.source.texts.append(source)
        self.target.texts.append(target)

    def batch(self, rows: NDArray[np.int64], *, seed: int, epoch: int, position: int) -> Batch:
        """Some pairs, drawn, in the layout of `IdPairs.batch`.

        Args:
            rows: `(B,)` row numbers, at least one.
            seed: the shuffle seed.
            epoch: from 0.
            position: of the batch in its epoch.
        """
        state = np.random.SeedSequence((seed, epoch, position)).generate_state(2)
        source_seed, target_seed = map(int, state)
        pairs = IdPairs(**self.special, on_disk=False)
        sources = self.source.ids(rows, source_seed)
        targets = self.target.ids(rows, target_seed)
        for source, target in zip(sources, targets, strict=True):
            pairs.append(source, target)
        return pairs.batch(np.arange(len(rows)))
