"""Each control equals loops in Python, by itself and within searches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.search.constraints.controls import controlled
from keras_s2s.search.result import IMPOSSIBLE
from oracles import reference
from support.tables import END, LETTERS, Tables, chain, check, ids_of, words

pytestmark = pytest.mark.backend_neutral
quick = settings(deadline=None, max_examples=25, derandomize=True)


def chosen_by(ids, log_probs, *, theta=1.0, ngram=0, forbidden=()):
    """What a hypothesis of `ids` chooses by."""
    values = log_probs.copy()
    for token in set(ids):
        values[token] = theta * log_probs[token]
    for token in range(len(values)):
        said = [*ids, token]
        spans = [tuple(said[i : i + ngram]) for i in range(len(said) - ngram + 1)]
        if ngram and len(said) >= ngram and spans[-1] in spans[:-1]:
            values[token] = -np.inf
        for phrase in forbidden:
            if phrase and said[-len(phrase) :] == list(phrase):
                values[token] = -np.inf
    return values


def padded(phrases, count, size):
    ids = np.full((1, count, size), -1, "int32")
    for place, phrase in zip(ids[0], phrases, strict=False):
        place[: len(phrase)] = phrase
    return ids


phrases = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), max_size=3)


@quick
@given(
    said=st.lists(st.integers(0, 5), max_size=8),
    theta=st.sampled_from([1.0, 1.3]),
    ngram=st.integers(0, 9),
    forbidden=phrases,
    seed=st.integers(0, 99),
)
def test_what_is_chosen_by_is_what_loops_say(said, theta, ngram, forbidden, seed):
    logits = np.random.default_rng(seed).normal(0, 2, (1, 6)).astype("float32")
    normalizer = np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = controlled(
        ops.convert_to_tensor(logits),
        ops.convert_to_tensor(normalizer),
        ops.convert_to_tensor(np.array([said + [-1] * (8 - len(said))], "int32")),
        ops.convert_to_tensor(len(said), dtype="int32"),
        forbidden=ops.convert_to_tensor(padded(forbidden, 3, 3)),
        repetition_penalty=theta,
        no_repeat_ngram=ngram,
    )
    found = (ops.convert_to_numpy(found) - normalizer)[0]
    found[found < IMPOSSIBLE / 2] = -np.inf
    expected = chosen_by(
        said, (logits - normalizer)[0], theta=theta, ngram=ngram, forbidden=forbidden
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)  # one float32 sum more


@pytest.mark.parametrize(
    "controls",
    [
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram": 1},
        {"no_repeat_ngram": 2},
        {"repetition_penalty": 1.2, "no_repeat_ngram": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("width", [1, 3])
def test_searches_under_controls_are_those_in_lists(controls, width):
    tables = Tables(rows=12, max_length=5, seed=11)
    tables.logits[:, :, END] -= 2  # long enough to repeat something
    search = (
        GreedySearch(5, **controls)
        if width == 1
        else BeamSearch(width, 0.7, width, max_length=5, **controls)
    )
    result = tables.search(search)
    names = {"repetition_penalty": "theta", "no_repeat_ngram": "ngram"}
    options = {names[name]: value for name, value in controls.items()}

    def choose(ids, log_probs):
        return chosen_by(ids, log_probs, **options)

    for row in range(12):
        weight = 0.0 if width == 1 else 0.7
        expected = reference.beam(tables.logits_of(row), 5, END, width, weight, choose)
        check(result, row, expected[:width])


@pytest.mark.parametrize("width", [1, 4])
def test_forbidden_phrases_of_each_sentence_are_those_in_lists(width):
    tables = Tables(rows=4, max_length=5, seed=12)
    tables.logits[:, :, END] -= 2
    forbidden = [[[4], [0, 1]], [[2, 1, 0]], [], [[0, 0], [1, 1], [2, 2]]]
    ids = np.concatenate([padded(each, 3, 3) for each in forbidden])
    search = GreedySearch(5) if width == 1 else BeamSearch(width, 0.0, width, max_length=5)
    result = tables.search(search, forbidden=ids)
    for row, own in enumerate(forbidden):

        def choose(said, log_probs, own=own):
            return chosen_by(said, log_probs, forbidden=own)

        expected = reference.beam(tables.logits_of(row), 5, END, width, 0.0, choose)
        check(result, row, expected[:width])


def test_in_words():
    step = chain(start="a", a="ab>", b="ac")
    assert words(GreedySearch(6)(step, (), batch_size=1)) == ["aaaaa>"]
    assert words(GreedySearch(6, no_repeat_ngram=2)(step, (), batch_size=1)) == ["aaba>"]
    phrase = np.array([[ids_of("aa"), ids_of("bc")]])
    assert words(GreedySearch(6)(step, (), batch_size=1, forbidden=phrase)) == ["ababa>"]


def test_log_probs_stay_the_models():
    tables = Tables(rows=6, max_length=5, seed=13)
    tables.logits[:, :, END] -= 2
    result = tables.search(BeamSearch(3, 0.0, max_length=5, repetition_penalty=2.0))
    for row in range(6):
        ids = tuple(result.ids[row, 0, : result.lengths[row, 0]].tolist())
        again = reference.log_prob(tables.logits_of(row), ids)
        assert result.log_probs[row, 0] == pytest.approx(again, abs=1e-5)
    assert (result.scores < result.log_probs - 0.1).any(), "what is ranked by is lower"


def test_where_nothing_may_be_said_there_is_no_output():
    # Every letter once, and an end no sooner than there are letters.
    size = len(LETTERS)
    search = GreedySearch(size + 5, min_length=size + 2, no_repeat_ngram=1)
    result = search(chain(start="a"), (), batch_size=1)
    assert np.array(result.lengths).tolist() == [[0]]
    assert np.isneginf(np.array(result.scores)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repetition_penalty": 0.9}, "`repetition_penalty` must be a number from 1 on; got"),
        ({"no_repeat_ngram": -1}, "`no_repeat_ngram` must be a positive integer; got"),
        ({"no_repeat_ngram": 1.5}, "`no_repeat_ngram` must be a positive integer; got"),
    ],
)
def test_what_makes_no_sense_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        GreedySearch(5, **options)
