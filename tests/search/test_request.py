"""Tests of requests: lengths as a·S + b, the unknown token, and options that exclude each other."""

import numpy as np
import pytest
from keras import ops

from keras_s2s.search import BeamSearch, GreedySearch, SamplingSearch
from oracles import reference
from support.tables import END, UNKNOWN, Tables, chain, check, words

pytestmark = pytest.mark.backend_neutral

# Sources of 0 to 3 real tokens.
SOURCES = [3, 1, 2, 0, 3, 2]
MASK = np.arange(3) < np.array(SOURCES)[:, None]
LENGTH = 5


def searched(tables, search, mask=MASK):
    found = search(tables.step, tables.start(), batch_size=len(mask), source_mask=mask)
    return type(found)(*(np.array(part) for part in found))


def bounds(least, most, source):
    """Shortest and longest of one sentence; the limit wins."""
    longest = LENGTH if most is None else min(max(int(most[0] * source + most[1]), 1), LENGTH)
    return min(int(np.floor(least[0] * source + least[1])), longest), longest


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("least", "most"),
    [
        ((0, 3), None),
        ((1, 1), None),
        ((0.5, 0.5), (1, 1)),
        ((0, 0), (0, 2)),
        ((0, 0), (1.5, -1)),
        ((2, 0), (1, 2)),
    ],
)
@pytest.mark.parametrize("width", [1, 4])
def test_every_sentence_has_its_own_lengths(width, least, most):
    tables = Tables(rows=6, max_length=LENGTH, seed=51)
    tables.logits[:, :, END] += 1.5  # else few end before they may
    options = {"min_length": least, "length_limit": most, "max_length": LENGTH}
    search = GreedySearch(**options) if width == 1 else BeamSearch(width, 0.6, width, **options)
    result = searched(tables, search)
    for row, source in enumerate(SOURCES):
        shortest, longest = bounds(least, most, source)

        def choose(ids, log_probs, shortest=shortest):
            if len(ids) + 1 < shortest:
                log_probs[END] = -np.inf
            return log_probs

        weight = 0.0 if width == 1 else 0.6
        expected = reference.beam(tables.logits_of(row), longest, END, width, weight, choose)
        check(result, row, expected[:width])
        assert shortest <= result.lengths[row].max() <= longest


def test_samples_keep_to_lengths_too():
    tables = Tables(rows=6, max_length=LENGTH, seed=52)
    search = SamplingSearch(5, seed=0, max_length=LENGTH, min_length=(1, 0), length_limit=(1, 1))
    lengths = searched(tables, search).lengths
    for row, source in enumerate(SOURCES):
        assert lengths[row].min() >= max(source, 1)
        assert lengths[row].max() <= source + 1


@pytest.mark.parametrize("width", [1, 3])
def test_the_unknown_token_is_never_said_on_request(width):
    tables = Tables(rows=8, max_length=LENGTH, seed=53)
    tables.logits[:, :, UNKNOWN] += 3
    options = {"allow_unknown": False, "max_length": LENGTH}
    search = GreedySearch(**options) if width == 1 else BeamSearch(width, 0.0, width, **options)

    def choose(ids, log_probs):
        log_probs[UNKNOWN] = -np.inf
        return log_probs

    result = tables.search(search)
    for row in range(8):
        expected = reference.beam(tables.logits_of(row), LENGTH, END, width, 0.0, choose)
        check(result, row, expected[:width])


def test_the_unknown_token_is_the_one_of_the_call():
    step = chain(start="ab", a=">", b=">")
    search = GreedySearch(4, allow_unknown=False)
    assert words(search(step, (), batch_size=1)) == ["a>"]
    assert words(search(step, (), batch_size=1, unknown_id=4)) == ["b>"]


def test_lengths_that_depend_on_the_source_need_its_mask():
    for options in ({"min_length": (1, 0)}, {"length_limit": (1, 0)}):
        with pytest.raises(ValueError, match=r"depends on the source .* pass `source_mask`"):
            GreedySearch(4, **options)(chain(start="a"), (), batch_size=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_length": 5}, "`min_length` must be at most `max_length`; got min_length=5"),
        (
            {"min_length": 3, "length_limit": (0, 2)},
            r"`min_length` must not be above `length_limit` for every source; got min_length=3",
        ),
        ({"min_length": (2, 1), "length_limit": (1, 1)}, "must not be above `length_limit`"),
        ({"min_length": "a"}, r"`min_length` must be a number b, or \(a, b\)"),
        ({"min_length": (-1, 2)}, r"with a ≥ 0; got min_length=\(-1, 2\)"),
        ({"length_limit": (1, 2, 3)}, r"`length_limit` must be a number b, or \(a, b\)"),
        ({"length_limit": (1, float("nan"))}, "`length_limit` must be a number"),
    ],
)
def test_lengths_that_cannot_be_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        GreedySearch(4, **options)


def test_lengths_that_some_sources_allow_are_no_error():
    GreedySearch(9, min_length=(0.5, 3), length_limit=(1, 1))
    GreedySearch(9, min_length=2, length_limit=(0, 2.5))


def test_a_beam_wider_than_the_vocabulary_is_an_error():
    tables = Tables(rows=1, max_length=3, vocabulary=5)
    with pytest.raises(ValueError, match=r"`width` must be at most the number of logits, 5: .*=6"):
        tables.search(BeamSearch(6, max_length=3))


@pytest.mark.parametrize(
    "search", [GreedySearch(4), BeamSearch(2, 0.0, 2, 4), SamplingSearch(2, max_length=4)]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error_that_says_the_step(search, bad):
    tables = Tables(rows=3, max_length=4, seed=54)
    tables.logits[:, :, END] -= 30
    tables.logits[1, 6:] = bad  # from the third step on: node 0, 1 to 5, then these
    with pytest.raises(ValueError, match=r"not finite at step 2 of sentence 1 .* 1 sentences of 3"):
        tables.search(search, keep_weights=True)  # eagerly: JAX's compiled searches cannot raise


def test_logits_of_empty_places_are_no_error():
    # Only "a" can be said, then the end; a beam of two fills its other place with what cannot be.
    step = chain(start="a", a=">")

    def careful(tokens, state):
        logits, state = step(tokens, state)
        logits = ops.where(logits < -10, -np.inf, logits)
        known = ops.logical_or(ops.equal(tokens, 2), ops.equal(tokens, 4))[:, None]
        return ops.cast(ops.where(known, logits, np.nan), "float32"), state

    result = BeamSearch(2, 0.0, 2, max_length=4)(careful, (), batch_size=1)
    assert words(result) == ["a>", ""]
