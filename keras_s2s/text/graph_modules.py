"""The tokenizers as TensorFlow modules, for use inside functions and SavedModels.

The modules repeat the rules of `tokenizer.py` with operations that every stock TensorFlow Serving
binary holds: TensorFlow's own and, for SentencePiece, those of TensorFlow Text. They are made from
plain data, such as a vocabulary, and do not know the tokenizer classes. `Tokenizer.module()` makes
them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import tensorflow as tf

from keras_s2s.text.special_ids import (
    END_ID,
    FIRST_ID,
    PAD_ID,
    START_ID,
    UNKNOWN_ID,
    UNKNOWN_TEXT,
)

TEXTS = tf.TensorSpec([None], tf.string, name="texts")
IDS = tf.TensorSpec([None, None], tf.int32, name="ids")


def valid_texts(texts: tf.Tensor) -> tf.Tensor:
    """Replaces invalid UTF-8 by U+FFFD and NUL by a space, as `tokenizer.valid_text` does.

    Args:
        texts: string of any shape.

    Returns:
        string of the same shape, valid UTF-8.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(texts, r"\x00", " ")


def sentences(ids: tf.Tensor) -> tf.RaggedTensor:
    """Returns the ids of each row before its first end id, without padding and start ids.

    Args:
        ids: (B, L) int32.

    Returns:
        (B, None) int32.
    """
    ended = tf.cumsum(tf.cast(ids == END_ID, tf.int32), axis=1) > 0
    is_text = ~ended & (ids != PAD_ID) & (ids != START_ID)
    return tf.ragged.boolean_mask(ids, is_text)


class TokenizerModule(tf.Module):
    """The base of all tokenizer modules: two functions with fixed signatures.

    Attributes:
        encode: function of texts (B,) string that gives ids (B, None) int32, without start and end.
        decode: function of ids (B, L) int32 that gives texts (B,) string.
    """

    def __init__(self) -> None:
        super().__init__()
        # A decorated method would lose its object in `tokenizer.module().encode(...)`.
        self.encode = tf.function(self._encode, input_signature=[TEXTS], autograph=False)
        self.decode = tf.function(self._decode, input_signature=[IDS], autograph=False)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        raise NotImplementedError

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError


class SentencePieceModule(TokenizerModule):
    """A SentencePiece model as TensorFlow Text's operations.

    Args:
        model: the bytes of a SentencePiece model file, which becomes a resource of this module.
        vocabulary_size: the number of ids that the model has.
    """

    def __init__(self, model: bytes, vocabulary_size: int) -> None:
        super().__init__()
        self._vocabulary_size = vocabulary_size
        self._processor = _Processor(model)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        ids, splits = _sentencepiece_ops().sentencepiece_tokenize_op(
            self._processor.resource_handle,
            valid_texts(texts),
            nbest_size=0,  # no sampling
            alpha=1.0,
            add_bos=False,
            add_eos=False,
            reverse=False,
            out_type=tf.int32,
        )
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        known = (ids >= 0) & (ids < self._vocabulary_size)
        rows = sentences(tf.where(known, ids, UNKNOWN_ID))
        return _sentencepiece_ops().sentencepiece_detokenize_op(
            self._processor.resource_handle,
            rows.values,
            rows.row_splits,
            add_bos=False,
            add_eos=False,
            reverse=False,
        )


class _Processor(tf.saved_model.experimental.TrackableResource):
    """A loaded SentencePiece model.

    `tensorflow_text.SentencepieceTokenizer` gives its resource no name, so the resource ends with
    the kernel that made it, and `keras.utils.set_random_seed` and `keras.backend.clear_session`
    discard all kernels (https://github.com/tensorflow/text/issues/802, still so in 2.21.1). A
    resource with a name stays until the process ends. The name is made from the model, so equal
    models share one resource.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self._model = model
        self._name = f"keras_s2s_{hashlib.sha256(model).hexdigest()}"
        with tf.init_scope():
            _ = self.resource_handle  # creates the resource here, not inside a function

    def _create_resource(self) -> tf.Tensor:
        return _sentencepiece_ops().sentencepiece_op(model=self._model, shared_name=self._name)


def _sentencepiece_ops() -> Any:
    # Imported here, so that characters and words do not need TensorFlow Text.
    from tensorflow_text.python.ops import sentencepiece_tokenizer

    return sentencepiece_tokenizer.gen_sentencepiece_tokenizer


class VocabularyModule(TokenizerModule):
    """The base of CharModule and WordModule: look-up in a list of tokens.

    Args:
        vocabulary: the tokens in the order of their ids, which begin at `FIRST_ID`. They become two
            look-up tables of this module.
        separator: the text between two tokens of a decoded text.
    """

    def __init__(self, vocabulary: list[str], separator: str) -> None:
        super().__init__()
        ids = tf.range(FIRST_ID, FIRST_ID + len(vocabulary), dtype=tf.int64)
        self._separator = separator
        self._ids = _table(self._keys(vocabulary), ids, UNKNOWN_ID)
        self._tokens = _table(ids, tf.constant(vocabulary), UNKNOWN_TEXT)

    def _keys(self, vocabulary: list[str]) -> tf.Tensor:
        raise NotImplementedError

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        raise NotImplementedError

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        tokens = self._split(valid_texts(texts))
        return tokens.with_values(tf.cast(self._ids.lookup(tokens.values), tf.int32))

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        rows = sentences(ids)
        tokens = rows.with_values(self._tokens.lookup(tf.cast(rows.values, tf.int64)))
        return tf.strings.reduce_join(tokens, axis=1, separator=self._separator)


def _table(keys: tf.Tensor, values: tf.Tensor, default: Any) -> tf.lookup.StaticHashTable:
    entries = tf.lookup.KeyValueTensorInitializer(keys, values)
    return tf.lookup.StaticHashTable(entries, tf.constant(default, values.dtype))


class CharModule(VocabularyModule):
    """A vocabulary of Unicode code points, which are looked up as numbers."""

    def _keys(self, vocabulary: list[str]) -> tf.Tensor:
        return tf.constant([ord(token) for token in vocabulary], tf.int64)

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        points = tf.strings.unicode_decode(texts, "UTF-8")
        return points.with_values(tf.cast(points.values, tf.int64))


class WordModule(VocabularyModule):
    """A vocabulary of words, which white space separates in a text."""

    def _keys(self, vocabulary: list[str]) -> tf.Tensor:
        return tf.constant(vocabulary)

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        # If no separator is given, TensorFlow splits on exactly the ASCII white space that
        # `vocabulary.WORD_PATTERN` names.
        return tf.strings.split(texts)
