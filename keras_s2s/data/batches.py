"""Decides from the lengths of all pairs which of them share a batch in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from keras_s2s.data.length_order import LengthOrder
from keras_s2s.system.checks import check_whole

Whole = TypeVar("Whole", int, NDArray[np.int64])

# Number of batches whose pairs form a stretch. A stretch holds pairs with neighbouring lengths, and
# is shuffled before it is dealt into batches. With 1, pairs with rare lengths meet the same batch
# mates in every epoch; higher numbers add padding. On 29,000 English-German captions as words, in
# batches of 4096 ids, the number 1 gives 1.9 % of padding, and two in five batch mates meet again
# in the next epoch. 3 gives 3.6 % and one in five, and 8 gives 6.5 % and one in ten.
_MIXED_BATCHES = 3


class BatchPlan:
    """A plan of batches of pairs with similar lengths. Every epoch has the same number of batches.

    1. All pairs are sorted by length, which `LengthOrder` does. Pairs with the same two lengths are
       a group, within which the order is random: of n pairs, the i-th is the (a·i + b mod n)-th,
       where a is prime to n.
    2. The order is cut into stretches of three batches' worth. The sorted lengths are the same in
       every epoch, and so are the cuts and the number of batches.
    3. Each stretch is shuffled and dealt into batches.
    4. The batches are shuffled.

    A batch can therefore be made without the others, from the rows of its stretch. A plan holds a
    few numbers for each batch and each group, and nothing for a pair.

    The random numbers of epoch *k* come from ``numpy.random.default_rng((shuffle_seed, k, …))``
    alone, so any epoch can be made without the earlier ones. Without a seed nothing is random: the
    sorted order is cut into batches, shortest first, and all epochs are the same.

    Keras needs this constant number of batches. If the length of an epoch is unknown, Keras counts
    the batches of the first epoch and cuts all later epochs off at this number.

    Args:
        order: the N pairs in the order of their lengths, which include the end ids.
        batch_size: largest number of pairs in a batch. Give either this or `batch_tokens`.
        batch_tokens: largest number of padded ids in a batch, which is its number of pairs ×
            (longest source + longest target). A pair with more ids is a batch of its own, so no
            pair is left out.
        shuffle_seed: whole number, or None for the sorted order.

    Raises:
        ValueError: If not exactly one of `batch_size` and `batch_tokens` is given, or a number is
            too small.
        TypeError: If a number is not whole.

    Example:
        ```python
        import numpy as np
        from keras_s2s.data.batches import BatchPlan
        from keras_s2s.data.length_order import LengthOrder

        source, target = np.array([3, 9, 3, 8]), np.array([4, 9, 3, 9])
        order = LengthOrder(lambda first, last: (source[first:last], target[first:last]), 4)
        plan = BatchPlan(order, batch_tokens=36, shuffle_seed=None)
        print(len(plan), list(plan.rows()))  # 2 [array([2, 0]), array([1, 3])]
        print(f"{plan.padding():.0%}")  # 4%
        ```
    """

    def __init__(
        self,
        order: LengthOrder,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        shuffle_seed: int | None,
    ) -> None:
        if batch_size is not None and batch_tokens is None:
            check_whole("batch_size", batch_size, least=1)
            stretch_size: _StretchSize = partial(_size_by_pairs, batch_size=batch_size)
        elif batch_tokens is not None and batch_size is None:
            check_whole("batch_tokens", batch_tokens, least=1)
            stretch_size = partial(_size_by_tokens, batch_tokens=batch_tokens)
        else:
            raise ValueError(
                "Give exactly one of `batch_size` (pairs) and `batch_tokens` (padded ids); "
                f"got batch_size={batch_size}, batch_tokens={batch_tokens}."
            )
        if shuffle_seed is not None:
            check_whole("shuffle_seed", shuffle_seed, least=0)
        self.shuffle_seed = shuffle_seed
        self._order = order
        mixed = 1 if shuffle_seed is None else _MIXED_BATCHES
        self._bounds, batches = _cut(order, stretch_size, mixed)
        # The stretch of each batch, and the position of the batch within it.
        self._stretches = np.repeat(np.arange(len(batches)), batches)
        self._positions = np.arange(len(self._stretches)) - np.repeat(
            np.cumsum(batches) - batches, batches
        )
        self._batches = batches

    def __len__(self) -> int:
        """Returns the number of batches in an epoch, which is the same for all epochs."""
        return len(self._stretches)

    def rows(self, epoch: int = 0) -> EpochRows:
        """Returns the row numbers in each batch of one epoch, in training order.

        Args:
            epoch: number of the epoch, from 0. Without a `shuffle_seed` all epochs are the same.

        Returns:
            A sequence of `len(self)` int64 arrays, which together hold each of the N rows once. An
            array is made when it is asked for.
        """
        check_whole("epoch", epoch, least=0)
        return EpochRows(self, epoch)

    def padding(self, epoch: int = 0) -> float:
        """Returns the share of padding among all ids of one epoch, source and target together.

        Args:
            epoch: as for `rows`.

        Returns:
            A number from 0 to below 1. It is 0 if every row is as long as the longest row of its
            batch.
        """
        order = self._order
        padded = sum(rows * (source + target) for rows, source, target in self.shapes(epoch))
        return float(1 - ((order.source + order.target) * order.sizes).sum() / padded)

    def shapes(self, epoch: int = 0) -> Iterator[tuple[int, int, int]]:
        """Iterates over the sizes of the batches of one epoch, in training order.

        Args:
            epoch: as for `rows`.

        Yields:
            The number of rows, the longest source and the longest target of a batch.
        """
        order = self._order
        for groups in self.rows(epoch).groups():
            yield len(groups), int(order.source[groups].max()), int(order.target[groups].max())


class EpochRows(Sequence[NDArray[np.int64]]):
    """The row numbers in the batches of one epoch. `BatchPlan.rows` makes it."""

    def __init__(self, plan: BatchPlan, epoch: int) -> None:
        self._plan = plan
        self._epoch = epoch
        self._training_order = np.arange(len(plan))
        if plan.shuffle_seed is None:
            return
        random = np.random.default_rng((plan.shuffle_seed, epoch))
        self._training_order = random.permutation(len(plan))
        sizes = plan._order.sizes
        self._shift = random.integers(sizes)
        self._factor = random.integers(sizes) + 1
        while (not_prime := np.gcd(self._factor, sizes) > 1).any():
            self._factor[not_prime] = self._factor[not_prime] % sizes[not_prime] + 1

    def __len__(self) -> int:
        return len(self._plan)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.int64]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.int64]]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._plan._order.rows(self._mixed(self._places(self._training_order[index])))

    def groups(self) -> Iterator[NDArray[np.int64]]:
        """Iterates over the batches, giving the group of lengths that each row belongs to."""
        return (self._plan._order.groups(self._places(batch)) for batch in self._training_order)

    def _places(self, batch: Any) -> NDArray[np.int64]:
        """Returns the places in the order of lengths that a batch takes its rows from."""
        plan = self._plan
        stretch = plan._stretches[batch]
        places = np.arange(plan._bounds[stretch], plan._bounds[stretch + 1])
        if plan.shuffle_seed is not None:
            np.random.default_rng((plan.shuffle_seed, self._epoch, stretch)).shuffle(places)
        return np.array_split(places, plan._batches[stretch])[plan._positions[batch]]

    def _mixed(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Permutes places within their groups, which is step 1 of `BatchPlan`."""
        order = self._plan._order
        if self._plan.shuffle_seed is None:
            return places
        groups = order.groups(places)
        starts = order.starts[groups]
        moved = self._factor[groups] * (places - starts) + self._shift[groups]
        return starts + moved % order.sizes[groups]


# A function from a number of pairs to the source and target lengths of the next pairs. It gives as
# many as asked for, or all that are left.
_NextLengths: TypeAlias = Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]]]
# A function from these lengths and the number of batches in a stretch to the number of pairs in the
# stretch and the largest number of pairs in one of its batches.
_StretchSize: TypeAlias = Callable[[_NextLengths, int], tuple[int, int]]


def _cut(
    order: LengthOrder, stretch_size: _StretchSize, mixed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the bounds of the P stretches `(P + 1,)` and the numbers of their batches `(P,)`."""
    bounds, batches = [0], []
    while (start := bounds[-1]) < order.count:
        length, capacity = stretch_size(partial(_next_lengths, order, start), mixed)
        length = min(length, order.count - start)
        bounds.append(start + length)
        batches.append(_ceil_divide(length, capacity))
    return np.array(bounds, dtype=np.int64), np.array(batches, dtype=np.int64)


def _next_lengths(
    order: LengthOrder, start: int, pairs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    groups = order.groups(np.arange(start, min(start + pairs, order.count)))
    return order.source[groups], order.target[groups]


def _size_by_pairs(_: _NextLengths, mixed: int, *, batch_size: int) -> tuple[int, int]:
    """Returns the numbers of pairs in a stretch and in a batch for a fixed `batch_size`."""
    return mixed * batch_size, batch_size


def _size_by_tokens(
    next_lengths: _NextLengths, mixed: int, *, batch_tokens: int
) -> tuple[int, int]:
    """Returns how many of the next pairs make `mixed` batches, and how many fit into one of them.

    With `n` pairs, a batch has at most `ceil(n / mixed)` of them and is no wider than the longest
    source plus the longest target among all `n`. The product of the two grows with `n`. The answer
    is the largest `n` that keeps it within `batch_tokens`, or 1.
    """
    (source,), (target,) = next_lengths(1)
    # The width is at least that of the first pair, so no larger `n` than this can fit.
    most = mixed * max(1, batch_tokens // int(source + target))
    sources, targets = map(np.maximum.accumulate, next_lengths(most))
    widths = sources + targets
    pairs = _ceil_divide(np.arange(1, len(widths) + 1), mixed)
    length = max(1, int(np.searchsorted(pairs * widths, batch_tokens, side="right")))
    return length, max(1, batch_tokens // int(widths[length - 1]))


def _ceil_divide(dividend: Whole, divisor: int) -> Whole:
    return -(-dividend // divisor)
