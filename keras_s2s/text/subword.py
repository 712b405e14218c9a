"""The SentencePiece tokenizer: a trained unigram or bpe model behind the `Tokenizer` interface.

Training is in `training`, the TensorFlow form in `graph`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import keras

from keras_s2s.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_s2s")
class SentencePieceTokenizer(Tokenizer):
    """A trained SentencePiece model, unigram or bpe. `train_tokenizer` makes one.

    Normalisation (NFKC, white space) is part of the model. A model trained elsewhere works if its
    special ids are those of `Tokenizer`; unknown then reads as that model's `unk_surface` says.

    Args:
        model: The bytes of a SentencePiece model file.

    Attributes:
        processor: The `sentencepiece.SentencePieceProcessor` of the model.

    Raises:
        TypeError: If `model` is not bytes.
        ValueError: If `model` cannot be read or has other special ids.

    Example:
        >>> from keras_s2s.text import train_tokenizer
        >>> tokenizer = train_tokenizer("bpe", ["low lower lowest"] * 9, 16)
        >>> tokenizer.decode(tokenizer.encode(["lower  low"]))
        ['lower low']
    """

    def __init__(self, model: bytes) -> None:
        if not isinstance(model, bytes):
            raise TypeError(
                f"`model` must be the bytes of a SentencePiece model; got {type(model).__name__}. "
                "Read the file with pathlib.Path(...).read_bytes()."
            )
        import sentencepiece

        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise ValueError(
                f"`model` must be the bytes of a SentencePiece model; got {len(model)} bytes that "
                "are none."
            ) from error
        self._check_special_ids()

    def _check_special_ids(self) -> None:
        found = self.processor
        ids = {
            "pad_id": found.pad_id(),
            "unk_id": found.unk_id(),
            "bos_id": found.bos_id(),
            "eos_id": found.eos_id(),
        }
        expected = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
        if ids != expected:
            raise ValueError(
                f"`model` must have the special ids {expected}; got {ids}. Train it with these "
                "options, or with train_tokenizer."
            )

    @property
    def kind(self) -> str:
        """'unigram' or 'bpe'."""
        try:
            self.processor.nbest_encode_as_ids("", 2)
        except RuntimeError:  # only unigram models know the next best
            return "bpe"
        return "unigram"

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the 4 special ones included."""
        return int(self.processor.get_piece_size())

    def module(self) -> tf.Module:
        """The same tokenizer as TensorFlow operations; see `Tokenizer.module`."""
        from keras_s2s.text.graph_modules import SentencePieceModule

        return SentencePieceModule(self)

    def get_config(self) -> dict[str, Any]:
        """`model` in base64."""
        return {"model": base64.b64encode(self.model).decode("ascii")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SentencePieceTokenizer:
        """The tokenizer that `get_config` described."""
        return cls(base64.b64decode(config["model"], validate=True))

    def _encode(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self.processor.encode(texts, out_type=int)
        return ids

    def _decode(self, rows: list[list[int]]) -> list[str]:
        # An empty batch would be read as one empty row.
        texts: list[str] = self.processor.decode(rows) if rows else []
        return texts

    def _piece(self, token: int) -> str:
        return str(self.processor.id_to_piece(token))

    def _spans(self, text: str) -> list[tuple[int, int]]:
        places = {0: 0}  # SentencePiece counts bytes
        for number, character in enumerate(text, 1):
            places[next(reversed(places)) + len(character.encode())] = number
        pieces = self.processor.EncodeAsProto(text).pieces
        return [(places[piece.begin], places[piece.end]) for piece in pieces]

    def _surfaces(self, row: list[int]) -> list[str]:
        if not row:
            return []
        return [str(piece.surface) for piece in self.processor.DecodeIdsAsProto(row).pieces]
