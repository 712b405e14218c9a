"""Padding keeps every id in its place, and the pad id fills all other places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_s2s.data.padding import padded


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), min_size=1, max_size=4))
def test_rows_stand_before_their_padding(rows: list[list[int]]) -> None:
    ids = padded(rows, pad_id=-1)

    assert ids.shape == (len(rows), max(map(len, rows)))
    assert [row[row >= 0].tolist() for row in ids] == rows
    assert all((row[len(given) :] == -1).all() for row, given in zip(ids, rows, strict=True))


@pytest.mark.parametrize(("rows", "shape"), [([], (0, 1)), ([[], []], (2, 0)), ([[], [4]], (2, 1))])
def test_rows_without_ids_have_a_shape(rows: list[list[int]], shape: tuple[int, int]) -> None:
    assert padded(rows).shape == shape


def test_ids_are_of_the_type_asked_for() -> None:
    assert padded([[1]]).dtype == np.int32
    assert padded([[2**40]], dtype="int64").tolist() == [[2**40]]
