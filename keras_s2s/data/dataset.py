"""Turns the batches of one epoch after the other into a `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from keras_s2s.data.pairs import Batch

if TYPE_CHECKING:
    import tensorflow as tf

# Number of batches that are made ahead while the model trains on one.
_PREFETCH = 2


def dataset_of_epochs(
    epoch_batches: Callable[[int], Iterable[Batch]], batches: int, first_epoch: int
) -> tf.data.Dataset:
    """Makes a dataset in which each complete iteration is the next epoch.

    An iteration that ends before its last batch does not count, and the following iteration gives
    the same epoch again.

    Args:
        epoch_batches: function from the number of an epoch to its batches.
        batches: number of batches, at least 1, which all epochs have.
        first_epoch: number of the epoch that the first iteration gives.

    Returns:
        Dataset of `({"source_ids", "target_ids"}, labels, weights)`, with all dimensions unknown to
        the graph.
    """
    import tensorflow as tf

    next_epoch = first_epoch

    def one_epoch() -> Iterator[Batch]:
        nonlocal next_epoch
        epoch = next_epoch
        for number, batch in enumerate(epoch_batches(epoch), start=1):
            # The epoch counts before its last batch is given, not after: Keras stops at the known
            # number of batches and never asks for one more.
            if number == batches:
                next_epoch = max(next_epoch, epoch + 1)
            yield batch

    ids = tf.TensorSpec((None, None), tf.int32)
    weights = tf.TensorSpec((None, None), tf.float32)
    dataset = tf.data.Dataset.from_generator(
        one_epoch,
        output_signature=({"source_ids": ids, "target_ids": ids}, ids, weights),
    ).apply(tf.data.experimental.assert_cardinality(batches))
    # Taking one batch must not make the last batch ahead of time, because that would count the
    # epoch. So fewer batches of a short epoch are made ahead, and TensorFlow adds no buffer of its
    # own.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    # There is nothing to tune, and at the end of an epoch the iterator waits for the thread that
    # tunes, which may sleep for as long as the epoch took (seen with TensorFlow 2.21).
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    ahead = min(_PREFETCH, batches - 2)
    return dataset.prefetch(ahead) if ahead > 0 else dataset
