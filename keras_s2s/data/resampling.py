"""Segments the texts of a batch anew in every epoch, for training with subword sampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.pairs import Batch, IdPairs

if TYPE_CHECKING:
    from keras_s2s.text import SubwordSampling, Tokenizer


class SampledSide:
    """The texts of one side of a corpus, whose segmentations are drawn at random.

    Args:
        tokenizer: tokenizer that encodes the texts.
        sampling: `SubwordSampling` that draws segmentations; None always takes the usual one, which
            `tokenizer.encode` gives.
        max_length: largest number of ids, end id included, in a text. A longer drawn segmentation
            is replaced by the usual one, which the corpus checked against this limit.

    Raises:
        TypeError: If the tokenizer has only one segmentation.
    """

    def __init__(
        self, tokenizer: Tokenizer, sampling: SubwordSampling | None, max_length: float
    ) -> None:
        self.tokenizer = tokenizer
        self.sampler = None if sampling is None else sampling.sampler(tokenizer)
        self.max_length = max_length
        self.texts: list[str] = []

    def ids(self, rows: NDArray[np.int64], seed: int) -> list[list[int]]:
        """Returns the ids of the texts in some rows, segmented as the seed decides."""
        texts = [self.texts[row] for row in rows]
        if self.sampler is None:
            return self.tokenizer.encode(texts)
        drawn = self.sampler.encode(texts, seed=seed)
        if self.max_length == math.inf or all(len(ids) < self.max_length for ids in drawn):
            return drawn
        usual = self.tokenizer.encode(texts)
        return [
            drawn_ids if len(drawn_ids) < self.max_length else usual_ids
            for drawn_ids, usual_ids in zip(drawn, usual, strict=True)
        ]


class SampledPairs:
    """Pairs of texts whose segmentations are drawn anew in every batch of every epoch.

    The segmentations depend on the shuffle seed, the epoch and the place of the batch in it, and
    not on earlier batches. So a resumed training draws the segmentations that it would have drawn
    without the break.

    Args:
        source: texts of the sources.
        target: texts of the targets.
        start_id: as for `IdPairs`.
        end_id: as for `IdPairs`.
        pad_id: as for `IdPairs`.
    """

    def __init__(
        self, source: SampledSide, target: SampledSide, *, start_id: int, end_id: int, pad_id: int
    ) -> None:
        self.source = source
        self.target = target
        self.special_ids = {"start_id": start_id, "end_id": end_id, "pad_id": pad_id}

    def append(self, source: str, target: str) -> None:
        """Adds one pair of texts."""
        self.source.texts.append(source)
        self.target.texts.append(target)

    def batch(self, rows: NDArray[np.int64], *, seed: int, epoch: int, position: int) -> Batch:
        """Draws the segmentations of some pairs, and makes a batch of them as `IdPairs.batch` does.

        Args:
            rows: `(B,)` row numbers, at least one.
            seed: the shuffle seed.
            epoch: number of the epoch, from 0.
            position: number of the batch in its epoch, from 0.
        """
        state = np.random.SeedSequence((seed, epoch, position)).generate_state(2)
        source_seed, target_seed = map(int, state)
        pairs = IdPairs(**self.special_ids, on_disk=False)
        sources = self.source.ids(rows, source_seed)
        targets = self.target.ids(rows, target_seed)
        for source, target in zip(sources, targets, strict=True):
            pairs.append(source, target)
        return pairs.batch(np.arange(len(rows)))
