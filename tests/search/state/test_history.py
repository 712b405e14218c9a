"""History reads back the sequences that a loop over parents gives, whatever changed places."""

import numpy as np
import pytest
from keras import KerasTensor, ops

from keras_s2s.search.state.history import History, blank, read, write
from support.backends import compiled

pytestmark = pytest.mark.backend_neutral


def random_steps(steps, rows, source, seed=0):
    draw = np.random.default_rng(seed)
    return History(
        tokens=draw.integers(0, 9, (steps, rows)).astype("int32"),
        parents=draw.integers(0, rows, (steps, rows)).astype("int32"),
        log_probs=draw.normal(size=(steps, rows)).astype("float32"),
        weights=draw.random((steps, rows, source)).astype("float32"),
    )


def traced(steps, row):
    """The steps of one sequence, last first along the parents, then turned round."""
    places = []
    for parents in steps.parents[::-1]:
        places.append(row)
        row = parents[row]
    return np.array(places[::-1])


def written(steps, max_length, parents=True):
    history = blank(max_length, steps.tokens.shape[1], -1, steps.weights.shape[-1], parents=parents)
    for t in range(len(steps.tokens)):
        step = History(*(part[t] for part in steps))
        history = write(history, t, step if parents else step._replace(parents=()))
    return history


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9])
def test_sequences_are_those_of_a_loop_over_the_parents(length):
    steps, rows = random_steps(length, 4, 2), np.array([3, 0, 0], "int32")
    found = read(written(steps, length), rows)
    for n, row in enumerate(rows):
        places = traced(steps, row)
        t = np.arange(length)
        np.testing.assert_array_equal(found.parents[n], places)
        np.testing.assert_array_equal(found.tokens[n], steps.tokens[t, places])
        np.testing.assert_array_equal(found.log_probs[n], steps.log_probs[t, places])
        np.testing.assert_array_equal(found.weights[n], steps.weights[t, places])


def test_steps_that_were_not_taken_stay_blank():
    found = read(written(random_steps(3, 2, 1), 6), np.array([1], "int32"))
    assert np.array(found.tokens)[0, 3:].tolist() == [-1, -1, -1]
    assert not np.array(found.log_probs)[0, 3:].any()
    assert not np.array(found.weights)[0, 3:].any()


def test_rows_that_keep_their_places_are_read_as_written():
    steps = random_steps(5, 3, 2)
    found = read(written(steps, 5, parents=False), np.array([2, 1], "int32"))
    np.testing.assert_array_equal(found.tokens, steps.tokens.T[[2, 1]])
    np.testing.assert_array_equal(found.weights, np.swapaxes(steps.weights, 0, 1)[[2, 1]])


def test_any_number_of_rows_in_one_graph():
    def run(parents):
        rows = ops.shape(parents)[1]
        history = blank(6, rows, 0)
        history = history._replace(parents=parents)
        return read(history, ops.arange(rows, dtype="int32")).parents

    graph = compiled(run, [KerasTensor((6, None), "int32")])
    for rows in (1, 5):
        steps = random_steps(6, rows, 1, seed=rows)
        expected = np.stack([traced(steps, row) for row in range(rows)])
        np.testing.assert_array_equal(graph(ops.convert_to_tensor(steps.parents)), expected)
