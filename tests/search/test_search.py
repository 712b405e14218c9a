"""Searches equal exhaustive search, scores are recomputed, and batch mates have no effect.

These tests need no network: a step reads logits from a table; see `tables`.
"""

import functools
import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_s2s.search import (
    GNMT,
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    SamplingSearch,
    Search,
    SearchResult,
    TFABeamSearch,
    registry,
)
from oracles import reference
from support.backends import BACKEND
from support.tables import END, LETTERS, PAD, Tables, chain, check, hypotheses, ids_of, words

pytestmark = pytest.mark.backend_neutral

MASK = np.ones((1, 3), bool)
# JAX compiles each example anew.
quick = settings(deadline=None, max_examples=8 if BACKEND == "jax" else 25, derandomize=True)


HELLO = chain(start="h", h="e", e="l", l="o", o=">")


def test_greedy_spells_a_word_and_pads_after_its_end():
    result = GreedySearch(max_length=8)(HELLO, (), batch_size=2)
    assert words(result, 0) == words(result, 1) == ["helo>"]
    assert np.array(result.ids)[0].tolist() == [[*ids_of("helo>"), PAD, PAD, PAD]]


def test_greedy_takes_the_likeliest_letter_each_time():
    assert words(GreedySearch(8)(chain(start="ab", a=">", b="c", c=">"), (), batch_size=1)) == [
        "a>"
    ]


def test_beam_finds_what_greedy_misses():
    # After "a" three ways of a third each and an end that is unlikely; after "b" one certain end:
    # P("ax>") = 2/3 · 4/7, P("b>") = 1/3. With a flatter "a", "b>" wins.
    step = chain(start="ab", a="xyzuvw", b=">", **{letter: ">" for letter in "xyzuvw"})
    flat = chain(start="ab", b=">", **{letter: ">" for letter in "xyzuvw"})

    def spread(tokens, state):
        logits, state = flat(tokens, state)
        is_a = ops.equal(tokens, LETTERS.index("a"))[:, None]
        even = ops.convert_to_tensor(
            np.where(np.isin(list(LETTERS), list("xyzuvw")), 0.0, -20.0).astype("float32")
        )
        return ops.where(is_a, even[None], logits), state

    assert words(GreedySearch(5)(spread, (), batch_size=1))[0][0] == "a"
    assert words(BeamSearch(3, 0.0, max_length=5)(spread, (), batch_size=1)) == ["b>"]
    assert words(BeamSearch(3, 0.0, max_length=5)(step, (), batch_size=1)) == ["ax>"]


def test_n_best_are_the_likeliest_words_in_order():
    step = chain(start="cbd", c="a", b="a", d="o", a="tr", o="g", t=">", r=">", g=">")
    result = BeamSearch(6, 0.0, n_best=5, max_length=6)(step, (), batch_size=1)
    # 4/7 and 2/7 and 1/7 for the first letter, 2/3 and 1/3 after "a".
    first, *equal, fourth, fifth = words(result)
    assert (first, fourth, fifth) == ("cat>", "dog>", "bar>")
    assert set(equal) == {"car>", "bat>"}
    expected = np.log([8 / 21, 4 / 21, 4 / 21, 3 / 21, 2 / 21])
    np.testing.assert_allclose(np.exp(np.array(result.log_probs)[0]), np.exp(expected), rtol=1e-4)


def test_rows_end_at_different_steps():
    table = {"start": "a", "a": ">"}
    short, long = chain(**table), chain(start="a", a="b", b="c", c="d", d=">")

    def step(tokens, state):
        logits = ops.where(state[:, None], short(tokens, ())[0], long(tokens, ())[0])
        return logits, state

    for search in (GreedySearch(7), BeamSearch(3, max_length=7)):
        result = search(step, np.array([True, False, True]), batch_size=3)
        assert [words(result, row) for row in range(3)] == [["a>"], ["abcd>"], ["a>"]]
        assert np.array(result.lengths).tolist() == [[2], [5], [2]]


@pytest.mark.parametrize("search", [GreedySearch(5), BeamSearch(3, n_best=2, max_length=5)])
def test_where_nothing_ends_the_end_is_forced_at_the_last_position(search):
    result = search(chain(start="a", a="b", b="a"), (), batch_size=1)
    assert words(result)[0] == "abab>"
    assert set(np.array(result.lengths).ravel()) == {5}
    # The forced end counts: it is about e^-20, which is what the table gives it.
    assert -22 < float(result.log_probs[0, 0]) < -19


def test_other_ids_than_the_defaults():
    """T5's: pad 0 ends nothing, end 1; here start 0, end 1 and a pad outside of the vocabulary."""
    table = np.full((5, 5), -9.0, "float32")
    table[0, 2] = table[2, 3] = table[3, 1] = 9

    def step(tokens, state):
        return ops.take(table, tokens, axis=0), state

    ids = {"start_id": 0, "end_id": 1, "pad_id": -1}
    for search in (GreedySearch(5), BeamSearch(2, max_length=5)):
        result = search(step, (), batch_size=1, **ids)
        assert np.array(result.ids)[0, 0].tolist() == [2, 3, 1, -1, -1]
        assert np.array(result.lengths).tolist() == [[3]]


def test_greedy_is_the_loop_in_numpy():
    tables = Tables(rows=30, max_length=5)
    result = tables.search(GreedySearch(5))
    for row in range(30):
        check(result, row, [reference.greedy(tables.logits_of(row), 5, END)])


def test_beam_of_width_one_is_greedy():
    tables = Tables(rows=30, max_length=5)
    greedy = tables.search(GreedySearch(5))
    beam = tables.search(BeamSearch(1, 0.0, max_length=5))
    for ours, theirs in zip(beam, greedy, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0, 3.0])
def test_a_beam_as_wide_as_the_space_is_exhaustive_search(weight):
    tables = Tables(rows=12, max_length=4, vocabulary=4, columns=40)
    # 27 live and 13 finished hypotheses after three steps are the most there can be.
    result = tables.search(BeamSearch(40, weight, n_best=40, max_length=4))
    for row in range(12):
        expected = reference.exhaustive(tables.logits_of(row), 4, 4, END, weight)
        assert len(expected) == 40
        check(result, row, expected)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(("width", "n_best"), [(2, 1), (2, 2), (3, 1), (5, 4)])
def test_a_narrow_beam_is_the_beam_in_lists(width, n_best, weight):
    """The list version never stops early; this one does, and must not show it."""
    tables = Tables(rows=25, max_length=5)
    result = tables.search(BeamSearch(width, weight, n_best, max_length=5))
    for row in range(25):
        expected = reference.beam(tables.logits_of(row), 5, END, width, weight)
        check(result, row, expected[:n_best])


@pytest.mark.parametrize("search", [GreedySearch(5), BeamSearch(4, 0.6, n_best=4, max_length=5)])
def test_scoring_the_returned_ids_again_gives_their_log_probs_and_weights(search):
    tables = Tables(rows=20, max_length=5, seed=1)
    result = tables.search(search)
    assert set(result.lengths.ravel()) - {0} > {1}, "sequences of several lengths"
    for row in range(20):
        for n, (ids, log_prob, _) in enumerate(hypotheses(result, row)):
            assert ids[-1] == END
            assert END not in ids[:-1]
            again = reference.log_prob(tables.logits_of(row), ids)
            assert log_prob == pytest.approx(again, abs=1e-5)
            weights = result.weights[row, n]
            np.testing.assert_allclose(weights[: len(ids)], tables.weights_of(row, ids), atol=1e-6)
            assert not np.any(weights[len(ids) :])
            assert not np.any(result.ids[row, n, len(ids) :])


def test_finished_hypotheses_are_frozen():
    """More room changes nothing for a search that was over before: it only pads longer."""
    tables = Tables(rows=20, max_length=5, seed=2)
    # An end that is likely from the second position on.
    tables.logits[:, 1:, END] += 8
    short = tables.search(BeamSearch(3, 1.0, n_best=3, max_length=4))
    long = tables.search(BeamSearch(3, 1.0, n_best=3, max_length=5))
    over = short.lengths.max(axis=1) < 4
    assert over.sum() > 5
    np.testing.assert_array_equal(long.ids[over][:, :, :4], short.ids[over])
    assert not np.any(long.ids[over][:, :, 4:])
    np.testing.assert_array_equal(long.scores[over], short.scores[over])
    np.testing.assert_array_equal(long.log_probs[over], short.log_probs[over])


def test_n_best_is_sorted_distinct_and_begins_with_the_best():
    tables = Tables(rows=20, max_length=5)
    one = tables.search(BeamSearch(5, 1.0, n_best=1, max_length=5))
    five = tables.search(BeamSearch(5, 1.0, n_best=5, max_length=5))
    assert (np.diff(five.scores) <= 0).all()
    for row in range(20):
        ids = [ids for ids, _, _ in hypotheses(five, row)]
        assert len(set(ids)) == len(ids) == 5
    for ours, theirs in zip(one, five, strict=True):
        np.testing.assert_array_equal(ours[:, 0], theirs[:, 0])


BATCHED = Tables(rows=40, max_length=4, seed=3)
SEARCHES = {"greedy": GreedySearch(4), "beam": BeamSearch(3, 0.8, n_best=2, max_length=4)}


@functools.cache
def alone(name):
    """Every sentence's result, each searched in a batch of its own."""
    return [BATCHED.compiled_search(SEARCHES[name], [row]) for row in range(BATCHED.rows)]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", SEARCHES)
@quick
@given(rows=st.lists(st.integers(0, BATCHED.rows - 1), max_size=12))
def test_batch_mates_change_nothing(name, rows):
    """Any sentences in any order, repeated or none at all: each gets what it gets alone."""
    result = BATCHED.compiled_search(SEARCHES[name], rows)
    assert result.ids.shape == (len(rows), 2 if name == "beam" else 1, 4)
    for place, row in enumerate(rows):
        for ours, theirs in zip(result, alone(name)[row], strict=True):
            if ours.dtype != np.float32:
                np.testing.assert_array_equal(ours[place], theirs[0])
            else:
                np.testing.assert_allclose(ours[place], theirs[0], rtol=0, atol=1e-6)


@quick
@given(
    seed=st.integers(0, 2**16),
    width=st.integers(1, 8),
    weight=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    scale=st.sampled_from([0.1, 1.0, 4.0]),
    data=st.data(),
)
def test_any_beam_is_the_beam_in_lists(seed, width, weight, scale, data):
    n_best = data.draw(st.integers(1, width))
    tables = Tables(rows=2, max_length=3, vocabulary=4, seed=seed, scale=scale, columns=8)
    if data.draw(st.booleans(), label="some tokens are forbidden"):
        forbidden = np.random.default_rng(seed).random(tables.logits.shape) < 0.3
        forbidden[:, :, END] = False
        tables.logits[forbidden] = -np.inf
    search = BeamSearch(width, weight, n_best, max_length=3)
    result = search(tables.step, tables.start(), batch_size=2)
    result = SearchResult(*(None if part is None else np.array(part) for part in result))
    for row in range(2):
        expected = reference.beam(tables.logits_of(row), 3, END, width, weight)
        check(result, row, expected[:n_best])


class Unbounded(GNMT):
    """The same scores without a bound: a search stops only when all places are filled."""

    def bound(self, log_probs, shortest, longest, source_lengths=None):
        return ops.full_like(log_probs, float("inf"))


@pytest.mark.skipif(
    BACKEND == "jax", reason="JAX traces a loop's body once, so its calls are not its steps"
)
@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_early_stop_saves_steps_and_changes_nothing(weight):
    tables = Tables(rows=1, max_length=6, seed=6)
    tables.logits[:, :, END] += 2
    results, steps = [], []
    for penalty in (GNMT(weight), Unbounded(weight)):
        calls = []

        def step(tokens, state, calls=calls):
            calls.append(1)
            return tables.step(tokens, state)

        search = BeamSearch(5, penalty, n_best=1, max_length=6)
        results.append(search(step, tables.start(), batch_size=1, source_mask=MASK))
        steps.append(len(calls))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert steps == [2, 6]


@pytest.mark.parametrize("n_best", [1, 3])
@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_early_stop_is_exact(weight, n_best):
    tables = Tables(rows=40, max_length=5, seed=5)
    tables.logits[:, :, END] += 2
    ours, theirs = (
        tables.search(BeamSearch(4, penalty, n_best, max_length=5))
        for penalty in (GNMT(weight), Unbounded(weight))
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_fewer_sequences_than_places_leave_places_empty():
    tables = Tables(rows=2, max_length=2, vocabulary=5, columns=7)
    # One position holds the end alone; two hold the end, or any of four others and the end.
    for max_length, count in ((1, 1), (2, 5)):
        search = BeamSearch(7, 1.0, n_best=7, max_length=max_length)
        result = tables.search(search)
        assert result.ids.shape == (2, 7, max_length)
        for row in range(2):
            expected = reference.exhaustive(tables.logits_of(row), 5, max_length, END, 1.0)
            assert len(expected) == count
            check(result, row, expected)
        assert (result.lengths[:, :count] > 0).all()
        assert (result.lengths[:, count:] == 0).all()
        assert (result.scores[:, count:] == -np.inf).all()
        assert (result.log_probs[:, count:] == -np.inf).all()
        assert (result.ids[:, count:] == PAD).all()
        assert (result.weights[:, count:] == 0).all()


def test_empty_places_hold_the_pad_that_was_asked_for():
    def only_the_end(tokens, state):
        logits = np.where(np.arange(5) == END, 0.0, -np.inf).astype("float32")
        return ops.tile(logits[None], (2, 1)), state

    result = BeamSearch(2, n_best=2, max_length=2)(only_the_end, (), batch_size=1, pad_id=4)
    assert np.array(result.lengths).tolist() == [[1, 0]]
    assert np.array(result.ids).tolist() == [[[END, 4], [4, 4]]]


def test_a_forbidden_token_is_never_taken():
    """Logits of −inf are probabilities of zero, not numbers to add to."""
    tables = Tables(rows=10, max_length=4, columns=6)
    tables.logits[:, :, 4] = -np.inf
    for search in (GreedySearch(4), BeamSearch(6, n_best=6, max_length=4)):
        result = tables.search(search)
        assert (result.lengths[:, 0] > 0).all()
        assert not (result.ids == 4).any()
        assert not np.isnan(result.scores).any()


@pytest.mark.parametrize("name", SEARCHES)
def test_eager_and_compiled_agree(name):
    search, rows = SEARCHES[name], [3, 1, 4]
    result = BATCHED.compiled_search(search, rows)
    eager = search(
        BATCHED.step, BATCHED.start(rows), batch_size=3, source_mask=np.ones((3, 3), bool)
    )
    for ours, theirs in zip(eager, result, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SEARCHES)
def test_shapes_and_dtypes(name):
    n_best = 2 if name == "beam" else 1
    for rows in ([], [0], [0, 1, 2]):
        result = BATCHED.compiled_search(SEARCHES[name], rows)
        shapes = [part.shape for part in result]
        pair = (len(rows), n_best)
        assert shapes == [(*pair, 4), pair, pair, pair, (*pair, 4, 3), (*pair, 4), pair]
        assert [str(part.dtype) for part in result] == [
            *["int32"] * 2,
            *["float32"] * 4,
            "bool",
        ]


@pytest.mark.parametrize("name", SEARCHES)
def test_weights_are_kept_only_when_asked_for(name):
    result = SEARCHES[name](BATCHED.step, BATCHED.start([0]), batch_size=1)
    assert result.weights is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_searched_in_float32(dtype):
    tables = Tables(rows=5, max_length=4, seed=6)

    def step(tokens, state):
        logits, state, _ = tables.step(tokens, state)
        return ops.cast(logits, dtype), state

    rounded = np.array(ops.cast(ops.cast(tables.logits, dtype), "float32"))
    tables.logits = rounded
    result = BeamSearch(3, max_length=4)(step, tables.start(), batch_size=5)
    result = SearchResult(*(None if part is None else np.array(part) for part in result))
    assert result.log_probs.dtype == np.float32
    for row in range(5):
        check(result, row, reference.beam(tables.logits_of(row), 4, END, 3, 1.0)[:1])


# Settings and errors


@pytest.mark.parametrize(
    "search", [GreedySearch(7), BeamSearch(3, 0.4, 2, 9), BeamSearch(2, Unbounded(0.5))]
)
def test_round_trips_through_json(search):
    with keras.saving.custom_object_scope({"Unbounded": Unbounded}):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(search)))
        again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(search)
    assert again.get_config() == search.get_config()


def test_like_changes_what_is_given_and_keeps_the_rest():
    beam = BeamSearch(4, 0.5, 2, 9)
    assert beam.like(width=3).get_config() == BeamSearch(3, 0.5, 2, 9).get_config()
    assert beam.like(n_best=1).get_config() == BeamSearch(4, 0.5, 1, 9).get_config()
    assert beam.like(length_penalty=0.0).get_config() == BeamSearch(4, 0.0, 2, 9).get_config()
    greedy = GreedySearch(9)
    assert type(greedy.like()) is type(greedy.like(width=1)) is GreedySearch
    assert greedy.like(width=3).get_config() == BeamSearch(3, max_length=9).get_config()
    with pytest.raises(ValueError, match="`width` must be a positive integer; got width=0"):
        greedy.like(width=0)


@pytest.mark.parametrize(
    ("search", "changes", "kind"),
    [
        (GreedySearch(9), {"n_best": 2}, BeamSearch),
        (GreedySearch(9), {"width": 1, "n_best": 1}, GreedySearch),
        (GreedySearch(9), {"top_k": 3}, SamplingSearch),
        (GreedySearch(9), {"groups": 3}, DiverseBeamSearch),
        (BeamSearch(4), {"width": 1}, BeamSearch),
        (BeamSearch(4), {"top_p": 0.9}, SamplingSearch),
        (DiverseBeamSearch(4, groups=2), {"width": 6}, DiverseBeamSearch),
        (DiverseBeamSearch(4, groups=2), {"samples": 2}, SamplingSearch),
        (SamplingSearch(2), {"min_length": 3}, SamplingSearch),
        (SamplingSearch(2), {"width": 3}, BeamSearch),
        (TFABeamSearch(3), {"min_length": 3}, GreedySearch),
    ],
)
def test_like_gives_the_same_kind_or_the_simplest_that_has_all_settings(search, changes, kind):
    assert type(search.like(**changes)) is kind


def test_like_refuses_settings_that_no_kind_has_together():
    with pytest.raises(ValueError, match="No search has all of samples, width"):
        GreedySearch().like(samples=2, width=2)


class Sharpened(GreedySearch):
    def __init__(self, factor=2.0, max_length=100, **controls):
        super().__init__(max_length, **controls)
        self.factor = factor

    def _predict(self, logits, *rest):
        return super()._predict(logits * self.factor, *rest)


def test_like_changes_a_search_of_a_kind_that_registered_no_name():
    changed = Sharpened(3.0, min_length=2).like(factor=4.0, max_length=9)
    assert type(changed) is Sharpened
    assert (changed.factor, changed.max_length, changed.min_length) == (4.0, 9, (0.0, 2.0))
    assert type(changed.like(width=3)) is BeamSearch
    with pytest.raises(ValueError, match="No search has all of factor"):
        GreedySearch().like(factor=2.0)


def test_like_finds_a_named_kind_by_a_setting_that_only_it_has(monkeypatch):
    monkeypatch.setattr(registry, "SEARCHES", dict(registry.SEARCHES))

    class Named(Sharpened, name="sharpened"):
        pass

    changed = BeamSearch(4, max_length=9).like(factor=2.0)
    assert type(changed) is Named
    assert (changed.factor, changed.max_length) == (2.0, 9)


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True, None])
def test_sizes_must_be_positive_integers(value):
    for name in ("width", "n_best", "max_length"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer; got {name}="):
            BeamSearch(**{name: value})
    with pytest.raises(ValueError, match="`max_length` must be a positive integer"):
        GreedySearch(value)


def test_more_best_than_places_is_an_error():
    with pytest.raises(ValueError, match="got n_best=3, width=2"):
        BeamSearch(2, n_best=3)


def test_bad_length_penalty_is_an_error():
    with pytest.raises(ValueError, match=r"length penalty's `weight` .*got weight=-1"):
        BeamSearch(length_penalty=-1)


@pytest.mark.parametrize("search", SEARCHES.values())
def test_weights_asked_for_but_not_given_by_the_step_are_an_error(search):
    with pytest.raises(ValueError, match="the step returned none"):
        search(HELLO, (), batch_size=1, source_mask=MASK)


@pytest.mark.parametrize("search", SEARCHES.values())
def test_an_end_outside_of_the_vocabulary_is_an_error(search):
    with pytest.raises(ValueError, match=r"`end_id` must be .*30.*got end_id=30"):
        search(HELLO, (), batch_size=1, end_id=30)


def test_the_base_class_searches_nothing():
    with pytest.raises(NotImplementedError):
        Search(3)(HELLO, (), batch_size=1)
