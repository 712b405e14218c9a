"""The base class of tokenizers, with the rules that all of their forms follow.

`graph_modules.py` and the ONNX export repeat these rules with the operators of their runtimes.
Tests prove that all forms give the same ids and the same text.

1.  `valid_text` makes the text valid first.
2.  Ids 0 to 3 are padding, unknown, start and end. Of these, `encode` gives only the unknown id.
3.  `decode` stops at the first end id and drops padding and start wherever they stand. The unknown
    id gives "⁇".

Tokenizers neither read corpora nor add start and end ids.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.system.checks import check_several
from keras_s2s.text.special_ids import (
    END_ID,
    FIRST_ID,
    PAD_ID,
    START_ID,
    UNKNOWN_ID,
    UNKNOWN_TEXT,
)

if TYPE_CHECKING:
    import tensorflow as tf

# All lone surrogates but U+DC80 to U+DCFF, which stand for bytes.
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def valid_text(text: str) -> str:
    r"""Replaces lone surrogates and NUL, which some forms of a tokenizer could not read.

    1.  U+DC80 to U+DCFF become bytes again. Python's `surrogateescape` writes these code points for
        bytes that are not UTF-8.
    2.  The bytes are decoded with one U+FFFD for each maximal invalid part, as TensorFlow's
        `unicode_transcode(errors="replace")` does. Other lone surrogates become U+FFFD as well.
    3.  NUL becomes a space, because runtimes written in C end a text at NUL.

    Args:
        text: any Python string.

    Returns:
        A string that can be encoded as UTF-8. It is `text` itself if nothing had to be replaced.

    Example:
        >>> valid_text(b"caf\xc3 au lait".decode("utf-8", "surrogateescape")) == "caf\ufffd au lait"
        True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _LONE_SURROGATE.sub("\ufffd", text)
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text.replace("\0", " ")


class Tokenizer(abc.ABC):
    """The base of all tokenizers: special ids, checks of arguments, equality.

    `train_tokenizer` makes tokenizers. They do not change after they are made, and two are equal
    when their class and config are. A subclass implements `vocabulary_size`, `module`,
    `get_config` and the abstract methods with a leading underscore.

    Attributes:
        pad_id: 0, fills rows up to the longest; it is never part of a text.
        unknown_id: 1, stands for text that the vocabulary lacks.
        start_id: 2, begins the sequence that a decoder reads.
        end_id: 3, ends a sentence.
    """

    pad_id = PAD_ID
    unknown_id = UNKNOWN_ID
    start_id = START_ID
    end_id = END_ID

    @property
    def kind(self) -> str:
        """The kind that `train_tokenizer` takes, or the name of a class defined elsewhere."""
        return type(self).__name__

    @property
    @abc.abstractmethod
    def vocabulary_size(self) -> int:
        """The number of ids, the 4 special ones included."""

    @abc.abstractmethod
    def module(self) -> tf.Module:
        """Returns the same tokenizer as TensorFlow operations, for graphs and SavedModels.

        Returns:
            A `tf.Module` that owns its tables, with `encode(texts (B,) string) -> tf.RaggedTensor
            (B, None) int32` and `decode(ids (B, L) int32) -> (B,) string`. Both take B = 0.
            `encode` repairs invalid UTF-8 and `decode` reads an id outside the vocabulary as
            unknown, so that one bad row never fails a served batch.
        """

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of an equal tokenizer for `from_config`, as JSON types."""

    @abc.abstractmethod
    def _encode(self, texts: list[str]) -> list[list[int]]: ...

    @abc.abstractmethod
    def _decode(self, rows: list[list[int]]) -> list[str]: ...

    @abc.abstractmethod
    def _piece(self, token: int) -> str: ...

    @abc.abstractmethod
    def _spans(self, text: str) -> list[tuple[int, int]]: ...

    @abc.abstractmethod
    def _surfaces(self, row: list[int]) -> list[str]: ...

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the ids of each text, without start and end ids.

        Args:
            texts: strings of any length, "" included.

        Returns:
            One list of ids for each text; [] for an empty text.

        Raises:
            TypeError: If `texts` is one string or holds anything other than strings.

        Example:
            >>> CharTokenizer(["a", "b"]).encode(["ab", "bx", ""])
            [[4, 5], [5, 1], []]
        """
        check_several("texts", texts)
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"`texts` must hold strings only; got {type(text).__name__} at position "
                    f"{index}. Decode bytes first; take a tensor of strings to `module().encode`."
                )
        return self._encode([valid_text(text) for text in texts])

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Returns the text of each row of ids, up to its first end id.

        Args:
            ids: rows of ids, as lists or as an integer array (B, L); rows may differ in length.

        Returns:
            One string for each row. Padding and start ids give nothing; unknown ids give "⁇".

        Raises:
            TypeError: If `ids` is not made of rows of integers.
            ValueError: If an id is negative or not below `vocabulary_size`.

        Example:
            >>> CharTokenizer(["a", "b"]).decode([[2, 4, 1, 5, 3, 4], [0, 0]])
            ['a⁇b', '']
        """
        rows = [self._checked(row, f"`ids[{number}]`") for number, row in enumerate(ids)]
        dropped = (self.pad_id, self.start_id)
        return self._decode(
            [[token for token in self._sentence(row) if token not in dropped] for row in rows]
        )

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns one printable piece for each id, for plots and alignments.

        Args:
            ids: one row of ids. Unlike `decode`, this method also reads behind an end id.

        Returns:
            One string for each id. Special ids give <pad>, ⁇, <s> and </s>. A space gives "▁".
            Characters that cannot be printed are escaped.

        Raises:
            TypeError: If `ids` is not one row of integers.
            ValueError: If an id is negative or not below `vocabulary_size`.

        Example:
            >>> CharTokenizer(["a", " "]).pieces([4, 5, 1, 3])
            ['a', '▁', '⁇', '</s>']
        """
        special = ("<pad>", UNKNOWN_TEXT, "<s>", "</s>")
        return [
            special[token] if token < FIRST_ID else _printable(self._piece(token))
            for token in self._checked(ids, "`ids`")
        ]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Returns the part of a text that each of its ids comes from.

        Args:
            text: one string.

        Returns:
            For each id of `encode([text])[0]`, the position of its first character in
            `valid_text(text)` and the position after its last character. Both are equal for an id
            that comes from no character.

        Example:
            >>> CharTokenizer(["a", "b"]).spans("ab")
            [(0, 1), (1, 2)]
        """
        return self._spans(valid_text(text))

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """Returns the text that each id adds to the decoded text, `decode([ids])[0]`.

        Args:
            ids: one row of ids.

        Returns:
            One string for each id. It is "" for padding, for start, and for all ids from the first
            end id on.

        Raises:
            TypeError: If `ids` is not one row of integers.
            ValueError: If an id is negative or not below `vocabulary_size`.

        Example:
            >>> CharTokenizer(["a", "b"]).surfaces([4, 1, 5, 3])
            ['a', '⁇', 'b', '']
        """
        row = self._checked(ids, "`ids`")
        dropped = (self.pad_id, self.start_id)
        places = [i for i, token in enumerate(self._sentence(row)) if token not in dropped]
        texts = [""] * len(row)
        for i, surface in zip(places, self._surfaces([row[i] for i in places]), strict=True):
            texts[i] = surface
        return texts

    def _sentence(self, row: list[int]) -> list[int]:
        return row[: row.index(self.end_id)] if self.end_id in row else row

    def _checked(self, row: Sequence[int], name: str) -> list[int]:
        array = np.asarray(row)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise TypeError(
                f"{name} must be a row of integer ids; got {type(row).__name__} with shape "
                f"{array.shape} and dtype {array.dtype}. `decode` takes a list of rows, `pieces` "
                "one row."
            )
        if array.size and not 0 <= array.min() <= array.max() < self.vocabulary_size:
            raise ValueError(
                f"{name} must hold ids from 0 to {self.vocabulary_size - 1}; got ids from "
                f"{array.min()} to {array.max()}. They come from another tokenizer or a model with "
                "another vocabulary size."
            )
        tokens: list[int] = array.tolist()
        return tokens

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tokenizer:
        """Makes the tokenizer that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self.vocabulary_size))

    def _identity(self) -> tuple[type, dict[str, Any]]:
        return type(self), self.get_config()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocabulary_size={self.vocabulary_size})"


def _printable(piece: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in piece.replace(" ", "▁")
    )
