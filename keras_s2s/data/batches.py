"""Which pairs share a batch, for every epoch. It sees lengths; ids and padding are the corpus'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_s2s.data.length_order import LengthOrder
from keras_s2s.system.checks import check_whole

Whole = TypeVar("Whole", int, NDArray[np.int64])

# How many batches' worth of pairs with neighbouring lengths are mixed before they are dealt into
# batches. With 1, pairs with rare lengths meet the same mates in every epoch; each more adds
# padding. On 29,000 English-German captions as words, in batches of 4096 ids: 1 pads 1.9 % and two
# in five mates meet again in the next epoch; 3 pads 3.6 %, one in five; 8 pads 6.5 %, one in ten.
_MIXED_BATCHES = 3


class BatchPlan:
    """Batches of pairs with similar lengths, as many in every epoch.

    1. Sort all pairs by length, see `LengthOrder`. Pairs with the same two lengths, a group, are in
       an order by chance: of n, the i-th is the (a·i + b mod n)-th, with a prime to n.
    2. Cut the order into stretches of three batches' worth. The sorted lengths are the same in
       every epoch, so the cuts are too, and with them the number of batches.
    3. Shuffle each stretch and deal it into batches.
    4. Shuffle the batches.

    So a batch can be made alone, from the rows of its stretch, and a plan holds a few numbers for
    each batch and each group, nothing for a pair.

    The chance in epoch *k* comes from ``numpy.random.default_rng((shuffle_seed, k, …))`` and from
    nothing else: any epoch can be made without those before it. Without a seed there is no chance:
    the sorted order is cut into batches as it is, shortest first, the same in every epoch.

    Keras needs the constant number: it takes the length of a first epoch of unknown length for that
    of all later ones, and cuts them off there.

    Args:
        source_lengths: `(N,)` ids in each source, end id included, all at least 1.
        target_lengths: `(N,)` ids in each target, end id included, all at least 1.
        batch_size: pairs in a batch, at most. Give this or `batch_tokens`, not both.
        batch_tokens: padded ids in a batch, at most: pairs × (longest source + longest target).
            A pair with more ids than that is a batch of its own; it is never left out.
        shuffle_seed: whole number, or None for the sorted order.

    Raises:
        ValueError: not exactly one of `batch_size` and `batch_tokens`; a number below its least.
        TypeError: a number that is not whole.

    Example:
        ```python
        from keras_s2s.data.batches import BatchPlan

        plan = BatchPlan([3, 9, 3, 8], [4, 9, 3, 9], batch_tokens=36, shuffle_seed=None)
        print(len(plan), list(plan.rows()))  # 2 [array([2, 0]), array([1, 3])]
        print(f"{plan.padding():.0%}")  # 4%
        ```
    """

    def __init__(
        self,
        source_lengths: ArrayLike,
        target_lengths: ArrayLike,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        shuffle_seed: int | None,
    ) -> None:
        source = np.asarray(source_lengths, dtype=np.int64)
        target = np.asarray(target_lengths, dtype=np.int64)
        order = LengthOrder(
            lambda first, last: (source[first:last], target[first:last]), len(source)
        )
        self._plan(order, batch_size, batch_tokens, shuffle_seed)

    @classmethod
    def of_order(
        cls,
        order: LengthOrder,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        shuffle_seed: int | None,
    ) -> BatchPlan:
        """The same plan from rows that are sorted already, maybe in a file."""
        plan = cls.__new__(cls)
        plan._plan(order, batch_size, batch_tokens, shuffle_seed)
        return plan

    def _plan(
        self,
        order: LengthOrder,
        batch_size: int | None,
        batch_tokens: int | None,
        shuffle_seed: int | None,
    ) -> None:
        if batch_size is not None and batch_tokens is None:
            check_whole("batch_size", batch_size, least=1)
            reach: _Reach = partial(_reach_by_pairs, batch_size=batch_size)
        elif batch_tokens is not None and batch_size is None:
            check_whole("batch_tokens", batch_tokens, least=1)
            reach = partial(_reach_by_tokens, batch_tokens=batch_tokens)
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
        self._bounds, batches = _cut(order, reach, mixed)
        # Of each batch, its stretch and its turn there.
        self._stretches = np.repeat(np.arange(len(batches)), batches)
        self._turns = np.arange(len(self._stretches)) - np.repeat(
            np.cumsum(batches) - batches, batches
        )
        self._batches = batches

    def __len__(self) -> int:
        """Batches in an epoch, the same for all epochs."""
        return len(self._stretches)

    def rows(self, epoch: int = 0) -> EpochRows:
        """The row numbers in each batch of one epoch, in training order.

        Args:
            epoch: whole number from 0. Without a `shuffle_seed` all epochs are the same.

        Returns:
            A sequence of `len(self)` int64 arrays, each made when it is asked for; together they
            hold each of the N rows once.
        """
        check_whole("epoch", epoch, least=0)
        return EpochRows(self, epoch)

    def padding(self, epoch: int = 0) -> float:
        """The share of padding among all ids of one epoch, source and target together.

        Args:
            epoch: as for `rows`.

        Returns:
            From 0, every row as long as the longest of its batch, to below 1.
        """
        order = self._order
        padded = sum(rows * (source + target) for rows, source, target in self.shapes(epoch))
        return float(1 - ((order.source + order.target) * order.sizes).sum() / padded)

    def shapes(self, epoch: int = 0) -> Iterator[tuple[int, int, int]]:
        """Rows, longest source and longest target of each batch of one epoch, in training order.

        Args:
            epoch: as for `rows`.
        """
        order = self._order
        for groups in self.rows(epoch).groups():
            yield len(groups), int(order.source[groups].max()), int(order.target[groups].max())


class EpochRows(Sequence[NDArray[np.int64]]):
    """The batches of one epoch of a plan. `BatchPlan.rows` makes it."""

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
        while (shared := np.gcd(self._factor, sizes) > 1).any():
            self._factor[shared] = self._factor[shared] % sizes[shared] + 1

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
        """Of the rows in each batch, their groups in the order of lengths."""
        return (self._plan._order.groups(self._places(batch)) for batch in self._training_order)

    def _places(self, batch: Any) -> NDArray[np.int64]:
        """Places in the order of lengths that a batch takes its rows from."""
        plan = self._plan
        stretch = plan._stretches[batch]
        places = np.arange(plan._bounds[stretch], plan._bounds[stretch + 1])
        if plan.shuffle_seed is not None:
            np.random.default_rng((plan.shuffle_seed, self._epoch, stretch)).shuffle(places)
        return np.array_split(places, plan._batches[stretch])[plan._turns[batch]]

    def _mixed(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Other places, each in the group of the given one: step 1 of `BatchPlan`."""
        order = self._plan._order
        if self._plan.shuffle_seed is None:
            return places
        groups = order.groups(places)
        starts = order.starts[groups]
        moved = self._factor[groups] * (places - starts) + self._shift[groups]
        return starts + moved % order.sizes[groups]


# The lengths of so many of the pairs that are left, or of all that are.
_Ahead: TypeAlias = Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]]]
# From these and a number of batches to mix, to how many pairs make a stretch, and how many of them
# one of its batches has at most.
_Reach: TypeAlias = Callable[[_Ahead, int], tuple[int, int]]


def _cut(
    order: LengthOrder, reach: _Reach, mixed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bounds of the stretches `(P + 1,)` and batches in each `(P,)`, from the lengths alone."""
    bounds, batches = [0], []
    while (start := bounds[-1]) < order.count:
        length, capacity = reach(partial(_ahead, order, start), mixed)
        length = min(length, order.count - start)
        bounds.append(start + length)
        batches.append(_ceil_divide(length, capacity))
    return np.array(bounds, dtype=np.int64), np.array(batches, dtype=np.int64)


def _ahead(
    order: LengthOrder, start: int, pairs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    groups = order.groups(np.arange(start, min(start + pairs, order.count)))
    return order.source[groups], order.target[groups]


def _reach_by_pairs(_: _Ahead, mixed: int, *, batch_size: int) -> tuple[int, int]:
    """As `_reach_by_tokens`, with batches of `batch_size` pairs."""
    return mixed * batch_size, batch_size


def _reach_by_tokens(ahead: _Ahead, mixed: int, *, batch_tokens: int) -> tuple[int, int]:
    """How many of the next pairs make `mixed` batches, and how many pairs fit in one of them.

    With `n` pairs, a batch has at most `ceil(n / mixed)` of them and is no wider than the longest
    source plus the longest target among all `n`. Their product grows with `n`: the answer is the
    largest `n` that keeps it within `batch_tokens`, or 1.
    """
    (source,), (target,) = ahead(1)
    # The width is at least that of the first pair, so no `n` beyond this can fit.
    most = mixed * max(1, batch_tokens // int(source + target))
    sources, targets = map(np.maximum.accumulate, ahead(most))
    widths = sources + targets
    pairs = _ceil_divide(np.arange(1, len(widths) + 1), mixed)
    length = max(1, int(np.searchsorted(pairs * widths, batch_tokens, side="right")))
    return length, max(1, batch_tokens // int(widths[length - 1]))


def _ceil_divide(dividend: Whole, divisor: int) -> Whole:
    return -(-dividend // divisor)
