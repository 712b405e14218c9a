"""Tokenizers whose vocabulary is a plain list of tokens: characters and words.

`trainer.py` makes the list from text, and `graph_modules.py` has the TensorFlow form.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_s2s.system.checks import check_several
from keras_s2s.text.special_ids import FIRST_ID, UNKNOWN_TEXT
from keras_s2s.text.tokenizer import Tokenizer, valid_text

if TYPE_CHECKING:
    import tensorflow as tf

# Python's re and RE2, which ONNX Runtime uses, read this pattern alike.
WORD_PATTERN = r"[^\x00\t\n\v\f\r ]+"
_WORD = re.compile(WORD_PATTERN)


class VocabularyTokenizer(Tokenizer):
    """The base of CharTokenizer and WordTokenizer: a token's id is its position in a list.

    Args:
        vocabulary: tokens in the order of their ids, which begin at 4.

    Raises:
        TypeError: If `vocabulary` is not a list of strings.
        ValueError: If it is empty, holds a token twice, or holds a token that no text can give.
    """

    separator: str  # the text between two tokens of a decoded text
    token_meaning: str  # the words in which an error says what a token must be

    def __init__(self, vocabulary: Sequence[str]) -> None:
        check_several("vocabulary", vocabulary)
        self.vocabulary = list(vocabulary)
        self._ids: dict[str, int] = {}
        for position, token in enumerate(self.vocabulary):
            if not isinstance(token, str):
                raise TypeError(
                    f"`vocabulary` must hold strings only; got {type(token).__name__} at position "
                    f"{position}."
                )
            if valid_text(token) != token or self.split(token) != [token]:
                raise ValueError(
                    f"A token of `vocabulary` must be {self.token_meaning}; got {token!r} at "
                    f"position {position}. Leave it out: no text can hold it."
                )
            if token in self._ids:
                raise ValueError(
                    f"`vocabulary` must hold each token once; got {token!r} again at position "
                    f"{position}."
                )
            self._ids[token] = position + FIRST_ID
        if not self.vocabulary:
            raise ValueError("`vocabulary` must hold at least one token; got none.")

    @staticmethod
    @abc.abstractmethod
    def split(text: str) -> list[str]:
        """Returns the tokens of a text in their order, as they are looked up."""

    @property
    def vocabulary_size(self) -> int:
        """The number of ids, the 4 special ones included."""
        return len(self.vocabulary) + FIRST_ID

    def get_config(self) -> dict[str, Any]:
        """Returns the vocabulary as a list."""
        return {"vocabulary": list(self.vocabulary)}

    def _encode(self, texts: list[str]) -> list[list[int]]:
        find, unknown = self._ids.get, self.unknown_id
        return [[find(token, unknown) for token in self.split(text)] for text in texts]

    def _decode(self, rows: list[list[int]]) -> list[str]:
        return [self.separator.join(map(self._piece, row)) for row in rows]

    def _surfaces(self, row: list[int]) -> list[str]:
        return [(self.separator if i else "") + self._piece(token) for i, token in enumerate(row)]

    def _piece(self, token: int) -> str:
        return UNKNOWN_TEXT if token == self.unknown_id else self.vocabulary[token - FIRST_ID]


@keras.saving.register_keras_serializable(package="keras_s2s")
class CharTokenizer(VocabularyTokenizer):
    """A tokenizer of characters: each Unicode code point is a token, white space included.

    Nothing is normalised. "é" as one code point differs from "e" with a combining accent, and
    several emoji that U+200D joins to one picture are several tokens. A text of known code points
    decodes to itself.

    Args:
        vocabulary: code points in the order of their ids, which begin at 4.

    Raises:
        TypeError: If `vocabulary` is not a list of strings.
        ValueError: If it is empty, holds a token twice, or holds anything other than single code
            points.

    Example:
        >>> CharTokenizer(["a", "b"]).encode(["ba"])
        [[5, 4]]
    """

    kind = "char"
    separator = ""
    token_meaning = "one Unicode code point, neither NUL nor a lone surrogate"

    @staticmethod
    def split(text: str) -> list[str]:
        """Returns the code points of a text."""
        return list(text)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text))]

    def module(self) -> tf.Module:
        """Returns the same tokenizer as TensorFlow operations; see `Tokenizer.module`."""
        from keras_s2s.text.graph_modules import CharModule

        return CharModule(self.vocabulary, self.separator)


@keras.saving.register_keras_serializable(package="keras_s2s")
class WordTokenizer(VocabularyTokenizer):
    r"""A tokenizer of words, which runs of ASCII white space separate.

    White space is exactly space, \t, \n, \v, \f and \r, the set that Python, TensorFlow and ONNX
    can share. NUL also separates words, because `valid_text` makes it a space. A no-break space,
    for example, is part of a word. Decoded words are joined by one space.

    Args:
        vocabulary: words in the order of their ids, which begin at 4.

    Raises:
        TypeError: If `vocabulary` is not a list of strings.
        ValueError: If it is empty, holds a word twice, or holds a token with white space.

    Example:
        >>> words = WordTokenizer(["a", "cat"])
        >>> words.decode(words.encode([" a  black cat "]))
        ['a ⁇ cat']
    """

    kind = "word"
    separator = " "
    token_meaning = "a word without white space, NUL or lone surrogates"

    @staticmethod
    def split(text: str) -> list[str]:
        """Returns the words of a text."""
        return _WORD.findall(text)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        return [word.span() for word in _WORD.finditer(text)]

    def module(self) -> tf.Module:
        """Returns the same tokenizer as TensorFlow operations; see `Tokenizer.module`."""
        from keras_s2s.text.graph_modules import WordModule

        return WordModule(self.vocabulary, self.separator)
