"""Batch plans hold each pair once, keep the limit, pad little, and do so in every epoch."""

import tracemalloc
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_s2s.data import length_order
from keras_s2s.data.batches import BatchPlan
from keras_s2s.data.length_order import LengthOrder

PAIR_LENGTHS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=120
).map(lambda pairs: np.array(pairs).T)
SEEDS = st.none() | st.integers(0, 2**40)
LIMITS = st.one_of(
    st.integers(1, 20).map(lambda size: {"batch_size": size}),
    st.integers(1, 400).map(lambda tokens: {"batch_tokens": tokens}),
)


def caption_lengths(pairs: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Lengths like those of captions: about 13 words, the translation within 3 of its source."""
    random = np.random.default_rng(seed)
    source = 2 + random.poisson(11, pairs)
    return source, np.maximum(2, source + random.integers(-3, 4, pairs))


def plan_of(source_lengths: Any, target_lengths: Any, **options: Any) -> BatchPlan:
    source, target = np.asarray(source_lengths), np.asarray(target_lengths)
    order = LengthOrder(lambda first, last: (source[first:last], target[first:last]), len(source))
    return BatchPlan(order, **options)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@given(lengths=PAIR_LENGTHS, limit=LIMITS, seed=SEEDS, epoch=st.integers(0, 10**6))
def test_every_pair_is_in_one_batch_of_every_epoch(
    lengths: np.ndarray, limit: dict[str, int], seed: int | None, epoch: int
) -> None:
    rows = plan_of(*lengths, **limit, shuffle_seed=seed).rows(epoch)
    assert sorted(np.concatenate(rows)) == list(range(lengths.shape[1]))
    assert all(len(batch) for batch in rows)


@given(lengths=PAIR_LENGTHS, chunk=st.integers(1, 40), on_disk=st.booleans())
def test_the_order_by_length_is_that_of_a_stable_sort(
    lengths: np.ndarray, chunk: int, on_disk: bool
) -> None:
    source, target = lengths
    longer, lead = lengths.max(0), source - target
    expected = np.lexsort((np.where(longer % 2, -lead, lead), longer))
    with mock.patch.object(length_order, "_CHUNK", chunk):
        order = LengthOrder(
            lambda first, last: (source[first:last], target[first:last]),
            len(source),
            on_disk=on_disk,
        )
    places = np.arange(len(source))
    assert order.rows(places).tolist() == expected.tolist()
    groups = order.groups(places)
    assert order.source[groups].tolist() == source[expected].tolist()
    assert order.target[groups].tolist() == target[expected].tolist()


def test_pairs_of_one_length_meet_others_in_every_epoch() -> None:
    # All lengths equal: only step 1 brings rows that are far apart in the corpus together.
    plan = plan_of([5] * 3000, [5] * 3000, batch_size=30, shuffle_seed=1)
    spans = [np.ptp(rows) for epoch in range(3) for rows in plan.rows(epoch)]
    assert np.median(spans) > 1500  # of 30 draws from 3,000 it is about 2,800
    mates = [{frozenset(rows.tolist()) for rows in plan.rows(epoch)} for epoch in range(3)]
    assert not mates[0] & mates[1]
    assert not mates[1] & mates[2]


def test_a_plan_holds_nothing_for_a_pair() -> None:
    def held(pairs: int) -> int:
        lengths = np.full(pairs, 5)
        order = LengthOrder(lambda *rows: (lengths[slice(*rows)],) * 2, pairs, on_disk=True)
        tracemalloc.start()
        plan = BatchPlan(order, batch_size=5000, shuffle_seed=1)
        plan.rows(3)[0]
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size

    assert held(2_000_000) < held(20_000) + 100_000  # 400 batches; 8 bytes a pair were 16 MB


@given(lengths=PAIR_LENGTHS, limit=LIMITS, seed=SEEDS)
def test_epochs_have_as_many_batches_as_the_plan_says(
    lengths: np.ndarray, limit: dict[str, int], seed: int | None
) -> None:
    plan = plan_of(*lengths, **limit, shuffle_seed=seed)
    assert {len(plan.rows(epoch)) for epoch in range(4)} == {len(plan)}


@given(lengths=PAIR_LENGTHS, tokens=st.integers(1, 400), seed=SEEDS)
def test_batches_keep_to_the_tokens_unless_one_pair_alone_does_not(
    lengths: np.ndarray, tokens: int, seed: int | None
) -> None:
    source, target = lengths
    for rows in plan_of(source, target, batch_tokens=tokens, shuffle_seed=seed).rows(3):
        padded = len(rows) * (source[rows].max() + target[rows].max())
        assert padded <= tokens or len(rows) == 1


@given(lengths=PAIR_LENGTHS, size=st.integers(1, 20), seed=SEEDS)
def test_batch_size_gives_as_few_batches_as_possible(
    lengths: np.ndarray, size: int, seed: int | None
) -> None:
    plan = plan_of(*lengths, batch_size=size, shuffle_seed=seed)
    assert len(plan) == -(-lengths.shape[1] // size)
    assert max(map(len, plan.rows(1))) <= size


@given(lengths=PAIR_LENGTHS, limit=LIMITS, seed=st.integers(0, 2**40), epoch=st.integers(0, 9))
def test_batches_depend_on_seed_and_epoch_alone(
    lengths: np.ndarray, limit: dict[str, int], seed: int, epoch: int
) -> None:
    plan = plan_of(*lengths, **limit, shuffle_seed=seed)
    plan.rows(epoch + 1)
    fresh = plan_of(*lengths, **limit, shuffle_seed=seed)
    assert same(plan.rows(epoch), fresh.rows(epoch))


@pytest.mark.parametrize("limit", [{"batch_size": 32}, {"batch_tokens": 900}])
def test_other_epochs_and_other_seeds_give_other_batches(limit: dict[str, int]) -> None:
    lengths = caption_lengths(1000)
    plan = plan_of(*lengths, **limit, shuffle_seed=1)
    assert not same(plan.rows(0), plan.rows(1))
    assert not same(plan.rows(0), plan_of(*lengths, **limit, shuffle_seed=2).rows(0))
    # Not only in another order: the sentences that share a batch are others.
    batches = {frozenset(batch.tolist()) for batch in plan.rows(0)}
    assert not batches & {frozenset(batch.tolist()) for batch in plan.rows(1)}


def test_batches_come_in_random_order_of_length() -> None:
    source, target = caption_lengths(3000)
    plan = plan_of(source, target, batch_size=30, shuffle_seed=1)
    means = [source[rows].mean() for rows in plan.rows()]
    # 100 independent draws: the correlation with the position has standard deviation 0.1.
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.4


@pytest.mark.parametrize("limit", [{"batch_size": 32}, {"batch_tokens": 900}])
def test_without_a_seed_the_order_is_by_length_and_the_same_in_every_epoch(
    limit: dict[str, int],
) -> None:
    source, target = caption_lengths(500)
    plan = plan_of(source, target, **limit, shuffle_seed=None)
    order = np.concatenate(plan.rows())
    assert (np.diff(np.maximum(source, target)[order]) >= 0).all()
    assert same(plan.rows(0), plan.rows(5))


def test_equal_lengths_without_a_seed_stay_in_corpus_order() -> None:
    # 300 of them: NumPy's other sorts keep the order of a few equal numbers by accident.
    lengths = np.tile([4, 2, 3], 300)
    order = np.concatenate(plan_of(lengths, lengths, batch_size=2, shuffle_seed=None).rows())
    for length in (2, 3, 4):
        assert (np.diff(order[lengths[order] == length]) > 0).all()


def test_neighbours_in_the_order_differ_by_one_id_where_the_corpus_has_such_pairs() -> None:
    source, target = np.divmod(np.random.default_rng(1).permutation(400), 20)
    plan = plan_of(source + 1, target + 1, batch_size=1, shuffle_seed=None)
    order = np.concatenate(plan.rows())
    steps = np.abs(np.diff(source[order])) + np.abs(np.diff(target[order]))
    assert set(steps.tolist()) == {1}


def test_a_batch_may_use_the_last_of_its_tokens() -> None:
    # 6 pairs × (3 + 2) ids are 30.
    for tokens, batches in ((30, 1), (29, 2)):
        plan = plan_of([3] * 6, [2] * 6, batch_tokens=tokens, shuffle_seed=None)
        assert len(plan) == batches


def test_padding_is_the_share_of_padded_ids() -> None:
    # By hand: sorted by the longer side (1, 2), (2, 2) | (5, 4), (9, 9).
    # Batch 1: 2 × (2 + 2) = 8 ids, 7 real; batch 2: 2 × (9 + 9) = 36 ids, 27 real.
    plan = plan_of([9, 1, 5, 2], [9, 2, 4, 2], batch_size=2, shuffle_seed=None)
    assert [rows.tolist() for rows in plan.rows()] == [[1, 3], [2, 0]]
    assert plan.padding() == pytest.approx(1 - (7 + 27) / (8 + 36), abs=1e-12)


@pytest.mark.parametrize("limit", [{"batch_size": 100}, {"batch_tokens": 2600}])
def test_little_is_padded_also_with_badly_aligned_pairs(limit: dict[str, int]) -> None:
    # In random batches of 100 the longest is about twice the mean: half of all ids are padding.
    source, target = caption_lengths(20_000)
    assert plan_of(source, target, **limit, shuffle_seed=1).padding(2) < 0.06
    source[::100] *= 10  # sorted by target length, each of these would stretch a batch
    assert plan_of(source, target, **limit, shuffle_seed=1).padding(2) < 0.10


def test_batches_are_filled_to_the_tokens() -> None:
    source, target = caption_lengths(20_000)
    plan = plan_of(source, target, batch_tokens=2600, shuffle_seed=1)
    needed = (source.sum() + target.sum()) / 2600  # without any padding or remainder
    assert needed <= len(plan) < 1.1 * needed


@pytest.mark.parametrize("limit", [{}, {"batch_size": 4, "batch_tokens": 100}])
def test_exactly_one_limit_is_taken(limit: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of `batch_size`.* and `batch_tokens`"):
        plan_of([2], [2], **limit, shuffle_seed=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1; got 0"),
        ({"batch_tokens": -5}, ValueError, "`batch_tokens` must be at least 1; got -5"),
        ({"batch_tokens": 10.0}, TypeError, "`batch_tokens` must be a whole number; got 10.0"),
        ({"batch_size": True}, TypeError, "`batch_size` must be a whole number; got True"),
        ({"batch_size": 1, "shuffle_seed": -1}, ValueError, "`shuffle_seed` must be at least 0"),
        ({"batch_size": 1, "shuffle_seed": "x"}, TypeError, "`shuffle_seed` must be a whole"),
    ],
)
def test_numbers_out_of_range_are_refused(
    arguments: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_of([2], [2], **{"shuffle_seed": 1, **arguments})


def test_epoch_is_checked() -> None:
    with pytest.raises(ValueError, match="`epoch` must be at least 0; got -1"):
        plan_of([2], [2], batch_size=1, shuffle_seed=None).rows(-1)
