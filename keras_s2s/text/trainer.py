"""Trains tokenizers. Equal lines of text give equal tokenizers, byte for byte."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

from keras_s2s.system.checks import check_choice
from keras_s2s.text.special_ids import (
    END_ID,
    FIRST_ID,
    PAD_ID,
    START_ID,
    UNKNOWN_ID,
    UNKNOWN_TEXT,
)
from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.tokenizer import Tokenizer, valid_text
from keras_s2s.text.vocabulary import CharTokenizer, VocabularyTokenizer, WordTokenizer

Kind = Literal["unigram", "bpe", "char", "word"]

# SentencePiece divides the sums of unigram training among this many threads. With a fixed number
# the sums round alike on every machine.
_THREADS = 16
# The greatest line length in bytes that SentencePiece takes. By default, it would silently leave
# out lines of more than 4192 bytes.
_LONGEST_LINE = 2**30
# SentencePiece ends a line at \n, and silently leaves out every line with U+2585, its own mark of
# unknown text.
_SET_ASIDE = str.maketrans("\n\u2585", "  ")
_TOO_HIGH = re.compile(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)")
_TOO_LOW = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")
_NO_TEXT = re.compile(r"sentences_\.empty\(\)|all_chars_count")


def train_tokenizer(
    kind: Kind, lines: Iterable[str], vocabulary_size: int | None = None
) -> Tokenizer:
    """Trains a tokenizer on lines of text.

    "unigram" (Kudo 2018) and "bpe" (Sennrich et al. 2016) are SentencePiece models with nmt_nfkc,
    the default normalisation. Every character of the normalised lines is a piece. "char" and "word"
    count code points and words and take the most frequent ones. Equally frequent ones are ordered
    by their code points.

    Args:
        kind: "unigram", "bpe", "char" or "word".
        lines: strings of one sentence each, such as an open text file. Line ends are dropped.
        vocabulary_size: the number of ids, the 4 special ones included. None takes every character
            or word; "unigram" and "bpe" need a number.

    Returns:
        A SentencePieceTokenizer, CharTokenizer or WordTokenizer with exactly `vocabulary_size` ids.

    Raises:
        TypeError: If `lines` is one string or holds anything other than strings.
        ValueError: If `kind` is unknown, if there is no text, or if the text cannot give
            `vocabulary_size` ids. The error says how many ids it can give.

    Example:
        >>> train_tokenizer("word", ["the cat", "the dog"], 6).vocabulary
        ['the', 'cat']
    """
    check_choice("kind", kind, get_args(Kind))
    if vocabulary_size is not None and (
        not isinstance(vocabulary_size, int) or vocabulary_size <= FIRST_ID
    ):
        raise ValueError(
            f"`vocabulary_size` must be None or an integer above {FIRST_ID}, the number of "
            f"special ids; got {vocabulary_size!r}."
        )
    texts = [text for text in _checked(lines) if text.strip()]
    if not texts:
        raise ValueError("`lines` must hold text to train on; got only empty lines.")
    match kind:
        case "char":
            return CharTokenizer(_most_frequent(CharTokenizer, texts, vocabulary_size))
        case "word":
            return WordTokenizer(_most_frequent(WordTokenizer, texts, vocabulary_size))
    if vocabulary_size is None:
        raise ValueError(
            f"`vocabulary_size` must be given for kind={kind!r}; got None. Start with 8000, a "
            "common size. If the lines cannot give as many ids, the error names the limit."
        )
    return _train_sentencepiece(kind, texts, vocabulary_size)


def _checked(lines: Iterable[str]) -> Iterable[str]:
    if isinstance(lines, str | bytes):
        raise TypeError(
            f"`lines` must be an iterable of lines; got one {type(lines).__name__}. Split it or "
            "put it in a list."
        )
    for number, line in enumerate(lines):
        if not isinstance(line, str):
            raise TypeError(
                f"`lines` must hold strings only; got {type(line).__name__} at position {number}."
            )
        yield valid_text(line).rstrip("\r\n")


def _most_frequent(
    tokenizer: type[VocabularyTokenizer], texts: list[str], vocabulary_size: int | None
) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.split(text))
    tokens = sorted(counts, key=lambda token: (-counts[token], token))
    if vocabulary_size is None:
        return tokens
    if vocabulary_size > len(tokens) + FIRST_ID:
        raise ValueError(
            f"`vocabulary_size` must be at most {len(tokens) + FIRST_ID}: the lines hold "
            f"{len(tokens)} different tokens, and {FIRST_ID} ids are special; got "
            f"{vocabulary_size}. Give None to keep all."
        )
    return tokens[: vocabulary_size - FIRST_ID]


def _train_sentencepiece(
    kind: Kind, texts: list[str], vocabulary_size: int
) -> SentencePieceTokenizer:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(text.translate(_SET_ASIDE) for text in texts),
            model_writer=model,
            model_type=kind,
            vocab_size=vocabulary_size,
            character_coverage=1.0,
            pad_id=PAD_ID,
            unk_id=UNKNOWN_ID,
            bos_id=START_ID,
            eos_id=END_ID,
            unk_surface=UNKNOWN_TEXT,
            max_sentence_length=_LONGEST_LINE,
            num_threads=_THREADS,
            minloglevel=2,  # errors only
        )
    except RuntimeError as error:
        explained = _training_error(str(error), kind, vocabulary_size)
        if explained is None:
            raise
        raise explained from error
    return SentencePieceTokenizer(model.getvalue())


def _training_error(message: str, kind: Kind, vocabulary_size: int) -> ValueError | None:
    if limit := _TOO_HIGH.search(message):
        return ValueError(
            f"`vocabulary_size` must be at most {limit[1]} for kind={kind!r} on these lines; got "
            f"{vocabulary_size}. Give more text or a smaller size."
        )
    if limit := _TOO_LOW.search(message):
        return ValueError(
            f"`vocabulary_size` must be at least {limit[1]} for kind={kind!r}, to hold every "
            f"character of these lines; got {vocabulary_size}. Give a larger size, or leave out "
            "lines with rare characters."
        )
    if _NO_TEXT.search(message):
        return ValueError(
            f"`lines` must hold text that is left after normalisation for kind={kind!r}; got only "
            "white space and control characters."
        )
    return None
