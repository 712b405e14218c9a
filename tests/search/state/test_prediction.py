"""The largest of many logits are those of `top_k`, with chunks or without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_s2s.search.state.prediction import CHUNK, largest
from support.backends import BACKEND

pytestmark = pytest.mark.backend_neutral
quick = settings(deadline=None, max_examples=10, derandomize=True)


def expected(x, count):
    """Values in falling order, and of equals the first columns first."""
    order = np.argsort(-x, axis=-1, kind="stable")[:, :count]
    return np.take_along_axis(x, order, axis=-1), order


@quick
@given(
    seed=st.integers(0, 2**16),
    rows=st.integers(0, 3),
    size=st.sampled_from([7, 4 * CHUNK * 3, 4 * CHUNK * 3 + 1, 2000, 5003]),
    count=st.integers(1, 3),
    levels=st.sampled_from([2, 50, 10**6]),
)
def test_the_largest_are_those_of_a_sort(seed, rows, size, count, levels):
    # Few levels make many equals.
    draw = np.random.default_rng(seed)
    x = draw.integers(-levels, levels, (rows, size)).astype("float32")
    values, places = largest(ops.convert_to_tensor(x), count)
    wanted_values, wanted_places = expected(x, count)
    np.testing.assert_array_equal(values, wanted_values)
    if BACKEND == "torch":  # its top k has equals in any order
        np.testing.assert_array_equal(np.take_along_axis(x, np.array(places), axis=-1), values)
        assert all(len(set(row)) == count for row in np.array(places).tolist())
    else:
        np.testing.assert_array_equal(places, wanted_places)


@pytest.mark.parametrize("place", [0, CHUNK - 1, CHUNK, 4999, 5000])
def test_where_little_is_possible_ids_stay_within_the_vocabulary(place):
    x = np.full((1, 5001), -np.inf, "float32")
    x[0, place] = 1.0
    values, places = largest(ops.convert_to_tensor(x), 4)
    assert int(places[0, 0]) == place
    assert np.array(values)[0].tolist() == [1.0, *[-np.inf] * 3]
    assert ((np.array(places) >= 0) & (np.array(places) < 5001)).all()


def test_neighbours_in_one_chunk_are_all_found():
    x = np.zeros((2, 4096), "float32")
    x[0, 130:134] = [1, 4, 2, 3]
    assert np.array(largest(ops.convert_to_tensor(x), 4)[1])[0].tolist() == [131, 133, 132, 130]
