"""Parallel text made ready for training: tokenised and filtered once, given out in epochs.

`reading` brings the pairs of lines, `pairs` keeps and pads their ids, `batches` says which pairs
share a batch, `shapes` how few shapes these have; this module joins the four.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from keras_s2s.data.batches import BatchPlan
from keras_s2s.data.length_order import LengthOrder
from keras_s2s.data.pairs import Batch, IdPairs
from keras_s2s.data.reading import CorpusError, has_text
from keras_s2s.data.resampling import SampledPairs, SampledSide
from keras_s2s.data.shapes import BoundedShapes
from keras_s2s.system.checks import check_whole

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    from keras_s2s.data.hosts import Hosts
    from keras_s2s.text import SubwordSampling, Tokenizer

# Pairs handed to the tokenizers at once: enough for their batch interface to pay, a few MB of text.
_CHUNK = 4096
# Batches made ahead while the model trains on one.
_PREFETCH = 2


@dataclass(frozen=True)
class CorpusReport:
    """What became of the pairs that were read. Lengths and token counts include the end ids.

    Attributes:
        pairs_read: all pairs; the sum of `empty`, `too_long` and `kept`.
        empty: pairs with a side of white space only, or one that the tokenizer gives no ids for.
        too_long: pairs above a length limit.
        kept: pairs in the corpus.
        source_tokens: ids in the kept sources.
        target_tokens: ids in the kept targets.
        longest_source: ids in the longest kept source.
        longest_target: ids in the longest kept target.
    """

    pairs_read: int
    empty: int
    too_long: int
    kept: int
    source_tokens: int
    target_tokens: int
    longest_source: int
    longest_target: int

    def __str__(self) -> str:
        return (
            f"{self.kept:,} of {self.pairs_read:,} pairs kept ({self.empty:,} empty, "
            f"{self.too_long:,} too long); {self.source_tokens:,} source and "
            f"{self.target_tokens:,} target tokens; longest {self.longest_source:,} and "
            f"{self.longest_target:,}"
        )


class Corpus:
    """Pairs of sentences as ids, in memory or on disk, and batches of them.

    1. Pairs are taken from the iterable in chunks; the text of one chunk is in memory at a time.
    2. Pairs with an empty side are dropped, the others tokenised, those above a length limit
       dropped.
    3. What is left is kept as one flat int32 array per side: 4 bytes an id and 8 a sentence, and
       once batches are planned, 8 bytes a pair for their order by length.

    Args:
        pairs: (source, target) strings, from `read_parallel`, `read_tsv` or anywhere else. They are
            iterated over once.
        source_tokenizer: encodes the sources.
        target_tokenizer: encodes the targets.
        max_source_length: longest source that is kept, in ids, end id included; None for no limit.
        max_target_length: longest target that is kept, in ids, end id included; None for no limit.
        source_sampling: segments the sources anew in every batch of every epoch that has a
            `shuffle_seed`; see `SubwordSampling`. The texts are then kept too. Batches are planned
            by the usual segmentation, so one of drawn ones may have more than `batch_tokens` ids.
        target_sampling: the same for the targets.
        on_disk: keep the ids in a file of the system's temporary folder (`TMPDIR`), not in memory;
            it goes with the corpus. Batches are the same, and memory no longer grows with the text,
            but for some 20 bytes a batch.

    Attributes:
        report: `CorpusReport`; `print(corpus.report)` is one line.

    Raises:
        CorpusError: no pair is left, with what emptied it; or what `pairs` raises.
        ValueError: a limit below 2, which no sentence and its end id fit in; `on_disk` with
            sampling.
        TypeError: a limit that is not a whole number, or sampling from a tokenizer that has one
            segmentation only.

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
        source_limit = _limit("max_source_length", max_source_length)
        target_limit = _limit("max_target_length", max_target_length)
        special = {
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
        self._pairs = IdPairs(**special, on_disk=on_disk)
        self._sampled: SampledPairs | None = None
        if source_sampling is not None or target_sampling is not None:
            self._sampled = SampledPairs(
                SampledSide(source_tokenizer, source_sampling, source_limit),
                SampledSide(target_tokenizer, target_sampling, target_limit),
                **special,
            )
        self._orders: dict[int | None, LengthOrder] = {}  # by what lengths are rounded up to
        read = empty = too_long = 0
        tokens, longest_kept = [0, 0], [0, 0]
        shortest, longest = (math.inf, math.inf), (0, 0)  # source and target, kept or not
        remaining = iter(pairs)
        while chunk := list(islice(remaining, _CHUNK)):
            texts = [pair for pair in chunk if has_text(*pair)]
            read += len(chunk)
            empty += len(chunk) - len(texts)
            sources = source_tokenizer.encode([source for source, _ in texts])
            targets = target_tokenizer.encode([target for _, target in texts])
            for text, source, target in zip(texts, sources, targets, strict=True):
                lengths = len(source) + 1, len(target) + 1
                if min(lengths) == 1:
                    empty += 1
                    continue
                shortest = min(shortest[0], lengths[0]), min(shortest[1], lengths[1])
                longest = max(longest[0], lengths[0]), max(longest[1], lengths[1])
                if lengths[0] > source_limit or lengths[1] > target_limit:
                    too_long += 1
                    continue
                self._pairs.append(source, target)
                for side, length in enumerate(lengths):
                    tokens[side] += length
                    longest_kept[side] = max(longest_kept[side], length)
                if self._sampled is not None:
                    self._sampled.append(*text)
        if read == empty:
            raise CorpusError(
                f"No pair is left: none of the {read:,} pairs read has text on both sides. "
                "Expected at least one pair of sentences."
            )
        if read == empty + too_long:
            raise CorpusError(
                f"No pair is left: all {too_long:,} pairs with text are longer than "
                f"max_source_length={max_source_length} or max_target_length={max_target_length}. "
                f"In ids, end id included, sources have {shortest[0]} to {longest[0]} and "
                f"targets {shortest[1]} to {longest[1]}. Raise the limits."
            )
        self.report = CorpusReport(
            pairs_read=read,
            empty=empty,
            too_long=too_long,
            kept=len(self._pairs),
            source_tokens=tokens[0],
            target_tokens=tokens[1],
            longest_source=longest_kept[0],
            longest_target=longest_kept[1],
        )

    def __len__(self) -> int:
        """Pairs in the corpus."""
        return self.report.kept

    def plan(
        self,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        length_multiple: int | None = None,
        shuffle_seed: int | None,
    ) -> BatchPlan:
        """The batches that `batches` and `dataset` make with the same arguments.

        Args:
            batch_size: pairs in a batch, at most. Give this or `batch_tokens`, not both.
            batch_tokens: padded ids in a batch, at most: pairs × (longest source + longest target).
                A pair with more ids than that is a batch of its own; it is never left out.
            length_multiple: pad batches so that they have few shapes, for `jit_compile` and JAX,
                which compile for each: lengths up to multiples of this, and rows by the length; see
                `BoundedShapes`. The plan then counts the rounded lengths. None pads to the longest.
            shuffle_seed: whole number for training; None, for evaluation, takes the pairs sorted by
                length, without chance.

        Returns:
            `BatchPlan`; `len(plan)` is the number of batches in every epoch, `plan.padding(epoch)`
            the share of padding in one.

        Raises:
            ValueError: not exactly one of `batch_size` and `batch_tokens`, or one too small.
            TypeError: a number that is not whole.
        """
        return BatchPlan.of_order(
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
        """How many shapes the batches of an epoch have, and the share of padding among their ids.

        Args:
            batch_size: as for `plan`.
            batch_tokens: as for `plan`.
            length_multiple: as for `plan`.
            shuffle_seed: as for `plan`.
            epoch: as for `batches`.
        """
        size = {"batch_size": batch_size, "batch_tokens": batch_tokens}
        plan = self.plan(**size, length_multiple=length_multiple, shuffle_seed=shuffle_seed)
        bounded = _bounded(length_multiple, batch_size, batch_tokens)
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
        """The padded batches of one epoch, as NumPy arrays; `IdPairs.batch` shows their layout.

        Args:
            batch_size: as for `plan`.
            batch_tokens: as for `plan`.
            length_multiple: as for `plan`.
            shuffle_seed: as for `plan`.
            epoch: whole number from 0. The batches of an epoch depend on it and on `shuffle_seed`
                alone, not on the epochs made before.

        Returns:
            Iterator over `({"source_ids": (B, S) int32, "target_ids": (B, T) int32},
            labels (B, T) int32, weights (B, T) float32)`, with each pair of the corpus once.

        Raises:
            ValueError: as `plan`, or a negative `epoch`.
            TypeError: as `plan`, or an `epoch` that is not a whole number.
        """
        plan = self.plan(
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            length_multiple=length_multiple,
            shuffle_seed=shuffle_seed,
        )
        shapes = _bounded(length_multiple, batch_size, batch_tokens)
        return (
            self._batch(rows, shapes, shuffle_seed, epoch, position)
            for position, rows in enumerate(plan.rows(epoch))
        )

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
        """The batches of one epoch after the other, for `fit` and `evaluate`.

        One iteration over the dataset is one epoch, and its `cardinality()` the number of batches.
        The first iteration gives the batches of `first_epoch`; each one that gets to its last batch
        makes the next iteration the following epoch. One that is given up before does not count:
        Keras takes a batch to build the model before it trains. (Where one batch is all, taking it
        counts; then only the order of its rows depends on the epoch.) Training that continues with
        `fit(initial_epoch=k)` on a dataset with `first_epoch=k` sees the batches it would have seen
        without the break. Pass `fit(shuffle=False)`: with its default, True, Keras warns that it
        does not shuffle datasets.

        Args:
            batch_size: as for `plan`.
            batch_tokens: as for `plan`.
            length_multiple: as for `plan`.
            shuffle_seed: as for `plan`. With None, every iteration is the same.
            first_epoch: whole number from 0, the epoch of the first iteration.
            hosts: from `join_hosts`, where several processes train together, each with the same
                corpus: of every batch, this process' share (`Hosts.share`). `Hosts()` makes the
                same whole batches, of few shapes, for one process on JAX.

        Returns:
            Dataset of what `batches` gives, with all dimensions unknown to the graph. It cannot be
            serialised: it calls back into this object.

        Raises:
            ValueError: as `plan`, or a negative `first_epoch`.
            TypeError: as `plan`, or a `first_epoch` that is not a whole number.
        """
        import tensorflow as tf

        check_whole("first_epoch", first_epoch, least=0)
        plan = self.plan(
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            length_multiple=length_multiple,
            shuffle_seed=shuffle_seed,
        )
        shapes = _bounded(length_multiple, batch_size, batch_tokens)
        next_epoch = first_epoch

        def one_epoch() -> Iterator[Batch]:
            nonlocal next_epoch
            epoch = next_epoch
            for position, rows in enumerate(plan.rows(epoch)):
                # Said before the last batch is given, not after: Keras stops at the known number of
                # batches and never asks for one more.
                if position + 1 == len(plan):
                    next_epoch = max(next_epoch, epoch + 1)
                batch = self._batch(rows, shapes, shuffle_seed, epoch, position)
                yield batch if hosts is None else hosts.share(batch, self._pairs.pad_id)

        ids = tf.TensorSpec((None, None), tf.int32)
        weights = tf.TensorSpec((None, None), tf.float32)
        dataset = tf.data.Dataset.from_generator(
            one_epoch,
            output_signature=({"source_ids": ids, "target_ids": ids}, ids, weights),
        ).apply(tf.data.experimental.assert_cardinality(len(plan)))
        # Taking one batch must not make the last one ahead of time, which would count the epoch. So
        # a short epoch has fewer batches made ahead, and TensorFlow adds no buffer of its own.
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        # There is nothing to tune, and at the end of an epoch the iterator waits for the thread
        # that does it, which may sleep for as long as the epoch took (seen with TensorFlow 2.21).
        options.autotune.enabled = False
        dataset = dataset.with_options(options)
        ahead = min(_PREFETCH, len(plan) - 2)
        return dataset.prefetch(ahead) if ahead > 0 else dataset

    def _order(self, length_multiple: int | None) -> LengthOrder:
        """The pairs by their lengths, or by their lengths rounded up."""
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


def _bounded(
    multiple: int | None, batch_size: int | None, batch_tokens: int | None
) -> BoundedShapes | None:
    if multiple is None:
        return None
    return BoundedShapes(multiple=multiple, batch_size=batch_size, batch_tokens=batch_tokens)


def _limit(name: str, value: int | None) -> float:
    """The longest length that is allowed; no text fits into less than one id and the end id."""
    if value is None:
        return math.inf
    check_whole(name, value, least=2)
    return value
