"""Tokenizers with a plain list for a vocabulary: characters and words.

Making the list from text is in `training`, the TensorFlow form in `graph`.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_s2s.text.tokenizer import FIRST_ID, UNKNOWN_TEXT, Tokenizer, valid_text

if TYPE_CHECKING:
    import tensorflow as tf

WORD_PATTERN = r"[^\x00\t\n\v\f\r ]+"  # Python's re and RE2, which ONNX Runtime uses, read it alike
_WORD = re.compile(WORD_PATTERN)


class VocabularyTokenizer(Tokenizer):
    """What CharTokenizer and WordTokenizer share: ids by position in a list. Use a subclass.

    Args:
        vocabulary: Tokens in the order of their ids, which begin at 4.

    Raises:
        TypeError: If `vocabulary` is not a list of strings.
        ValueError: If it is empty, or a token is double or could never come out of a text.
    """

    separator: str  # between tokens, when text is made of them
    token_meaning: str  # what a token must be, for errors

    def __init__(self, vocabulary: Sequence[str]) -> None:
        if isinstance(vocabulary, str | bytes):
            raise TypeError(
                f"`vocabulary` must be a list of strings; got one {type(vocabulary).__name__}."
            )
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
        """The tokens of a text, in order, before they are looked up."""

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the 4 special ones included."""
        return len(self.vocabulary) + FIRST_ID

    def get_config(self) -> dict[str, Any]:
        """`vocabulary` as a list."""
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
    """One token per Unicode code point, white space included.

    Nothing is normalised: "é" as one code point and as "e" with a combining accent differ, and a
    family of emoji joined by U+200D is several tokens. Text made of known code points comes back as
    it was.

    Args:
        vocabulary: Code points in the order of their ids, which begin at 4.

    Example:
        >>> CharTokenizer(["a", "b"]).encode(["ba"])
        [[5, 4]]
    """

    kind = "char"
    separator = ""
    token_meaning = "one Unicode code point, neither NUL nor a lone surrogate"

    @staticmethod
    def split(text: str) -> list[str]:
        """The code points of a text."""
        return list(text)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text))]

    def module(self) -> tf.Module:
        """The same tokenizer as TensorFlow operations; see `Tokenizer.module`."""
        from keras_s2s.text.graph_modules import CharModule

        return CharModule(self)


@keras.saving.register_keras_serializable(package="keras_s2s")
class WordTokenizer(VocabularyTokenizer):
    r"""One token per word: text is split on runs of ASCII white space and joined by one space.

    White space is exactly space, \t, \n, \v, \f and \r (and NUL, see `valid_text`), the set that
    Python, TensorFlow and ONNX can share; a no-break space, for one, is part of a word.

    Args:
        vocabulary: Words in the order of their ids, which begin at 4.

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
        """The words of a text."""
        return _WORD.findall(text)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        return [word.span() for word in _WORD.finditer(text)]

    def module(self) -> tf.Module:
        """The same tokenizer as TensorFlow operations; see `Tokenizer.module`."""
        from keras_s2s.text.graph_modules import WordModule

        return WordModule(self)
