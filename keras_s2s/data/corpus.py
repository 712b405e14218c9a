"""Parallel text made ready for training: tokenised and filtered once, then batched every epoch.

`filtering` tokenises the pairs and leaves out some, `pairs` holds and pads their ids, `batches`
decides which pairs share a batch, `shapes` rounds the shapes of batches, and `dataset` hands the
batches to TensorFlow. This module joins them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from keras_s2s.data.batches import BatchPlan
from keras_s2s.data.dataset import dataset_of_epochs
from keras_s2s.data.filtering import PairFilter
from keras_s2s.data.length_order import LengthOrder
from keras_s2s.data.pairs import Batch, IdPairs
from keras_s2s.data.resampling import SampledPairs, SampledSide
from keras_s2s.data.shapes import BoundedShapes
from keras_s2s.system.checks import check_whole

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    from keras_s2s.data.hosts import Hosts
    from keras_s2s.text import SubwordSampling, Tokenizer


class Corpus:
    """Pairs of sentences as ids, in memory or on disk, and the batches that are made of them.

    1. Pairs are taken from the iterable in chunks. The text of one chunk is in memory at a time.
    2. Pairs with an empty side are left out, the others are tokenised, and those above a length
       limit are left out too.
    3. The ids of the remaining pairs are kept as one flat int32 array per side. They take 4 bytes
       an id and 8 a sentence. Once batches are planned, the order of the pairs by length takes 8
       bytes a pair.

    Args:
        pairs: (source, target) strings, from `read_parallel`, `read_tsv` or anywhere else. They are
            iterated over once.
        source_tokenizer: tokenizer that encodes the sources.
        target_tokenizer: tokenizer that encodes the targets.
        max_source_length: number of ids, end id included, in the longest source that is kept; None
            for no limit.
        max_target_length: the same limit for the targets.
        source_sampling: `SubwordSampling` that segments the sources anew in every batch of every
            epoch with a `shuffle_seed`. The corpus then keeps the texts too. Batches are planned by
            the usual segmentation, so a batch of drawn segmentations may have more than
            `batch_tokens` ids.
        target_sampling: the same for the targets.
        on_disk: whether the ids are in a file of the system's temporary folder (`TMPDIR`) instead
            of memory. The file is deleted with the corpus. Batches are the same, and memory grows
            with the text by only some 20 bytes a batch.

    Attributes:
        report: `CorpusReport`, which `print(corpus.report)` shows in one line.

    Raises:
        CorpusError: If no pair is left, in which case the message says why, or if `pairs` raises
            this error.
        ValueError: If a limit is below 2, into which no sentence and its end id fit, or `on_disk`
            is combined with sampling.
        TypeError: If a limit is not a whole number, or if sampling is asked of a tokenizer that has
            only one segmentation.

    Example:
        ```python
        from keras_s2s.data.corpus import Corpus
        from keras_s2s.text import CharTokenizer

        letters = CharTokenizer(["a", "b", "c"])  # ids 4, 5, 6
        corpus = Corpus([("ab", "c"), ("a", "")], letters, letters)
        print(corpus.report)  # 1 of 2 pairs kept (1 empty, 0 too long); ...
        for inputs, labels, weights in corpus.batches(batch_size=8, shuffle_seed=1):
            print(inputs["source_ids"], inputs["target_ids"], labels)  # [[4 5 3]] [[2 6]] [[6 3]]
        dataset = corpus.dataset(batch_tokens=4096, shuffle_seed=1)  # for fit
        ```
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        *,
        max_source_length: int | None = None,
        max_target_length: int | None = None,
        source_sampling: SubwordSampling | None = None,
        target_sampling: SubwordSampling | None = None,
        on_disk: bool = False,
    ) -> None:
        pair_filter = PairFilter(
            source_tokenizer,
            target_tokenizer,
            max_source_length=max_source_length,
            max_target_length=max_target_length,
        )
        special_ids = {
            "start_id": target_tokenizer.start_id,
            "end_id": target_tokenizer.end_id,
            "pad_id": target_tokenizer.pad_id,
        }
        if on_disk and (source_sampling is not None or target_sampling is not None):
            raise ValueError(
                "Subword sampling keeps the texts in memory, so `on_disk` would save nothing. "
                "Leave one of the two out."
            )
        self._on_disk = on_disk
        self._pairs = IdPairs(**special_ids, on_disk=on_disk)
        self._sampled: SampledPairs | None = None
        if source_sampling is not None or target_sampling is not None:
            self._sampled = SampledPairs(
                SampledSide(source_tokenizer, source_sampling, pair_filter.source.limit),
                SampledSide(target_tokenizer, target_sampling, pair_filter.target.limit),
                **special_ids,
            )
        self._orders: dict[int | None, LengthOrder] = {}  # keys: `length_multiple`
        for pair in pair_filter.passing(pairs):
            self._pairs.append(pair.source_ids, pair.target_ids)
            if self._sampled is not None:
                self._sampled.append(pair.source_text, pair.target_text)
        self.report = pair_filter.report()

    def __len__(self) -> int:
        """Returns the number of pairs in the corpus."""
        return self.report.kept

    def plan(
        self,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        length_multiple: int | None = None,
        shuffle_seed: int | None,
    ) -> BatchPlan:
        """Plans the batches that `batches` and `dataset` make with the same arguments.

        Args:
            batch_size: largest number of pairs in a batch. Give either this or `batch_tokens`.
            batch_tokens: largest number of padded ids in a batch, which is its number of pairs ×
                (longest source + longest target). A pair with more ids is a batch of its own, so no
                pair is left out.
            length_multiple: number to whose multiples lengths are padded. Batches then have few
                shapes, which helps `jit_compile` and JAX because they compile for each shape. The
                plan counts the rounded lengths, and their number of rows follows from them, as
                `BoundedShapes` explains. None pads to the longest length of the batch.
            shuffle_seed: whole number for training; None for evaluation, which takes the pairs in
                the order of their lengths, without chance.

        Returns:
            `BatchPlan`. `len(plan)` is the number of batches in every epoch, and
            `plan.padding(epoch)` is the share of padding in one epoch.

        Raises:
            ValueError: If not exactly one of `batch_size` and `batch_tokens` is given, or a number
                is too small.
            TypeError: If a number is not whole.
        """
        return BatchPlan(
            self._order(length_multiple),
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            shuffle_seed=shuffle_seed,
        )

    def count_shapes(
        self,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        length_multiple: int | None = None,
        shuffle_seed: int | None,
        epoch: int = 0,
    ) -> tuple[int, float]:
        """Counts the shapes that the batches of an epoch have, and the padding among their ids.

        Args:
            batch_size: as for `plan`.
            batch_tokens: as for `plan`.
            length_multiple: as for `plan`.
            shuffle_seed: as for `plan`.
            epoch: as for `batches`.

        Returns:
            The number of different shapes, and the share of padding, at least 0 and below 1.
        """
        size = {"batch_size": batch_size, "batch_tokens": batch_tokens}
        plan = self.plan(**size, length_multiple=length_multiple, shuffle_seed=shuffle_seed)
        bounded = _bounded_shapes(length_multiple, batch_size, batch_tokens)
        shapes, ids = set(), 0
        for planned, source, target in plan.shapes(epoch):
            rows = bounded.rows(source, target) if bounded else planned
            shapes.add((rows, source, target))
            ids += rows * (source + target)
        return len(shapes), 1 - (self.report.source_tokens + self.report.target_tokens) / ids

    def batches(
        self,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        length_multiple: int | None = None,
        shuffle_seed: int | None,
        epoch: int = 0,
    ) -> Iterator[Batch]:
        """Iterates over the padded batches of one epoch as NumPy arrays.

        Args:
            batch_size: as for `plan`.
            batch_tokens: as for `plan`.
            length_multiple: as for `plan`.
            shuffle_seed: as for `plan`.
            epoch: number of the epoch, from 0. The batches depend on this number and on
                `shuffle_seed` alone, not on the epochs made before.

        Returns:
            Iterator over `({"source_ids": (B, S) int32, "target_ids": (B, T) int32},
            labels (B, T) int32, weights (B, T) float32)`, in which each pair occurs once.
            `IdPairs.batch` shows the layout.

        Raises:
            ValueError: If `plan` raises it, or if `epoch` is negative.
            TypeError: If `plan` raises it, or `epoch` is not a whole number.
        """
        plan = self.plan(
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            length_multiple=length_multiple,
            shuffle_seed=shuffle_seed,
        )
        shapes = _bounded_shapes(length_multiple, batch_size, batch_tokens)
        return self._batches(plan, shapes, shuffle_seed, epoch)

    def dataset(
        self,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        length_multiple: int | None = None,
        shuffle_seed: int | None,
        first_epoch: int = 0,
        hosts: Hosts | None = None,
    ) -> tf.data.Dataset:
        """Makes a dataset of the batches of one epoch after the other, for `fit` and `evaluate`.

        One iteration over the dataset is one epoch, and its `cardinality()` is the number of
        batches. The first iteration gives the batches of `first_epoch`. Each iteration that reaches
        its last batch makes the next iteration the following epoch. An iteration that ends earlier
        does not count, because Keras takes a batch to build the model before it trains. If an epoch
        has only one batch, taking this batch counts. Then only the order of its rows depends on the
        epoch.

        A training that continues with `fit(initial_epoch=k)` on a dataset with `first_epoch=k` sees
        the batches it would have seen without the break. Pass `fit(shuffle=False)`: with its
        default, True, Keras warns that it does not shuffle datasets.

        Args:
            batch_size: as for `plan`.
            batch_tokens: as for `plan`.
            length_multiple: as for `plan`.
            shuffle_seed: as for `plan`. With None, every iteration is the same.
            first_epoch: number of the epoch that the first iteration gives, from 0.
            hosts: result of `join_hosts` if several processes train together, each with the same
                corpus. Each process then gets its share of every batch (`Hosts.share`). For one
                process on JAX, `Hosts()` makes whole batches of the same few shapes.

        Returns:
            Dataset of the batches that `batches` makes, with all dimensions unknown to the graph.
            It cannot be serialised because it calls back into this object.

        Raises:
            ValueError: If `plan` raises it, or `first_epoch` is negative.
            TypeError: If `plan` raises it, or `first_epoch` is not a whole number.
        """
        check_whole("first_epoch", first_epoch, least=0)
        plan = self.plan(
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            length_multiple=length_multiple,
            shuffle_seed=shuffle_seed,
        )
        shapes = _bounded_shapes(length_multiple, batch_size, batch_tokens)

        def epoch_batches(epoch: int) -> Iterator[Batch]:
            batches = self._batches(plan, shapes, shuffle_seed, epoch)
            if hosts is None:
                return batches
            return (hosts.share(batch, self._pairs.pad_id) for batch in batches)

        return dataset_of_epochs(epoch_batches, len(plan), first_epoch)

    def _order(self, length_multiple: int | None) -> LengthOrder:
        """Returns the order of the pairs by their lengths, or by their lengths rounded up."""
        if length_multiple is not None:
            check_whole("length_multiple", length_multiple, least=1)
        if length_multiple not in self._orders:
            lengths = self._pairs.lengths
            if length_multiple is not None:
                bounded = BoundedShapes(multiple=length_multiple)

                def lengths(first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
                    source, target = self._pairs.lengths(first, last)
                    return bounded.rounded(source), bounded.rounded(target)

            self._orders[length_multiple] = LengthOrder(
                lengths, len(self._pairs), on_disk=self._on_disk
            )
        return self._orders[length_multiple]

    def _batches(
        self, plan: BatchPlan, shapes: BoundedShapes | None, shuffle_seed: int | None, epoch: int
    ) -> Iterator[Batch]:
        return (
            self._batch(rows, shapes, shuffle_seed, epoch, position)
            for position, rows in enumerate(plan.rows(epoch))
        )

    def _batch(
        self,
        rows: NDArray[np.int64],
        shapes: BoundedShapes | None,
        shuffle_seed: int | None,
        epoch: int,
        position: int,
    ) -> Batch:
        pad_id = self._pairs.pad_id
        if self._sampled is None or shuffle_seed is None:
            batch = self._pairs.batch(rows)
            return shapes.fill(batch, pad_id) if shapes else batch
        drawn = self._sampled.batch(rows, seed=shuffle_seed, epoch=epoch, position=position)
        return shapes.fill(drawn, pad_id, self._pairs.batch(rows)) if shapes else drawn


def _bounded_shapes(
    multiple: int | None, batch_size: int | None, batch_tokens: int | None
) -> BoundedShapes | None:
    if multiple is None:
        return None
    return BoundedShapes(multiple=multiple, batch_size=batch_size, batch_tokens=batch_tokens)
