"""Tests of the corpus filter: the pairs it counts as empty, too long or kept, and its errors."""

from collections.abc import Sequence
from typing import Any

import pytest

from keras_s2s.data.corpus import Corpus
from keras_s2s.data.filtering import CorpusReport
from keras_s2s.data.reading import CorpusError
from keras_s2s.text import CharTokenizer, WordTokenizer

LETTERS = CharTokenizer(list("abcdefgh"))
DIGITS = WordTokenizer([str(number) for number in range(100)])


def test_pairs_are_counted_as_empty_too_long_or_kept() -> None:
    pairs = [("abc", "1 2"), (" ", "1"), ("a", "\u2003"), ("abcd", "1"), ("a", "1 2 3"), ("b", "7")]
    corpus = Corpus(pairs, LETTERS, DIGITS, max_source_length=4, max_target_length=3)
    # Kept are "abc" with its end id 4, "1 2" 3, "b" 2, "7" 2.
    assert corpus.report == CorpusReport(
        pairs_read=6,
        empty=2,
        too_long=2,
        kept=2,
        source_tokens=6,
        target_tokens=5,
        longest_source=4,
        longest_target=3,
    )
    assert len(corpus) == 2
    assert str(corpus.report) == (
        "2 of 6 pairs kept (2 empty, 2 too long); 6 source and 5 target tokens; longest 4 and 3"
    )


def test_pairs_that_the_tokenizer_gives_no_ids_for_are_empty() -> None:
    class Deaf(CharTokenizer):
        def encode(self, texts: Sequence[str]) -> list[list[int]]:
            return [[] if text == "a" else [4] for text in texts]

    corpus = Corpus([("a", "1"), ("b", "1")], Deaf(["a"]), DIGITS)
    assert (corpus.report.empty, corpus.report.kept) == (1, 1)


def test_limits_that_leave_nothing_are_refused_with_the_lengths() -> None:
    pairs = [("abcd", "1 2"), ("abcdefg", "1"), ("a", "")]
    with pytest.raises(CorpusError) as caught:
        Corpus(pairs, LETTERS, DIGITS, max_source_length=4)
    assert "all 2 pairs with text are longer than max_source_length=4" in str(caught.value)
    assert "sources have 5 to 8 and targets 2 to 3" in str(caught.value)


@pytest.mark.parametrize("pairs", [[], [("", "1"), ("a", " ")]])
def test_no_pair_with_text_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(CorpusError, match=f"none of the {len(pairs)} pairs read has text"):
        Corpus(pairs, LETTERS, DIGITS)


@pytest.mark.parametrize(("limit", "error"), [(1, ValueError), (0, ValueError), (9.5, TypeError)])
@pytest.mark.parametrize("name", ["max_source_length", "max_target_length"])
def test_limits_out_of_range_are_refused(name: str, limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"`{name}` must be"):
        Corpus([("a", "1")], LETTERS, DIGITS, **{name: limit})
