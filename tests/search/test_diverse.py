"""Diverse beams equal groups in lists, and beam search for one group or without diversity."""

import numpy as np
import pytest

from keras_s2s.search import BeamSearch, DiverseBeamSearch
from oracles import reference
from support.tables import END, Tables, chain, hypotheses, words

pytestmark = pytest.mark.backend_neutral


def in_lists(logits_of, max_length, groups, size, diversity):
    """Vijayakumar et al. (2018), algorithm 1, with beams that keep what finished."""
    live = [[((), 0.0)] for _ in range(groups)]
    finished = [[] for _ in range(groups)]
    for t in range(max_length):
        said = []
        for group in range(groups):
            extended = []
            for ids, total in live[group]:
                log_probs = reference.log_softmax(logits_of(ids))
                tokens = [END] if t == max_length - 1 else range(len(log_probs))
                extended += [
                    ((*ids, token), total + float(log_probs[token]), said.count(token))
                    for token in tokens
                ]
            extended.sort(key=lambda each: -(each[1] - diversity * each[2]))
            best = extended[: size - len(finished[group])]
            finished[group] += [(ids, total) for ids, total, _ in best if ids[-1] == END]
            live[group] = [(ids, total) for ids, total, _ in best if ids[-1] != END]
            said += [ids[-1] for ids, _, _ in best]
    every = [each for group in finished for each in group]
    return sorted(every, key=lambda each: -each[1])


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(("groups", "size"), [(2, 1), (3, 1), (2, 2)])
@pytest.mark.parametrize("diversity", [0.0, 0.7, 5.0])
def test_groups_are_those_in_lists(groups, size, diversity):
    tables = Tables(rows=10, max_length=4, vocabulary=6, seed=31)
    search = DiverseBeamSearch(groups * size, 0.0, max_length=4, groups=groups, diversity=diversity)
    result = tables.search(search)
    for row in range(10):
        expected = in_lists(tables.logits_of(row), 4, groups, size, diversity)
        found = [(ids, log_prob) for ids, log_prob, _ in hypotheses(result, row)]
        # Groups may find the same output; then equals stand in any order.
        assert sorted(ids for ids, _ in found) == sorted(ids for ids, _ in expected)
        for (_, ours), (_, theirs) in zip(found, expected, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)


def test_one_group_is_a_beam():
    tables = Tables(rows=10, max_length=4, seed=32)
    ours, theirs = (
        tables.search(search)
        for search in (
            DiverseBeamSearch(4, 0.8, max_length=4, groups=1, diversity=3.0),
            BeamSearch(4, 0.8, 4, max_length=4),
        )
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_diversity_makes_other_words():
    step = chain(start="abc", a=">", b=">", c=">")
    alike = DiverseBeamSearch(3, 0.0, max_length=4, groups=3, diversity=0.0)
    other = DiverseBeamSearch(3, 0.0, max_length=4, groups=3, diversity=9.0)
    assert words(alike(step, (), batch_size=1)) == ["a>", "a>", "a>"]
    assert words(other(step, (), batch_size=1)) == ["a>", "b>", "c>"]


def test_lengths_and_scores_are_the_models():
    tables = Tables(rows=6, max_length=4, seed=33)
    result = tables.search(DiverseBeamSearch(4, 0.0, max_length=4, groups=2, diversity=2.0))
    for row in range(6):
        for ids, log_prob, score in hypotheses(result, row):
            again = reference.log_prob(tables.logits_of(row), ids)
            assert log_prob == pytest.approx(again, abs=1e-5)
            assert score == pytest.approx(again, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 5, "groups": 2}, "`width` must be divisible by `groups`; got width=5, groups=2"),
        ({"groups": 0}, "`groups` must be a positive integer; got groups=0"),
        ({"diversity": -1}, "`diversity` must be a number from 0 on; got diversity=-1"),
    ],
)
def test_what_makes_no_groups_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        DiverseBeamSearch(**options)
