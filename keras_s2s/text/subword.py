"""The SentencePiece tokenizer: a trained unigram or bpe model behind the `Tokenizer` interface.

`trainer.py` trains models, and `graph_modules.py` has the TensorFlow form.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import keras

from keras_s2s.text.special_ids import END_ID, PAD_ID, START_ID, UNKNOWN_ID
from keras_s2s.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_s2s")
class SentencePieceTokenizer(Tokenizer):
    """A tokenizer of subwords: a trained SentencePiece model (Kudo & Richardson 2018).

    `train_tokenizer` trains such models, either unigram or bpe. The normalisation of text (NFKC,
    white space) is part of the model. A model that was trained elsewhere works if its special ids
    are those of `Tokenizer`; the unknown id then decodes to the `unk_surface` of that model.

    Args:
        model: the bytes of a SentencePiece model file.

    Attributes:
        processor: the `sentencepiece.SentencePieceProcessor` of the model.

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
        expected = {"pad_id": PAD_ID, "unk_id": UNKNOWN_ID, "bos_id": START_ID, "eos_id": END_ID}
        ids = {name: getattr(self.processor, name)() for name in expected}
        if ids != expected:
            raise ValueError(
                f"`model` must have the special ids {expected}; got {ids}. Train it with these "
                "options, or with train_tokenizer."
            )

    @property
    def kind(self) -> str:
        """The kind of model: 'unigram' or 'bpe'."""
        try:
            self.processor.nbest_encode_as_ids("", 2)
        except RuntimeError:  # only unigram models can list several segmentations
            return "bpe"
        return "unigram"

    @property
    def vocabulary_size(self) -> int:
        """The number of ids, the 4 special ones included."""
        return int(self.processor.get_piece_size())

    def module(self) -> tf.Module:
        """Returns the same tokenizer as TensorFlow operations; see `Tokenizer.module`."""
        from keras_s2s.text.graph_modules import SentencePieceModule

        return SentencePieceModule(self.model, self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        """Returns the bytes of the model in base64, under the key `model`."""
        return {"model": base64.b64encode(self.model).decode("ascii")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SentencePieceTokenizer:
        """Makes the tokenizer that `get_config` described."""
        return cls(base64.b64decode(config["model"], validate=True))

    def _encode(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self.processor.encode(texts, out_type=int)
        return ids

    def _decode(self, rows: list[list[int]]) -> list[str]:
        # SentencePiece would take an empty batch for one empty row.
        texts: list[str] = self.processor.decode(rows) if rows else []
        return texts

    def _piece(self, token: int) -> str:
        return str(self.processor.id_to_piece(token))

    def _spans(self, text: str) -> list[tuple[int, int]]:
        places = {0: 0}  # from byte offsets, which SentencePiece gives, to character offsets
        for number, character in enumerate(text, 1):
            places[next(reversed(places)) + len(character.encode())] = number
        pieces = self.processor.EncodeAsProto(text).pieces
        return [(places[piece.begin], places[piece.end]) for piece in pieces]

    def _surfaces(self, row: list[int]) -> list[str]:
        if not row:
            return []
        return [str(piece.surface) for piece in self.processor.DecodeIdsAsProto(row).pieces]
