"""Pairs of id lists equal padding by hand, list by list."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_s2s.data.pairs import IdPairs

IDS = st.lists(st.integers(4, 2**31 - 1), min_size=1, max_size=9)


def padded(rows: list[list[int]]) -> list[list[int]]:
    longest = max(map(len, rows))
    return [row + [0] * (longest - len(row)) for row in rows]


@given(
    pairs=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12),
    on_disk=st.booleans(),
    data=st.data(),
)
def test_batches_are_shifted_and_padded_on_the_right(
    pairs: list[tuple[list[int], list[int]]], on_disk: bool, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=12))
    kept = IdPairs(start_id=2, end_id=3, pad_id=0, on_disk=on_disk)
    for source, target in pairs:
        kept.append(source, target)
    inputs, labels, weights = kept.batch(np.array(rows))
    sources, targets = zip(*(pairs[row] for row in rows), strict=True)

    assert inputs["source_ids"].tolist() == padded([[*ids, 3] for ids in sources])
    assert inputs["target_ids"].tolist() == padded([[2, *ids] for ids in targets])
    assert labels.tolist() == padded([[*ids, 3] for ids in targets])
    assert weights.tolist() == padded([[1] * (len(ids) + 1) for ids in targets])


@given(pairs=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12))
def test_lengths_count_the_end_ids(pairs: list[tuple[list[int], list[int]]]) -> None:
    kept = IdPairs(start_id=2, end_id=3, pad_id=0)
    for source, target in pairs:
        kept.append(source, target)
    expected = [[len(side) + 1 for side in pair] for pair in pairs]
    assert np.transpose(kept.lengths(0, len(pairs))).tolist() == expected
    assert np.transpose(kept.lengths(1, len(pairs))).tolist() == expected[1:]
    assert len(kept) == len(pairs)


def test_labels_are_the_targets_one_step_later_and_weights_mark_them() -> None:
    kept = IdPairs(start_id=2, end_id=3, pad_id=0)
    kept.append([7], [8, 9, 10])
    kept.append([7, 7], [8])
    inputs, labels, weights = kept.batch(np.array([0, 1]))
    real = weights[:, 1:] == 1
    assert (labels[:, :-1][real] == inputs["target_ids"][:, 1:][real]).all()
    assert ((labels != 0) == (weights == 1)).all()


def test_dtypes_are_those_the_model_takes() -> None:
    kept = IdPairs(start_id=2, end_id=3, pad_id=0)
    kept.append([7], [8])
    inputs, labels, weights = kept.batch(np.array([0]))
    found = {name: ids.dtype.name for name, ids in inputs.items()}
    assert found == {"source_ids": "int32", "target_ids": "int32"}
    assert [labels.dtype.name, weights.dtype.name] == ["int32", "float32"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_pairs_can_be_added_after_batches_were_made(on_disk: bool) -> None:
    kept = IdPairs(start_id=2, end_id=3, pad_id=0, on_disk=on_disk)
    kept.append([7], [8])
    lengths, batch = kept.lengths(0, 1), kept.batch(np.array([0]))
    kept.append([7, 7], [8])
    assert (lengths[0].tolist(), batch[1].tolist()) == ([2], [[8, 3]])
    assert kept.lengths(0, 2)[0].tolist() == [2, 3]
    assert kept.batch(np.array([1, 0]))[0]["source_ids"].tolist() == [[7, 7, 3], [7, 3, 0]]


def test_several_threads_read_one_file() -> None:
    kept = IdPairs(start_id=2, end_id=3, pad_id=0, on_disk=True)
    for number in range(4, 2004):
        kept.append([number] * (number % 7 + 1), [number])

    def read(seed: int) -> bool:
        for rows in np.random.default_rng(seed).integers(0, 2000, (50, 32)):
            inputs, labels, _ = kept.batch(rows)
            if (inputs["source_ids"][:, 0] != rows + 4).any() or (labels[:, 0] != rows + 4).any():
                return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(8)))


def test_ids_on_disk_take_no_memory() -> None:
    def grown(on_disk: bool) -> int:
        kept = IdPairs(start_id=2, end_id=3, pad_id=0, on_disk=on_disk)
        ids = [5] * 1000
        tracemalloc.start()
        for _ in range(500):
            kept.append(ids, ids)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert grown(on_disk=True) < 100_000 < 4_000_000 <= grown(on_disk=False)
