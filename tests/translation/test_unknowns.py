"""An unknown token is replaced by the word it attended to most, for every kind of tokenizer."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.data.reading import CorpusError
from keras_s2s.text import CharTokenizer, WordTokenizer, train_tokenizer
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.results import Translation
from keras_s2s.translation.translator import Translator
from keras_s2s.translation.unknowns import UnknownReplacement, words_of_tokens
from support.translators import LINES, tiny_translator

SOURCE = WordTokenizer(["we", "saw", "in"])
TARGET = WordTokenizer(["wir", "sahen", "in"])
TEXT = "we saw  Aachen in Juli"  # 5 words and the end


def output(ids: list[int], weights: Any, tokenizer: Any = TARGET) -> Translation:
    return Translation(tokenizer.decode([ids])[0], 0.0, 0.0, ids, np.array(weights, "float32"))


def looking_at(*positions: int, length: int = 6) -> np.ndarray:
    """Most weight on one position, a little less on the one before it."""
    weights = np.zeros((len(positions), length), "float32")
    for row, position in zip(weights, positions, strict=True):
        row[position] += 0.6
        row[position - 1] += 0.4
    return weights


def test_unknown_word_becomes_the_word_it_looked_at() -> None:
    given = output([4, 5, 1, 6, 1, 3], looking_at(0, 1, 2, 3, 4, 5))
    assert given.text == "wir sahen ⁇ in ⁇"

    found = UnknownReplacement()(given, TEXT, SOURCE, TARGET)

    assert found.text == "wir sahen Aachen in Juli"
    assert found._replace(text=given.text) == given


def test_dictionary_is_asked_first() -> None:
    given = output([1, 1, 3], looking_at(2, 4, 5))
    replacement = UnknownReplacement({"Juli": "July", "aachen": "nothing"})

    assert replacement(given, TEXT, SOURCE, TARGET).text == "Aachen July"


def test_end_token_stands_for_nothing() -> None:
    # Most weight on the end, position 5; then the word before it.
    given = output([1, 3], looking_at(5, 5))
    assert UnknownReplacement()(given, TEXT, SOURCE, TARGET).text == "Juli"


def test_unknown_token_that_looked_at_no_word_stays() -> None:
    only_end = np.zeros((2, 6))
    only_end[:, 5] = 1
    given = output([1, 3], only_end)

    assert UnknownReplacement()(given, TEXT, SOURCE, TARGET).text == "⁇"
    nothing = output([1, 3], np.ones((2, 1)))
    assert UnknownReplacement()(nothing, "", SOURCE, TARGET).text == "⁇"


def test_unknown_words_side_by_side_are_words_each() -> None:
    given = output([1, 1, 3], looking_at(2, 2, 5))
    assert UnknownReplacement()(given, TEXT, SOURCE, TARGET).text == "Aachen Aachen"


def test_end_of_a_cut_source_is_no_word() -> None:
    # Three tokens and the end are left; its weight must not go to the word that was cut.
    weights = [[0.1, 0.1, 0.2, 0.6], [0, 0, 0, 1]]
    assert UnknownReplacement()(output([1, 3], weights), TEXT, SOURCE, TARGET).text == "Aachen"


def test_weights_of_letters_add_up_to_words() -> None:
    letters = CharTokenizer(sorted(set(TEXT)))
    # "we saw": the largest single weight is on the first word, most in sum on the second.
    weights = [[0.3, 0.05, 0, 0.25, 0.2, 0.2, 0.0], [0] * 6 + [1]]
    assert UnknownReplacement()(output([1, 3], weights), "we saw", letters, TARGET).text == "saw"
    # White space belongs to no word.
    weights = [[0.1, 0.05, 0.75, 0.05, 0.05, 0, 0.0], [0] * 6 + [1]]
    assert UnknownReplacement()(output([1, 3], weights), "we saw", letters, TARGET).text == "we"


def test_unknown_letters_of_one_word_stand_for_it_once() -> None:
    letters = CharTokenizer(["a", " "])
    ids = [4, 1, 1, 5, 1, 1, 3]  # "a⁇⁇ ⁇⁇"
    weights = looking_at(0, 1, 1, 2, 2, 4, 5)
    found = UnknownReplacement()(output(ids, weights, letters), TEXT, SOURCE, letters)
    assert found.text == "asaw AachenJuli"


def test_token_is_of_the_word_it_shares_most_with() -> None:
    words = [(1, 4), (5, 9)]
    for span, expected in (
        ((0, 3), 0),  # white space in front of a word is part of its piece
        ((3, 7), 1),
        ((3, 6), 0),  # as much of both: the first
        ((4, 5), None),
        ((9, 10), None),
        ((1, 1), 0),  # from no character of its own, where a word begins
        ((4, 4), None),
    ):
        assert words_of_tokens([span], words) == [expected], span
    assert words_of_tokens([(0, 3), (3, 4), (4, 6), (6, 9)], words) == [0, 0, 1, 1]
    assert words_of_tokens([(0, 1)], []) == [None]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_are_mapped_to_words(kind: Any) -> None:
    pieces = train_tokenizer(kind, LINES, {"unigram": 50, "bpe": 60}[kind])
    text = "the 中文 cat"
    spans = pieces.spans(text)
    words = [(0, 3), (4, 6), (7, 10)]
    owners = words_of_tokens(spans, words)
    (ids,) = pieces.encode([text])
    assert len(owners) == len(ids)
    # The unknown token is the second word.
    assert owners[ids.index(pieces.unknown_id)] == 1
    assert {owner for owner in owners if owner is not None} == {0, 1, 2}
    assert [o for o in owners if o is not None] == sorted(o for o in owners if o is not None)

    target = [*ids, pieces.end_id]
    weights = np.zeros((len(target), len(target)))
    weights[:, owners.index(2)] = 1
    found = UnknownReplacement()(output(target, weights, pieces), text, pieces, pieces)
    assert found.text == "the cat cat"


TOKENIZERS = {
    "char": CharTokenizer(sorted(set("".join(LINES)))),
    "word": train_tokenizer("word", LINES),
    "unigram": train_tokenizer("unigram", LINES, 50),
    "bpe": train_tokenizer("bpe", LINES, 60),
}
anything = st.text(max_size=20) | st.lists(
    st.sampled_from(["the cat", " ", "\0", "½ Ａ", "\u3000", "猫", "e\u0301", "🙂", "\udcc3"])
).map("".join)


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(text=anything)
def test_every_id_of_any_text_has_its_place(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    spans = tokenizer.spans(text)

    assert len(spans) == len(tokenizer.encode([text])[0])
    assert all(begin <= end for begin, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_surfaces_joined_are_the_decoded_text(kind: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[kind]
    id_ = st.integers(0, tokenizer.vocabulary_size - 1) | st.integers(0, 5)
    ids = data.draw(st.lists(id_, max_size=8))

    surfaces = tokenizer.surfaces(ids)

    assert len(surfaces) == len(ids)
    assert "".join(surfaces) == tokenizer.decode([ids])[0]


def test_dictionary_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_text("Juli\tJuly\n\nJuli\tJule\n Köln \tCologne\n", encoding="utf-8")

    assert UnknownReplacement(path).dictionary == {"Juli": "July", "Köln": "Cologne"}
    assert UnknownReplacement(str(path)).get_config() == UnknownReplacement(path).get_config()
    path.write_text("one column\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 1: expected 2 columns"):
        UnknownReplacement(path)


@pytest.mark.parametrize(
    ("dictionary", "message"),
    [
        (3, "`dictionary` must be a mapping, a path or None; got int"),
        ({"a": 1}, r"must hold strings for strings; got \('a', 1\)"),
    ],
)
def test_what_is_no_dictionary_is_refused(dictionary: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        UnknownReplacement(dictionary)


@pytest.fixture(scope="module")
def translator() -> Translator:
    """One whose outputs hold unknown tokens."""
    made = tiny_translator("word", "word", cell="gru")
    bias = made.model.decoder.output_layer.bias
    bias.assign(np.where(np.arange(bias.shape[0]) == 1, 6.0, np.array(bias)))
    return made


def test_translator_replaces_in_every_hypothesis(translator: Translator) -> None:
    plain = translator.translate(LINES[:4])
    assert all("⁇" in one.text for found in plain for one in found)
    translator.unknown_replacement = UnknownReplacement(
        {word: word.upper() for word in LINES[1].split()}
    )
    replaced = translator.translate(LINES[:4])
    translator.unknown_replacement = None

    for ours, theirs in zip(replaced, plain, strict=True):
        assert [one.ids for one in ours] == [one.ids for one in theirs]
    said = [one.text for found in replaced for one in found]
    assert not any("⁇" in text for text in said)
    assert any(word in text.split() for text in said for word in ("A", "DOG", "ATE", "MY"))


def test_replacement_is_saved(translator: Translator, tmp_path: Path) -> None:
    made = translator.copy()
    dictionary = {word: word.upper() for word in LINES[1].split()}
    made.unknown_replacement = UnknownReplacement(dictionary)
    made.save(tmp_path / "t.keras")

    loaded = load_translator(tmp_path / "t.keras")

    assert loaded.unknown_replacement.dictionary == dictionary
    assert loaded(LINES[:4]) == made(LINES[:4]) != translator(LINES[:4])


def test_model_without_attention_is_refused() -> None:
    deaf = tiny_translator("char", "word", attention=None)
    with pytest.raises(ValueError, match="needs attention, and this model has none"):
        deaf.unknown_replacement = UnknownReplacement()
    tokenizers = deaf.source_tokenizer, deaf.target_tokenizer
    with pytest.raises(ValueError, match="needs attention, and this model has none"):
        Translator(deaf.model, *tokenizers, unknown_replacement=UnknownReplacement())
    with pytest.raises(TypeError, match="must be an UnknownReplacement; got bool"):
        deaf.unknown_replacement = True
