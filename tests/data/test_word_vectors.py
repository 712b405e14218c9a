"""Word vectors from a file reach the rows of their tokens, and a bad file changes nothing."""

import keras
import numpy as np
import pytest

from keras_s2s.data.reading import CorpusError
from keras_s2s.data.word_vectors import load_embedding

TOKENS = ["<pad>", "<unk>", "the", "Dog", "été", "a b"]


def made(width=3):
    embedding = keras.layers.Embedding(len(TOKENS), width)
    embedding.build((None, None))
    return embedding


def written(folder, text):
    file = folder / "vectors.txt"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("header", ["", "3 3\n"])
def test_rows_of_found_tokens_change_and_no_others(tmp_path, header):
    embedding = made()
    before = embedding.get_weights()[0]
    file = written(tmp_path, header + "the 1 2 3\nété -.5 1e-2 0 \nbird 7 8 9\n")
    assert load_embedding(embedding, file, TOKENS) == 2
    table = embedding.get_weights()[0]
    np.testing.assert_allclose(table[2], [1, 2, 3])
    np.testing.assert_allclose(table[4], [-0.5, 0.01, 0])
    np.testing.assert_array_equal(table[[0, 1, 3, 5]], before[[0, 1, 3, 5]])


def test_case_counts_and_the_first_of_two_wins(tmp_path):
    embedding = made()
    file = written(tmp_path, "dog 9 9 9\nDog 1 1 1\nDog 2 2 2\n")
    assert load_embedding(embedding, file, TOKENS) == 1
    assert embedding.get_weights()[0][3].tolist() == [1, 1, 1]


def test_a_token_may_hold_a_space(tmp_path):
    embedding = made()
    assert load_embedding(embedding, written(tmp_path, "a b 1 2 3\n"), TOKENS) == 1
    assert embedding.get_weights()[0][5].tolist() == [1, 2, 3]


def test_a_token_of_two_ids_fills_both_rows(tmp_path):
    embedding = keras.layers.Embedding(2, 1)
    assert load_embedding(embedding, written(tmp_path, "x 5\n"), ["x", "x"]) == 2
    assert embedding.get_weights()[0].tolist() == [[5], [5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2 3\nDog 1 2\n", r"line 2: expected a token and 3 finite numbers.*got 2 numbers"),
        ("the 1 2 3\nDog 1 2 3,5\n", r"line 2: .*got could not convert.*3,5"),
        ("the 1 2 3\nDog 1 nan 3\n", r"line 2: .*3 finite numbers.*got one that is not finite"),
        ("the 1 2 3\nDog 1 2 -inf\n", r"line 2: .*got one that is not finite"),
        ("the 1 2 3 4\n", r"vectors of width 4; the embedding is 3 wide.*embedding_size=4"),
        ("3 4\nthe 1 2 3 4\n", r"vectors of width 4; the embedding is 3 wide.*embedding_size=4"),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_changes_nothing(tmp_path, text, message):
    embedding = made()
    before = embedding.get_weights()[0]
    with pytest.raises(CorpusError, match=message):
        load_embedding(embedding, written(tmp_path, text), TOKENS)
    np.testing.assert_array_equal(embedding.get_weights()[0], before)


def test_no_token_found_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"None of the 6 tokens.*same case"):
        load_embedding(made(), written(tmp_path, "bird 1 2 3\n"), TOKENS)


def test_tokens_and_rows_must_be_as_many(tmp_path):
    with pytest.raises(ValueError, match="got 2 tokens for 6 rows"):
        load_embedding(made(), written(tmp_path, "the 1 2 3\n"), ["the", "Dog"])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CorpusError, match="No such file"):
        load_embedding(made(), tmp_path / "none.txt", TOKENS)
