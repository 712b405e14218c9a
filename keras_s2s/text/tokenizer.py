"""Tokenizers as plain Python objects: text to ids, ids to text, and their config.

Owns the rules that every form follows; `graph` and the ONNX export repeat them with the operators
of their runtime and are tested to give the same ids and the same text:

1.  Text is made valid first, see `valid_text`.
2.  Ids 0 to 3 are padding, unknown, start and end. `encode` adds none of them but unknown.
3.  `decode` stops at the first end id and drops padding and start wherever they stand. Unknown
    reads "⁇".

Reading corpora and adding start and end ids is the work of others.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.system.checks import check_several

if TYPE_CHECKING:
    import tensorflow as tf

UNKNOWN_TEXT = "⁇"

FIRST_ID = 4  # of a vocabulary; the ids below are special

# All but U+DC80 to U+DCFF, which stand for bytes.
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def valid_text(text: str) -> str:
    r"""The text that every form of a tokenizer sees: no lone surrogates, no NUL.

    1.  U+DC80 to U+DCFF, Python's `surrogateescape` for bytes that are no UTF-8, become those bytes
        again.
    2.  The bytes are decoded with one U+FFFD for each maximal invalid part, as TensorFlow's
        `unicode_transcode(errors="replace")` does; other lone surrogates become U+FFFD as well.
    3.  NUL becomes a space: runtimes written in C end a text at NUL.

    Args:
        text: Any Python string.

    Returns:
        A string that can be encoded as UTF-8; `text` itself when nothing was wrong with it.

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
    """What all tokenizers share: special ids, checks, equality.

    Use a subclass or `train_tokenizer`. Tokenizers do not change after they are made; two are equal
    when their class and config are. A subclass gives `vocabulary_size`, `module`, `get_config` and
    the three methods with a leading underscore.

    Attributes:
        pad_id: 0, fills rows up to the longest; never part of a text.
        unknown_id: 1, stands for what the vocabulary lacks.
        start_id: 2, begins what a decoder reads.
        end_id: 3, ends a sentence.
    """

    pad_id = 0
    unknown_id = 1
    start_id = 2
    end_id = 3

    @property
    def kind(self) -> str:
        """What `train_tokenizer` calls it; of a class of yours, its name."""
        return type(self).__name__

    @property
    @abc.abstractmethod
    def vocabulary_size(self) -> int:
        """Number of ids, the 4 special ones included."""

    @abc.abstractmethod
    def module(self) -> tf.Module:
        """The same tokenizer as TensorFlow operations, for graphs and SavedModels.

        Returns:
            A `tf.Module` that owns its tables, with `encode(texts (B,) string) -> tf.RaggedTensor
            (B, None) int32` and `decode(ids (B, L) int32) -> (B,) string`. Both take B = 0;
            `encode` repairs invalid UTF-8 and `decode` reads an id outside the vocabulary as
            unknown, so that one bad row never fails a served batch.
        """

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """All that `from_config` needs, as JSON types."""

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
        """Ids of each text, without start and end.

        Args:
            texts: Strings, of any length, "" included.

        Returns:
            One list of ids per text; [] for a text with nothing in it.

        Raises:
            TypeError: If `texts` is one string or holds something else than strings.

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
        """Text of each row of ids, up to its first end id.

        Args:
            ids: Rows of ids, as lists or as an integer array (B, L); rows may differ in length.

        Returns:
            One string per row. Padding and start ids give nothing, unknown gives "⁇".

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
        """One printable piece for each id, for plots and alignments.

        Args:
            ids: One row of ids; unlike `decode` it is read to its end.

        Returns:
            As many strings as ids. Special ids read <pad>, ⁇, <s>, </s>; a space reads "▁";
            characters that cannot be printed are escaped.

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
        """Where in a text each of its ids comes from.

        Args:
            text: One string.

        Returns:
            For each id of `encode([text])[0]` the place of its first character in
            `valid_text(text)` and the place behind its last; equal where an id comes from nothing.

        Example:
            >>> CharTokenizer(["a", "b"]).spans("ab")
            [(0, 1), (1, 2)]
        """
        return self._spans(valid_text(text))

    def surfaces(self, ids: Sequence[int]) -> list[str]:
        """What each id adds to the decoded text: joined they are `decode([ids])[0]`.

        Args:
            ids: One row of ids.

        Returns:
            As many strings as ids; "" for padding, start, and all from the first end id on.

        Raises:
            TypeError: If `ids` is not one row of integers.
            ValueError: If an id is negative or not below `vocabulary_size`.

        Example:
            >>> CharTokenizer(["a", "b"]).surfaces([4, 1, 5, 3])
            ['a', '⁇', 'b', '']
        """
        row = self._checked(ids, "`ids`")
        dropped = (self.pad_id, self.start_id)
        kept = [i for i, token in enumerate(self._sentence(row)) if token not in dropped]
        found = [""] * len(row)
        for i, surface in zip(kept, self._surfaces([row[i] for i in kept]), strict=True):
            found[i] = surface
        return found

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
        """The tokenizer that `get_config` described."""
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
