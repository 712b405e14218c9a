"""Minimum Bayes risk uses sacreBLEU's own chrF and follows its definition, also with ties."""

import random
import time
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import CHRF

from keras_s2s.search import BeamSearch
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.minimum_bayes_risk import (
    MinimumBayesRisk,
    chrf_table,
    expected_utilities,
)
from keras_s2s.translation.results import Translation
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

LINES = [
    "a big cat",
    "the big cat sat",
    "a bigger cat",
    "no",
    "",
    " ",
    "abcdefg abcdefg",
    "ünï 猫🙂",
]


def hypotheses(*said: str) -> list[Translation]:
    """With log-probabilities that rise, so that another order than the given one is seen."""
    return [Translation(text, 0.0, float(i), [3], np.zeros((1, 1))) for i, text in enumerate(said)]


def test_table_is_sacrebleus_sentence_chrf() -> None:
    chrf = CHRF()
    expected = [[chrf.sentence_score(a, [b]).score for b in LINES] for a in LINES]
    np.testing.assert_allclose(chrf_table(LINES), expected, atol=1e-9)


def test_utility_is_the_mean_against_all_others_doubles_counted() -> None:
    draw = random.Random(3)
    said = draw.choices(LINES, k=20)
    assert len(set(said)) < 20
    chrf = CHRF()
    expected = [
        np.mean([chrf.sentence_score(a, [b]).score for j, b in enumerate(said) if j != i])
        for i, a in enumerate(said)
    ]
    np.testing.assert_allclose(expected_utilities(said), expected, atol=1e-9)


def test_best_is_first_and_its_score_is_its_utility() -> None:
    found = MinimumBayesRisk()(hypotheses("one dog", "the big cat", "a big cat", "a big cat"))

    assert found[0].text == "a big cat"
    assert [one.score for one in found] == sorted([one.score for one in found], reverse=True)
    assert found[0].score == pytest.approx(expected_utilities([one.text for one in found])[0])
    assert {one.log_prob for one in found} == {0, 1, 2, 3}


def test_equals_keep_the_order_of_the_search() -> None:
    found = MinimumBayesRisk()(hypotheses("x", "same", "y", "same", "z"))

    assert [one.text for one in found] == ["same", "same", "x", "y", "z"]
    # In the order they were given, which is not that of the log-probabilities.
    assert [one.log_prob for one in found] == [1, 3, 0, 2, 4]


def test_a_lone_hypothesis_agrees_with_itself() -> None:
    assert [one.score for one in MinimumBayesRisk()(hypotheses("alone"))] == [100.0]
    assert MinimumBayesRisk()([]) == []


def test_a_hundred_samples_take_less_than_a_second() -> None:
    draw = random.Random(1)
    words = ["the", "a", "big", "small", "cat", "dog", "sat", "on", "mat", "looked", "at", "it"]
    said = [" ".join(draw.choices(words, k=20)) for _ in range(100)]
    began = time.process_time()
    expected_utilities(said)
    assert time.process_time() - began < 1  # seen 0.1; sacreBLEU one by one takes 3


def test_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="`metric` must be one of 'chrf'; got metric='bleu'"):
        MinimumBayesRisk("bleu")


@pytest.fixture(scope="module")
def translator() -> Translator:
    search = BeamSearch(6, n_best=6, max_length=8)
    return tiny_translator("char", "word", cell="gru", search=search)


def test_translator_gives_the_hypotheses_in_order_of_utility(translator: Translator) -> None:
    plain = translator.translate(texts(9))
    translator.choice = MinimumBayesRisk()
    chosen = translator.translate(texts(9))
    translator.choice = None

    assert [found[0].text for found in plain] != [found[0].text for found in chosen]
    for ours, theirs in zip(chosen, plain, strict=True):
        assert sorted(one.ids for one in ours) == sorted(one.ids for one in theirs)
        utilities = expected_utilities([one.text for one in theirs])
        assert ours[0].score == pytest.approx(max(utilities))
        assert ours[0].text == theirs[int(np.argmax(utilities))].text


@pytest.mark.thorough
def test_choice_is_saved(translator: Translator, tmp_path: Path) -> None:
    chosen = translator.copy()
    chosen.choice = MinimumBayesRisk()
    chosen.save(tmp_path / "t.keras")

    loaded = load_translator(tmp_path / "t.keras")

    assert isinstance(loaded.choice, MinimumBayesRisk)
    assert loaded(texts(9)) == chosen(texts(9))
    assert loaded.align("a dog")[1] == loaded.target_tokenizer.pieces(
        loaded.translate(["a dog"])[0][0].ids
    )


def test_choice_must_be_one(translator: Translator) -> None:
    with pytest.raises(TypeError, match="`choice` must be a MinimumBayesRisk; got str"):
        translator.choice = "chrf"
