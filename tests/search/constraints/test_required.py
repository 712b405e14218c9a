"""Required phrases and prefixes are in the output, or the result says that they are missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import KerasTensor, ops

from keras_s2s.search import BeamSearch, DiverseBeamSearch, GreedySearch, SamplingSearch
from oracles import reference
from support.backends import BACKEND, compiled
from support.tables import END, Tables, chain, hypotheses, ids_of, words

pytestmark = pytest.mark.backend_neutral
quick = settings(deadline=None, max_examples=4 if BACKEND == "jax" else 10, derandomize=True)

LENGTH = 6
TABLES = Tables(rows=6, max_length=LENGTH, seed=21)
TABLES.logits[:, :, END] -= 2


def holds(ids, phrase):
    return any(list(ids[i : i + len(phrase)]) == list(phrase) for i in range(len(ids)))


def padded(rows):
    """Lists of phrases, one a sentence, as `(B, C, M)`."""
    most = max(map(len, rows), default=0) or 1
    longest = max((len(phrase) for row in rows for phrase in row), default=1)
    ids = np.full((len(rows), most, longest), -1, "int32")
    for row, phrases in enumerate(rows):
        for place, phrase in enumerate(phrases):
            ids[row, place, : len(phrase)] = phrase
    return ids


tokens = st.sampled_from([0, 1, 2, 4])
wishes = st.lists(
    st.lists(st.lists(tokens, min_size=1, max_size=2), max_size=2), min_size=6, max_size=6
)


@quick
@given(
    width=st.integers(1, 5),
    required=wishes,
    prefixes=st.lists(st.lists(tokens, max_size=1), min_size=6, max_size=6),
    weight=st.sampled_from([0.0, 1.0]),
)
def test_every_sentence_gets_its_own_phrases(width, required, prefixes, weight):
    # At most 1 + 4 tokens and the end: they fit, so the best output holds them all.
    result = TABLES.search(
        BeamSearch(width, weight, width, max_length=LENGTH),
        required=padded(required),
        prefix=padded([[prefix] for prefix in prefixes])[:, 0],
    )
    for row in range(6):
        found = hypotheses(result, row)
        assert found
        assert result.satisfied[row, 0]
        for n, (ids, log_prob, _) in enumerate(found):
            all_there = all(holds(ids, phrase) for phrase in required[row])
            assert result.satisfied[row, n] == all_there
            assert list(ids[: len(prefixes[row])]) == prefixes[row]
            assert ids[-1] == END
            again = reference.log_prob(TABLES.logits_of(row), ids)
            assert log_prob == pytest.approx(again, abs=1e-4)
        ranks = [(not result.satisfied[row, n], -score) for n, (_, _, score) in enumerate(found)]
        assert ranks == sorted(ranks), "those that hold all come first, each kind by score"
        assert len({ids for ids, _, _ in found}) == len(found)


def test_a_beam_as_wide_as_the_space_finds_the_best_that_holds_them():
    tables = Tables(rows=6, max_length=4, vocabulary=4, seed=22, columns=40)
    required = [[[0, 1]], [[2]], [[1], [0]], [[2, 2]], [[1, 0, 2]], []]
    result = tables.search(BeamSearch(40, 1.0, max_length=4), required=padded(required))
    for row, phrases in enumerate(required):
        every = reference.exhaustive(tables.logits_of(row), 4, 4, END, 1.0)
        best = next(x for x in every if all(holds(x.ids, phrase) for phrase in phrases))
        ((ids, log_prob, score),) = hypotheses(result, row)
        assert ids == best.ids
        assert log_prob == pytest.approx(best.log_prob, abs=1e-5)
        assert score == pytest.approx(best.score, abs=1e-5)


def test_sentences_without_phrases_are_searched_as_ever():
    search = BeamSearch(4, 1.0, 4, max_length=LENGTH)
    free = TABLES.search(search)
    required = [[[4, 0]], [], [], [], [], []]
    mixed = TABLES.search(search, required=padded(required))
    for ours, theirs in zip(mixed, free, strict=True):
        np.testing.assert_allclose(ours[1:], theirs[1:], rtol=0, atol=1e-5)


def test_phrases_that_overlap_share_tokens():
    step = chain(start="abc", a="xb>", b="xc>", c="x>", x="x>")
    required = np.array([[ids_of("ab"), ids_of("bc")]])
    result = BeamSearch(6, 0.0, max_length=4)(step, (), batch_size=1, required=required)
    assert words(result) == ["abc>"]
    assert np.array(result.satisfied).tolist() == [[True]]


def test_a_phrase_in_the_prefix_is_met():
    step = chain(start="b", a="b>", b="a>")
    arguments = {"batch_size": 1, "prefix": np.array([ids_of("ab")])}
    for phrase in ("ab", "a", "b"):
        result = BeamSearch(3, 0.0, max_length=8)(
            step, (), required=np.array([[ids_of(phrase)]]), **arguments
        )
        # After "ab" an "a" is twice as likely as the end, but then "b" or the end must follow.
        free = BeamSearch(3, 0.0, max_length=8)(step, (), **arguments)
        assert words(result) == words(free)
        assert np.array(result.satisfied).all()


def test_what_the_model_finds_likely_is_not_taken_for_what_the_prefix_says():
    # The likeliest first letter would fulfil the phrase; the prefix says another.
    step = chain(start="ab", a=">", b=">c", c=">")
    result = BeamSearch(2, 0.0, 2, max_length=4)(
        step, (), batch_size=1, prefix=np.array([ids_of("b")]), required=np.array([[ids_of("a")]])
    )
    assert words(result)[0].startswith("ba")
    assert np.array(result.satisfied)[0, 0]


def test_what_does_not_fit_a_sentences_own_limit_is_reported():
    search = BeamSearch(3, 0.0, max_length=LENGTH, length_limit=(0, 2))
    result = TABLES.search(search, required=padded([[[4, 0]]] * 6))
    assert not result.satisfied.any()
    assert (result.lengths[:, 0] <= 2).all()


def test_what_a_model_never_says_is_reported():
    tables = Tables(rows=2, max_length=4, seed=23)
    tables.logits[:, :, 4] = -np.inf
    result = tables.search(BeamSearch(3, 0.0, max_length=4), required=padded([[[4]], [[1]]]))
    assert result.satisfied.tolist() == [[False], [True]]


def test_one_graph_serves_every_number_of_phrases_and_prefixes():
    search = BeamSearch(3, 0.5, max_length=LENGTH)

    def run(required, prefix):
        start = TABLES.start()
        return tuple(search(TABLES.step, start, batch_size=6, required=required, prefix=prefix))[:2]

    graph = compiled(run, [KerasTensor((6, None, None), "int32"), KerasTensor((6, None), "int32")])
    for required, prefix in (([[[4]]] * 6, [[0, 1]] * 6), ([[[1, 2], [4]]] * 6, [[2]] * 6)):
        arrays = padded(required), np.array(prefix, "int32")
        ids, lengths = graph(*map(ops.convert_to_tensor, arrays))
        plain = TABLES.search(search, required=arrays[0], prefix=arrays[1])
        np.testing.assert_array_equal(ids, plain.ids)
        np.testing.assert_array_equal(lengths, plain.lengths)


@pytest.mark.parametrize("search", [GreedySearch(6), BeamSearch(3, 0.0, max_length=6)])
def test_what_follows_a_prefix_is_what_would_have_followed(search):
    free = TABLES.search(search)
    before_the_end = np.arange(2) < free.lengths[:, :1] - 1
    prefix = np.where(before_the_end, free.ids[:, 0, :2], -1)
    assert (prefix >= 0).any()
    forced = TABLES.search(search, prefix=prefix)
    # The best output, given its own beginning, is at least as good; for greedy it is the same.
    assert (forced.log_probs >= free.log_probs - 1e-5).all()
    if isinstance(search, GreedySearch):
        np.testing.assert_array_equal(forced.ids, free.ids)


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"prefix": np.zeros((2, 1), int)},
            r"`prefix` must be ids of shape \(B, tokens\) with B=1",
        ),
        ({"required": np.zeros((1, 1), int)}, r"shape \(B, phrases, tokens\) with B=1"),
        ({"prefix": np.full((1, 6), 4)}, "must leave room for the end token within max_length=6"),
        ({"prefix": np.array([[-1, 4]])}, "-1 only behind those of a row; got"),
        ({"prefix": np.array([[-2]])}, "must hold ids from 0 on"),
        ({"prefix": np.array([[4.0]])}, "must hold integer ids; got float64"),
        ({"prefix": np.array([[END]])}, "must not hold the end id, 3"),
        ({"required": np.array([[[4, END]]])}, "must not hold the end id, 3"),
        ({"forbidden": np.array([[[99]]])}, "must hold ids below the 30 logits; got 99"),
        (
            {"required": np.array([[[4, 5, 6], [7, 8, 9]]])},
            "Sentence 0: prefix and required phrases need 7 tokens, .* max_length=6",
        ),
        (
            {"prefix": np.array([[5, 4]]), "required": np.array([[[4, 6, 7], [6, 8, -1]]])},
            "need 7 tokens",  # 5 4 6 7 6 8 and the end
        ),
        (
            {"required": np.array([[[4, 5, 6]]]), "forbidden": np.array([[[5, 6]]])},
            r"Sentence 0: `required` asks for \[4, 5, 6\], but `forbidden` forbids \[5, 6\]",
        ),
        (
            {"prefix": np.array([[4, 5]]), "forbidden": np.array([[[5]]])},
            r"Sentence 0: `prefix` asks for \[4, 5\], but `forbidden` forbids \[5\]",
        ),
    ],
)
def test_what_no_output_can_fulfil_is_an_error(arguments, message):
    step = chain(start="a", a=">")
    with pytest.raises(ValueError, match=message):
        BeamSearch(3, max_length=6)(step, (), batch_size=1, **arguments)


def test_phrases_that_fit_by_sharing_tokens_are_no_error():
    step = chain(start="a", a="b>", b="c>", c="d>", d="e>")
    required = np.array([[ids_of("abcd"), ids_of("bcde")]])
    result = BeamSearch(8, 0.0, max_length=6)(step, (), batch_size=1, required=required)
    assert words(result) == ["abcde>"]


def test_the_unknown_token_cannot_be_required_where_it_is_forbidden():
    with pytest.raises(ValueError, match="`required` must not hold the unknown id, 1, in a search"):
        BeamSearch(3, allow_unknown=False)(
            chain(start="a"), (), batch_size=1, required=np.array([[[1]]])
        )


@pytest.mark.parametrize(
    "search", [GreedySearch(6), SamplingSearch(max_length=6), DiverseBeamSearch(4, groups=2)]
)
def test_phrases_can_be_required_of_a_beam_alone(search):
    with pytest.raises(ValueError, match="BeamSearch"):
        search(chain(start="a"), (), batch_size=1, required=np.array([[[4]]]))
