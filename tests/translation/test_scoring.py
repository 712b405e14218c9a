"""Scores of given targets equal NumPy and the search, also one pair at a time."""

import math

import numpy as np
import pytest

from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.translation.scoring import perplexity
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

SOURCES = texts(11, seed=3)
TARGETS = ["the dog", "a", "", "the cat sat on the mat and looked at the dog", "again! zebra"]
TARGETS = (TARGETS * 3)[: len(SOURCES)]


@pytest.fixture(scope="module")
def translator() -> Translator:
    return tiny_translator("char", "word", cell="gru")


def test_score_is_the_log_softmax_of_the_teacher_forced_logits(translator: Translator) -> None:
    tokenizer = translator.target_tokenizer
    found = translator.score(SOURCES, TARGETS)

    for source, target, score in zip(SOURCES, TARGETS, found, strict=True):
        ids = [*tokenizer.encode([target])[0], tokenizer.end_id]
        inputs = {
            "source_ids": translator.source_ids([source]),
            "target_ids": np.array([[tokenizer.start_id, *ids[:-1]]]),
        }
        logits = np.array(translator.model(inputs))[0].astype("float64")
        table = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        expected = table[np.arange(len(ids)), ids]
        assert score.ids == ids
        # float32 logits up to 20: their rounding is 2e-6.
        np.testing.assert_allclose(score.token_log_probs, expected, atol=2e-5)
        np.testing.assert_allclose(score.log_prob, expected.sum(), atol=1e-4)
        np.testing.assert_allclose(score.perplexity, np.exp(-expected.mean()), rtol=1e-4)


def test_score_of_an_output_is_what_the_search_said(translator: Translator) -> None:
    translator.search = BeamSearch(4, n_best=4, max_length=8)
    # A word tokenizer reads its own text back, but for special tokens, which random weights say.
    found = [
        (source, one)
        for source, hypotheses in zip(SOURCES, translator.translate(SOURCES), strict=True)
        for one in hypotheses
        if min(one.ids) >= 3
    ]
    assert len(found) >= 5

    scores = translator.score([source for source, _ in found], [one.text for _, one in found])

    for (_, one), score in zip(found, scores, strict=True):
        assert score.ids == one.ids
        np.testing.assert_allclose(score.log_prob, one.log_prob, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_neither_batch_size_nor_batch_mates_change_a_score(
    translator: Translator, batch_size: int
) -> None:
    found = translator.score(SOURCES, TARGETS, batch_size=batch_size)

    for source, target, score in zip(SOURCES, TARGETS, found, strict=True):
        (alone,) = translator.score([source], [target])
        assert score.ids == alone.ids
        # The same sums in another order; float32 keeps 7 digits.
        np.testing.assert_allclose(score.token_log_probs, alone.token_log_probs, atol=1e-5)


def test_long_target_is_scored_whole(translator: Translator) -> None:
    translator.search = GreedySearch(3)
    (score,) = translator.score(["a dog"], ["the dog " * 20])

    assert len(score.ids) == len(score.token_log_probs) == 41
    assert score.ids[-1] == translator.target_tokenizer.end_id


def test_long_source_is_cut_with_the_warning_of_translation(translator: Translator) -> None:
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than 11 source tokens"):
        long, short = translator.score(["the cat sat on", "the cat sat"], ["a", "a"])

    assert long.log_prob == short.log_prob


def test_unknown_words_are_scored_as_the_unknown_token(translator: Translator) -> None:
    (score,) = translator.score(["a"], ["xylophone"])
    assert score.ids == [translator.target_tokenizer.unknown_id, translator.target_tokenizer.end_id]


def test_new_weights_take_effect() -> None:
    translator = tiny_translator("char", "word", cell="gru")
    before = translator.score(["a"], ["the"])[0].log_prob
    translator.model.set_weights([-w for w in translator.model.get_weights()])

    assert translator.score(["a"], ["the"])[0].log_prob != before


def test_nothing_gives_nothing(translator: Translator) -> None:
    assert translator.score([], []) == []


@pytest.mark.parametrize(
    ("sources", "targets", "options", "kind", "message"),
    [
        ("a", ["a"], {}, TypeError, r"`sources` must be a list of strings; got one str"),
        (["a"], "a", {}, TypeError, r"`targets` must be a list of strings; got one str"),
        (["a", "b"], ["a"], {}, ValueError, "got 2 sources and 1 targets"),
        (["a", 1], ["a", "b"], {}, TypeError, "got int at 1"),
        (["a"], [None], {}, TypeError, "got NoneType"),
        (
            ["a"],
            ["a"],
            {"batch_size": 0},
            ValueError,
            "`batch_size` must be a positive integer; got batch_size=0",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(
    translator: Translator, sources, targets, options, kind, message
) -> None:
    with pytest.raises(kind, match=message):
        translator.score(sources, targets, **options)


def test_perplexity_is_per_token() -> None:
    # 2 tokens of probability 1/2 and 1/8: the geometric mean is 1/4.
    assert perplexity([math.log(1 / 2), math.log(1 / 8)], [1, 1]) == pytest.approx(4)
    assert perplexity([-1e6], [1]) == math.inf
    with pytest.raises(ValueError, match="needs tokens; got none"):
        perplexity([], [])
