"""A translator keeps its constraints in words, refuses impossible ones, and treats texts apart."""

import keras
import numpy as np
import pytest

from keras_s2s.cli.translate import _constraints as read_constraints
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    SamplingSearch,
)
from keras_s2s.search.constraints import phrases
from keras_s2s.translation.constraints import Constraints, SearchInputs
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

BEAM = BeamSearch(4, max_length=8, n_best=2)
TEXTS = texts(7)


@pytest.fixture(scope="module")
def to_words() -> Translator:
    return tiny_translator("char", "word", search=BEAM)


def searching(translator: Translator, search: object) -> Translator:
    translator.search = search
    return translator


def said(outputs: list) -> list[str]:
    return [found[0].text for found in outputs]


def test_outputs_begin_with_the_prefix_of_their_text(to_words: Translator) -> None:
    translator = searching(to_words, BEAM)
    wishes = [Constraints(prefix="the cat"), Constraints(), Constraints(prefix="dog")]
    outputs = said(translator.translate(TEXTS[:3], constraints=wishes))
    assert outputs[0].startswith("the cat")
    assert outputs[1] == translator(TEXTS[1])
    assert outputs[2].split()[0] == "dog"


def test_forbidden_words_are_not_said_and_others_stay(to_words: Translator) -> None:
    translator = searching(to_words, BEAM)
    free = said(translator.translate(TEXTS))
    word = free[0].split()[0]
    outputs = said(
        translator.translate(TEXTS, constraints=Constraints(forbidden=[word, "no-word"]))
    )
    for before, after in zip(free, outputs, strict=True):
        assert word not in after.split()
        if word not in before.split():
            # The same, or something that a beam with a place less lost before.
            assert after


def test_required_phrases_are_in_the_output(to_words: Translator) -> None:
    translator = searching(to_words, BEAM)
    wish = Constraints(required=["the cat", "my homework,"])
    for found in translator.translate(TEXTS, constraints=wish):
        assert found[0].satisfied
        assert "the cat" in found[0].text
        assert "my homework," in found[0].text


def test_what_cannot_be_said_in_time_is_reported() -> None:
    translator = tiny_translator("char", "word", search=BeamSearch(4, max_length=8))
    translator.search = BeamSearch(4, max_length=8, length_limit=(0, 2))
    wish = Constraints(required=["the cat sat"])
    found = translator.translate(TEXTS[:2], constraints=wish)
    assert [best[0].satisfied for best in found] == [False, False]
    assert all(len(best[0].ids) <= 2 for best in found)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("search", [BEAM, DiverseBeamSearch(4, groups=2, max_length=8)])
def test_batches_change_nothing(to_words: Translator, search: object) -> None:
    translator = searching(to_words, search)
    wishes = [Constraints(prefix="the"), *[Constraints(forbidden=["cat", "on the"])] * 6]
    at_once = translator.translate(TEXTS, constraints=wishes)
    one_by_one = translator.translate(TEXTS, constraints=wishes, batch_size=1)
    for ours, theirs in zip(at_once, one_by_one, strict=True):
        assert [each.ids for each in ours] == [each.ids for each in theirs]


@pytest.mark.thorough
def test_draws_go_by_seed_and_place_and_not_by_batches(to_words: Translator) -> None:
    def drawn(seed: int | None, batch_size: int = 32) -> list[list[list[int]]]:
        translator = searching(to_words, SamplingSearch(3, seed=seed, max_length=8))
        found = translator.translate(TEXTS, batch_size=batch_size)
        return [[each.ids for each in samples] for samples in found]

    assert drawn(1) == drawn(1) == drawn(1, batch_size=2)
    assert drawn(1) != drawn(2)
    assert drawn(None) != drawn(None)
    again = searching(to_words, SamplingSearch(3, seed=1, max_length=8)).translate([TEXTS[0]] * 2)
    assert [each.ids for each in again[0]] != [each.ids for each in again[1]]


def test_predict_begins_its_draws_anew(to_words: Translator) -> None:
    model = to_words.inference_model(SamplingSearch(2, seed=1, max_length=8))
    ids = to_words.source_ids(TEXTS)
    first, second = (model.predict(ids, batch_size=2, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first.ids, second.ids)
    same = model.predict(np.repeat(ids[:1], 8, axis=0), batch_size=2, verbose=0)
    assert len({row.tobytes() for row in same.ids[:, 0]}) > 1, "batches draw on, not anew"


def test_token_log_probs_are_the_summands(to_words: Translator) -> None:
    translator = searching(to_words, BEAM)
    for found in translator.translate(TEXTS):
        for each in found:
            assert len(each.token_log_probs) == len(each.ids)
            assert sum(each.token_log_probs) == pytest.approx(each.log_prob, abs=1e-4)


@pytest.mark.thorough
def test_scores_of_the_translators_own_outputs_are_those_of_the_search(
    to_words: Translator,
) -> None:
    translator = searching(to_words, BEAM)
    found = [best[0] for best in translator.translate(TEXTS)]
    # Only where the text says which tokens were meant.
    kept = [
        (source, each)
        for source, each in zip(TEXTS, found, strict=True)
        if [*translator.target_tokenizer.encode([each.text])[0], 3] == each.ids
    ]
    assert kept
    scored = translator.score([source for source, _ in kept], [each.text for _, each in kept])
    for (_, each), score in zip(kept, scored, strict=True):
        assert score.log_prob == pytest.approx(each.log_prob, abs=1e-4)
        np.testing.assert_allclose(score.token_log_probs, each.token_log_probs, atol=1e-4)


def test_a_translator_keeps_its_search(tmp_path) -> None:
    search = BeamSearch(
        3,
        "marian",
        2,
        8,
        coverage_penalty=0.3,
        stop="first",
        min_length=(0.5, 1),
        length_limit=(1.5, 3),
        allow_unknown=False,
        repetition_penalty=1.2,
        no_repeat_ngram=2,
    )
    translator = tiny_translator("char", "word", search=search)
    translator.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    assert again.search.get_config() == search.get_config()
    assert again(TEXTS) == translator(TEXTS)


def test_draws_of_characters_too() -> None:
    translator = tiny_translator("char", "char", search=SamplingSearch(2, seed=3, max_length=9))
    wish = Constraints(prefix="a d", forbidden=["e"])
    for found in translator.translate(TEXTS, constraints=wish):
        for each in found:
            assert each.text.startswith("a d")
            assert "e" not in each.text


# Errors


def test_words_outside_of_the_vocabulary_cannot_be_asked_for(to_words: Translator) -> None:
    translator = searching(to_words, BEAM)
    for name, wish in (
        ("prefix", Constraints(prefix="unheard")),
        ("required", Constraints(required=["the unheard"])),
        ("required", Constraints(required=[""])),
    ):
        with pytest.raises(ValueError, match=rf"Text 0: `{name}` .*vocabulary cannot say"):
            translator.translate(TEXTS, constraints=wish)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Constraints(required=["the cat"], forbidden=["cat"]), "Sentence 0: `required` asks for"),
        (Constraints(prefix="the cat", forbidden=["cat"]), "Sentence 0: `prefix` asks for"),
        (Constraints(required=["the cat sat on", "the mat and looked"]), "max_length=8"),
        (Constraints(prefix="the cat sat on the mat and looked"), "max_length=8"),
        ([Constraints()], "one for all 7 texts, or one for each; got 1"),
    ],
)
def test_what_cannot_be_is_refused(to_words: Translator, wish: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        searching(to_words, BEAM).translate(TEXTS, constraints=wish)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Constraints(prefix=["a"]), "`prefix` must be a string"),
        (Constraints(forbidden="cat"), "`forbidden` must be a list of strings; got 'cat'"),
        (Constraints(required=[1]), "`required` must be a list of strings"),
        (["cat"] * 7, "must hold Constraints; got str for text 0"),
    ],
)
def test_what_is_no_constraint_is_refused(to_words: Translator, wish: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        searching(to_words, BEAM).translate(TEXTS, constraints=wish)


@pytest.mark.parametrize("search", [GreedySearch(8), SamplingSearch(2, max_length=8)])
def test_phrases_can_be_required_of_a_beam_alone(to_words: Translator, search: object) -> None:
    with pytest.raises(ValueError, match="BeamSearch"):
        searching(to_words, search).translate(TEXTS, constraints=Constraints(required=["cat"]))


def test_no_texts_need_nothing(to_words: Translator) -> None:
    assert searching(to_words, BEAM).translate([], constraints=Constraints(prefix="the")) == []


def test_a_model_of_nan_is_named() -> None:
    translator = tiny_translator("char", "word", search=BEAM)
    translator.model.decoder.output_layer.bias.assign(
        np.full(translator.target_tokenizer.vocabulary_size, np.nan)
    )
    with pytest.raises(ValueError, match="not finite at step 0 of sentence 0"):
        translator(TEXTS)


def test_inputs_of_a_batch_are_no_wider_than_its_own() -> None:
    tokenizer = tiny_translator("char", "word").target_tokenizer
    wishes = [Constraints(forbidden=["the cat", "dog"]), Constraints(forbidden=["cat"])]
    inputs = SearchInputs(2, wishes, tokenizer, BEAM)
    assert inputs.for_batch([0, 1])["forbidden"].shape == (2, 2, 2)
    assert inputs.for_batch([1])["forbidden"].shape == (1, 1, 1)


def test_constraints_are_checked_once_for_all_batches(
    to_words: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[list[str]] = []
    check_compatible = phrases._check_compatible

    def counting(known: dict[str, np.ndarray], max_length: int) -> None:
        if known:
            checked.append(sorted(known))
        check_compatible(known, max_length)

    monkeypatch.setattr(phrases, "_check_compatible", counting)
    wish = Constraints(prefix="the", forbidden=["dog"], required=["cat"])
    searching(to_words, BEAM).translate(TEXTS, constraints=wish, batch_size=2)

    assert checked == [["forbidden", "prefix", "required"]]


def test_a_search_set_while_texts_come_out_counts_for_the_next_call(to_words: Translator) -> None:
    wish = Constraints(prefix="the cat sat on")
    expected = searching(to_words, BEAM).translate(TEXTS, constraints=wish)
    outputs = to_words.stream(TEXTS, constraints=wish)
    to_words.search = BeamSearch(4, max_length=4)

    assert [[each.ids for each in found] for found in outputs] == [
        [each.ids for each in found] for found in expected
    ]


# From the command line


def test_lines_of_json_are_constraints() -> None:
    lines = ['{"prefix": "a", "required": ["b c"]}', "", "{}"]
    expected = [Constraints(prefix="a", required=["b c"]), Constraints(), Constraints()]

    assert read_constraints(lines, 3) == expected
    assert read_constraints(None, 3) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "--constraints, line 2: not JSON"),
        ('["a"]', "line 2: must be an object of prefix, forbidden and required; got"),
        ('{"begin": "a"}', "line 2: must be an object of prefix, forbidden and required; got"),
    ],
)
def test_lines_that_are_no_constraints_are_named(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_constraints(["", line], 2)
    with pytest.raises(ValueError, match="a line for each of the 3 texts; got 2"):
        read_constraints(["", line], 3)
